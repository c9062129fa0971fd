//! The keeper: attacked from a container, upgraded, and killed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tests::daemon::{Daemon, Kind, binary};
use tests::docker::Docker;
use tests::image::import_busybox;

/// Counts, as fast as anyone reads.
const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
    kill_process(pid, Signal::KILL).expect("it can be killed");
}

fn pid_of(docker: &Docker, container: &str) -> u32 {
    let pid = docker.inspect(container, "{{.State.Pid}}");
    pid.parse().expect("docker prints a number")
}

fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // One that is dead waits for whoever inherited it.
    !status.is_empty() && !status.contains("State:\tZ")
}

/// Every line of a container that counts is there once.
#[track_caller]
fn assert_counted(docker: &Docker, container: &str) -> usize {
    let lines = docker.run(&["logs", container]).ok();
    for (index, line) in lines.lines().enumerate() {
        assert_eq!(line, (index + 1).to_string());
    }
    lines.lines().count()
}

/// CVE-2019-5736, with the whole binary.
#[test]
fn a_container_that_executes_the_keeper_cannot_write_to_it() {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("longshore");
    fs::copy(binary().unwrap(), &program).unwrap();
    let daemon = Daemon::start_with(&program).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    // What the program loads is all that the image lacks.
    let mut run = vec![
        "run",
        "-d",
        "--name",
        "evil",
        "--entrypoint",
        "/proc/self/exe",
    ];
    for libraries in ["/lib:/lib:ro", "/lib64:/lib64:ro", "/usr/lib:/usr/lib:ro"] {
        if Path::new(libraries.split(':').next().unwrap()).exists() {
            run.extend(["-v", libraries]);
        }
    }
    run.extend(["busybox", "keeper", "--dir", "/tmp/keeper"]);
    docker.run(&run).ok();
    let exe = format!("/proc/{}/exe", pid_of(&docker, "evil"));
    let inode = fs::metadata(&program).unwrap().ino();
    assert_eq!(fs::metadata(exe).unwrap().ino(), inode);
    let exec = [
        "exec",
        "-d",
        "evil",
        "/proc/self/exe",
        "keeper",
        "--dir",
        "/tmp/other",
    ];
    docker.run(&exec).ok();
    let attack = "for exe in /proc/[0-9]*/exe; do : > $exe; done";
    let attacked = docker.run(&["exec", "evil", "sh", "-c", attack]);
    let refusal = "/proc/1/exe: Read-only file system";
    assert!(attacked.stderr.contains(refusal), "{}", attacked.stderr);
    docker.run(&["rm", "-f", "evil"]).ok();
    let bytes = fs::read(binary().unwrap()).unwrap();
    assert!(fs::read(&program).unwrap() == bytes, "it is as it was");
}

#[test]
fn a_daemon_of_another_build_upgrades_the_keeper_in_place() {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("longshore");
    fs::copy(binary().unwrap(), &program).unwrap();
    let mut daemon = Daemon::start_with(&program).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    docker
        .run(&[
            "run", "-d", "--name", "witness", "busybox", "sh", "-c", COUNT,
        ])
        .ok();
    let (pid, keeper) = (pid_of(&docker, "witness"), daemon.keeper_pid().unwrap());
    daemon.stop().unwrap();
    // As a package manager does it.
    let new = scratch.path().join("longshore.new");
    fs::copy(binary().unwrap(), &new).unwrap();
    fs::rename(&new, &program).unwrap();
    assert!(daemon.status().unwrap().contains("of another build"));

    daemon.up().unwrap();
    assert_eq!(daemon.keeper_pid().unwrap(), keeper);
    let exe = fs::metadata(format!("/proc/{keeper}/exe")).unwrap();
    assert_eq!(exe.ino(), fs::metadata(&program).unwrap().ino());
    assert!(!daemon.status().unwrap().contains("of another build"));
    assert_eq!(pid_of(&docker, "witness"), pid);
    let counted = assert_counted(&docker, "witness");
    docker.wait_until("the log goes on", |docker| {
        assert_counted(docker, "witness") > counted
    });
    docker.run(&["exec", "witness", "true"]).ok();
    docker.run(&["run", "--rm", "busybox", "true"]).ok();
}

#[test]
fn a_keeper_that_cannot_be_upgraded_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    // A daemon whose program is gone from the disk, so that nobody else can execute it.
    let script = scratch.path().join("longshore");
    let text = format!(
        "#!/bin/sh\ncp {} $0.$$\nexec 9<$0.$$\nrm $0.$$\nexec /proc/self/fd/9 \"$@\"\n",
        binary().unwrap().display()
    );
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    docker
        .run(&[
            "run", "-d", "--name", "witness", "busybox", "sh", "-c", COUNT,
        ])
        .ok();
    let (pid, keeper) = (pid_of(&docker, "witness"), daemon.keeper_pid().unwrap());
    daemon.stop().unwrap();
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    daemon.set_binary(&script);
    daemon.up().unwrap();
    assert!(
        daemon
            .log_tail()
            .contains("the keeper is of another build, and goes on as that")
    );
    assert!(daemon.status().unwrap().contains("of another build"));
    assert_eq!(daemon.keeper_pid().unwrap(), keeper);
    assert_eq!(pid_of(&docker, "witness"), pid);
    docker.run(&["exec", "witness", "true"]).ok();
    docker.run(&["run", "--rm", "busybox", "true"]).ok();
}

#[test]
fn containers_of_a_keeper_that_is_killed_count_as_killed() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    let run = |options: &[&str], command: &[&str]| {
        let args = [&["run"], options, &["busybox"], command].concat();
        docker.run(&args).ok()
    };
    run(&["-d", "--name", "plain"], &["sh", "-c", COUNT]);
    run(
        &["-d", "--name", "kept", "--restart", "always"],
        &["sleep", "1000"],
    );
    run(
        &["-d", "--name", "paused", "-p", "127.0.0.1::80"],
        &["sleep", "1000"],
    );
    docker.run(&["pause", "paused"]).ok();
    // With processes of the host: no process 1 of its own takes them along.
    let options = ["-d", "--name", "user", "--pid", "host", "--user", "65534"];
    run(&options, &["sleep", "1000"]);
    let attached = docker.spawn(&["run", "--rm", "busybox", "sleep", "1000"]);
    docker.wait_until("the attached one runs", |docker| {
        docker.run(&["ps", "-q"]).ok().lines().count() == 5
    });
    let names = ["plain", "kept", "paused", "user"];
    let pids = names.map(|name| pid_of(&docker, name));
    let keeper = daemon.keeper_pid().unwrap();
    kill(keeper);

    assert_eq!(
        attached.wait_with_output().unwrap().status.code(),
        Some(137)
    );
    for name in ["plain", "paused", "user"] {
        let state = "{{.State.Status}} {{.State.ExitCode}}";
        docker.wait_until("it counts as killed", |docker| {
            docker.inspect(name, state) == "exited 137"
        });
    }
    docker.wait_until("it is started again", |docker| {
        docker.inspect("kept", "{{.State.Running}} {{.RestartCount}}") == "true 1"
    });
    for pid in pids {
        assert!(!lives(pid), "process {pid} is gone");
    }
    assert_ne!(daemon.keeper_pid().unwrap(), keeper);
    assert!(assert_counted(&docker, "plain") > 0);
    docker.run(&["exec", "kept", "true"]).ok();
    docker.run(&["start", "plain"]).ok();
    docker.run(&["rm", "-f", "plain", "paused", "user"]).ok();
    run(&["--rm"], &["true"]);
    daemon.down().unwrap();
    let after = daemon.snapshot().unwrap();
    assert!(after.is_empty(), "{after:?}");
}

#[test]
fn what_a_keeper_leaves_that_is_killed_without_a_daemon_is_swept() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    let parent = format!("/{}parent", daemon.prefix());
    let sleep = ["busybox", "sleep", "1000"];
    for options in [
        &["--name", "plain", "-p", "127.0.0.1::80"][..],
        &["--name", "shares", "--ipc", "shareable"],
        &["--name", "elsewhere", "--cgroup-parent", &parent],
        &["--name", "host", "--pid", "host", "--network", "host"],
    ] {
        docker.run(&[&["run", "-d"], options, &sleep].concat()).ok();
    }
    let names = ["plain", "shares", "elsewhere", "host"];
    let pids = names.map(|name| pid_of(&docker, name));
    daemon.crash().unwrap();
    kill(daemon.keeper_pid().unwrap());
    let orphaned = daemon.snapshot().unwrap();
    assert!(pids.into_iter().all(lives), "orphans live on");
    assert!(orphaned.mounts.iter().any(|mount| mount.contains("/shm ")));

    daemon.up().unwrap();
    let swept = daemon.snapshot().unwrap();
    assert!(!swept.mounts.iter().any(|mount| mount.contains("/shm ")));
    for (name, pid) in names.iter().zip(pids) {
        assert!(!lives(pid), "process {pid} is gone");
        let state = "{{.State.Status}} {{.State.ExitCode}}";
        assert_eq!(docker.inspect(name, state), "exited 255");
        // The node's name of a container is the first half of Docker's.
        let id = docker.inspect(name, "{{.Id}}");
        let find = ["/sys/fs/cgroup", "-type", "d", "-name", &id[..32]];
        let found = Command::new("find").args(find).output().unwrap().stdout;
        assert!(found.is_empty(), "{}", String::from_utf8_lossy(&found));
    }
    docker.run(&["start", "elsewhere"]).ok();
    docker.run(&["rm", "-f", "elsewhere"]).ok();
    daemon.down().unwrap();
    let after = daemon.snapshot().unwrap();
    assert!(after.is_empty(), "{after:?}");
    // The parent is the user's to remove.
    let find = [
        "/sys/fs/cgroup",
        "-depth",
        "-type",
        "d",
        "-name",
        &parent[1..],
    ];
    let removed = Command::new("find")
        .args(find)
        .args(["-exec", "rmdir", "{}", ";"])
        .status();
    assert!(removed.unwrap().success());
}
