//! Pulls that are cut short: by SIGKILL, and by a full disk. No half of an image stays, nor its space.

use std::io::Write as _;
use std::path::Path;

use tests::daemon::{Daemon, Kind};
use tests::docker::Docker;
use tests::image::busybox_rootfs;
use tests::registry::Registry;

/// Bytes of the layer that is being pulled when it happens: no compression makes them fewer.
const LAYER: usize = 40 << 20;

/// Pushes busybox with a large layer on top, and removes it here.
fn push_large(daemon: &Daemon, registry: &Registry) -> String {
    let docker = daemon.docker();
    let name = format!("{}/large:1", registry.name());
    let rootfs = busybox_rootfs().unwrap();
    docker
        .run_with_input(&["import", "-", "base:1"], &rootfs)
        .ok();
    let container = docker.run(&["create", "base:1", "true"]).ok();
    let file = daemon.scratch().join("noise");
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    let mut noise = std::fs::File::create(&file).unwrap();
    std::io::copy(
        &mut std::io::Read::take(&mut random, LAYER as u64),
        &mut noise,
    )
    .unwrap();
    noise.flush().unwrap();
    let target = format!("{container}:/noise");
    docker.run(&["cp", file.to_str().unwrap(), &target]).ok();
    docker
        .run(&[
            "commit",
            "-c",
            "CMD [\"echo\",\"whole\"]",
            &container,
            &name,
        ])
        .ok();
    docker.run(&["rm", &container]).ok();
    docker.run(&["push", "--quiet", &name]).ok();
    docker.run(&["rmi", &name]).ok();
    std::fs::remove_file(file).unwrap();
    name
}

/// Files and directories of the image store that are not finished.
fn staged(daemon: &Daemon) -> usize {
    let staging = daemon.data_dir().join("images/staging");
    std::fs::read_dir(staging).unwrap().count()
}

fn has(docker: &Docker, name: &str) -> bool {
    docker.run(&["image", "inspect", name]).code == 0
}

#[test]
fn a_daemon_that_is_killed_while_it_pulls_keeps_nothing_of_it() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = push_large(&daemon, &registry);

    registry.hold_after(registry.sent_bytes() + LAYER as u64 / 2);
    let mut pulling = docker.spawn(&["pull", &name]);
    registry.wait_until_held();
    assert!(staged(&daemon) > 0);
    daemon.crash().unwrap();
    assert!(!pulling.wait().unwrap().success());
    daemon.up().unwrap();
    assert!(!has(&docker, &name));
    docker.wait_until("what was half pulled is gone", |_| staged(&daemon) == 0);

    registry.let_go();
    docker.run(&["pull", &name]).ok();
    assert_eq!(docker.run(&["run", "--rm", &name]).ok(), "whole");
    daemon.down().unwrap();
}

#[test]
fn a_client_that_leaves_ends_its_pull() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = push_large(&daemon, &registry);
    registry.hold_after(registry.sent_bytes() + LAYER as u64 / 2);
    let mut pulling = docker.spawn(&["pull", &name]);
    registry.wait_until_held();
    assert!(staged(&daemon) > 0);
    let pid = rustix::process::Pid::from_child(&pulling);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    pulling.wait().unwrap();
    docker.wait_until("what was half pulled is gone", |_| staged(&daemon) == 0);
    assert!(!has(&docker, &name));
    registry.let_go();
    daemon.down().unwrap();
}

fn free_bytes(path: &Path) -> u64 {
    let facts = rustix::fs::statvfs(path).unwrap();
    facts.f_bavail * facts.f_frsize
}

#[test]
fn a_pull_onto_a_full_disk_is_told_and_given_back() {
    const DISK: u64 = 200 << 20;
    let mut daemon = Daemon::start_on(Kind::Longshore, DISK).unwrap();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = push_large(&daemon, &registry);

    let filler = daemon.data_dir().join("filler");
    let before = free_bytes(&daemon.data_dir());
    let leave = LAYER as u64;
    let file = std::fs::File::create(&filler).unwrap();
    rustix::fs::fallocate(
        &file,
        rustix::fs::FallocateFlags::empty(),
        0,
        before.checked_sub(leave).unwrap(),
    )
    .unwrap();
    let answer = docker.run(&["pull", &name]);
    assert!(answer.fails(1).contains("the disk is full"), "{answer:?}");
    assert!(!has(&docker, &name));
    docker.wait_until("what was half pulled is gone", |_| staged(&daemon) == 0);
    assert!(free_bytes(&daemon.data_dir()) + (1 << 20) >= leave);

    // Its space is given back with the last handle on it.
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    docker.run(&["pull", &name]).ok();
    assert_eq!(docker.run(&["run", "--rm", &name]).ok(), "whole");
    daemon.down().unwrap();
}
