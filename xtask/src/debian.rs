//! The machine that the tests start in a container: Debian with systemd and cloud-init, as tar, made
//! once below the target directory.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::step;

/// Debian's release that Longshore is tested on.
const RELEASE: &str = "bookworm";
/// What a machine has beside the smallest system. `debootstrap` does not find what brings the
/// virtual package that cloud-init's libraries need, so that it is named.
const PACKAGES: &str = "systemd-sysv,dbus,iproute2,netbase,locales,cloud-init,python3-cffi-backend";

/// The archive of its root file system, made unless it is there.
///
/// # Errors
/// When `debootstrap` fails.
pub(crate) fn archive() -> Result<PathBuf> {
    let parent = step::target_directory()?.join("machine");
    let archive = parent.join("debian.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let root = parent.join("debian");
    std::fs::create_dir_all(&parent)?;
    if root.exists() {
        std::fs::remove_dir_all(&root)?;
    }
    step::run(
        Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={PACKAGES}")])
            .arg(RELEASE)
            .arg(&root),
    )?;
    // Whoever starts it is another machine.
    std::fs::write(root.join("etc/machine-id"), "")?;
    // Whole or not at all: it is looked for by its name.
    let packing = parent.join("packing.tar");
    step::run(
        Command::new("tar")
            .args(["--create", "--numeric-owner", "--one-file-system"])
            .args([
                "--exclude=./dev/*",
                "--exclude=./var/cache/apt/*",
                "--exclude=./var/lib/apt/lists/*",
            ])
            .arg("--file")
            .arg(&packing)
            .arg("--directory")
            .arg(&root)
            .arg("."),
    )?;
    std::fs::rename(packing, &archive)?;
    std::fs::remove_dir_all(root)?;
    Ok(archive)
}
