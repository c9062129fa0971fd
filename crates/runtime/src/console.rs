//! Pseudo-terminals, opened by descriptor before the child exists, so that nothing in the
//! container can swap a path meanwhile (CVE-2025-52565).
//!
//! The keeper keeps the master; the slave becomes the child's standard streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Mount;
use rooted::Root;
use rustix::fs::{self, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::idmap::Mappings;
use crate::launch::{Exec, Launch, StartError, StartErrorKind};
use crate::mounts::filesystem::FileSystem;
use crate::mounts::options::Options;
use crate::mounts::{MountError, attach, clone_mount};
use crate::procfs::Proc;
use crate::target::Target;

/// The child's side of a pseudo-terminal.
#[derive(Debug)]
pub struct Slave {
    pub(crate) fd: OwnedFd,
    /// The instance it belongs to, detached, to be attached at the container's `/dev/pts`.
    pub(crate) devpts: Option<OwnedFd>,
}

/// Why there is no pseudo-terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsoleError {
    /// The instance could not be made.
    #[error("make pseudo-terminals for the container")]
    Instance(#[source] MountError),
    /// The kernel refused.
    #[error("{attempt} pseudo-terminal")]
    Refused {
        attempt: &'static str,
        source: Errno,
    },
    /// The container has replaced it, or never had it.
    #[error("the container's /dev/pts/ptmx is none")]
    NoMultiplexer,
}

impl From<ConsoleError> for StartError {
    fn from(error: ConsoleError) -> Self {
        Self::caused(StartErrorKind::Internal, &error)
    }
}

/// Opens a pseudo-terminal in a new instance of `devpts` that becomes the container's own.
///
/// Answers the master, which the caller keeps, and the slave for [`crate::start::ChildIo`]. A
/// container without a `devpts` mount gets a terminal of the host's instance.
///
/// # Errors
/// When the kernel refuses.
pub fn for_container(launch: &Launch) -> Result<(OwnedFd, Slave), StartError> {
    let linux = launch.spec.linux().as_ref();
    let mappings = linux.and_then(|linux| {
        Mappings::new(linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref()).ok()
    });
    let own = launch
        .spec
        .mounts()
        .iter()
        .flatten()
        .find(|mount| mount.typ().as_deref() == Some("devpts"));
    let devpts = own
        .map(|mount| instance(mount, mappings))
        .transpose()
        .map_err(ConsoleError::Instance)?;
    let multiplexer = match &devpts {
        Some(devpts) => open_multiplexer(devpts.as_fd(), Path::new("ptmx")),
        None => open_multiplexer(CWD, Path::new("/dev/ptmx")),
    }?;
    let (master, fd) = pair(multiplexer, launch.stdio.terminal)?;
    if let Some(mappings) = mappings {
        // Opened by the host's root, who is nobody in there.
        let owner = mappings.host_user(0).map(fs::Uid::from_raw);
        fs::fchown(&fd, owner, None).map_err(|source| ConsoleError::Refused {
            attempt: "give away",
            source,
        })?;
    }
    Ok((master, Slave { fd, devpts }))
}

/// Opens a pseudo-terminal in the `devpts` of the container whose process 1 is `target` (a pidfd).
///
/// # Errors
/// When the container has no usable `/dev/pts/ptmx`, or the kernel refuses.
pub fn for_exec(exec: &Exec, target: BorrowedFd<'_>) -> Result<(OwnedFd, Slave), StartError> {
    let proc =
        Proc::open().map_err(|error| StartError::caused(StartErrorKind::Internal, &error))?;
    let root = Target::new(&proc, target)
        .and_then(|target| target.root(&proc))
        .map_err(|error| StartError::caused(StartErrorKind::Internal, &error))?;
    let root = Root::from_fd(root);
    let place = root
        .resolve(Path::new("dev/pts/ptmx"))
        .map_err(|_| ConsoleError::NoMultiplexer)?;
    // The container may have put anything there, so it is looked at before it is opened.
    let refused = |source| ConsoleError::Refused {
        attempt: "look at",
        source,
    };
    let stat = fs::fstat(&place).map_err(refused)?;
    let genuine = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == fs::makedev(5, 2)
        && fs::fstatfs(&place).map_err(refused)?.f_type == DEVPTS_MAGIC;
    if !genuine {
        return Err(ConsoleError::NoMultiplexer.into());
    }
    let link = format!("self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&place));
    let multiplexer = proc
        .open_link(Path::new(&link), OFlags::RDWR | OFlags::NOCTTY)
        .map_err(|error| ConsoleError::Refused {
            attempt: "open",
            source: error.source,
        })?;
    let (master, fd) = pair(multiplexer, exec.stdio.terminal)?;
    Ok((master, Slave { fd, devpts: None }))
}

/// From `linux/magic.h`.
const DEVPTS_MAGIC: fs::FsWord = 0x1cd1;

/// A detached instance of `devpts` with the options of the container's mount.
fn instance(mount: &Mount, mappings: Option<Mappings<'_>>) -> Result<OwnedFd, MountError> {
    let options = Options::parse(mount.options().iter().flatten().map(String::as_str));
    let system = FileSystem::open("devpts")?;
    for (key, value) in &options.data {
        match (key.as_str(), value.as_deref()) {
            ("newinstance", _) => {}
            // The kernel reads these as the host's ids here.
            ("gid", Some(value)) => {
                let group = value.parse().ok().and_then(|gid| {
                    mappings.map_or(Some(gid), |mappings| mappings.host_group(gid))
                });
                system.set(
                    "gid",
                    Some(&group.map_or_else(|| value.to_owned(), |gid: u32| gid.to_string())),
                )?;
            }
            (key, value) => system.set(key, value)?,
        }
    }
    system.mount(options.attributes.set)
}

fn open_multiplexer(directory: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, ConsoleError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    fs::openat(directory, path, flags, Mode::empty()).map_err(|source| ConsoleError::Refused {
        attempt: "open",
        source,
    })
}

fn pair(master: OwnedFd, size: Option<(u16, u16)>) -> Result<(OwnedFd, OwnedFd), ConsoleError> {
    let refused = |attempt| move |source| ConsoleError::Refused { attempt, source };
    unlockpt(&master).map_err(refused("unlock"))?;
    let slave = other_side(master.as_fd()).map_err(refused("open the other side of"))?;
    if let Some((rows, columns)) = size {
        resize(master.as_fd(), rows, columns).map_err(refused("set the size of"))?;
    }
    Ok((master, slave))
}

/// Opens the slave of a pseudo-terminal, by its master.
pub(crate) fn other_side(master: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    ioctl_tiocgptpeer(master, flags)
}

/// Sets the size of a pseudo-terminal, by its master.
///
/// # Errors
/// When it is none.
pub fn resize(master: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<(), Errno> {
    tcsetwinsize(
        master,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
}

/// Shows the terminal as the container's `/dev/console`.
pub(crate) fn show(root: &Root, slave: &OwnedFd) -> Result<(), MountError> {
    let path = Path::new("dev/console");
    let place = root
        .create_file(path, Mode::from_raw_mode(0o600))
        .and_then(|_made| root.resolve(path))
        .map_err(MountError::Place)?;
    let mount = clone_mount(slave.as_fd(), path)?;
    attach(mount.as_fd(), place.as_fd(), path)
}
