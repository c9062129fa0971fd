//! `docker events`.

use crate::daemon;

#[test]
fn a_life_is_told_in_order() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run", "--name", "told", "-l", "who=told", "busybox", "sh", "-c", "exit 2",
        ])
        .fails(2);
    docker.run(&["rm", "told"]).ok();
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 1;
    let events = docker
        .run(&[
            "events",
            "--since",
            &(until - 60).to_string(),
            "--until",
            &until.to_string(),
            "--filter",
            "container=told",
            "--filter",
            "type=container",
            "--format",
            "{{.Action}} {{index .Actor.Attributes \"exitCode\"}}",
        ])
        .ok();
    let actions: Vec<&str> = events.lines().map(str::trim).collect();
    assert_eq!(actions, ["create", "attach", "start", "die 2", "destroy"]);
}

#[test]
fn who_is_stopped_started_again_and_removed_by_force_was_sent_signals() {
    let daemon = daemon();
    let docker = daemon.docker();
    let polite = "trap 'exit 0' TERM USR1; touch /tmp/begun; while :; do sleep 0.1; done";
    docker
        .run(&[
            "run", "-d", "--name", "hailed", "busybox", "sh", "-c", polite,
        ])
        .ok();
    let wait = || {
        docker.wait_until("the trap", |docker| {
            docker.run(&["exec", "hailed", "rm", "/tmp/begun"]).code == 0
        });
    };
    wait();
    docker.run(&["restart", "hailed"]).ok();
    wait();
    docker.run(&["kill", "-s", "USR1", "hailed"]).ok();
    docker.run(&["wait", "hailed"]).ok();
    docker.run(&["start", "hailed"]).ok();
    wait();
    docker.run(&["stop", "hailed"]).ok();
    docker.run(&["start", "hailed"]).ok();
    docker.run(&["rm", "-f", "hailed"]).ok();
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 1;
    let (since, until) = ((until - 120).to_string(), until.to_string());
    let window = ["events", "--since", &since, "--until", &until];
    let filters = ["--filter", "container=hailed", "--filter", "type=container"];
    let format = "{{.Action}}{{with index .Actor.Attributes \"signal\"}} {{.}}{{end}}";
    let shown = ["--format", format];
    let told = docker.run(&[&window[..], &filters, &shown].concat()).ok();
    let told: Vec<&str> = told
        .lines()
        .filter(|action| !action.starts_with("exec_"))
        .collect();
    let restarted = ["kill 15", "die", "stop", "start", "restart"];
    let ended = ["kill 10", "die", "start", "kill 15", "die", "stop", "start"];
    let removed = ["kill 9", "die", "destroy"];
    let expected = [&["create", "start"][..], &restarted, &ended, &removed].concat();
    assert_eq!(told, expected);
}

#[test]
fn other_objects_tell_too() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker.run(&["network", "create", "telling"]).ok();
    docker.run(&["volume", "create", "telling"]).ok();
    let dockerfile = b"FROM busybox\nLABEL a=telling";
    let built = docker
        .run_with_input(&["build", "-q", "-"], dockerfile)
        .ok();
    docker.run(&["network", "rm", "telling"]).ok();
    docker.run(&["volume", "rm", "telling"]).ok();
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 1;
    let told = |kind: &str| {
        docker
            .run(&[
                "events",
                "--since",
                &(until - 60).to_string(),
                "--until",
                &until.to_string(),
                "--filter",
                &format!("type={kind}"),
                "--filter",
                &format!("{kind}=telling"),
                "--format",
                "{{.Action}}",
            ])
            .ok()
    };
    assert_eq!(told("network"), "create\ndestroy");
    assert_eq!(told("volume"), "create\ndestroy");
    let filters = ["--filter", "type=image", "--filter", "event=create"];
    let since = (until - 60).to_string();
    let until = until.to_string();
    let events = [
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--format",
        "{{.Actor.ID}}",
    ];
    let made = docker.run(&[&events[..], &filters].concat()).ok();
    assert!(made.contains(&built), "{made}");
    docker.run(&["rmi", &built]).ok();
}
