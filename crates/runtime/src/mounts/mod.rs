//! What is mounted in a container, from the list in its specification.
//!
//! In two steps. *Opening* makes a detached mount: for a bind mount that needs the host's paths
//! and privileges, for a file system the container's namespaces. *Attaching* puts it in its place,
//! looked up by `rooted` inside the container's root. So no path of the container is ever joined to
//! one of the host. The child of [`crate::start`] calls this.

pub(crate) mod cgroup;
mod copy_up;
pub(crate) mod filesystem;
pub(crate) mod options;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use self::filesystem::FileSystem;
use self::options::{Change, Options, Recursion};
use crate::launch::StartErrorKind;
use crate::overlay::{self, IdMapping};
use crate::sys::mount::{Attributes, set_attributes};

/// Why a mount could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// The kernel refused.
    #[error("{attempt} {}", path.display())]
    Refused {
        attempt: &'static str,
        path: PathBuf,
        source: Errno,
    },
    /// The mount point could not be looked up or made.
    #[error("find the mount point")]
    Place(#[source] RootedError),
    /// A mount over the kernel's own files would let the container forge them.
    #[error("mount on {}: /proc takes procfs only, and of the files in it only cpuinfo, meminfo and the like can be covered", .0.display())]
    InProc(PathBuf),
    /// A link there would lead masks and read-only paths astray.
    #[error("mount on {}: it is a symbolic link in this image", .0.display())]
    OnLink(PathBuf),
    /// The part of an image that is to be mounted is not there.
    #[error("cannot access path {} of the image: no such file or directory", .0.display())]
    NotInImage(PathBuf),
    /// A link in the image leads out of it.
    #[error("path concatenation escapes the base directory, subpath: {}", .0.display())]
    OutsideImage(PathBuf),
    /// The specification's mount has no type and is no bind mount.
    #[error("mount on {}: no type and no source", .0.display())]
    NoType(PathBuf),
}

impl MountError {
    pub(crate) fn new(attempt: &'static str, path: &Path, source: Errno) -> Self {
        Self::Refused {
            attempt,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the request or the host is at fault.
    pub(crate) const fn kind(&self) -> StartErrorKind {
        match self {
            Self::Refused {
                source: Errno::NOENT | Errno::INVAL | Errno::NOTDIR | Errno::NODEV | Errno::LOOP,
                ..
            }
            | Self::Place(_)
            | Self::InProc(_)
            | Self::OnLink(_)
            | Self::NotInImage(_)
            | Self::OutsideImage(_)
            | Self::NoType(_) => StartErrorKind::Invalid,
            Self::Refused { .. } => StartErrorKind::Internal,
        }
    }
}

/// One mount of a specification, and its detached mount once it is opened.
#[derive(Debug)]
pub(crate) struct Planned<'spec> {
    pub(crate) mount: &'spec Mount,
    pub(crate) options: Options,
    pub(crate) opened: Option<OwnedFd>,
}

impl<'spec> Planned<'spec> {
    /// Reads the options.
    pub(crate) fn new(mount: &'spec Mount) -> Self {
        let words = mount.options().iter().flatten().map(String::as_str);
        let mut options = Options::parse(words);
        if options.bind.is_none() && mount.typ().as_deref() == Some("bind") {
            options.bind = Some(Recursion::No);
        }
        Self {
            mount,
            options,
            opened: None,
        }
    }

    /// It shows a part of the host (or a volume), rather than a new file system.
    pub(crate) const fn is_bind(&self) -> bool {
        self.options.bind.is_some()
    }

    /// It shows a file system on a device of the host.
    fn is_on_device(&self) -> bool {
        let source = self.mount.source().as_deref();
        !self.is_bind() && source.is_some_and(|source| source.starts_with("/dev"))
    }

    /// Opens a bind mount, a file system on a device, or an image: needs the host's paths, and the
    /// host's privileges for the device or an id mapping.
    pub(crate) fn open_on_host(
        &mut self,
        id_mapping: Option<IdMapping<'_>>,
    ) -> Result<(), MountError> {
        let source = self.mount.source().clone().unwrap_or_default();
        let source = source.as_path();
        let fd = match self.options.bind {
            Some(recursion) => clone_tree(source, recursion)?,
            None if self.is_on_device() => self.make_file_system()?,
            None => {
                if let Some((layers, part)) = self.image() {
                    // Layers cannot be mapped once they are one file system.
                    let image = overlay::open_part(&layers, &part, id_mapping)?;
                    let path = self.mount.destination();
                    change(image.as_fd(), Recursion::No, self.options.attributes, path)?;
                    self.opened = Some(image);
                }
                return Ok(());
            }
        };
        if let Some(IdMapping { users, .. }) = id_mapping {
            let below = self.options.id_mapping == Some(Recursion::Yes);
            map_ids(fd.as_fd(), below, users, source)?;
        }
        self.opened = Some(fd);
        Ok(())
    }

    /// The layers of an image, the topmost first, and the path in it that is mounted: an overlay
    /// whose layers the kernel's `lowerdir+` names one by one, with mount(8)'s `X-mount.subdir`.
    fn image(&self) -> Option<(Vec<PathBuf>, PathBuf)> {
        let (mut layers, mut part) = (Vec::new(), PathBuf::new());
        for (key, value) in &self.options.data {
            let value = PathBuf::from(value.as_deref()?);
            match key.as_str() {
                "lowerdir+" => layers.push(value),
                "X-mount.subdir" => part = value,
                _ => return None,
            }
        }
        let is_overlay = self.mount.typ().as_deref() == Some("overlay");
        (is_overlay && !layers.is_empty()).then_some((layers, part))
    }

    /// Makes the file system, in the namespaces that this process is in.
    pub(crate) fn open_file_system(&mut self) -> Result<(), MountError> {
        self.opened = Some(self.make_file_system()?);
        Ok(())
    }

    fn make_file_system(&self) -> Result<OwnedFd, MountError> {
        let kind = self
            .mount
            .typ()
            .as_deref()
            .ok_or_else(|| MountError::NoType(self.mount.destination().clone()))?;
        make_file_system(kind, self.mount.source().as_deref(), &self.options)
    }

    /// Attaches what was opened.
    pub(crate) fn attach(self, root: &Root) -> Result<(), MountError> {
        let destination = self.mount.destination();
        let Some(opened) = self.opened else {
            return Err(MountError::NoType(destination.clone()));
        };
        let is_directory = FileType::from_raw_mode(stat_root(&opened, destination)?.st_mode)
            == FileType::Directory;
        let kernel = matches!(self.mount.typ().as_deref(), Some("proc" | "sysfs"))
            && self.options.bind.is_none();
        let place = mount_point(root, destination, is_directory, kernel)?;
        if !kernel {
            refuse_in_proc(place.as_fd(), root, destination, opened.as_fd())?;
        }
        if self.options.copy_up {
            copy_up::copy(place.as_fd(), opened.as_fd())
                .map_err(|errno| MountError::new("copy up", destination, errno))?;
        }
        attach(opened.as_fd(), place.as_fd(), destination)?;
        drop(place);
        if self.options.bind.is_some() || self.options.copy_up {
            change(
                opened.as_fd(),
                Recursion::No,
                self.options.attributes,
                destination,
            )?;
        }
        change(
            opened.as_fd(),
            Recursion::Yes,
            self.options.attributes_below,
            destination,
        )?;
        for (propagation, recursion) in self.options.propagation {
            set_propagation(opened.as_fd(), propagation, recursion, destination)?;
        }
        Ok(())
    }
}

/// A detached mount of the file system on a device, by `id_mapping` where there is one.
pub(crate) fn open_device(
    kind: &str,
    device: &Path,
    options: &[String],
    id_mapping: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, MountError> {
    let options = Options::parse(options.iter().map(String::as_str));
    let mount = make_file_system(kind, Some(device), &options)?;
    if let Some(userns) = id_mapping {
        map_ids(mount.as_fd(), false, userns, device)?;
    }
    Ok(mount)
}

fn make_file_system(
    kind: &str,
    source: Option<&Path>,
    options: &Options,
) -> Result<OwnedFd, MountError> {
    let system = FileSystem::open(kind)?;
    if let Some(source) = source {
        system.set_path("source", source)?;
    }
    for (key, value) in &options.data {
        // Each mount of devpts is an instance of its own since Linux 4.7.
        if kind == "devpts" && key == "newinstance" {
            continue;
        }
        system.set(key, value.as_deref())?;
    }
    // Content is copied up before the mount becomes read-only.
    let attributes = options.attributes.set
        & !if options.copy_up {
            libc::MOUNT_ATTR_RDONLY
        } else {
            0
        };
    system.mount(attributes)
}

fn map_ids(
    mount: BorrowedFd<'_>,
    below: bool,
    userns: BorrowedFd<'_>,
    path: &Path,
) -> Result<(), MountError> {
    let change = Attributes {
        id_mapping: Some(userns),
        ..Attributes::default()
    };
    set_attributes(mount, below, &change)
        .map_err(|errno| MountError::new("map the ids of", path, errno))
}

/// A detached copy of the mount at a path of the host.
pub(crate) fn clone_tree(path: &Path, recursion: Recursion) -> Result<OwnedFd, MountError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursion == Recursion::Yes {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, path, flags).map_err(|errno| MountError::new("bind", path, errno))
}

/// A detached copy of what a descriptor refers to.
pub(crate) fn clone_mount(of: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, MountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(of, "", flags).map_err(|errno| MountError::new("bind", path, errno))
}

/// Attaches a detached mount.
pub(crate) fn attach(
    mount: BorrowedFd<'_>,
    place: BorrowedFd<'_>,
    path: &Path,
) -> Result<(), MountError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
        .map_err(|errno| MountError::new("mount on", path, errno))
}

/// Sets and clears attributes of a mount.
pub(crate) fn change(
    mount: BorrowedFd<'_>,
    recursion: Recursion,
    wanted: Change,
    path: &Path,
) -> Result<(), MountError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let attributes = Attributes {
        set: wanted.set,
        clear: wanted.clear,
        ..Attributes::default()
    };
    set_attributes(mount, recursion == Recursion::Yes, &attributes)
        .map_err(|errno| MountError::new("set the mount attributes of", path, errno))
}

/// Sets how mounts and unmounts travel between this mount and its copies.
pub(crate) fn set_propagation(
    mount: BorrowedFd<'_>,
    propagation: u64,
    recursion: Recursion,
    path: &Path,
) -> Result<(), MountError> {
    let attributes = Attributes {
        propagation,
        ..Attributes::default()
    };
    set_attributes(mount, recursion == Recursion::Yes, &attributes)
        .map_err(|errno| MountError::new("set the mount propagation of", path, errno))
}

fn stat_root(mount: &OwnedFd, path: &Path) -> Result<fs::Stat, MountError> {
    fs::statat(mount, "", AtFlags::EMPTY_PATH)
        .map_err(|errno| MountError::new("look at", path, errno))
}

/// The place of a mount, made if it is missing: a directory for a directory, else a file.
pub(crate) fn mount_point(
    root: &Root,
    destination: &Path,
    is_directory: bool,
    refuse_links: bool,
) -> Result<OwnedFd, MountError> {
    if refuse_links {
        let relative = destination.strip_prefix("/").unwrap_or(destination);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        match fs::openat2(
            root,
            relative,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        ) {
            Err(Errno::LOOP) => return Err(MountError::OnLink(destination.to_owned())),
            Ok(place) => return Ok(place),
            Err(_) => {}
        }
    }
    let mode = Mode::from_raw_mode(0o755);
    let made = if is_directory {
        root.create_dir_all(destination, mode)
    } else {
        root.create_file(destination, mode)
    };
    let place = made.map_err(MountError::Place)?;
    if is_directory {
        return Ok(place);
    }
    // A file that was just made is open for writing; a mount point is only a place.
    drop(place);
    root.resolve(destination).map_err(MountError::Place)
}

/// Below `/proc`, only these may be covered: what system container tools replace, and masks.
const COVERABLE_IN_PROC: [&str; 9] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
];

/// Refuses a mount over a file of `/proc` that this crate, or the program, trusts.
pub(crate) fn refuse_in_proc(
    place: BorrowedFd<'_>,
    root: &Root,
    destination: &Path,
    mount: BorrowedFd<'_>,
) -> Result<(), MountError> {
    let on_proc =
        |fd: BorrowedFd<'_>| fs::fstatfs(fd).is_ok_and(|stat| stat.f_type == fs::PROC_SUPER_MAGIC);
    let inside = rooted::normalized(destination);
    if !on_proc(place) {
        // What passes for the kernel's files must be these: programs and masks trust them.
        return if inside == Path::new("proc") && !on_proc(mount) {
            Err(MountError::InProc(destination.to_owned()))
        } else {
            Ok(())
        };
    }
    let coverable = inside
        .strip_prefix("proc")
        .is_ok_and(|rest| COVERABLE_IN_PROC.iter().any(|path| rest == Path::new(path)));
    // The whole of /proc may be replaced, by another procfs only.
    let whole = root
        .stat(destination, true)
        .is_ok_and(|stat| stat.st_ino == PROC_ROOT_INODE)
        && on_proc(mount);
    if coverable || whole {
        Ok(())
    } else {
        Err(MountError::InProc(destination.to_owned()))
    }
}

/// The root directory of every procfs has this inode (`PROC_ROOT_INO` in the kernel).
pub(crate) const PROC_ROOT_INODE: u64 = 1;
