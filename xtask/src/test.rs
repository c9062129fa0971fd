//! `cargo xtask test`: installs what is needed and runs every test, the cheap ones first.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use tests::daemon::{Daemon, Kind};

use crate::{debian, install, kernel, step, suite, tidy};

/// What to test, and against whom.
#[derive(Args)]
pub(crate) struct Options {
    /// Run the tests of the real clients against this daemon, to test the tests.
    #[arg(long, value_enum, default_value = "longshore")]
    against: Against,
    /// Run the tests with real clients only.
    #[arg(long)]
    clients: bool,
    /// Run somebody else's tests only, unmodified.
    #[arg(long, value_enum)]
    suite: Option<Suite>,
    /// Where the suite's repository is cloned from, instead of its home.
    #[arg(long, requires = "suite")]
    source: Option<String>,
    /// Build, run and ask the Dockerfiles of the tests only; they fetch packages, which takes minutes.
    #[arg(long, conflicts_with = "machine")]
    dockerfiles: bool,
    /// Run the tests that boot a machine only.
    #[arg(long, conflicts_with = "clients")]
    machine: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Against {
    Longshore,
    Dockerd,
}

/// Tests of other projects.
#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    /// The integration tests of Docker's library for Python.
    DockerPy,
    /// Our own tests of Compose and buildx, with newer ones than Debian's.
    Compose,
    /// The conformance tests of the OCI Distribution Specification.
    OciDistribution,
}

/// Runs the tests.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::clients()?;
    let source = options.source.as_deref();
    match options.suite {
        Some(Suite::DockerPy) => {
            let (kind, binary) = match options.against {
                Against::Longshore => (Kind::Longshore, step::build_binary(false)?),
                Against::Dockerd => (Kind::Dockerd, PathBuf::new()),
            };
            return suite::docker_py(kind, &binary, source);
        }
        Some(Suite::OciDistribution) => {
            ensure!(
                options.against == Against::Longshore,
                "--against {:?}: it has no registry",
                options.against
            );
            install::go()?;
            let daemon = Daemon::start_with(&step::build_binary(false)?)?;
            return suite::oci_distribution(&daemon, source);
        }
        Some(Suite::Compose) => return newer_compose(options.against),
        None => {}
    }
    if options.dockerfiles {
        return step::run(
            clients()
                .env("LONGSHORE_BIN", step::build_binary(false)?)
                .env("LONGSHORE_DOCKERFILES", "1")
                .args(["--test", "clients", "each_builds", "--", "--nocapture"]),
        );
    }
    if options.against == Against::Dockerd {
        install::node()?;
        return step::run(
            clients()
                .env("LONGSHORE_AGAINST", "dockerd")
                .args(["--test", "clients"]),
        );
    }
    if options.machine {
        return machine(&step::build_binary(false)?);
    }
    if !options.clients {
        step::run(&mut step::cargo(&["fmt", "--all", "--check"]))?;
        tidy::run()?;
        step::run(&mut step::cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]))?;
        step::run(&mut step::cargo(&[
            "test",
            "--workspace",
            "--exclude",
            "tests",
            "--locked",
        ]))?;
    }
    let binary = step::build_binary(false)?;
    let debian = match tests::setting("LONGSHORE_DEBIAN") {
        Some(archive) => PathBuf::from(archive),
        None => debian::archive()?,
    };
    let with_clients = || {
        let mut tests = clients();
        tests.env("LONGSHORE_BIN", &binary);
        tests.env("LONGSHORE_OPENSTACK", install::openstack_program());
        tests
    };
    install::node()?;
    step::run(
        with_clients()
            .env("LONGSHORE_DEBIAN", debian)
            .args(["--test", "clients"]),
    )?;
    step::run(with_clients().args(["--test", "faults", "--", "--test-threads=1"]))?;
    if options.clients {
        return Ok(());
    }
    machine(&binary)
}

/// Runs the tests of Compose and buildx with programs that Debian does not have.
fn newer_compose(against: Against) -> Result<()> {
    install::go()?;
    let programs = suite::programs()?;
    let mut tests = clients();
    match against {
        Against::Longshore => tests.env("LONGSHORE_BIN", step::build_binary(false)?),
        Against::Dockerd => tests.env("LONGSHORE_AGAINST", "dockerd"),
    };
    step::run(
        tests
            .env("LONGSHORE_COMPOSE", programs.compose)
            .env("LONGSHORE_BUILDX", programs.buildx)
            .args(["--test", "clients", "--", "compose", "buildx"]),
    )
}

/// Boots machines of the tests' own, whose kernel is for one kind of processor.
fn machine(binary: &Path) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        step::show("tests/machine is skipped: its kernel is for x86-64");
        return Ok(());
    }
    install::machine()?;
    let kernel = match tests::setting("LONGSHORE_KERNEL") {
        Some(kernel) => PathBuf::from(kernel),
        None => kernel::unpacked()?,
    };
    step::run(
        clients()
            .env("LONGSHORE_BIN", binary)
            .env("LONGSHORE_KERNEL", kernel)
            .args(["--test", "machine", "--", "--test-threads=1"]),
    )
}

fn clients() -> Command {
    // Of the whole workspace, lest its dependencies are built a second time with fewer features.
    step::cargo(&["test", "--workspace", "--locked"])
}
