//! What a daemon has on this machine, to see that nothing of it is left behind; and what test runs
//! that were killed have left behind, to take it away.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// What the name of a daemon's scratch directory begins with; the test's process id follows.
const SCRATCH: &str = "longshore-test-";

/// In the scratch directory, what a disk that loses writes is made of.
pub(crate) const BACKING: &str = "disk";

/// Makes a scratch directory that [`sweep`] finds once this process is gone.
pub(crate) fn scratch() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("{SCRATCH}{}-", std::process::id()))
        .tempdir()
}

/// Takes down the daemons of test runs that were killed, and removes their scratch directories.
/// What cannot be taken down stays, for somebody to look at.
///
/// # Errors
/// When directories or mounts cannot be listed, or our binary cannot be executed.
pub(crate) fn sweep(binary: &Path) -> Result<()> {
    for entry in std::fs::read_dir(std::env::temp_dir())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let owner = name.and_then(|name| name.strip_prefix(SCRATCH)?.split_once('-'));
        let Some((owner, _)) = owner else { continue };
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        let data = path.join("data");
        let down = Command::new(binary)
            .arg("down")
            .arg("--data-dir")
            .arg(&data)
            .output()
            .with_context(|| format!("execute {}", binary.display()))?;
        // A small file system that a test filled up.
        let unmounted = Command::new("umount").arg(&data).output()?;
        Command::new("umount").arg(path.join(BACKING)).output()?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let is_mounted = path.to_str().is_some_and(|path| mounts.contains(path));
        if (down.status.success() || unmounted.status.success()) && !is_mounted {
            std::fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Mounts, disks, links, cgroups, firewall tables and processes of one daemon.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Mount points below its directory.
    pub mounts: Vec<String>,
    /// Files below its directory that have a loop device.
    pub disks: Vec<String>,
    /// Network interfaces with its prefix.
    pub links: Vec<String>,
    /// Firewall tables with its prefix.
    pub tables: Vec<String>,
    /// Cgroup directories of its containers.
    pub cgroups: Vec<String>,
    /// Command lines that name its directory.
    pub processes: Vec<String>,
}

impl Snapshot {
    /// Looks at this machine.
    ///
    /// # Errors
    /// When `/proc` cannot be read or `ip` and `nft` cannot be executed.
    pub fn take(prefix: &str, dir: &Path) -> Result<Self> {
        let dir = dir
            .to_str()
            .context("the scratch directory's name is text")?;
        Ok(Self {
            mounts: lines_with(&std::fs::read_to_string("/proc/self/mountinfo")?, dir),
            disks: disks_of(dir)?,
            links: lines_with(&output("ip", &["-o", "link", "show"])?, prefix),
            tables: lines_with(&output("nft", &["list", "tables"])?, prefix),
            cgroups: cgroups_of(dir)?,
            processes: processes_of(dir)?,
        })
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn lines_with(text: &str, part: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.contains(part))
        .map(str::to_owned)
        .collect()
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("execute {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Cgroups of a data directory: those below the one that is named by its device and inode.
fn cgroups_of(dir: &str) -> Result<Vec<String>> {
    let data = std::fs::metadata(Path::new(dir).join("data"))?;
    let pattern = format!("*/longshore/{:x}-{:x}*", data.dev(), data.ino());
    let listed = output("find", &["/sys/fs/cgroup", "-type", "d", "-path", &pattern])?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn disks_of(dir: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block")? {
        // Only one that is in use has such a file.
        let file = std::fs::read_to_string(entry?.path().join("loop/backing_file"));
        found.extend(file.ok().filter(|file| file.contains(dir)));
    }
    Ok(found)
}

fn processes_of(dir: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        // A process may end while it is looked at.
        let Ok(line) = std::fs::read(path.join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(dir) && line.contains("longshore") {
            found.push(line);
        }
    }
    Ok(found)
}
