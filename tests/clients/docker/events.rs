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
fn other_objects_tell_too() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker.run(&["network", "create", "telling"]).ok();
    docker.run(&["volume", "create", "telling"]).ok();
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
}
