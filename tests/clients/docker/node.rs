//! Docker's clients of JavaScript, each by a program beside this file that uses it.

use std::path::Path;
use std::process::Command;

use tests::docker::answer;
use tests::setting;

use crate::daemon;

/// Where `cargo xtask test` installs them, unless `LONGSHORE_NODE_CLIENTS` says otherwise.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/node-clients");

/// Runs a program with the clients to its end.
fn run(program: &str) {
    let daemon = daemon();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/docker/node");
    let clients = setting("LONGSHORE_NODE_CLIENTS").unwrap_or_else(|| CLIENTS.to_owned());
    // One that was installed with them, else the usual one.
    let own = Path::new(&clients).join("bin");
    let path = format!("{}:{}", own.display(), setting("PATH").unwrap_or_default());
    let output = Command::new("timeout")
        .args(["--foreground", "120", "node"])
        .arg(source.join(program))
        .env("PATH", path)
        .env("NODE_PATH", Path::new(&clients).join("node_modules"))
        .env(
            "DOCKER_HOST",
            format!("unix://{}", daemon.socket().display()),
        )
        .env("HOME", daemon.scratch())
        // Its image, which would clean up, is on a public registry.
        .env("TESTCONTAINERS_RYUK_DISABLED", "true")
        .output();
    answer(output.unwrap()).ok();
}

#[test]
fn dockerode_builds_runs_talks_to_and_removes_a_container() {
    run("dockerode.cjs");
}

#[test]
fn testcontainers_waits_for_services_and_asks_them() {
    run("testcontainers.cjs");
}
