//! Debian's dockerd with `longshore oci` in the place of `runc`: what it asks of a runtime, as its
//! users see it. Against dockerd, `runc` is in its own place.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::json;
use tests::api::Api;
use tests::daemon::{Daemon, Kind};
use tests::docker::Docker;
use tests::image::import_busybox;

/// Prints the limit of memory, of either version of cgroups.
const MEMORY_LIMIT: &str =
    "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";

fn start() -> Daemon {
    let kind = match Kind::wanted() {
        Kind::Dockerd => Kind::Dockerd,
        _ => Kind::DockerdOverOci,
    };
    let daemon = Daemon::start_kind(kind).unwrap();
    import_busybox(&daemon.docker()).unwrap();
    daemon
}

/// The one that these tests share; the last user takes it down.
fn dockerd() -> Arc<Daemon> {
    static SHARED: Mutex<Weak<Daemon>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let daemon = Arc::new(start());
        *shared = Arc::downgrade(&daemon);
        daemon
    })
}

/// `docker run` of a shell script, without a network.
fn run(docker: &Docker, options: &[&str], script: &str) -> tests::docker::Answer {
    let mut args = vec!["run", "--network", "none"];
    args.extend(options);
    args.extend(["busybox", "sh", "-c", script]);
    docker.run(&args)
}

#[test]
fn output_and_exit_status_are_the_programs() {
    let dockerd = dockerd();
    let docker = dockerd.docker();
    let answer = run(&docker, &["--rm"], "echo out; echo err >&2; exit 7");
    assert_eq!(
        (answer.stdout.as_str(), answer.fails(7)),
        ("out\n", "err\n")
    );
    let user = run(
        &docker,
        &["--rm", "--user", "app", "--cap-drop", "all"],
        "id -u",
    );
    assert_eq!(user.ok(), "1000");
    let missing = docker.run(&["run", "--rm", "--network", "none", "busybox", "nosuch"]);
    assert!(
        missing
            .fails(127)
            .contains("executable file not found in $PATH"),
        "{missing:?}"
    );
    let refused = docker.run(&["run", "--rm", "--network", "none", "busybox", "/etc/passwd"]);
    assert!(
        refused.fails(126).contains("permission denied"),
        "{refused:?}"
    );
}

#[test]
fn a_container_is_executed_in_held_still_killed_and_started_again() {
    let dockerd = dockerd();
    let docker = dockerd.docker();
    let script = "echo began; trap 'exit 4' TERM; while :; do sleep 0.1; done";
    let id = run(&docker, &["-d", "--init=false"], script).ok();
    docker.wait_until("the first line", |docker| {
        docker.run(&["logs", &id]).stdout == "began\n"
    });
    let exec = docker.run(&[
        "exec",
        "-e",
        "X=1",
        "-w",
        "/tmp",
        "-u",
        "app",
        &id,
        "sh",
        "-c",
        "echo $X $PWD $(id -un); exit 9",
    ]);
    exec.fails(9);
    assert_eq!(exec.stdout, "1 /tmp app\n");
    docker.run(&["exec", &id, "nosuch"]).fails(126);

    docker.run(&["pause", &id]).ok();
    assert_eq!(docker.inspect(&id, "{{.State.Status}}"), "paused");
    docker.run(&["unpause", &id]).ok();

    docker.run(&["stop", "-t", "60", &id]).ok();
    assert_eq!(docker.inspect(&id, "{{.State.ExitCode}}"), "4");
    docker.run(&["start", &id]).ok();
    docker.run(&["kill", &id]).ok();
    assert_eq!(docker.run(&["wait", &id]).ok(), "137");
    docker.run(&["restart", &id]).ok();
    assert_eq!(docker.inspect(&id, "{{.State.Running}}"), "true");
    docker.run(&["rm", "-f", &id]).ok();
}

#[test]
fn a_terminal_has_the_size_that_it_is_given() {
    let dockerd = dockerd();
    let docker = dockerd.docker();
    let mut api = Api::new(&dockerd.socket());
    let id = run(&docker, &["-dt"], "sleep 1000").ok();
    api.expect("POST", &format!("/containers/{id}/resize?h=33&w=99"), None)
        .unwrap();
    let size = docker.run(&["exec", &id, "stty", "-F", "/dev/console", "size"]);
    assert_eq!(size.ok(), "33 99");

    // Detached, so that the terminal is there to be resized.
    let script = "until [ \"$(stty size)\" = '44 88' ]; do sleep 0.05; done; touch /resized";
    let asked = json!({"Cmd": ["sh", "-c", script], "Tty": true, "AttachStdin": true});
    let made = api
        .expect("POST", &format!("/containers/{id}/exec"), Some(&asked))
        .unwrap();
    let exec = made.json().unwrap()["Id"].as_str().unwrap().to_owned();
    let start = json!({"Detach": true, "Tty": true});
    api.expect("POST", &format!("/exec/{exec}/start"), Some(&start))
        .unwrap();
    api.expect("POST", &format!("/exec/{exec}/resize?h=44&w=88"), None)
        .unwrap();
    docker.wait_until("the new size", |docker| {
        docker.run(&["exec", &id, "test", "-e", "/resized"]).code == 0
    });
    docker.run(&["rm", "-f", &id]).ok();
}

#[test]
fn memory_is_limited() {
    let dockerd = dockerd();
    let docker = dockerd.docker();
    let answer = run(&docker, &["--rm", "-m", "32m"], MEMORY_LIMIT);
    assert_eq!(answer.ok(), "33554432");
    let id = run(
        &docker,
        &["-d", "-m", "16m", "--memory-swap", "16m"],
        "tail /dev/zero",
    )
    .ok();
    assert_eq!(docker.run(&["wait", &id]).ok(), "137");
    assert_eq!(docker.inspect(&id, "{{.State.OOMKilled}}"), "true");
    docker.run(&["rm", &id]).ok();
}

#[test]
fn nothing_is_left() {
    let mut dockerd = start();
    let docker = dockerd.docker();
    run(&docker, &["--rm"], "true").ok();
    docker
        .run(&["run", "--rm", "--network", "none", "busybox", "nosuch"])
        .fails(127);
    let id = run(&docker, &["-d"], "sleep 1000").ok();
    docker.run(&["exec", "-d", &id, "sleep", "1000"]).ok();
    assert!(!cgroups_of(&id).is_empty());
    docker.run(&["rm", "-f", &id]).ok();
    assert_eq!(cgroups_of(&id), "");
    dockerd.down().unwrap();
    let left = dockerd.snapshot().unwrap();
    assert!(left.is_empty(), "{left:?}");
}

fn cgroups_of(id: &str) -> String {
    let name = format!("*{id}*");
    let found = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", &name])
        .output()
        .unwrap();
    String::from_utf8_lossy(&found.stdout).into_owned()
}
