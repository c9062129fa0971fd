//! Machines: servers whose image has systemd and cloud-init, unmodified Debian, as a tenant's.
//!
//! `LONGSHORE_DEBIAN` names the tar of such a root file system; `cargo xtask test` makes one.

use std::path::Path;

use tests::openstack::OpenStack;
use tests::setting;

use super::is_ours;

/// Tells the console, once the machine is up, what cloud-init made of it. systemd shows the command
/// there, too, so the line's beginning is put together by it.
const USER_DATA: &str = r#"#cloud-config
runcmd:
  - [systemd-run, --no-block, sh, -c, 'echo "$(printf up): $(systemctl is-system-running --wait) $(cloud-init query subplatform | cut -d" " -f1) $(hostname) $(cut -d" " -f2 /home/debian/.ssh/authorized_keys) that is all" >/dev/console']
"#;

/// The line of a server's console that has all of these words, once there is one.
fn console(openstack: &OpenStack, server: &str, words: &[&str]) -> String {
    loop {
        let log = openstack.run(&["console", "log", "show", server]).ok();
        let line = log
            .lines()
            .find(|line| words.iter().all(|word| line.contains(word)));
        if let Some(line) = line {
            return line.trim_end().to_owned();
        }
    }
}

#[track_caller]
fn run(openstack: &OpenStack, words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    openstack.run(&words).ok()
}

#[test]
fn debian_boots_with_systemd_and_cloud_init_and_is_shut_down_in_order() {
    if !is_ours() {
        return;
    }
    let root = setting("LONGSHORE_DEBIAN")
        .expect("set LONGSHORE_DEBIAN to a root file system as tar; `cargo xtask test` does");
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let formats = "--public --container-format bare --disk-format raw";
    run(
        &admin,
        &format!("image create {formats} --file {root} debian"),
    );
    run(&admin, "project create fleet");
    run(&admin, "user create --password rope admiral");
    run(&admin, "role add --user admiral --project fleet member");
    let member = admin.user("admiral", "rope", "fleet");
    run(&member, "network create roads");
    run(
        &member,
        "subnet create --network roads --subnet-range 10.67.0.0/24 roads",
    );
    let key = daemon.scratch().join("key");
    let made = run(
        &member,
        &format!("keypair create --private-key {} hawser", key.display()),
    );
    drop(made);
    let public = run(&member, "keypair show --public-key hawser");
    let public = public.split_whitespace().nth(1).unwrap();
    let data = daemon.scratch().join("user-data");
    std::fs::write(&data, USER_DATA).unwrap();

    for (name, more, source) in [
        ("frigate", "", "metadata"),
        ("corvette", "--config-drive true", "seed-dir"),
    ] {
        boot(&member, name, more, &data);
        let line = console(&member, name, &["up: ", "that is all"]);
        let (_, told) = line.split_once("up: ").unwrap();
        let words: Vec<&str> = told.split(' ').collect();
        assert!(["running", "degraded"].contains(&words[0]), "{told}");
        assert_eq!(words[1..4], [source, name, public], "{told}");
    }
    run(&member, "server stop frigate");
    console(&member, "frigate", &["Exiting container."]);
    run(&member, "server delete --wait frigate corvette");
    run(&admin, "image delete debian");
}

fn boot(member: &OpenStack, name: &str, more: &str, data: &Path) {
    let flags = "--image debian --flavor m1.tiny --network roads --key-name hawser --wait";
    let data = data.display();
    run(
        member,
        &format!("server create {flags} {more} --user-data {data} {name}"),
    );
}
