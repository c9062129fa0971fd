//! Mounts that come and go in a container which runs.
//!
//! A detached mount is attached inside by a thread of ours that joins the container's mount
//! namespace and ends there, so the container's program need not help, and may be frozen. Paths are
//! looked up inside only. The engine calls this; mounts that are there from the start are
//! [`crate::start`]'s.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use crate::mounts::{MountError, attach, mount_point, refuse_in_proc};
use crate::procfs::{Proc, ProcError};
use crate::sys::identity::as_file_owner;
use crate::sys::mount::{Attributes, set_attributes};
use crate::sys::namespace::unshare;
use crate::target::{Target, TargetError};

/// Why a mount could not be put into a container, or be taken out of it.
#[derive(Debug, thiserror::Error)]
pub enum InsertionError {
    /// The container has ended, or cannot be joined.
    #[error("join the mount namespace of the container")]
    Join(#[source] Unjoinable),
    /// Its place cannot be found or made.
    #[error("find {} in the container", path.display())]
    Place {
        /// The path inside.
        path: PathBuf,
        /// Why.
        source: RootedError,
    },
    /// The kernel refused to mount.
    #[error("mount in the container")]
    Mount(#[source] Unattachable),
    /// What was written could not be brought to rest, or it could not be unmounted.
    #[error("{attempt} {} in the container", path.display())]
    Unmount {
        /// What was tried.
        attempt: &'static str,
        /// The path inside.
        path: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
    /// A program has files there open, or stands in there.
    #[error(
        "unmount {} in the container: it is in use there; close its files and leave its directories first", .0.display()
    )]
    Busy(PathBuf),
    /// Our own thread broke.
    #[error("a thread of the engine broke")]
    Thread,
}

/// Why a container could not be joined.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unjoinable(#[from] TargetError);

/// Why a mount could not be attached.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unattachable(#[from] MountError);

/// Which file system a mount shows, and which directory of it: device and inode number of its root.
pub type Shown = (u64, u64);

/// What a mount shows.
///
/// # Errors
/// What the kernel answers.
pub fn shown(mount: BorrowedFd<'_>) -> Result<Shown, Errno> {
    fs::statat(mount, "", AtFlags::EMPTY_PATH).map(|stat| (stat.st_dev, stat.st_ino))
}

/// Refuses writes to a detached mount, and to those below it.
///
/// # Errors
/// What the kernel answers.
pub fn make_read_only(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = Attributes {
        set: libc::MOUNT_ATTR_RDONLY,
        ..Attributes::default()
    };
    set_attributes(mount, true, &attributes)
}

/// Attaches a detached mount at a path of the container whose process 1 is `target` (a pidfd), with
/// ids mapped as the container's are. What shows the same there already is fine.
///
/// # Errors
/// [`InsertionError`].
pub fn insert(
    target: BorrowedFd<'_>,
    mount: BorrowedFd<'_>,
    path: &Path,
) -> Result<(), InsertionError> {
    let proc = Proc::open().map_err(cannot_look)?;
    let process = Target::new(&proc, target).map_err(cannot_join)?;
    if let Some(users) = process.own_users(&proc).map_err(cannot_join)? {
        let mapped = Attributes {
            id_mapping: Some(users.as_fd()),
            ..Attributes::default()
        };
        set_attributes(mount, false, &mapped)
            .map_err(|errno| refused(MountError::new("map the ids of", path, errno)))?;
    }
    let (uid, gid) = process.root_user(&proc).map_err(cannot_join)?;
    inside(&process, || {
        let root = open_root(path)?;
        let look = |errno| refused(MountError::new("look at", path, errno));
        let stat = fs::statat(mount, "", AtFlags::EMPTY_PATH).map_err(look)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        // Whoever is root inside owns the directories that are made for it.
        let place = as_file_owner(uid, gid, || mount_point(&root, path, is_directory, false))
            .map_err(|errno| refused(MountError::new("act as the owner of", path, errno)))?
            .map_err(refused)?;
        if shown(place.as_fd()).map_err(look)? == (stat.st_dev, stat.st_ino) {
            return Ok(());
        }
        refuse_in_proc(place.as_fd(), &root, path, mount).map_err(refused)?;
        attach(mount, place.as_fd(), path).map_err(refused)
    })
}

/// Takes a mount that shows this from a path of the container; where none does, nothing is done.
/// Everything that was written to it has come to rest before.
///
/// # Errors
/// [`InsertionError::Busy`] while a program uses it.
pub fn withdraw(target: BorrowedFd<'_>, what: Shown, path: &Path) -> Result<(), InsertionError> {
    let proc = Proc::open().map_err(cannot_look)?;
    let process = Target::new(&proc, target).map_err(cannot_join)?;
    inside(&process, || {
        let root = open_root(path)?;
        let failed = |attempt| {
            move |source| InsertionError::Unmount {
                attempt,
                path: path.to_owned(),
                source,
            }
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let place = match root.open_at(path, flags, Mode::empty()) {
            Ok(place) => place,
            Err(error) if error.source == Errno::NOENT => return Ok(()),
            Err(source) => return Err(no_place(path)(source)),
        };
        if shown(place.as_fd()).map_err(failed("look at"))? != what {
            return Ok(());
        }
        fs::syncfs(&place).map_err(failed("flush"))?;
        // A descriptor of ours would keep it busy.
        drop(place);
        let (parent, name) = root.parent(path).map_err(no_place(path))?;
        rustix::process::fchdir(&parent).map_err(failed("find"))?;
        drop(parent);
        match unmount(Path::new(&name), UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(()),
            Err(Errno::BUSY) => Err(InsertionError::Busy(path.to_owned())),
            Err(errno) => Err(failed("unmount")(errno)),
        }
    })
}

/// Does something in the mount namespace of a process, on a thread that ends there.
fn inside<T: Send>(
    process: &Target<'_>,
    act: impl FnOnce() -> Result<T, InsertionError> + Send,
) -> Result<T, InsertionError> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Threads share their root directory, and one that shares it cannot change namespaces.
            unshare(UnshareFlags::FS).map_err(|errno| cannot_join(TargetError::Join(errno)))?;
            process
                .join(ThreadNameSpaceType::MOUNT)
                .map_err(cannot_join)?;
            act()
        });
        thread.join().unwrap_or(Err(InsertionError::Thread))
    })
}

fn open_root(path: &Path) -> Result<Root, InsertionError> {
    Root::open(Path::new("/")).map_err(no_place(path))
}

fn no_place(path: &Path) -> impl Fn(RootedError) -> InsertionError {
    move |source| InsertionError::Place {
        path: path.to_owned(),
        source,
    }
}

fn refused(error: MountError) -> InsertionError {
    InsertionError::Mount(error.into())
}

fn cannot_join(error: TargetError) -> InsertionError {
    InsertionError::Join(error.into())
}

fn cannot_look(error: ProcError) -> InsertionError {
    cannot_join(TargetError::Look(error))
}
