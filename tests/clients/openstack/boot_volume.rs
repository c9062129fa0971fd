//! Servers that start from a volume: what they write is in it, outlives them, and becomes images and
//! snapshots.

use serde_json::Value;
use tests::image::busybox_rootfs;
use tests::openstack::OpenStack;

use super::{inside, is_ours, json, run};

#[track_caller]
fn boot(openstack: &OpenStack, name: &str, from: &str) -> Value {
    let line = format!("server create --flavor m1.nano --nic none --wait {from} {name}");
    let made = json(openstack, &line);
    assert_eq!(made["status"], "ACTIVE", "{made}");
    made
}

#[track_caller]
fn wait_for(openstack: &OpenStack, noun: &str, name: &str, status: &str) {
    loop {
        let shown = json(openstack, &format!("{noun} show {name}"));
        if shown["status"] == status {
            return;
        }
        let now = shown["status"].as_str().unwrap();
        assert!(
            ["creating", "available", "in-use"].contains(&now),
            "{shown}"
        );
    }
}

fn remove_volume(openstack: &OpenStack, name: &str) {
    run(openstack, &format!("volume delete {name}")).ok();
    while json(openstack, "volume list")
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one["Name"] == name)
    {}
}

#[test]
fn a_server_starts_from_a_volume_and_leaves_there_what_it_wrote() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    run(&openstack, "volume create --image busybox --size 1 keel").ok();
    wait_for(&openstack, "volume", "keel", "available");
    assert_eq!(json(&openstack, "volume show keel")["bootable"], true);

    let made = boot(&openstack, "first", "--volume keel");
    assert!(
        made["image"].to_string().contains("booted from volume"),
        "{made}"
    );
    let attached = json(&openstack, "server volume list first");
    assert_eq!(attached[0]["Device"], "/dev/vda", "{attached}");
    let root = "awk '$2 == \"/\" {print $3}' /proc/mounts; echo kept > /mark; df -k / | awk 'END {print ($2 < 1048576)}'";
    assert_eq!(inside(&docker, "first", root), "ext4\n1");
    assert_eq!(docker.inspect("first", "{{.Config.Image}}"), "keel");
    // What it has besides is mounted in it as ever, and no other gets the disk meanwhile.
    let twice = run(
        &openstack,
        "server create --flavor m1.nano --nic none --volume keel second",
    );
    assert!(twice.fails(1).contains("'available'"), "{}", twice.stderr);
    let detached = run(&openstack, "server remove volume first keel");
    assert!(
        detached.fails(1).contains("root device volume"),
        "{}",
        detached.stderr
    );

    run(&openstack, "server reboot --hard --wait first").ok();
    assert_eq!(inside(&docker, "first", "cat /mark"), "kept");
    // A stopped one is looked into without a process.
    run(&openstack, "server stop first").ok();
    docker.wait_until("exited", |docker| {
        docker.inspect("first", "{{.State.Status}}") == "exited"
    });
    let copied = daemon.scratch().join("mark");
    docker
        .run(&["cp", "first:/mark", copied.to_str().unwrap()])
        .ok();
    assert_eq!(std::fs::read_to_string(&copied).unwrap(), "kept\n");
    let image = json(&openstack, "server image create --wait --name hull first");
    assert_eq!(image["status"], "active", "{image}");
    run(&openstack, "server delete --wait first").ok();
    wait_for(&openstack, "volume", "keel", "available");
    run(&openstack, "volume snapshot create --volume keel laid").ok();
    wait_for(&openstack, "volume snapshot", "laid", "available");

    boot(&openstack, "second", "--volume keel");
    assert_eq!(inside(&docker, "second", "cat /mark"), "kept");
    boot(&openstack, "third", "--image hull");
    assert_eq!(inside(&docker, "third", "cat /mark"), "kept");
    boot(&openstack, "fourth", "--snapshot laid");
    assert_eq!(inside(&docker, "fourth", "cat /mark"), "kept");
    let own = json(&openstack, "server volume list fourth")[0]["Volume ID"].clone();
    run(&openstack, "server delete --wait second third fourth").ok();

    run(&openstack, "volume snapshot delete laid").ok();
    while json(&openstack, "volume snapshot list") != Value::Array(Vec::new()) {}
    remove_volume(&openstack, "keel");
    run(
        &openstack,
        &format!("volume delete {}", own.as_str().unwrap()),
    )
    .ok();
    run(&openstack, "image delete hull").ok();
}

#[test]
fn a_volume_is_made_with_the_server_that_starts_from_it() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    let archive = daemon.scratch().join("timber.tar");
    std::fs::write(&archive, busybox_rootfs().unwrap()).unwrap();
    let archive = archive.display();
    for line in [
        "project create shipyard",
        "user create --password rope caulker",
        "role add --user caulker --project shipyard member",
        &format!(
            "image create --public --disk-format raw --container-format bare --property os_command_line=sh --file {archive} timber"
        ),
    ] {
        run(&openstack, line).ok();
    }
    let tenant = openstack.user("caulker", "rope", "shipyard");
    let made = boot(&tenant, "dinghy", "--image timber --boot-from-volume 1");
    let id = made["id"].as_str().unwrap().replace('-', "");
    let log = || run(&tenant, "console log show dinghy").ok();
    while !log().contains("built-in shell") {}
    let attached = json(&tenant, "server volume list dinghy");
    let volume = attached[0]["Volume ID"].as_str().unwrap().to_owned();
    assert_eq!(json(&tenant, &format!("volume show {volume}"))["size"], 1);
    // The operator does not see it among the containers of the socket's project.
    assert!(docker.run(&["inspect", &id]).code != 0);

    let empty = json(&tenant, "volume create --size 1 empty");
    wait_for(&tenant, "volume", "empty", "available");
    let refused = run(
        &tenant,
        "server create --flavor m1.nano --nic none --volume empty none",
    );
    assert!(
        refused.fails(1).contains("is not bootable"),
        "{}",
        refused.stderr
    );
    // What is said to be bootable and is not breaks the server, which keeps nothing.
    run(&tenant, "volume set --bootable empty").ok();
    let flags = "--flavor m1.nano --nic none --volume empty";
    run(&tenant, &format!("server create {flags} wreck")).ok();
    loop {
        let shown = json(&tenant, "server show wreck");
        if shown["status"] != "BUILD" {
            assert_eq!(shown["status"], "ERROR");
            assert!(shown["fault"].to_string().contains("/sbin/init"), "{shown}");
            break;
        }
    }
    run(&tenant, "server delete --wait wreck dinghy").ok();
    wait_for(&tenant, "volume", "empty", "available");
    let empty = empty["id"].as_str().unwrap().to_owned();
    run(&tenant, &format!("volume delete {volume} {empty}")).ok();
    while json(&tenant, "volume list") != Value::Array(Vec::new()) {}
    run(&openstack, "image delete timber").ok();
    run(&openstack, "user delete caulker").ok();
    run(&openstack, "project delete shipyard").ok();
}
