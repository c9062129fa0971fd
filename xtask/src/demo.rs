//! `cargo xtask demo`: the main job, shown with the real client in a scratch directory.

use anyhow::Result;
use std::process::Command;

use crate::{install, step};

/// What the demo runs, each line as a user would type it after `docker`.
const COMMANDS: &[&[&str]] = &[
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

/// Installs what is needed, builds, starts a cloud, runs the main job and takes it all down.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run() -> Result<()> {
    install::clients()?;
    let binary = step::build_binary(true)?;
    step::show("longshore up, in a scratch directory");
    let mut daemon = tests::daemon::Daemon::start_with(&binary)?;
    let docker = daemon.docker();
    step::show("docker import: a busybox image made from this machine's own");
    tests::image::import_busybox(&docker)?;
    for args in COMMANDS {
        step::run(&mut docker.command(args))?;
    }
    step::show("longshore down");
    daemon.down()?;
    let left = daemon.snapshot()?;
    anyhow::ensure!(left.is_empty(), "something was left behind: {left:?}");
    step::run(Command::new("echo").arg("nothing is left behind: the demo worked"))
}
