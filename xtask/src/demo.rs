//! `cargo xtask demo`: the main job, shown with the real clients in a scratch directory.

use std::process::Command;

use anyhow::Result;
use tests::daemon::Daemon;
use tests::docker::Docker;
use tests::openstack::OpenStack;

use crate::{install, step};

/// What the demo runs, each line as a user would type it after `docker`.
const CONTAINERS: &[&[&str]] = &[
    &["version"],
    &["run", "--rm", "busybox", "echo", "hello from a container"],
    &["network", "create", "shore"],
    &[
        "run",
        "--detach",
        "--name",
        "web",
        "--network",
        "shore",
        "--publish",
        "127.0.0.1::80",
        "--memory",
        "32m",
        "busybox",
        "sh",
        "-c",
        "mkdir /www; echo it works > /www/index.html; exec httpd -f -h /www",
    ],
    &[
        "run",
        "--rm",
        "--network",
        "shore",
        "busybox",
        "wget",
        "-q",
        "-O",
        "-",
        "http://web/",
    ],
    &["exec", "web", "ps"],
    &["ps"],
    &["stats", "--no-stream"],
    &["stop", "--time", "1", "web"],
    &[
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}}",
        "web",
    ],
    &["rm", "web"],
];

/// A network of one's own that leads out, each line as a user would type it after `openstack`.
const NETWORK: &[&[&str]] = &[
    &["network", "create", "private", "-c", "status"],
    &[
        "subnet",
        "create",
        "--network",
        "private",
        "--subnet-range",
        "10.0.0.0/24",
        "private-v4",
        "-c",
        "allocation_pools",
    ],
    &["router", "create", "edge", "-c", "status"],
    &["router", "set", "--external-gateway", "public", "edge"],
    &["router", "add", "subnet", "edge", "private-v4"],
    &[
        "security",
        "group",
        "rule",
        "create",
        "--protocol",
        "tcp",
        "--dst-port",
        "80",
        "default",
        "-c",
        "direction",
        "-c",
        "port_range_min",
    ],
];

/// A server on it: a container, which Docker shows too.
const SERVER: &[&[&str]] = &[
    &["image", "list"],
    &[
        "server",
        "create",
        "--wait",
        "--image",
        "site",
        "--flavor",
        "m1.tiny",
        "--network",
        "private",
        "site",
        "-c",
        "addresses",
        "-c",
        "status",
    ],
    &["server", "list"],
];

/// Installs what is needed, builds, starts a cloud, runs the main job and takes it all down.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run() -> Result<()> {
    install::clients()?;
    let binary = step::build_binary(true)?;
    step::show("longshore up, in a scratch directory");
    let mut daemon = Daemon::start_with(&binary)?;
    let (docker, openstack) = (daemon.docker(), daemon.openstack());
    let openstack = openstack.by(&install::openstack_program());
    step::show("docker import: a busybox image made from this machine's own");
    tests::image::import_busybox(&docker)?;
    for args in CONTAINERS {
        run_docker(&docker, args)?;
    }
    show_server(&docker, &openstack)?;
    step::show("longshore down");
    daemon.down()?;
    let left = daemon.snapshot()?;
    anyhow::ensure!(left.is_empty(), "something was left behind: {left:?}");
    step::run(Command::new("echo").arg("nothing is left behind: the demo worked"))
}

/// From nothing to a server that answers on its floating address.
fn show_server(docker: &Docker, openstack: &OpenStack) -> Result<()> {
    run_docker(docker, &["create", "--name", "page", "busybox"])?;
    let serve = "CMD [\"httpd\", \"-f\", \"-h\", \"/etc\"]";
    run_docker(docker, &["commit", "--change", serve, "page", "site"])?;
    for args in NETWORK.iter().chain(SERVER) {
        run_openstack(openstack, args)?;
    }
    let made = openstack.json(&["floating", "ip", "create", "public"]);
    let address = made["floating_ip_address"].as_str().unwrap_or_default();
    run_openstack(
        openstack,
        &["server", "add", "floating", "ip", "site", address],
    )?;
    step::run(Command::new("/bin/busybox").args([
        "wget",
        "-q",
        "-O",
        "-",
        &format!("http://{address}/passwd"),
    ]))?;
    run_docker(docker, &["ps"])?;
    run_openstack(openstack, &["server", "delete", "--wait", "site"])
}

fn run_docker(docker: &Docker, args: &[&str]) -> Result<()> {
    step::run_typed(&[&["docker"], args].concat(), &mut docker.command(args))
}

fn run_openstack(openstack: &OpenStack, args: &[&str]) -> Result<()> {
    let words = [&["openstack"], args].concat();
    step::run_typed(&words, &mut openstack.command(args))
}
