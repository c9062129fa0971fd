//! Keeps the host's program out of a container's reach.
//!
//! A container can make a process that is about to execute something execute `/proc/self/exe`, and
//! then write to it (CVE-2019-5736). So whoever starts containers, the keeper and the OCI command
//! line, first executes its own program again through a mount of that one file that is read-only
//! and belongs to no mount namespace, so that nobody can remount it. It shares the file's pages.
//! Where the kernel allows no such mount it is a sealed copy in memory.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, MemfdFlags, SealFlags, StatVfsMountFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::sys;
use crate::sys::mount::Attributes;

/// The file that this process executes.
const EXE: &str = "/proc/self/exe";
/// How the kernel shows a file in memory.
const IN_MEMORY: (&str, &str) = ("/memfd:", " (deleted)");

/// Why a program could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It cannot be found out whether it is.
    #[error("look at /proc/self/exe")]
    Look(#[source] io::Error),
    /// There can be neither a read-only mount of it nor a copy in memory.
    #[error("make a sealed copy of /proc/self/exe")]
    Copy(#[source] io::Error),
    /// It could not be executed again.
    #[error("execute the sealed /proc/self/exe")]
    Execute(#[source] io::Error),
}

/// Goes on in this very program, sealed, with the same arguments, environment and descriptors that
/// are to be inherited; answers when that is so. Needs a process with one thread.
///
/// # Errors
/// When that cannot be; this process goes on then, and should not start containers.
pub(crate) fn run_from_sealed() -> Result<(), SealError> {
    let args = own_strings("cmdline").map_err(SealError::Look)?;
    if is_sealed().map_err(SealError::Look)? {
        // A program that was executed by descriptor may be called by its number.
        if let Some(name) = args.first().and_then(name_of) {
            rustix::thread::set_name(&name).map_err(|errno| SealError::Look(errno.into()))?;
        }
        return Ok(());
    }
    let env = own_strings("environ").map_err(SealError::Look)?;
    let sealed = match read_only_view() {
        Ok(view) => view,
        Err(errno) => {
            tracing::info!(%errno, "no read-only mount of our own program; it is copied");
            let program = File::open(EXE).map_err(SealError::Copy)?;
            in_memory(&identity(), program).map_err(SealError::Copy)?
        }
    };
    let Err(errno) = sys::exec::execute(sealed.as_fd(), &args, &env);
    Err(SealError::Execute(errno.into()))
}

/// Tells one file of this program from another, sealed or not.
pub(crate) fn identity() -> String {
    let link = std::fs::read_link(EXE).unwrap_or_default();
    let (before, after) = IN_MEMORY;
    let name = link.to_str().and_then(|link| link.strip_prefix(before));
    if let Some(name) = name.and_then(|name| name.strip_suffix(after)) {
        return name.to_owned();
    }
    let version = env!("CARGO_PKG_VERSION");
    match std::fs::metadata(EXE) {
        Ok(file) => format!(
            "{version} {:x}:{:x} {}",
            file.dev(),
            file.ino(),
            file.mtime()
        ),
        Err(_) => version.to_owned(),
    }
}

/// A file in memory that nobody can change any more, to be executed.
pub(crate) fn in_memory(name: &str, mut content: impl io::Read) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        // A kernel before 6.3 does not know the flag, and needs none.
        Err(Errno::INVAL) => fs::memfd_create(name, flags)?,
        answer => answer?,
    };
    let mut file = File::from(memory);
    io::copy(&mut content, &mut file)?;
    fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// A detached mount of the file alone, whatever its path is by now. It goes with this descriptor;
/// what is executed from it keeps its attributes.
fn read_only_view() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let view = open_tree(CWD, EXE, flags)?;
    let change = Attributes {
        set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        ..Attributes::default()
    };
    sys::mount::set_attributes(view.as_fd(), false, &change)?;
    Ok(view)
}

/// This process runs from what [`run_from_sealed`] made.
fn is_sealed() -> io::Result<bool> {
    let exe = File::open(EXE)?;
    if fs::fcntl_get_seals(&exe).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return Ok(true);
    }
    if !fs::fstatvfs(&exe)?
        .f_flag
        .contains(StatVfsMountFlags::RDONLY)
    {
        return Ok(false);
    }
    // One that is listed can be remounted.
    let stat = fs::statx(&exe, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let mount = stat.stx_mnt_id.to_string();
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(!table
        .lines()
        .any(|line| line.split(' ').next() == Some(&mount)))
}

/// The last part of a path.
fn name_of(path: &CString) -> Option<CString> {
    let path = Path::new(OsStr::from_bytes(path.as_bytes()));
    CString::new(path.file_name()?.as_bytes()).ok()
}

/// The strings of a file of `/proc/self` that ends each with a nul byte.
fn own_strings(file: &str) -> io::Result<Vec<CString>> {
    let content = std::fs::read(Path::new("/proc/self").join(file))?;
    let strings = content
        .split_inclusive(|byte| *byte == 0)
        .map(|string| string.strip_suffix(&[0]).unwrap_or(string));
    strings
        .map(|string| CString::new(string).map_err(io::Error::from))
        .collect()
}
