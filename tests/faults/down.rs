//! After `down` nothing is left; after SIGTERM everything is.

use tests::daemon::{Daemon, Kind};
use tests::image::import_busybox;

#[test]
fn down_leaves_nothing_behind() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    docker.run(&["network", "create", "other"]).ok();
    docker
        .run(&[
            "run",
            "-d",
            "-p",
            "127.0.0.1::80",
            "-v",
            "data:/data",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    docker
        .run(&[
            "run",
            "-d",
            "--network",
            "other",
            "--tmpfs",
            "/t",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    docker
        .run(&["run", "-d", "--network", "host", "busybox", "sleep", "1000"])
        .ok();
    let before = daemon.snapshot().unwrap();
    assert!(
        !before.links.is_empty() && !before.processes.is_empty(),
        "{before:?}"
    );
    daemon.down().unwrap();
    let after = daemon.snapshot().unwrap();
    assert!(after.is_empty(), "{after:?}");
    daemon.down().unwrap();
}

#[test]
fn containers_outlive_a_stop_of_the_daemon() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    let script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done";
    docker
        .run(&[
            "run", "-d", "--name", "survivor", "busybox", "sh", "-c", script,
        ])
        .ok();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "leaver",
            "busybox",
            "sh",
            "-c",
            "sleep 1; exit 42",
        ])
        .ok();
    let pid = docker.inspect("survivor", "{{.State.Pid}}");
    daemon.stop().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    daemon.up().unwrap();
    assert_eq!(
        docker.inspect("survivor", "{{.State.Pid}} {{.State.Running}}"),
        format!("{pid} true")
    );
    assert_eq!(
        docker.inspect("leaver", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 42"
    );
    let lines = docker.run(&["logs", "survivor"]).ok();
    for (index, line) in lines.lines().enumerate() {
        assert_eq!(line, format!("line {}", index + 1), "no line is lost");
    }
    assert!(lines.lines().count() > 30);
    docker.run(&["exec", "survivor", "true"]).ok();
}
