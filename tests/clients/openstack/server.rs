//! Servers: made, changed, reached and removed with the `openstack` command line, and looked at with
//! `docker`, to which each of them is a container.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tests::docker::Docker;
use tests::image::busybox_rootfs;
use tests::openstack::OpenStack;

use super::{boot, inside, is_ours, json, run};

/// The port that the servers' own web server listens on.
const HTTP: u16 = 80;
/// Shows the limit of memory inside, under either version of cgroups.
const MEMORY_LIMIT: &str =
    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[track_caller]
fn status(openstack: &OpenStack, name: &str) -> String {
    text(&json(openstack, &format!("server show {name}"))["status"]).to_owned()
}

/// What was done to a server, the newest first.
fn done_to(openstack: &OpenStack, name: &str) -> Vec<String> {
    let listed = json(openstack, &format!("server event list {name}"));
    let rows = listed.as_array().unwrap().iter();
    rows.map(|row| text(&row["Action"]).to_owned()).collect()
}

#[track_caller]
fn wait_for_phase(docker: &Docker, name: &str, phase: &str) {
    docker.wait_until(phase, |docker| {
        docker.inspect(name, "{{.State.Status}}") == phase
    });
}

/// The first line that a server's web server answers with.
fn answer_of(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((address, HTTP))?;
    stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_server_is_a_container_from_its_making_to_its_end() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    let made = boot(
        &openstack,
        "sloop",
        "--network bridge --property CARGO=rope --tag wood --description fast --availability-zone nova",
    );
    let id = text(&made["id"]).replace('-', "");
    assert_eq!(docker.inspect("sloop", "{{.Id}}")[..32], id);
    assert_eq!(
        inside(&docker, "sloop", "echo $CARGO; hostname"),
        "rope\nsloop"
    );
    let address = inside(&docker, "sloop", "hostname -i");
    let listed = json(&openstack, "server list --name ^sloop$ --long");
    assert_eq!(listed[0]["Networks"]["bridge"][0], address);
    assert_eq!(listed[0]["Flavor"], "m1.nano");
    assert_eq!(listed[0]["Availability Zone"], "nova");

    for (action, phase) in [
        ("stop", "exited"),
        ("start", "running"),
        ("pause", "paused"),
        ("unpause", "running"),
    ] {
        run(&openstack, &format!("server {action} sloop")).ok();
        wait_for_phase(&docker, "sloop", phase);
    }
    let pid = docker.inspect("sloop", "{{.State.Pid}}");
    run(&openstack, "server reboot --hard --wait sloop").ok();
    assert_ne!(docker.inspect("sloop", "{{.State.Pid}}"), pid);
    run(&openstack, "server suspend sloop").ok();
    wait_for_phase(&docker, "sloop", "paused");
    assert_eq!(status(&openstack, "sloop"), "SUSPENDED");
    run(&openstack, "server resume sloop").ok();
    run(&openstack, "server shelve --wait sloop").ok();
    assert_eq!(docker.inspect("sloop", "{{.State.Status}}"), "exited");
    run(&openstack, "server unshelve --wait sloop").ok();
    assert_eq!(docker.inspect("sloop", "{{.State.Status}}"), "running");

    run(&openstack, "server resize --flavor m1.micro --wait sloop").ok();
    run(&openstack, "server resize confirm sloop").ok();
    let wanted = (256_u64 << 20).to_string();
    assert_eq!(docker.inspect("sloop", "{{.HostConfig.Memory}}"), wanted);
    let limit = docker.run(&["exec", "sloop", "sh", "-c", MEMORY_LIMIT]);
    assert_eq!(limit.stdout.trim(), wanted);

    inside(
        &docker,
        "sloop",
        "echo kept > /mark; echo hello > /dev/console",
    );
    let image = json(
        &openstack,
        "server image create --wait --name sloop-as-is sloop",
    );
    assert_eq!(image["status"], "active", "{image}");
    run(&openstack, "server rebuild --image busybox --wait sloop").ok();
    assert_eq!(
        inside(&docker, "sloop", "ls /mark 2>/dev/null || echo no"),
        "no"
    );
    run(
        &openstack,
        "server rebuild --image sloop-as-is --wait sloop",
    )
    .ok();
    assert_eq!(inside(&docker, "sloop", "cat /mark"), "kept");

    let log = run(&openstack, "console log show sloop").ok();
    assert!(log.contains("hello"), "{log}");
    let events = json(&openstack, "server event list sloop");
    let was_done = |action: &str| {
        let mut all = events.as_array().unwrap().iter();
        all.any(|event| event["Action"] == action)
    };
    for action in ["create", "stop", "resize", "rebuild"] {
        assert!(was_done(action), "{action}: {events}");
    }
    run(&openstack, "server delete --wait sloop").ok();
    docker.run(&["inspect", "sloop"]).fails(1);
    run(&openstack, "image delete sloop-as-is").ok();
}

#[test]
fn a_server_answers_on_its_floating_address() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    for line in [
        "network create quay",
        "subnet create --network quay --subnet-range 10.31.0.0/24 quay-v4",
        "router create --external-gateway public lock",
        "router add subnet lock quay-v4",
        "security group create web",
        "security group rule create --protocol tcp --dst-port 80 web",
        "port create --network quay --fixed-ip ip-address=10.31.0.77 berth",
    ] {
        run(&openstack, line).ok();
    }
    boot(&openstack, "lighter", "--network quay");
    docker
        .run(&["exec", "lighter", "httpd", "-p", "80", "-h", "/etc"])
        .ok();
    let floating = json(&openstack, "floating ip create public");
    let address = text(&floating["floating_ip_address"]);
    run(
        &openstack,
        &format!("server add floating ip lighter {address}"),
    )
    .ok();
    run(&openstack, "server add security group lighter web").ok();
    let shown = json(&openstack, "server show lighter");
    let addresses = shown["addresses"]["quay"].as_array().unwrap();
    assert!(addresses.iter().any(|one| one == address), "{shown}");
    let groups = shown["security_groups"].to_string();
    assert!(
        groups.contains("web") && groups.contains("default"),
        "{groups}"
    );
    let answer = answer_of(address).unwrap();
    assert!(answer.ends_with("lighter\n"), "{answer}");

    run(&openstack, "server add port lighter berth").ok();
    assert_eq!(
        inside(
            &docker,
            "lighter",
            "ip -4 -o address show eth1 | grep -c 10.31.0.77"
        ),
        "1"
    );
    let listed = json(&openstack, "port list --server lighter");
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    run(&openstack, "server remove port lighter berth").ok();
    let links = inside(&docker, "lighter", "ls /sys/class/net");
    assert!(!links.contains("eth1"), "{links}");

    run(
        &openstack,
        &format!("server remove floating ip lighter {address}"),
    )
    .ok();
    run(&openstack, "server delete --wait lighter").ok();
    // No port is left of the server, and the other one is free.
    for line in [
        "port delete berth",
        &format!("floating ip delete {address}"),
        "router remove subnet lock quay-v4",
        "router delete lock",
        "network delete quay",
        "security group delete web",
    ] {
        run(&openstack, line).ok();
    }
}

#[test]
fn a_server_starts_with_volumes_keys_a_script_and_a_drive() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    let scratch = tempfile::tempdir().unwrap();
    let script = scratch.path().join("script");
    let words = "#!/bin/sh\necho loaded by $(id -u) | tee -a /cargo\n";
    std::fs::write(&script, words).unwrap();
    let key = scratch.path().join("key.pub");
    let public =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDJzAbOFPmEEZcBF0O9ZCmCLDB0vkpLQ5a7vNVPHBb0x me";
    std::fs::write(&key, public).unwrap();
    let (script, key) = (script.display(), key.display());
    let brought = format!("keypair create --public-key {key} bosun");
    run(&openstack, &brought).ok();
    assert_eq!(json(&openstack, "keypair list")[0]["Name"], "bosun");
    run(&openstack, "volume create --size 1 crate").ok();
    docker.wait_until("the volume", |_| {
        json(&openstack, "volume show crate")["status"] == "available"
    });
    let more = format!(
        "--nic none --key-name bosun --user-data {script} --config-drive True \
         --block-device-mapping vdb=crate:volume"
    );
    let blank = "--block-device source_type=blank,destination_type=volume,volume_size=1,\
                 delete_on_termination=true,device_name=/srv/scratch";
    let made = boot(&openstack, "brig", &format!("{more} {blank}"));
    let attached = made["volumes_attached"].as_array().unwrap();
    assert_eq!(attached.len(), 2, "{made}");

    let keys = inside(&docker, "brig", "cat /root/.ssh/authorized_keys");
    assert_eq!(keys, public);
    docker.wait_until("the script", |docker| {
        docker.run(&["exec", "brig", "cat", "/cargo"]).stdout == "loaded by 0\n"
    });
    let log = run(&openstack, "console log show brig").ok();
    assert!(log.contains("loaded by 0"), "{log}");
    let drive = "/var/lib/cloud/seed/config_drive";
    let told = inside(
        &docker,
        "brig",
        &format!("cat {drive}/openstack/latest/meta_data.json"),
    );
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["uuid"], made["id"]);
    assert_eq!(told["public_keys"]["bosun"], public);
    let data = format!("cat {drive}/openstack/latest/user_data");
    assert_eq!(format!("{}\n", inside(&docker, "brig", &data)), words);
    docker
        .run(&["exec", "brig", "touch", &format!("{drive}/mine")])
        .fails(1);

    inside(
        &docker,
        "brig",
        "echo kept > /mnt/vdb/file; echo lost > /srv/scratch/file",
    );
    run(&openstack, "server reboot --wait brig").ok();
    assert_eq!(
        inside(&docker, "brig", "cat /cargo /mnt/vdb/file"),
        "loaded by 0\nkept"
    );
    run(&openstack, "server remove volume brig crate").ok();
    docker
        .run(&["exec", "brig", "ls", "/mnt/vdb/file"])
        .fails(1);
    run(&openstack, "server add volume --device /dev/vdc brig crate").ok();
    assert_eq!(inside(&docker, "brig", "cat /mnt/vdc/file"), "kept");
    let mounted = json(&openstack, "server volume list brig");
    let mounted = mounted.as_array().unwrap();
    assert!(mounted.iter().any(|volume| volume["Device"] == "/dev/vdc"));
    run(&openstack, "server delete --wait brig").ok();
    docker.wait_until("its own volume goes", |_| {
        let left = json(&openstack, "volume list");
        left.as_array().unwrap().len() == 1
    });
    run(&openstack, "volume delete crate").ok();
    run(&openstack, "keypair delete bosun").ok();
}

#[test]
fn servers_of_a_group_keep_apart_and_zones_must_be_there() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let openstack = daemon.openstack();
    let group = json(
        &openstack,
        "server group create --policy anti-affinity convoy",
    );
    let group = text(&group["id"]);
    let hint = format!("--nic none --hint group={group}");
    let first = boot(&openstack, "escort", &hint);
    assert_eq!(first["server_groups"][0], group, "{first}");
    let second = format!("server create --image busybox --flavor m1.nano {hint} --wait straggler");
    run(&openstack, &second).fails(1);
    let shown = json(&openstack, "server show straggler");
    assert_eq!(shown["status"], "ERROR");
    let fault = shown["fault"].to_string();
    assert!(fault.contains("No valid host was found"), "{fault}");
    let nowhere = "server create --image busybox --flavor m1.nano --nic none \
                   --availability-zone atlantis lost";
    let refused = run(&openstack, nowhere);
    let words = "The requested availability zone is not available";
    assert!(refused.fails(1).contains(words), "{}", refused.stderr);
    run(&openstack, "server delete --wait escort straggler").ok();
    run(&openstack, "server group delete convoy").ok();
}

#[test]
fn a_server_is_renamed_locked_and_put_on_another_network() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    run(&openstack, "network create backwater").ok();
    run(
        &openstack,
        "subnet create --network backwater --subnet-range 10.34.0.0/24 backwater-v4",
    )
    .ok();
    run(&openstack, "security group create moat").ok();
    let made = boot(&openstack, "skiff", "--network bridge");
    let container = text(&made["id"]).replace('-', "");

    run(
        &openstack,
        "server set --name punt --description slow --property CARGO=reed --tag willow skiff",
    )
    .ok();
    run(&openstack, "server add network punt backwater").ok();
    run(&openstack, "server add security group punt moat").ok();
    run(&openstack, "server lock --reason flood punt").ok();
    let shown = json(&openstack, "server show punt");
    assert_eq!(shown["id"], made["id"]);
    assert_eq!(shown["description"], "slow");
    assert_eq!(shown["properties"]["CARGO"], "reed");
    assert_eq!(shown["tags"][0], "willow");
    assert_eq!(shown["locked_reason"], "flood");
    let groups = shown["security_groups"].to_string();
    assert!(groups.contains("moat"), "{groups}");
    let address = text(&shown["addresses"]["backwater"][0]);
    let inside = inside(&docker, &container, "ip -4 -o addr");
    assert!(inside.contains(&format!("{address}/24")), "{inside}");

    run(&openstack, "server unlock punt").ok();
    run(&openstack, "server remove security group punt moat").ok();
    run(&openstack, "server remove network punt backwater").ok();
    let shown = json(&openstack, "server show punt");
    assert_eq!(shown["locked"], false, "{shown}");
    assert!(shown["addresses"].get("backwater").is_none(), "{shown}");
    let console = json(&openstack, "console url show --serial punt");
    assert!(text(&console["url"]).starts_with("ws://"), "{console}");
    let graphical = run(&openstack, "console url show punt");
    assert!(graphical.fails(1).contains("Unavailable console type"));
    assert_eq!(
        done_to(&openstack, "punt"),
        [
            "detach_interface",
            "unlock",
            "lock",
            "attach_interface",
            "create"
        ]
    );

    run(&openstack, "server delete --wait punt").ok();
    run(&openstack, "network delete backwater").ok();
    run(&openstack, "security group delete moat").ok();
}

#[test]
fn a_locked_server_is_changed_by_an_admin_only() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    for command in [
        "project create docks",
        "user create --password rope keeper",
        "role add --user keeper --project docks member",
    ] {
        run(&admin, command).ok();
    }
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("root.tar");
    std::fs::write(&archive, busybox_rootfs().unwrap()).unwrap();
    let command = "os_command_line=/bin/sleep 900";
    let create = ["image", "create", "--public", "--disk-format", "raw"];
    let with = ["--container-format", "bare", "--property", command];
    let file = ["--file", archive.to_str().unwrap(), "sleeper"];
    admin.run(&[create.as_slice(), &with, &file].concat()).ok();
    let member = admin.user("keeper", "rope", "docks");
    let create = "server create --image sleeper --flavor m1.nano --nic none --wait barge";
    run(&member, create).ok();
    run(&member, "volume create --size 1 bale").ok();
    run(&member, "server add volume barge bale").ok();
    run(&member, "server lock barge").ok();
    let doings = [
        "server remove volume barge bale",
        "server stop barge",
        "server set --property A=b barge",
        "server delete barge",
    ];
    for doing in doings {
        let refused = run(&member, doing);
        let words = refused.fails(1);
        assert!(words.contains("is locked"), "{doing}: {words}");
    }
    run(&member, "server unlock barge").ok();
    run(&member, "server remove volume barge bale").ok();
    assert_eq!(
        done_to(&member, "barge"),
        ["detach_volume", "unlock", "lock", "attach_volume", "create"]
    );
    run(&member, "server pause barge").ok();
    run(&member, "server add volume barge bale").ok();
    run(&member, "server unpause barge").ok();
    run(&member, "server suspend barge").ok();
    let refused = run(&member, "server remove volume barge bale");
    let words = "Cannot 'detach_volume' instance";
    assert!(refused.fails(1).contains(words), "{}", refused.stderr);
    run(&member, "server delete --wait barge").ok();
    run(&member, "volume delete bale").ok();
}
