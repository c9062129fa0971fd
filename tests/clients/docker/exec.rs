//! `docker exec`, `docker top` and `docker stats`.

use serde_json::json;
use tests::api::Api;

use crate::daemon;

#[test]
fn a_process_runs_beside_the_first() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "host-of-execs",
            "-e",
            "A=outer",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    let exec = |args: &[&str]| docker.run(&[&["exec"], args].concat());
    assert_eq!(
        exec(&["host-of-execs", "sh", "-c", "echo $A; cat /proc/1/comm"]).ok(),
        "outer\nsleep"
    );
    assert_eq!(
        exec(&["-e", "A=inner", "host-of-execs", "sh", "-c", "echo $A"]).ok(),
        "inner"
    );
    assert_eq!(
        exec(&["-u", "app", "host-of-execs", "id", "-un"]).ok(),
        "app"
    );
    assert_eq!(exec(&["-w", "/tmp", "host-of-execs", "pwd"]).ok(), "/tmp");
    assert_eq!(
        exec(&[
            "-t",
            "host-of-execs",
            "sh",
            "-c",
            "test -t 1 && echo terminal"
        ])
        .ok()
        .trim(),
        "terminal"
    );
    let split = exec(&["host-of-execs", "sh", "-c", "echo o; echo e >&2; exit 6"]);
    assert_eq!(
        (split.code, split.stdout.as_str(), split.stderr.as_str()),
        (6, "o\n", "e\n")
    );
    let piped = docker.run_with_input(
        &["exec", "-i", "host-of-execs", "wc", "-c"],
        &[b'y'; 100_000],
    );
    assert_eq!(piped.ok(), "100000");
    let missing = exec(&["host-of-execs", "nosuch"]);
    // Older daemons answer 126 and put the words into the stream.
    assert!([126, 127].contains(&missing.code), "{missing:?}");
    assert!(
        format!("{missing:?}").contains("executable file not found in $PATH"),
        "{missing:?}"
    );
    assert!(exec(&["-u", "nosuch", "host-of-execs", "true"]).code != 0);
    exec(&["-d", "host-of-execs", "touch", "/tmp/detached"]).ok();
    docker.wait_until("the detached exec runs", |docker| {
        docker
            .run(&["exec", "host-of-execs", "test", "-e", "/tmp/detached"])
            .code
            == 0
    });
    docker.run(&["pause", "host-of-execs"]).ok();
    assert!(
        exec(&["host-of-execs", "true"])
            .fails(1)
            .contains("Container host-of-execs is paused")
    );
    docker.run(&["unpause", "host-of-execs"]).ok();
    docker.run(&["rm", "-f", "host-of-execs"]).ok();
    assert!(
        exec(&["host-of-execs", "true"])
            .fails(1)
            .contains("No such container")
    );
}

#[test]
fn execs_end_with_their_container() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "short-lived",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    let child = docker.spawn(&["exec", "short-lived", "sleep", "900"]);
    docker.wait_until("the exec runs", |docker| {
        docker
            .run(&["top", "short-lived"])
            .stdout
            .contains("sleep 900")
    });
    docker.run(&["kill", "short-lived"]).ok();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(137));
    docker.run(&["rm", "short-lived"]).ok();
}

#[test]
fn processes_and_use_are_shown() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "shown",
            "-m",
            "32m",
            "busybox",
            "sh",
            "-c",
            "sleep 1000 & sleep 1001",
        ])
        .ok();
    let top = docker.run(&["top", "shown"]).ok();
    assert!(top.starts_with("UID"), "{top}");
    assert!(
        top.contains("sleep 1000") && top.contains("sleep 1001"),
        "{top}"
    );
    let top = docker.run(&["top", "shown", "-o", "pid,comm"]).ok();
    assert!(
        top.lines()
            .skip(1)
            .all(|line| line.contains("sleep") || line.contains("sh")),
        "{top}"
    );
    let stats = docker
        .run(&[
            "stats",
            "--no-stream",
            "--format",
            "{{.MemUsage}} {{.PIDs}}",
            "shown",
        ])
        .ok();
    assert!(stats.contains("32MiB"), "{stats}");
    assert!(stats.ends_with(" 2"), "{stats}");
    docker.run(&["rm", "-f", "shown"]).ok();
}

#[test]
fn a_second_start_is_told_in_the_stream() {
    let daemon = daemon();
    let docker = daemon.docker();
    let run = ["run", "-d", "--name", "twice", "busybox", "sleep", "1000"];
    drop(docker.run(&run).ok());
    let mut api = Api::new(&daemon.socket());
    let exec = json!({ "Cmd": ["sleep", "1000"], "AttachStdout": true });
    let exec = api.expect("POST", "/v1.41/containers/twice/exec", Some(&exec));
    let exec = exec.unwrap().json().unwrap();
    let path = format!("/v1.41/exec/{}/start", exec["Id"].as_str().unwrap());
    let detached = json!({ "Detach": true });
    drop(api.expect("POST", &path, Some(&detached)).unwrap());
    let again = api.call("POST", &path, Some(&detached)).unwrap();
    assert_eq!(again.status, 409, "{again:?}");
    // Compose's watch starts attached and then once more, and takes no error for an answer.
    let attached = api.call("POST", &path, Some(&json!({}))).unwrap();
    assert_eq!(attached.status, 200, "{attached:?}");
    let told = String::from_utf8_lossy(&attached.body).to_lowercase();
    assert!(told.contains("is already running"), "{told}");
    drop(docker.run(&["rm", "-f", "twice"]).ok());
}
