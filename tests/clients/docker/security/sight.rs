//! What a container sees of what runs it, and of others: nothing. And who may speak to the daemon.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use super::start;
use crate::daemon;

#[test]
fn a_container_sees_neither_the_data_directory_nor_the_keeper_nor_others() {
    let daemon = daemon();
    let docker = daemon.docker();
    start(
        &docker,
        "neighbour",
        &[],
        "busybox",
        "echo here > /tmp/neighbours; exec sleep 98765",
    );
    let data = daemon.data_dir();
    let script = format!(
        "test -e {0} && echo 'data directory'
         find / -xdev -name docker.sock -o -xdev -name neighbours 2>/dev/null
         cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -E '[k]eeper|[l]ongshore|[d]ockerd|[9]8765'
         cat /proc/[0-9]*/environ | tr '\\0' ' ' | grep LONGSHORE
         grep -E '@|/' /proc/net/unix
         ls -d /proc/[0-9]* | wc -l | grep -vx '[1-9]'
         for link in /proc/[0-9]*/fd/* /proc/[0-9]*/root /proc/[0-9]*/cwd; do
           readlink $link; done | grep -F {0}
         echo over",
        data.display()
    );
    // By standard input, for else it would find itself.
    let seen = docker.run_with_input(&["run", "-i", "--rm", "busybox", "sh"], script.as_bytes());
    assert_eq!(seen.ok(), "over");
    start(&docker, "watching", &[], "busybox", "sleep 1000");
    let seen = docker.run_with_input(&["exec", "-i", "watching", "sh"], script.as_bytes());
    assert_eq!(seen.ok(), "over");
    docker.run(&["rm", "-f", "neighbour", "watching"]).ok();
}

#[test]
fn the_socket_is_for_its_owner_and_group() {
    let daemon = daemon();
    let facts = std::fs::metadata(daemon.socket()).unwrap();
    assert!(facts.file_type().is_socket());
    assert_eq!(facts.permissions().mode() & 0o7777, 0o660);
}
