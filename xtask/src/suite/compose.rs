//! Compose's second generation and the buildx that it builds with, for our own tests of `docker-compose`.
//!
//! Debian has neither. They are built from their released sources by Go's own tools, and kept below the
//! target directory: that takes minutes, so it is no part of `cargo xtask test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::step;

const COMPOSE: (&str, &str) = ("github.com/docker/compose/v2/cmd", "v2.40.3");
/// The one that this Compose's own requirements name.
const BUILDX: (&str, &str) = ("github.com/docker/buildx/cmd/buildx", "v0.29.1");

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
        compose: build(&directory, COMPOSE)?,
        buildx: build(&directory, BUILDX)?,
    })
}

/// Builds one release, in a module around it: what it excludes of its dependencies `go install` refuses.
fn build(directory: &Path, (package, version): (&str, &str)) -> Result<PathBuf> {
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
    go(&["build", "-o", &unfinished.to_string_lossy(), package])?;
    // Whole or not at all: it is looked for by its name.
    let moved = program.with_extension("new");
    std::fs::copy(&unfinished, &moved)?;
    std::fs::rename(moved, &program)?;
    Ok(program)
}
