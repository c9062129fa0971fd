//! Volumes: made, extended, kept, copied, handed over and attached, with what is in them looked at.

use serde_json::Value;
use tests::docker::Docker;
use tests::openstack::OpenStack;

use super::is_ours;

/// Waits until a volume, or a snapshot, is as it should be.
#[track_caller]
fn wait_for(openstack: &OpenStack, noun: &[&str], name: &str, status: &str) {
    loop {
        let shown = openstack.json(&[noun, &["show", name]].concat());
        if shown["status"] == status {
            return;
        }
        // What fails does not go on.
        let under_way = [
            "creating",
            "extending",
            "available",
            "attaching",
            "detaching",
        ];
        let now = shown["status"].as_str().unwrap();
        assert!(under_way.contains(&now), "{shown}");
    }
}

fn id_of(shown: &Value) -> String {
    shown["id"].as_str().unwrap().to_owned()
}

/// Runs a script in a container that has a volume at `/data`.
fn inside(docker: &Docker, volume: &str, script: &str) -> String {
    let mount = format!("{volume}:/data");
    docker
        .run(&["run", "--rm", "-v", &mount, "busybox", "sh", "-c", script])
        .ok()
}

#[test]
fn a_volume_has_its_size_and_keeps_what_is_in_it() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    openstack
        .run(&["volume", "create", "--size", "1", "hold"])
        .ok();
    wait_for(&openstack, &["volume"], "hold", "available");
    let kib = "df -k /data | tail -n 1 | awk '{print $2}'";
    let before: u64 = inside(&docker, "hold", kib).parse().unwrap();
    assert!((900 << 10..1 << 20).contains(&before), "{before} KiB");
    let full = "dd if=/dev/zero of=/data/big bs=1M count=1100 2>&1 | grep -o 'No space left'; rm /data/big";
    assert_eq!(inside(&docker, "hold", full), "No space left");
    inside(&docker, "hold", "echo cargo > /data/file");

    openstack
        .run(&["volume", "set", "--size", "2", "hold"])
        .ok();
    wait_for(&openstack, &["volume"], "hold", "available");
    let after: u64 = inside(&docker, "hold", kib).parse().unwrap();
    assert!(after > 1900 << 10, "{after} KiB");
    let smaller = openstack.run(&["volume", "set", "--size", "1", "hold"]);
    assert!(smaller.fails(1).contains("must be greater than"));

    openstack
        .run(&["volume", "snapshot", "create", "--volume", "hold", "then"])
        .ok();
    wait_for(&openstack, &["volume", "snapshot"], "then", "available");
    inside(&docker, "hold", "echo other > /data/file");
    let in_use = openstack.run(&["volume", "delete", "hold"]);
    assert!(
        in_use.fails(1).contains("have snapshots"),
        "{}",
        in_use.stderr
    );
    openstack
        .run(&["volume", "create", "--snapshot", "then", "copy"])
        .ok();
    wait_for(&openstack, &["volume"], "copy", "available");
    assert_eq!(inside(&docker, "copy", "cat /data/file"), "cargo");
    assert_eq!(inside(&docker, "hold", "cat /data/file"), "other");

    openstack
        .run(&["volume", "snapshot", "delete", "then"])
        .ok();
    let gone = |openstack: &OpenStack, noun: &[&str]| {
        let listed = openstack.json(&[noun, &["list"]].concat());
        let listed = listed.as_array().unwrap();
        !listed
            .iter()
            .any(|one| ["hold", "copy", "then"].contains(&one["Name"].as_str().unwrap()))
    };
    while !gone(&openstack, &["volume", "snapshot"]) {}
    openstack.run(&["volume", "delete", "hold", "copy"]).ok();
    while !gone(&openstack, &["volume"]) {}
    let left = daemon.snapshot().unwrap().disks;
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_volume_is_handed_over_to_another_project_with_what_is_in_it() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (admin, docker) = (daemon.openstack(), daemon.docker());
    admin.run(&["project", "create", "consignee"]).ok();
    admin
        .run(&["user", "create", "--password", "rope", "receiver"])
        .ok();
    let grant = ["--user", "receiver", "--project", "consignee", "member"];
    admin
        .run(&[&["role", "add"], grant.as_slice()].concat())
        .ok();
    let receiver = admin.user("receiver", "rope", "consignee");
    admin
        .run(&["volume", "create", "--size", "1", "parcel"])
        .ok();
    wait_for(&admin, &["volume"], "parcel", "available");
    inside(&docker, "parcel", "echo inside > /data/file");
    let refused = receiver.run(&["volume", "show", "parcel"]);
    refused.fails(1);
    let offer = admin.json(&["volume", "transfer", "request", "create", "parcel"]);
    wait_for(&admin, &["volume"], "parcel", "awaiting-transfer");
    let (id, key) = (id_of(&offer), offer["auth_key"].as_str().unwrap());
    let accept = ["volume", "transfer", "request", "accept", &id, "--auth-key"];
    let wrong = receiver.run(&[&accept[..], &["0000"]].concat());
    assert!(wrong.fails(1).contains("auth key"), "{}", wrong.stderr);
    receiver.run(&[&accept[..], &[key]].concat()).ok();
    let mine = receiver.json(&["volume", "show", "parcel"]);
    assert_eq!(mine["status"], "available");
    admin.run(&["volume", "show", "parcel"]).fails(1);

    // Back again, to look into it.
    let offer = receiver.json(&["volume", "transfer", "request", "create", "parcel"]);
    let (id, key) = (id_of(&offer), offer["auth_key"].as_str().unwrap());
    let accept = [
        "volume",
        "transfer",
        "request",
        "accept",
        &id,
        "--auth-key",
        key,
    ];
    admin.run(&accept).ok();
    assert_eq!(inside(&docker, "parcel", "cat /data/file"), "inside");
    admin.run(&["volume", "delete", "parcel"]).ok();
    admin.run(&["user", "delete", "receiver"]).ok();
    admin.run(&["project", "delete", "consignee"]).ok();
}

#[test]
fn types_quotas_and_bad_words_are_answered_as_cinder_does() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let types = admin.json(&["volume", "type", "list"]);
    let is_default = |one: &Value| one["Name"] == "__DEFAULT__";
    assert!(types.as_array().unwrap().iter().any(is_default), "{types}");
    admin
        .run(&[
            "volume",
            "type",
            "create",
            "--property",
            "speed=slow",
            "barge",
        ])
        .ok();
    let twice = admin.run(&["volume", "type", "create", "barge"]);
    assert!(
        twice.fails(1).contains("already exists"),
        "{}",
        twice.stderr
    );
    let made = admin.json(&[
        "volume", "create", "--size", "1", "--type", "barge", "typed",
    ]);
    assert_eq!(made["type"], "barge");
    let in_use = admin.run(&["volume", "type", "delete", "barge"]);
    assert!(
        in_use.fails(1).contains("still in use"),
        "{}",
        in_use.stderr
    );
    let too_large = admin.run(&["volume", "create", "--size", "100000", "vast"]);
    too_large.fails(1);
    let over = admin.run(&["volume", "create", "--size", "1500", "much"]);
    assert!(over.fails(1).contains("gigabytes quota"), "{}", over.stderr);
    let missing = admin.run(&["volume", "show", "nothing"]);
    assert!(missing.fails(1).contains("No Volume"), "{}", missing.stderr);
    wait_for(&admin, &["volume"], "typed", "available");
    admin.run(&["volume", "delete", "typed"]).ok();
    let listed = || admin.run(&["volume", "list", "--format", "json"]).ok();
    while listed().contains("typed") {}
    admin.run(&["volume", "type", "delete", "barge"]).ok();
}

#[test]
fn an_image_of_a_volume_holds_what_is_in_it() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    openstack
        .run(&["volume", "create", "--size", "1", "crate"])
        .ok();
    wait_for(&openstack, &["volume"], "crate", "available");
    inside(&docker, "crate", "echo cargo > /data/file");
    openstack
        .run(&["image", "create", "--volume", "crate", "lading"])
        .ok();
    loop {
        let shown = openstack.json(&["image", "show", "lading"]);
        match shown["status"].as_str().unwrap() {
            "active" => break,
            "queued" | "saving" => {}
            other => panic!("{other}"),
        }
    }
    let file = daemon.scratch().join("lading.tar");
    openstack
        .run(&["image", "save", "--file", file.to_str().unwrap(), "lading"])
        .ok();
    let listed = std::process::Command::new("tar")
        .arg("-xOf")
        .arg(&file)
        .arg("file")
        .output()
        .unwrap();
    assert_eq!(listed.stdout, b"cargo\n");
    openstack
        .run(&[
            "volume", "create", "--image", "lading", "--size", "1", "again",
        ])
        .ok();
    wait_for(&openstack, &["volume"], "again", "available");
    assert_eq!(inside(&docker, "again", "cat /data/file"), "cargo");
    openstack.run(&["volume", "delete", "crate", "again"]).ok();
    openstack.run(&["image", "delete", "lading"]).ok();
}
