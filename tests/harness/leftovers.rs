//! What a daemon has on this machine, to see that nothing of it is left behind.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Mounts, links, cgroups, firewall tables and processes of one daemon.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Mount points below its directory.
    pub mounts: Vec<String>,
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

/// Cgroups whose name was made from this data directory. The daemon writes the name it took into
/// its data directory.
fn cgroups_of(dir: &str) -> Result<Vec<String>> {
    let Ok(name) = std::fs::read_to_string(Path::new(dir).join("data/run/cgroup")) else {
        return Ok(Vec::new());
    };
    let listed = output(
        "find",
        &[
            "/sys/fs/cgroup",
            "-type",
            "d",
            "-path",
            &format!("*{}*", name.trim()),
        ],
    )?;
    Ok(listed.lines().map(str::to_owned).collect())
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
