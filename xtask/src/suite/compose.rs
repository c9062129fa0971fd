//! Compose's second generation and the buildx that it builds with, for our own tests of `docker-compose`.
//!
//! Debian has neither. They are built from their released sources by Go's own tools, and kept below the
//! target directory: that takes minutes, so it is no part of `cargo xtask test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::step;

/// A release of a program.
struct Release {
    package: &'static str,
    version: &'static str,
    /// Where the program has its version from.
    variable: &'static str,
}

const COMPOSE: Release = Release {
    package: "github.com/docker/compose/v2/cmd",
    version: "v2.40.3",
    variable: "github.com/docker/compose/v2/internal.Version",
};
/// The one that this Compose's own requirements name; Compose asks which it is.
const BUILDX: Release = Release {
    package: "github.com/docker/buildx/cmd/buildx",
    version: "v0.29.1",
    variable: "github.com/docker/buildx/version.Version",
};

/// Where the programs are.
pub(crate) struct Programs {
    pub(crate) compose: PathBuf,
    pub(crate) buildx: PathBuf,
}

/// Builds both, unless they are there.
///
/// # Errors
/// When their sources cannot be fetched or built.
pub(crate) fn programs() -> Result<Programs> {
    let directory = step::target_directory()?.join("compose");
    std::fs::create_dir_all(&directory)?;
    Ok(Programs {
        compose: build(&directory, &COMPOSE)?,
        buildx: build(&directory, &BUILDX)?,
    })
}

/// Builds one release, in a module around it: what it excludes of its dependencies `go install` refuses.
fn build(directory: &Path, release: &Release) -> Result<PathBuf> {
    let Release {
        package,
        version,
        variable,
    } = release;
    let name = package.split('/').nth(2).unwrap_or(package);
    let program = directory.join(format!("docker-{name}-{version}"));
    if program.exists() {
        return Ok(program);
    }
    let module = tempfile::tempdir()?;
    let go = |args: &[&str]| {
        let mut go = Command::new("go");
        go.args(args)
            .current_dir(module.path())
            .env("CGO_ENABLED", "0");
        step::run(&mut go)
    };
    go(&["mod", "init", "programs"])?;
    go(&["get", &format!("{package}@{version}")])?;
    let unfinished = module.path().join("program");
    let told = format!("-X {variable}={version}");
    let into = unfinished.to_string_lossy();
    go(&["build", "-ldflags", &told, "-o", &into, package])?;
    // Whole or not at all: it is looked for by its name.
    let moved = program.with_extension("new");
    std::fs::copy(&unfinished, &moved)?;
    std::fs::rename(moved, &program)?;
    Ok(program)
}
