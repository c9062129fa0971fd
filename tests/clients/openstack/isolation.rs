//! Two projects with the same addresses, seen from inside their servers: what one has, the other neither
//! reaches nor sees. A server of the second project runs a script of attempts and tells its console.

use std::fs;
use std::path::Path;

use tar::{Builder, Header};
use tests::image::busybox_rootfs;
use tests::openstack::OpenStack;

use super::is_ours;

/// What every prober tries; the addresses are metadata, and so variables.
const PROBE: &str = r#"
fetch() { timeout 5 wget -qO- "$1" 2>/dev/null || echo nothing; }
echo "same address: $(fetch http://$fixed:8080/secret)"
echo "floating address: $(fetch http://$floating:8080/secret)"
own=http://169.254.169.254/openstack/latest/meta_data.json
forged=$(wget -qO- --header "X-Instance-ID: $other" --header "X-Forwarded-For: $fixed" $own)
echo "metadata of: $(echo "$forged" | sed 's/.*"name": *"\([^"]*\)".*/\1/')"
echo "processes of others: $(ps -o pid,args | grep -c '[h]ttpd')"
mknod /disk b 8 0 2>/dev/null && head -c 1 /disk >/dev/null 2>&1 && echo "disk: read"
echo c 2>/dev/null >/proc/sysrq-trigger && echo "kernel: told"
mount -t tmpfs none /srv 2>/dev/null && echo "mount: made"
ip addr add 10.66.0.99/24 dev eth0 2>/dev/null && echo "address: taken"
echo "id outside: $(cut -c 1-30 /proc/self/uid_map | awk '{print ($2 > 0) ? "nobody" : "root"}')"
echo "that is all"
sleep 600
"#;

/// The file system of all servers here: busybox, a secret, and the attempts.
fn file_system(path: &Path) {
    let mut archive = busybox_rootfs().unwrap();
    // Without the end of the archive.
    archive.truncate(archive.len() - 1024);
    let mut archive = Builder::new(archive);
    for (path, text) in [("srv/secret", "cargo\n"), ("probe", PROBE)] {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    fs::write(path, archive.into_inner().unwrap()).unwrap();
}

/// What a server's console tells in the end, without carriage returns.
fn told(openstack: &OpenStack, server: &str) -> String {
    loop {
        let log = openstack.run(&["console", "log", "show", server]).ok();
        if log.contains("that is all") {
            return log.replace('\r', "");
        }
    }
}

/// Makes a project with one member, a network that has the same addresses in all projects, and a router
/// to the outside.
fn project(admin: &OpenStack, name: &str) -> OpenStack {
    let user = format!("{name}-user");
    admin.run(&["project", "create", name]).ok();
    admin
        .run(&["user", "create", "--password", "rope", &user])
        .ok();
    let grant = ["role", "add", "--user", &user, "--project", name, "member"];
    admin.run(&grant).ok();
    let member = admin.user(&user, "rope", name);
    member.run(&["network", "create", "quay"]).ok();
    let range = ["--network", "quay", "--subnet-range", "10.66.0.0/24"];
    let subnet = [["subnet", "create"].as_slice(), &range, &["quay"]].concat();
    member.run(&subnet).ok();
    let router = ["router", "create", "--external-gateway", "public", "lock"];
    member.run(&router).ok();
    member
        .run(&["router", "add", "subnet", "lock", "quay"])
        .ok();
    member
}

fn id_of(openstack: &OpenStack, noun: &[&str], name: &str) -> String {
    let shown = openstack.json(&[noun, &["show", name]].concat());
    shown["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_project_reaches_nothing_of_another() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("root.tar");
    file_system(&archive);
    for (name, command) in [
        ("harbour", "/bin/busybox httpd -f -p 8080 -h /srv"),
        ("burglar", "/bin/sh /probe"),
    ] {
        let command = format!("os_command_line={command}");
        let create = ["image", "create", "--public", "--disk-format", "raw"];
        let with = ["--container-format", "bare", "--property", &command];
        let file = ["--file", archive.to_str().unwrap(), name];
        admin.run(&[create.as_slice(), &with, &file].concat()).ok();
    }
    let (owner, stranger) = (project(&admin, "iso-one"), project(&admin, "iso-two"));

    let fixed = ["--fixed-ip", "ip-address=10.66.0.10", "berth"];
    let port = [["port", "create", "--network", "quay"].as_slice(), &fixed].concat();
    owner.run(&port).ok();
    let create = ["server", "create", "--wait", "--flavor", "m1.tiny"];
    let victim = ["--image", "harbour", "--port", "berth", "victim"];
    let made = owner.json(&[create.as_slice(), &victim].concat());
    let victim = made["id"].as_str().unwrap();
    let floating = owner.json(&["floating", "ip", "create", "--port", "berth", "public"]);
    let floating = floating["floating_ip_address"].as_str().unwrap();
    let tries = |openstack: &OpenStack, name: &str| {
        let floating = format!("floating={floating}");
        let other = format!("other={victim}");
        let image = ["--image", "burglar", "--network", "quay"];
        let targets = ["--property", "fixed=10.66.0.10", "--property", &floating];
        let names = ["--property", &other, name];
        let args = [create.as_slice(), &image, &targets, &names].concat();
        openstack.run(&args).ok();
        told(openstack, name)
    };
    let has = |log: &str, line: &str| log.lines().any(|one| one == line);

    // A neighbour in the same project and security group is let in: the attempts work.
    let friend = tries(&owner, "friend");
    assert!(has(&friend, "same address: cargo"), "{friend}");

    let thief = tries(&stranger, "thief");
    for line in [
        "same address: nothing",
        // The default security group lets nobody in.
        "floating address: nothing",
        "metadata of: thief",
        "processes of others: 0",
        "id outside: nobody",
    ] {
        assert!(has(&thief, line), "{line}: {thief}");
    }
    for done in ["disk:", "kernel:", "mount:", "address:"] {
        assert!(!thief.lines().any(|one| one.starts_with(done)), "{thief}");
    }

    // What is another's is missing, whatever it is asked for by.
    let foreign: [(&[&str], &str); 6] = [
        (&["server"], "victim"),
        (&["network"], "quay"),
        (&["subnet"], "quay"),
        (&["port"], "berth"),
        (&["router"], "lock"),
        (&["floating", "ip"], floating),
    ];
    for (noun, name) in foreign {
        let id = id_of(&owner, noun, name);
        for verb in ["show", "delete"] {
            let refused = stranger.run(&[noun, &[verb, &id]].concat());
            let said = refused.fails(1);
            let is_missing = said.contains("No ") || said.contains("404");
            assert!(is_missing, "{noun:?} {verb}: {said}");
        }
        id_of(&owner, noun, name);
    }

    // Let in by its owner, everybody is.
    let rule = ["security", "group", "rule", "create", "--protocol", "tcp"];
    let rule = [rule.as_slice(), &["--dst-port", "8080", "default"]].concat();
    owner.run(&rule).ok();
    let guest = tries(&stranger, "guest");
    assert!(has(&guest, "same address: nothing"), "{guest}");
    assert!(has(&guest, "floating address: cargo"), "{guest}");

    tear_down(&admin, &owner, &["victim", "friend"], Some(floating));
    tear_down(&admin, &stranger, &["thief", "guest"], None);
    for name in ["iso-one", "iso-two"] {
        admin.run(&["user", "delete", &format!("{name}-user")]).ok();
        admin.run(&["project", "delete", name]).ok();
    }
    admin.run(&["image", "delete", "harbour", "burglar"]).ok();
}

fn tear_down(admin: &OpenStack, member: &OpenStack, servers: &[&str], floating: Option<&str>) {
    member
        .run(&[["server", "delete", "--wait"].as_slice(), servers].concat())
        .ok();
    if let Some(floating) = floating {
        member.run(&["floating", "ip", "delete", floating]).ok();
        member.run(&["port", "delete", "berth"]).ok();
    }
    member
        .run(&["router", "remove", "subnet", "lock", "quay"])
        .ok();
    let router = id_of(member, &["router"], "lock");
    admin.run(&["router", "delete", &router]).ok();
    member.run(&["network", "delete", "quay"]).ok();
}
