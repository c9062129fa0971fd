//! Tests of other projects, unmodified, against a running daemon: `cargo xtask test --suite NAME`.
//!
//! They are fetched, not kept here. What is known to fail is listed in `spec` with its reason; a
//! failure that is not listed, and a listed one that passes, fail the command.

mod compose;
mod oci_distribution;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::daemon::{Daemon, Kind};
use tests::docker::Docker;
use tests::image::import;
use tests::registry::Registry;

use crate::step;

pub(crate) use compose::programs;
pub(crate) use oci_distribution::oci_distribution;

/// The release whose tests and library are used.
const VERSION: &str = "7.2.0";
const HOME: &str = "https://github.com/docker/docker-py";
/// The version of the API that they speak.
const API_VERSION: &str = "1.41";
/// What fails against our daemon, by the beginning of the test's name, with the reason.
const KNOWN: &str = include_str!("../../spec/docker-engine/docker-py.toml");
/// Images that the tests use or pull, and their commands. A registry of our own stands for Docker Hub.
const IMAGES: [(&str, &str); 4] = [
    ("alpine:3.10", r#"["/bin/sh"]"#),
    ("alpine:latest", r#"["/bin/sh"]"#),
    ("busybox:latest", r#"["sh"]"#),
    ("hello-world:latest", r#"["echo","Hello from Docker!"]"#),
];

/// Runs docker-py's integration tests against a daemon of this kind, ours from this binary.
///
/// # Errors
/// When they cannot be fetched or run, or fail otherwise than is known.
pub(crate) fn docker_py(kind: Kind, binary: &Path, source: Option<&str>) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (tree, python) = (scratch.path().join("tree"), scratch.path().join("python"));
    step::run(
        Command::new("git")
            .args(["clone", "--quiet", "--depth", "1", "--branch", VERSION])
            .arg(source.unwrap_or(HOME))
            .arg(&tree),
    )?;
    // The tests use the library that is installed.
    std::fs::remove_dir_all(tree.join("docker"))?;
    step::run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    step::run(
        Command::new(python.join("bin/pip"))
            .args(["install", "--quiet"])
            .arg(format!("docker[dev,ssh,websockets]=={VERSION}")),
    )?;
    let hub = Registry::start()?;
    let mirror = format!("http://{}", hub.direct_name());
    let daemon = Daemon::start_mirrored(kind, binary, mirror)?;
    let docker = daemon.docker();
    for (name, command) in IMAGES {
        import(&docker, name, command)?;
        push_official(&docker, name, &hub.direct_name())?;
    }
    let report = run(&daemon, &tree, &python)?;
    let failed = failures(&report);
    step::show(report.lines().last().unwrap_or("no report"));
    if daemon.kind() == Kind::Dockerd {
        // Only ours is judged.
        return Ok(());
    }
    judge(&failed)
}

/// Pushes an image to where a mirror of Docker Hub has its official images.
fn push_official(docker: &Docker, name: &str, registry: &str) -> Result<()> {
    let official = format!("{registry}/library/{name}");
    for command in [
        &["tag", name, &official][..],
        &["push", "--quiet", &official],
        &["rmi", &official],
    ] {
        let answer = docker.run(command);
        ensure!(answer.code == 0, "docker {command:?}: {}", answer.stderr);
    }
    Ok(())
}

/// The report of all tests; that some fail is no error.
fn run(daemon: &Daemon, tree: &Path, python: &Path) -> Result<String> {
    let home = tree.join("home");
    std::fs::create_dir(&home)?;
    let mut pytest = Command::new(python.join("bin/python"));
    pytest
        .args(["-m", "pytest", "-p", "no:cacheprovider", "--timeout", "120"])
        .args(["--tb", "no", "-q", "-rfE", "tests/integration"])
        .current_dir(tree)
        .env("HOME", &home)
        .env(
            "DOCKER_HOST",
            format!("unix://{}", daemon.socket().display()),
        )
        .env("DOCKER_TEST_API_VERSION", API_VERSION);
    step::show(&format!("{pytest:?}").replace('"', ""));
    let output = pytest.output().context("execute pytest")?;
    // 1: some tests failed. Source: pytest's documentation, "Exit codes".
    ensure!(
        matches!(output.status.code(), Some(0 | 1)),
        "pytest failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// The names of the tests that the report says failed.
fn failures(report: &str) -> BTreeSet<&str> {
    report
        .lines()
        .filter_map(|line| {
            let rest = line
                .strip_prefix("FAILED ")
                .or_else(|| line.strip_prefix("ERROR "))?;
            Some(rest.split(" - ").next().unwrap_or(rest))
        })
        .collect()
}

/// Compares what failed with what is known to.
fn judge(failed: &BTreeSet<&str>) -> Result<()> {
    let known: Vec<&str> = KNOWN
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '[']))
        .filter_map(|line| {
            let (name, _reason) = line.split_once(" = ")?;
            Some(name.trim_matches('"'))
        })
        .collect();
    let is_known = |test: &&&str| known.iter().any(|name| test.starts_with(name));
    let unknown: Vec<&&str> = failed.iter().filter(|test| !is_known(test)).collect();
    let mended: Vec<&str> = known
        .iter()
        .copied()
        .filter(|name| !failed.iter().any(|test| test.starts_with(name)))
        .collect();
    ensure!(
        unknown.is_empty(),
        "these tests fail, and spec/docker-engine/docker-py.toml does not say why: {unknown:#?}"
    );
    ensure!(
        mended.is_empty(),
        "these tests pass; take them out of spec/docker-engine/docker-py.toml: {mended:#?}"
    );
    Ok(())
}
