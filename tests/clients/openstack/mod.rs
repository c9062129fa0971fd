//! The `openstack` command line, a file a service.

mod boot_volume;
mod flavor;
mod identity;
mod image;
mod ipv6;
mod isolation;
mod key_pair;
mod listing;
mod machine;
mod network;
mod operator;
mod quota;
mod server;
mod tls;
mod volume;

use serde_json::Value;
use tests::daemon::Kind;
use tests::docker::Docker;
use tests::openstack::OpenStack;

/// Whether the daemon under test speaks OpenStack at all.
fn is_ours() -> bool {
    Kind::wanted() == Kind::Longshore
}

/// A command of words without spaces.
fn run(openstack: &OpenStack, line: &str) -> tests::docker::Answer {
    openstack.run(&line.split_whitespace().collect::<Vec<_>>())
}

/// What such a command answers.
fn json(openstack: &OpenStack, line: &str) -> Value {
    openstack.json(&line.split_whitespace().collect::<Vec<_>>())
}

/// Makes a server and waits until it runs.
#[track_caller]
fn boot(openstack: &OpenStack, name: &str, more: &str) -> Value {
    let flags = "--image busybox --flavor m1.nano --wait";
    let made = json(openstack, &format!("server create {flags} {more} {name}"));
    assert_eq!(made["status"], "ACTIVE", "{made}");
    made
}

/// What a script prints inside.
#[track_caller]
fn inside(docker: &Docker, name: &str, script: &str) -> String {
    docker.run(&["exec", name, "sh", "-c", script]).ok()
}
