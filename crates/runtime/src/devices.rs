//! Device nodes and links in a container's `/dev` (`config-linux.md`, "Devices").
//!
//! Whether a device may be used is the cgroup's to say ([`crate::cgroup`]); this only makes nodes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::mounts::{MountError, attach, clone_mount};

/// Why a device could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// The place could not be looked up.
    #[error("find the place of device {}", path.display())]
    Place { path: PathBuf, source: RootedError },
    /// The kernel refused.
    #[error("{attempt} device {}", path.display())]
    Refused {
        attempt: &'static str,
        path: PathBuf,
        source: Errno,
    },
    /// The host's own node could not be shown instead.
    #[error("show the host's device {}", path.display())]
    Bind { path: PathBuf, source: MountError },
    /// Something else is there already.
    #[error("device {}: there is another file in its place", .0.display())]
    Occupied(PathBuf),
}

/// A device every container has, by the kernel's `admin-guide/devices.txt`.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("dev/null", 1, 3),
    ("dev/zero", 1, 5),
    ("dev/full", 1, 7),
    ("dev/random", 1, 8),
    ("dev/urandom", 1, 9),
    ("dev/tty", 5, 0),
];

/// Links in `/dev` that every container has; the last one only with a `devpts` of its own.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// How nodes come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// By `mknod`.
    Make,
    /// By showing the host's node: in a user namespace the kernel makes none that works.
    Bind,
}

/// Makes the default devices and links, and those asked for.
///
/// Changes the umask meanwhile, so that nodes have the modes they are made with.
pub(crate) fn make(root: &Root, wanted: &[LinuxDevice], means: Means) -> Result<(), DeviceError> {
    let umask = rustix::process::umask(Mode::empty());
    for (path, major, minor) in DEFAULT {
        let path = Path::new(path);
        if wanted
            .iter()
            .any(|device| rooted::normalized(device.path()) == path)
        {
            continue;
        }
        let node = Node {
            path,
            kind: FileType::CharacterDevice,
            major,
            minor,
            mode: 0o666,
            owner: (0, 0),
            means,
        };
        node.make(root)?;
    }
    for device in wanted {
        let kind = match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            _ => FileType::CharacterDevice,
        };
        let number = |number: i64| u32::try_from(number).unwrap_or(0);
        let node = Node {
            path: device.path(),
            kind,
            major: number(device.major()),
            minor: number(device.minor()),
            mode: device.file_mode().unwrap_or(0o666),
            owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
            means: if kind == FileType::Fifo {
                Means::Make
            } else {
                means
            },
        };
        node.make(root)?;
    }
    rustix::process::umask(umask);
    Ok(())
}

/// Makes the links that programs expect.
pub(crate) fn link(root: &Root, has_devpts: bool) -> Result<(), DeviceError> {
    let dev = Path::new("dev");
    let parent = root
        .create_dir_all(dev, Mode::from_raw_mode(0o755))
        .map_err(|source| DeviceError::Place {
            path: dev.to_owned(),
            source,
        })?;
    for (name, target) in LINKS {
        if name == "ptmx" && !has_devpts {
            continue;
        }
        let refused = |source| DeviceError::Refused {
            attempt: "link",
            path: dev.join(name),
            source,
        };
        match fs::symlinkat(target, &parent, name) {
            Err(Errno::EXIST) if name == "ptmx" => {
                // An image's own node would open the host's terminals.
                fs::unlinkat(&parent, name, AtFlags::empty()).map_err(refused)?;
                fs::symlinkat(target, &parent, name).map_err(refused)?;
            }
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(refused(errno)),
        }
    }
    Ok(())
}

struct Node<'path> {
    path: &'path Path,
    kind: FileType,
    major: u32,
    minor: u32,
    mode: u32,
    owner: (u32, u32),
    means: Means,
}

impl Node<'_> {
    fn make(&self, root: &Root) -> Result<(), DeviceError> {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        let parent = root
            .create_dir_all(directory, Mode::from_raw_mode(0o755))
            .map_err(|source| DeviceError::Place {
                path: self.path.to_owned(),
                source,
            })?;
        if self.means == Means::Bind {
            return self.show(root);
        }
        let Some(name) = self.path.file_name() else {
            return Err(self.refused("find a name for")(Errno::INVAL));
        };
        let number = fs::makedev(self.major, self.minor);
        let mode = Mode::from_raw_mode(self.mode & 0o7777);
        match fs::mknodat(&parent, name, self.kind, mode, number) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let found = fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(self.refused("look at"))?;
                let same = FileType::from_raw_mode(found.st_mode) == self.kind
                    && (self.kind == FileType::Fifo || found.st_rdev == number);
                return if same {
                    Ok(())
                } else {
                    Err(DeviceError::Occupied(self.path.to_owned()))
                };
            }
            Err(Errno::PERM) => return self.show(root),
            Err(errno) => return Err(self.refused("make")(errno)),
        }
        let (uid, gid) = self.owner;
        if (uid, gid) != (0, 0) {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            fs::chownat(
                &parent,
                name,
                Some(uid),
                Some(gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(self.refused("set the owner of"))?;
        }
        Ok(())
    }

    /// Binds the host's node of this number. It is found by the path, and checked by the number.
    fn show(&self, root: &Root) -> Result<(), DeviceError> {
        let host = host_node(
            &Path::new("/").join(self.path),
            self.kind,
            fs::makedev(self.major, self.minor),
        )
        .map_err(self.refused("open the host's"))?;
        let place = root
            .create_file(self.path, Mode::from_raw_mode(0o644))
            .and_then(|_made| root.resolve(self.path))
            .map_err(|source| DeviceError::Place {
                path: self.path.to_owned(),
                source,
            })?;
        clone_mount(host.as_fd(), self.path)
            .and_then(|mount| attach(mount.as_fd(), place.as_fd(), self.path))
            .map_err(|source| DeviceError::Bind {
                path: self.path.to_owned(),
                source,
            })
    }

    fn refused(&self, attempt: &'static str) -> impl Fn(Errno) -> DeviceError {
        let path = self.path.to_owned();
        move |source| DeviceError::Refused {
            attempt,
            path: path.clone(),
            source,
        }
    }
}

/// A handle on the host's device node at this path, if it is the device it should be.
pub(crate) fn host_node(path: &Path, kind: FileType, number: fs::Dev) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = fs::openat(CWD, path, flags, Mode::empty())?;
    let stat = fs::fstat(&node)?;
    let same = FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == number;
    if same { Ok(node) } else { Err(Errno::NXIO) }
}
