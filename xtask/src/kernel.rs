//! The kernel that the test machine boots: Debian's newest for virtual machines, unpacked below the
//! target directory and never installed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::step;

/// The package that depends on the newest kernel.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// The directory of the unpacked package, downloaded unless it is there.
///
/// # Errors
/// When Debian's package manager fails.
pub(crate) fn unpacked() -> Result<PathBuf> {
    let parent = step::target_directory()?.join("machine");
    let directory = parent.join("kernel");
    if directory.exists() {
        return Ok(directory);
    }
    let package = newest()?;
    let download = parent.join("download");
    std::fs::create_dir_all(&download)?;
    step::run(
        Command::new("apt-get")
            .args(["download", "--quiet", "--quiet", &package])
            // Nobody else can write there.
            .args(["--option", "APT::Sandbox::User=root"])
            .current_dir(&download),
    )?;
    let archive = std::fs::read_dir(&download)?
        .next()
        .context("apt-get downloaded nothing")??
        .path();
    // Whole or not at all: it is looked for by its name.
    let unpacking = parent.join("unpacking");
    step::run(
        Command::new("dpkg")
            .arg("--extract")
            .arg(archive)
            .arg(&unpacking),
    )?;
    std::fs::rename(unpacking, &directory)?;
    std::fs::remove_dir_all(download)?;
    Ok(directory)
}

/// The package of the newest kernel itself.
fn newest() -> Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", "--important", PACKAGE])
        .output()
        .context("execute apt-cache")?;
    ensure!(output.status.success(), "apt-cache knows no {PACKAGE}");
    let text = String::from_utf8(output.stdout)?;
    let dependency = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "));
    Ok(dependency.context("it depends on no kernel")?.to_owned())
}
