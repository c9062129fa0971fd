//! Builds under faults: killed in the middle, on a full disk. Nothing half is listed, what ran is
//! gone, and its space is free again.

use std::fs::File;
use std::io::Write as _;
use std::process::Child;

use tests::daemon::{Daemon, Kind};
use tests::docker::Docker;
use tests::image::import_busybox;

/// A directory to build from, with this Dockerfile.
fn project(daemon: &Daemon, name: &str, dockerfile: &str) -> String {
    let dir = daemon.scratch().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("Dockerfile"), dockerfile).unwrap();
    dir.to_str().unwrap().to_owned()
}

fn begin(docker: &Docker, name: &str, dir: &str) -> Child {
    let mut client = docker.command(&["build", "-t", name, dir]);
    client.env("DOCKER_BUILDKIT", "0").spawn().unwrap()
}

fn all_commands(docker: &Docker) -> String {
    let args = ["ps", "-a", "--no-trunc", "--format", "{{.Command}}"];
    docker.run(&args).ok()
}

/// Names in the store's directory of unfinished things.
fn unfinished(daemon: &Daemon) -> usize {
    let staging = daemon.data_dir().join("images/staging");
    std::fs::read_dir(staging).unwrap().count()
}

#[test]
fn a_build_that_is_killed_leaves_nothing() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    let dir = project(
        &daemon,
        "killed",
        "FROM busybox\nRUN echo first > /first\nRUN echo second > /second; sleep 4567\n",
    );
    let before = docker.run(&["images", "-aq"]).ok();
    let mut client = begin(&docker, "killed", &dir);
    docker.wait_until("the build runs", |docker| {
        all_commands(docker).contains("sleep 4567")
    });
    daemon.crash().unwrap();
    client.wait().unwrap();
    daemon.up().unwrap();
    docker.wait_until("what ran is gone", |docker| {
        !all_commands(docker).contains("sleep 4567")
    });
    docker.wait_until("unfinished things are gone", |_| unfinished(&daemon) == 0);
    assert_eq!(docker.run(&["images", "-aq"]).ok(), before);
    // What was finished serves the next build.
    std::fs::write(
        format!("{dir}/Dockerfile"),
        "FROM busybox\nRUN echo first > /first\nCMD [\"cat\", \"/first\"]\n",
    )
    .unwrap();
    let output = docker
        .command(&["build", "-t", "killed", &dir])
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("Using cache"), "{told}");
    assert_eq!(docker.run(&["run", "--rm", "killed"]).ok(), "first");
}

#[test]
fn a_build_on_a_full_disk_is_told_and_leaves_nothing() {
    let daemon = Daemon::start_on(Kind::Longshore, 96 << 20).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    let dir = project(&daemon, "full", "FROM busybox\nCOPY large /large\n");
    let large = vec![7; 24 << 20];
    std::fs::write(format!("{dir}/large"), large).unwrap();
    let before = docker.run(&["images", "-aq"]).ok();
    // Room for the context, and none for the layer.
    let filler = daemon.data_dir().join("filler");
    let mut file = File::create(&filler).unwrap();
    let free = rustix::fs::statvfs(daemon.data_dir()).unwrap();
    let keep = 40 << 20;
    let mut left = (free.f_bavail * free.f_frsize).saturating_sub(keep);
    while left > 0 && file.write_all(&[0; 1 << 20]).is_ok() {
        left = left.saturating_sub(1 << 20);
    }
    let output = docker
        .command(&["build", "-t", "full", &dir])
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!output.status.success());
    assert!(
        told.contains("the disk is full") || told.contains("no space left"),
        "{told}"
    );
    docker.wait_until("unfinished things are gone", |_| unfinished(&daemon) == 0);
    assert_eq!(docker.run(&["images", "-aq"]).ok(), before);
    drop(file);
    std::fs::remove_file(filler).unwrap();
    let output = docker
        .command(&["build", "-t", "full", &dir])
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        docker
            .run(&["run", "--rm", "full", "stat", "-c", "%s", "/large"])
            .ok(),
        (24 << 20).to_string()
    );
}
