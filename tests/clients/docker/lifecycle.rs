//! Creating, starting, stopping, signalling, freezing, renaming, updating and removing.

use crate::daemon;

#[test]
fn a_container_goes_through_its_life() {
    let daemon = daemon();
    let docker = daemon.docker();
    let state = || docker.inspect("life", "{{.State.Status}}");
    let id = docker
        .run(&["create", "--name", "life", "busybox", "sleep", "1000"])
        .ok();
    assert_eq!(id.len(), 64);
    assert_eq!(state(), "created");
    docker.run(&["start", "life"]).ok();
    assert_eq!(state(), "running");
    docker.run(&["start", "life"]).ok();
    docker.run(&["pause", "life"]).ok();
    assert_eq!(state(), "paused");
    assert!(
        docker
            .run(&["exec", "life", "true"])
            .fails(1)
            .contains("is paused")
    );
    docker.run(&["unpause", "life"]).ok();
    assert_eq!(state(), "running");
    docker.run(&["restart", "-t", "0", "life"]).ok();
    assert_eq!(state(), "running");
    docker.run(&["stop", "-t", "0", "life"]).ok();
    assert_eq!(state(), "exited");
    assert_eq!(docker.inspect("life", "{{.State.ExitCode}}"), "137");
    docker.run(&["stop", "life"]).ok();
    docker.run(&["rm", "life"]).ok();
    assert!(
        docker
            .run(&["inspect", "life"])
            .fails(1)
            .contains("No such object: life")
    );
}

#[test]
fn the_stop_signal_is_sent_before_the_kill() {
    let daemon = daemon();
    let docker = daemon.docker();
    let script = "trap 'echo bye; exit 3' QUIT; echo ready; while :; do sleep 0.1; done";
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "polite",
            "--stop-signal",
            "QUIT",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    docker.wait_until("its trap is set", |docker| {
        docker.run(&["logs", "polite"]).stdout.contains("ready")
    });
    docker.run(&["stop", "polite"]).ok();
    assert_eq!(docker.inspect("polite", "{{.State.ExitCode}}"), "3");
    assert_eq!(docker.run(&["logs", "polite"]).ok(), "ready\nbye");
    docker.run(&["rm", "polite"]).ok();
}

#[test]
fn signals_arrive_by_name_and_number() {
    let daemon = daemon();
    let docker = daemon.docker();
    let script = "trap 'echo hup' HUP; trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done";
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "signalled",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    docker.wait_until("its traps are set", |docker| {
        docker.run(&["logs", "signalled"]).stdout.contains("ready")
    });
    docker.run(&["kill", "-s", "SIGHUP", "signalled"]).ok();
    docker.wait_until("the signal arrives", |docker| {
        docker.run(&["logs", "signalled"]).stdout.contains("hup")
    });
    docker.run(&["kill", "-s", "10", "signalled"]).ok();
    assert_eq!(docker.run(&["wait", "signalled"]).ok(), "9");
    assert!(
        docker
            .run(&["kill", "signalled"])
            .fails(1)
            .contains("is not running")
    );
    docker.run(&["rm", "signalled"]).ok();
}

#[test]
fn waiting_answers_the_exit_status() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "waited",
            "busybox",
            "sh",
            "-c",
            "sleep 1; exit 5",
        ])
        .ok();
    assert_eq!(docker.run(&["wait", "waited"]).ok(), "5");
    assert_eq!(docker.run(&["wait", "waited"]).ok(), "5");
    docker.run(&["rm", "waited"]).ok();
}

#[test]
fn restart_policies_are_followed() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "stubborn",
            "--restart",
            "on-failure:2",
            "busybox",
            "sh",
            "-c",
            "exit 4",
        ])
        .ok();
    docker.wait_until("it gives up", |docker| {
        docker.inspect("stubborn", "{{.RestartCount}} {{.State.Status}}") == "2 exited"
    });
    assert_eq!(docker.inspect("stubborn", "{{.State.ExitCode}}"), "4");
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "always",
            "--restart",
            "always",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    let pid = docker.inspect("always", "{{.State.Pid}}");
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid])
        .status()
        .unwrap();
    assert!(killed.success());
    docker.wait_until("it runs again", |docker| {
        docker.inspect("always", "{{.State.Running}} {{.RestartCount}}") == "true 1"
    });
    docker.run(&["stop", "-t", "0", "always"]).ok();
    assert_eq!(docker.inspect("always", "{{.State.Running}}"), "false");
    docker.run(&["rm", "-f", "always", "stubborn"]).ok();
}

#[test]
fn health_is_checked() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "patient",
            "--health-cmd",
            "cat /tmp/ok",
            "--health-interval",
            "200ms",
            "--health-retries",
            "2",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    docker.wait_until("it is unhealthy", |docker| {
        docker.inspect("patient", "{{.State.Health.Status}}") == "unhealthy"
    });
    docker
        .run(&["exec", "patient", "sh", "-c", "echo fine > /tmp/ok"])
        .ok();
    docker.wait_until("it is healthy", |docker| {
        docker.inspect("patient", "{{.State.Health.Status}}") == "healthy"
    });
    let log = docker.inspect(
        "patient",
        "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}",
    );
    assert!(log.contains("0 fine"), "{log}");
    assert!(
        docker
            .run(&["ps", "--filter", "health=healthy"])
            .ok()
            .contains("(healthy)")
    );
    docker.run(&["rm", "-f", "patient"]).ok();
}

#[test]
fn a_name_is_changed_and_unique() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&["create", "--name", "before", "busybox", "true"])
        .ok();
    docker
        .run(&["create", "--name", "other", "busybox", "true"])
        .ok();
    docker.run(&["rename", "before", "after"]).ok();
    assert_eq!(docker.inspect("after", "{{.Name}}"), "/after");
    assert!(
        docker
            .run(&["rename", "after", "other"])
            .fails(1)
            .contains("is already in use by container")
    );
    assert!(
        docker
            .run(&["create", "--name", "other", "busybox"])
            .fails(1)
            .contains("is already in use by container")
    );
    docker.run(&["rm", "after", "other"]).ok();
}

#[test]
fn limits_change_while_it_runs() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run", "-d", "--name", "growing", "-m", "32m", "busybox", "sleep", "1000",
        ])
        .ok();
    docker
        .run(&[
            "update",
            "-m",
            "64m",
            "--memory-swap",
            "64m",
            "--restart",
            "unless-stopped",
            "growing",
        ])
        .ok();
    let file = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    assert_eq!(
        docker.run(&["exec", "growing", "sh", "-c", file]).ok(),
        "67108864"
    );
    assert_eq!(
        docker.inspect(
            "growing",
            "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}"
        ),
        "67108864 unless-stopped"
    );
    docker.run(&["rm", "-f", "growing"]).ok();
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&["run", "-d", "--name", "at-work", "busybox", "sleep", "1000"])
        .ok();
    let refused = docker.run(&["rm", "at-work"]);
    let message = refused.fails(1);
    assert!(
        message.contains("container is running") || message.contains("running container"),
        "{message}"
    );
    docker.run(&["rm", "-f", "at-work"]).ok();
    assert_eq!(
        docker
            .run(&["ps", "-aq", "--filter", "name=^/?at-work$"])
            .ok(),
        ""
    );
}

#[test]
fn two_clients_remove_at_once() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "wanted-gone",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let docker = docker.clone();
            std::thread::spawn(move || docker.run(&["rm", "-f", "wanted-gone"]))
        })
        .collect();
    for client in clients {
        let answer = client.join().unwrap();
        let is_fine = answer.code == 0
            || answer.stderr.contains("No such container")
            || answer.stderr.contains("is already in progress");
        assert!(is_fine, "{answer:?}");
    }
    assert_eq!(
        docker
            .run(&["ps", "-aq", "--filter", "name=wanted-gone"])
            .ok(),
        ""
    );
}

#[test]
fn one_that_removes_itself_can_be_restarted() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run", "-d", "--rm", "--name", "fleeting", "busybox", "sleep", "1000",
        ])
        .ok();
    docker.run(&["restart", "-t", "0", "fleeting"]).ok();
    assert_eq!(docker.inspect("fleeting", "{{.State.Running}}"), "true");
    docker.run(&["stop", "-t", "0", "fleeting"]).ok();
    docker.wait_until("it is gone", |docker| {
        docker.run(&["ps", "-aqf", "name=fleeting"]).ok().is_empty()
    });
}

#[test]
fn a_limit_of_processes_is_taken_away_while_it_runs() {
    let daemon = daemon();
    let docker = daemon.docker();
    let run = ["run", "-d", "--name", "limited", "--pids-limit", "32"];
    docker
        .run(&[&run[..], &["busybox", "sleep", "1000"]].concat())
        .ok();
    let limit = || {
        let files = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null";
        let told = docker.run(&["exec", "limited", "sh", "-c", files]);
        told.stdout.trim().to_owned()
    };
    assert_eq!(limit(), "32");
    docker
        .run(&["update", "--pids-limit", "-1", "limited"])
        .ok();
    assert_eq!(limit(), "max");
    docker.run(&["rm", "-f", "limited"]).ok();
}
