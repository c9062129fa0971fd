//! Where the engine keeps what, below the data directory.
//!
//! ```text
//! instances/<32 hex digits>/{upper,work,hosts,hostname,resolv.conf,<id>-json.log}
//! volumes/<project>/<name>/{_data,volume.json,disk}
//! disks/<32 hex digits>.img  what volumes with a size, and snapshots, hold
//! base/                     what every root file system has at least; the lowest layer of all
//! keeper/, run/             the keeper's socket and the network name spaces
//! ```

use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use model::{Id, ProjectId};

/// Paths below one data directory.
#[derive(Clone, Debug)]
pub struct Directories {
    root: PathBuf,
}

/// Why the directories could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make {path}")]
pub struct MakeError {
    path: PathBuf,
    source: io::Error,
}

impl Directories {
    /// The directories below `root`; nothing is made yet.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Makes what must be there before anything else.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn make(&self) -> Result<(), MakeError> {
        for (path, mode) in [
            (self.root.join("instances"), 0o710),
            (self.root.join("volumes"), 0o711),
            (self.disks(), 0o700),
        ] {
            make_directory(&path, mode)?;
        }
        make_base(&self.base())
    }

    /// Socket and lock of the keeper.
    #[must_use]
    pub fn keeper(&self) -> PathBuf {
        self.root.join("keeper")
    }

    /// Network name spaces, kept by name.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The lowest layer of every root file system: the directories that mounts need, and the links
    /// that programs expect, where an image lacks them.
    #[must_use]
    pub fn base(&self) -> PathBuf {
        self.root.join("base")
    }

    /// Everything of one instance.
    #[must_use]
    pub fn instance(&self, id: Id) -> InstanceDirectory {
        let name = id.simple();
        InstanceDirectory {
            root: self.root.join("instances").join(&name),
            name,
        }
    }

    /// Every instance that has a directory.
    #[must_use]
    pub fn instances(&self) -> Vec<Id> {
        let Ok(entries) = std::fs::read_dir(self.root.join("instances")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// The files behind volumes with a size, and behind snapshots.
    #[must_use]
    pub fn disks(&self) -> PathBuf {
        self.root.join("disks")
    }

    /// The file behind a volume with a size, or a snapshot.
    #[must_use]
    pub fn disk(&self, id: Id) -> PathBuf {
        self.disks().join(format!("{}.img", id.simple()))
    }

    /// Everything of one volume; the name is known to be a single path component.
    #[must_use]
    pub fn volume(&self, project: ProjectId, name: &str) -> PathBuf {
        self.volumes_of(project).join(name)
    }

    /// Every volume of one project.
    #[must_use]
    pub fn volumes_of(&self, project: ProjectId) -> PathBuf {
        self.root.join("volumes").join(project.to_string())
    }
}

/// Paths of one instance.
#[derive(Clone, Debug)]
pub struct InstanceDirectory {
    root: PathBuf,
    name: String,
}

impl InstanceDirectory {
    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is written to its root file system.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.root.join("upper")
    }

    /// The kernel's scratch directory for `upper`.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Becomes `/etc/hosts`.
    #[must_use]
    pub fn hosts(&self) -> PathBuf {
        self.root.join("hosts")
    }

    /// Becomes `/etc/hostname`.
    #[must_use]
    pub fn hostname(&self) -> PathBuf {
        self.root.join("hostname")
    }

    /// Becomes `/etc/resolv.conf`.
    #[must_use]
    pub fn resolv_conf(&self) -> PathBuf {
        self.root.join("resolv.conf")
    }

    /// Its output; older files have `.1`, `.2` and so on added.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join(format!("{}-json.log", self.name))
    }

    /// Its configuration drive, where it has one.
    #[must_use]
    pub fn drive(&self) -> PathBuf {
        self.root.join("drive")
    }

    /// Its `/dev/shm`, where other instances may share it.
    #[must_use]
    pub fn shared_memory(&self) -> PathBuf {
        self.root.join("shm")
    }
}

/// Makes a directory and those on the way, unless it exists.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), MakeError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| MakeError {
            path: path.to_owned(),
            source,
        })
}

fn make_base(base: &Path) -> Result<(), MakeError> {
    // As dockerd's own first layer has it (moby, daemon/initlayer/setup_unix.go). Under the image
    // instead of over it, so that it neither hides nor changes anything the image has.
    for directory in ["dev/pts", "dev/shm", "proc", "sys", "etc"] {
        make_directory(&base.join(directory), 0o755)?;
    }
    for file in [
        ".dockerenv",
        "dev/console",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
    ] {
        let path = base.join(file);
        let made = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path);
        made.map_err(|source| MakeError { path, source })?;
    }
    let link = base.join("etc/mtab");
    match symlink("/proc/mounts", &link) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(MakeError { path: link, source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn making_twice_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        let directories = Directories::below(directory.path());
        directories.make().unwrap();
        directories.make().unwrap();
        let link = std::fs::read_link(directories.base().join("etc/mtab")).unwrap();
        assert_eq!(link, Path::new("/proc/mounts"));
    }

    #[test]
    fn an_instance_has_its_id_in_its_logs_name() {
        let id = Id::from_bytes([7; 16]);
        let log = Directories::below(Path::new("/data")).instance(id).log();
        assert_eq!(
            log.file_name().unwrap().to_str().unwrap(),
            format!("{}-json.log", id.simple())
        );
    }
}
