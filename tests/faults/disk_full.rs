//! The disk of the data directory full: clear errors, nothing half-made, and all well once there
//! is room again.

use std::fs::File;
use std::io::Write as _;

use tests::daemon::{Daemon, Kind};
use tests::docker::{Answer, Docker};
use tests::image::{busybox_rootfs, import_busybox};

/// Size of the disk.
const DISK: u64 = 96 * 1024 * 1024;

/// What the system says of a full disk, in words that each daemon has somewhere in its message.
const FULL: [&str; 2] = ["no space left on device", "the disk is full"];

/// Writes until nothing more fits.
fn fill(mut file: File) {
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[track_caller]
fn is_refused(answer: &Answer) {
    let told = answer.stderr.to_lowercase();
    assert_ne!(answer.code, 0, "{answer:?}");
    assert!(FULL.iter().any(|words| told.contains(words)), "{answer:?}");
}

fn listed(docker: &Docker) -> [String; 3] {
    [
        &["ps", "-aq"][..],
        &["images", "-aq"],
        &["volume", "ls", "-q"],
    ]
    .map(|args| docker.run(args).ok())
}

#[test]
fn a_full_disk_is_told_and_outlived() {
    let mut daemon = Daemon::start_on(Kind::Longshore, DISK).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "writer",
            "busybox",
            "sh",
            "-c",
            "while :; do echo line; sleep 0.01; done",
        ])
        .ok();
    let saved = daemon.scratch().join("saved.tar");
    let saved = saved.to_str().unwrap();
    docker.run(&["save", "-o", saved, "busybox"]).ok();
    let before = listed(&docker);

    let filler = daemon.data_dir().join("filler");
    fill(File::create(&filler).unwrap());
    is_refused(&docker.run_with_input(&["import", "-", "full"], &busybox_rootfs().unwrap()));
    // Everything that must be remembered fails until something is freed, however small it is.
    let mut refused = 0;
    for number in 0..2000 {
        let answer = docker.run(&["volume", "create", &format!("full-{number}")]);
        if answer.code == 0 {
            docker.run(&["volume", "rm", &format!("full-{number}")]);
            continue;
        }
        is_refused(&answer);
        refused += 1;
        break;
    }
    assert_eq!(refused, 1, "a full disk takes no more volumes");
    is_refused(&docker.run(&["create", "--name", "full", "busybox", "true"]));
    assert_eq!(listed(&docker), before, "nothing is half-made");
    assert_eq!(docker.inspect("writer", "{{.State.Running}}"), "true");

    std::fs::remove_file(filler).unwrap();
    docker.run(&["volume", "create", "room"]).ok();
    let written = docker.run(&["logs", "writer"]).ok().lines().count();
    docker.wait_until("the log goes on", |docker| {
        docker.run(&["logs", "writer"]).ok().lines().count() > written
    });
    assert_eq!(
        docker
            .run(&[
                "run",
                "--rm",
                "-v",
                "room:/room",
                "busybox",
                "echo",
                "works"
            ])
            .ok(),
        "works"
    );
    docker.run(&["load", "-i", saved]).ok();
    docker.run(&["rm", "-f", "writer"]).ok();
    docker.run(&["volume", "rm", "room"]).ok();
    daemon.down().unwrap();
    daemon.up().unwrap();
    assert_eq!(docker.run(&["ps", "-aq"]).ok(), "");
    daemon.down().unwrap();
}
