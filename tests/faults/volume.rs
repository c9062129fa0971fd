//! Volumes with a size: the daemon killed over them, and the disk below them full.

use std::fs::File;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use tests::daemon::{Daemon, Kind};
use tests::docker::Docker;
use tests::image::import_busybox;
use tests::openstack::OpenStack;

/// Size of the full disk.
const DISK: u64 = 96 * 1024 * 1024;
/// Bytes of it that are left: enough to remember a volume, too few to make one.
const LEFT: u64 = 300 * 1024;

/// The status of a volume or snapshot once nothing is done with it any more; `None` without one.
fn settled(openstack: &OpenStack, noun: &[&str], name: &str) -> Option<String> {
    loop {
        let listed = openstack.json(&[noun, &["list"]].concat());
        let mut listed = listed.as_array().into_iter().flatten();
        let status = listed.find(|one| one["Name"] == name)?["Status"].as_str()?;
        if !["creating", "extending", "deleting"].contains(&status) {
            return Some(status.to_owned());
        }
    }
}

fn inside(docker: &Docker, script: &str) -> String {
    docker
        .run(&[
            "run",
            "--rm",
            "-v",
            "kept:/data",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok()
}

/// What lies in the directory of the disks, sorted.
fn disks(daemon: &Daemon) -> Vec<String> {
    let entries = std::fs::read_dir(daemon.data_dir().join("disks"));
    let entries = entries.into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_daemon_killed_over_a_volume_leaves_it_whole_or_in_error() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    import_busybox(&docker).unwrap();
    openstack
        .run(&["volume", "create", "--size", "1", "kept"])
        .ok();
    assert_eq!(
        settled(&openstack, &["volume"], "kept").unwrap(),
        "available"
    );
    inside(&docker, "echo cargo > /data/file");

    let steps: [(&[&str], &[&str], &str); 4] = [
        (
            &["volume", "create", "--size", "1", "new"],
            &["volume"],
            "new",
        ),
        (
            &["volume", "create", "--source", "kept", "copy"],
            &["volume"],
            "copy",
        ),
        (
            &["volume", "snapshot", "create", "--volume", "kept", "then"],
            &["volume", "snapshot"],
            "then",
        ),
        (
            &["volume", "set", "--size", "2", "kept"],
            &["volume"],
            "kept",
        ),
    ];
    for (step, (command, noun, name)) in steps.into_iter().enumerate() {
        let mut client = openstack.command(command);
        client.stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = client.spawn().unwrap();
        // The client alone takes most of a second: each step is hit somewhere else.
        std::thread::sleep(Duration::from_millis(900 + 150 * step as u64));
        daemon.crash().unwrap();
        client.wait().unwrap();
        daemon.up().unwrap();
        match settled(&openstack, noun, name).as_deref() {
            // It had not begun.
            None => assert_ne!(name, "kept"),
            Some(status) => assert!(["available", "error"].contains(&status), "{name}: {status}"),
        }
        assert_eq!(inside(&docker, "cat /data/file"), "cargo");
        let half_made = disks(&daemon)
            .into_iter()
            .find(|name| name.ends_with(".new"));
        assert_eq!(half_made, None);
        let used = daemon.snapshot().unwrap().disks;
        assert!(used.is_empty(), "{used:?}");
    }

    for (noun, name) in [
        (&["volume", "snapshot"][..], "then"),
        (&["volume"], "copy"),
        (&["volume"], "new"),
        (&["volume"], "kept"),
    ] {
        if settled(&openstack, noun, name).is_some() {
            openstack.run(&[noun, &["delete", name]].concat()).ok();
            assert_eq!(settled(&openstack, noun, name), None);
        }
    }
    assert_eq!(disks(&daemon), [""; 0]);
    daemon.down().unwrap();
}

#[test]
fn a_full_disk_is_an_error_of_the_volume_and_leaves_nothing() {
    let mut daemon = Daemon::start_on(Kind::Longshore, DISK).unwrap();
    let openstack = daemon.openstack();
    openstack
        .run(&["volume", "create", "--size", "1", "kept"])
        .ok();
    assert_eq!(
        settled(&openstack, &["volume"], "kept").unwrap(),
        "available"
    );
    let before = disks(&daemon);

    let path = daemon.data_dir().join("filler");
    let mut filler = File::create(&path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
    filler
        .set_len(filler.metadata().unwrap().len() - LEFT)
        .unwrap();
    openstack
        .run(&["volume", "create", "--size", "1", "full"])
        .ok();
    assert_eq!(settled(&openstack, &["volume"], "full").unwrap(), "error");
    assert_eq!(disks(&daemon), before);

    // Its room is taken as long as it is open.
    drop(filler);
    std::fs::remove_file(path).unwrap();
    openstack.run(&["volume", "delete", "full"]).ok();
    assert_eq!(settled(&openstack, &["volume"], "full"), None);
    openstack
        .run(&["volume", "create", "--size", "1", "room"])
        .ok();
    assert_eq!(
        settled(&openstack, &["volume"], "room").unwrap(),
        "available"
    );
    daemon.down().unwrap();
}
