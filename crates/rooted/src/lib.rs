//! Paths inside a root that may be hostile: a container's file system, a volume, a layer.
//!
//! Every look-up goes through `openat2` with `RESOLVE_IN_ROOT`, so that neither `..` nor a
//! symbolic link, nor one swapped in meanwhile, leads outside. Nothing here joins strings to a
//! host path. The runtime, the unpacker, archive copy and volumes use it; it knows none of them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

mod follow;

pub use follow::{Followed, followed, resolved};

/// How often a look-up that raced with a rename is tried again (`openat2` answers `EAGAIN`).
const RACE_RETRIES: u32 = 128;

/// A directory that paths cannot leave.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

/// Why something could not be done to a path inside a root.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} {}", path.display())]
pub struct RootedError {
    /// What was tried: `open`, `make directory`.
    pub attempt: &'static str,
    /// The path inside the root.
    pub path: PathBuf,
    /// What the kernel answered.
    pub source: Errno,
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(Errno) -> RootedError {
    let path = path.to_owned();
    move |source| RootedError {
        attempt,
        path,
        source,
    }
}

/// Parts of `path` without `/`, `.` and, lexically resolved, `..`; never leaves the root.
#[must_use]
pub fn normalized(path: &Path) -> PathBuf {
    let mut parts: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => {
                parts.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts.iter().collect()
}

impl Root {
    /// The root at this path of the host.
    ///
    /// # Errors
    /// When it is not a directory that can be opened.
    pub fn open(host_path: &Path) -> Result<Self, RootedError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::open(host_path, flags, Mode::empty())
            .map(|fd| Self { fd })
            .map_err(failed("open root", host_path))
    }

    /// The root at this directory.
    #[must_use]
    pub const fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens `path`, following symbolic links inside the root.
    ///
    /// # Errors
    /// Those of `openat2(2)`.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, RootedError> {
        self.look_up(path, flags, mode, ResolveFlags::IN_ROOT)
    }

    fn look_up(
        &self,
        path: &Path,
        flags: OFlags,
        mode: Mode,
        bounds: ResolveFlags,
    ) -> Result<OwnedFd, RootedError> {
        let name = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = flags | OFlags::CLOEXEC;
        for _ in 0..RACE_RETRIES {
            let bounds = bounds | ResolveFlags::NO_MAGICLINKS;
            match fs::openat2(&self.fd, name, flags, mode, bounds) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                answer => return answer.map_err(failed("open", path)),
            }
        }
        Err(failed("open", path)(Errno::AGAIN))
    }

    /// A handle on `path` for further look-ups, following symbolic links inside the root.
    ///
    /// # Errors
    /// Those of `openat2(2)`.
    pub fn resolve(&self, path: &Path) -> Result<OwnedFd, RootedError> {
        self.open_at(path, OFlags::PATH, Mode::empty())
    }

    /// A handle on `path`, as [`Root::resolve`] gives it; but what would lead outside, as an absolute
    /// link always does, is refused, instead of being taken to lead to the root.
    ///
    /// # Errors
    /// Those of `openat2(2)`, among them `EXDEV` for what leads outside.
    pub fn beneath(&self, path: &Path) -> Result<OwnedFd, RootedError> {
        self.look_up(path, OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH)
    }

    /// A handle on the directory that holds `path`, and the last part of `path`.
    ///
    /// The last part itself is not looked up, so it may be missing or a symbolic link.
    ///
    /// # Errors
    /// When a directory on the way is missing, or `path` has no last part (`EINVAL`).
    pub fn parent(&self, path: &Path) -> Result<(OwnedFd, OsString), RootedError> {
        let last = match path.components().next_back() {
            Some(Component::Normal(last)) => last.to_owned(),
            _ => return Err(failed("find the parent of", path)(Errno::INVAL)),
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let dir = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok((dir, last))
    }

    /// Makes `path` and the directories on the way, as root's, and answers a handle on it.
    ///
    /// Symbolic links on the way are followed inside the root.
    ///
    /// # Errors
    /// When something on the way is not a directory, or the kernel refuses.
    pub fn create_dir_all(&self, path: &Path, mode: Mode) -> Result<OwnedFd, RootedError> {
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        match self.open_at(path, directory, Mode::empty()) {
            Ok(fd) => return Ok(fd),
            Err(error) if error.source == Errno::NOENT => {}
            Err(error) => return Err(error),
        }
        let mut walked = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
                Component::ParentDir => walked.push(".."),
                Component::Normal(part) => walked.push(part),
            }
            match self.open_at(&walked, directory, Mode::empty()) {
                Ok(_) => {}
                Err(error) if error.source == Errno::NOENT => {
                    let (parent, name) = self.parent(&walked)?;
                    match fs::mkdirat(&parent, &name, mode) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(failed("make directory", &walked)(errno)),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.open_at(path, directory, Mode::empty())
    }

    /// Makes an empty file at `path`, with the directories on the way, unless something is there.
    ///
    /// # Errors
    /// As [`Root::create_dir_all`].
    pub fn create_file(&self, path: &Path, mode: Mode) -> Result<OwnedFd, RootedError> {
        if let Some(parent) = path.parent() {
            let _parent = self.create_dir_all(parent, Mode::from_raw_mode(0o755))?;
        }
        match self.resolve(path) {
            Err(error) if error.source == Errno::NOENT => {
                self.open_at(path, OFlags::CREATE | OFlags::WRONLY, mode)
            }
            answer => answer,
        }
    }

    /// What is at `path`; a symbolic link at its end is followed where `follow` says so.
    ///
    /// # Errors
    /// Those of `openat2(2)` and `fstatat(2)`.
    pub fn stat(&self, path: &Path, follow: bool) -> Result<Stat, RootedError> {
        if !follow && matches!(path.components().next_back(), Some(Component::Normal(_))) {
            let (parent, name) = self.parent(path)?;
            return fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed("look at", path));
        }
        let fd = self.resolve(path)?;
        fs::fstat(&fd).map_err(failed("look at", path))
    }

    /// Where the symbolic link at `path` points, as written.
    ///
    /// # Errors
    /// When it is not a symbolic link (`EINVAL`) or missing.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, RootedError> {
        let (parent, name) = self.parent(path)?;
        let target =
            fs::readlinkat(&parent, &name, Vec::new()).map_err(failed("read link", path))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Removes what is at `path`, with everything below it; a missing path is no error.
    ///
    /// # Errors
    /// When the kernel refuses, for instance because something is mounted there.
    pub fn remove_all(&self, path: &Path) -> Result<(), RootedError> {
        let (parent, name) = match self.parent(path) {
            Err(error) if error.source == Errno::NOENT => return Ok(()),
            answer => answer?,
        };
        remove_entry(parent.as_fd(), &name).map_err(failed("remove", path))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// How deep a removal holds every directory on the way open; below, it holds one.
const OPEN_DEPTH: u32 = 32;

/// Removes the entry `name` of `dir`, with everything below it; a missing entry is no error.
///
/// A tree of any depth is removed, with few descriptors and little stack.
///
/// # Errors
/// What the kernel answers.
pub fn remove_entry(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    remove_at_depth(dir, name, 0)
}

fn remove_at_depth(dir: BorrowedFd<'_>, name: &OsStr, depth: u32) -> Result<(), Errno> {
    if unlink(dir, name)? {
        return Ok(());
    }
    let Some(child) = open_directory(dir, name)? else {
        return Ok(());
    };
    if depth == OPEN_DEPTH {
        empty_deep(child)?;
    } else {
        // Removing while reading may skip entries, so it reads again until there is nothing left.
        while remove_entries(&child, |name| {
            remove_at_depth(child.as_fd(), name, depth + 1).map(|()| true)
        })? {}
    }
    remove_directory(dir, name)
}

/// Empties a directory whose tree may be deeper than there are descriptors: it goes up by `..`.
fn empty_deep(top: OwnedFd) -> Result<(), Errno> {
    let identity = |fd: &OwnedFd| fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    let mut entered = Vec::new();
    let mut current = top;
    loop {
        let mut below = None;
        let found = remove_entries(&current, |name| {
            let is_gone = unlink(current.as_fd(), name)?;
            below = (!is_gone).then(|| name.to_owned());
            Ok(is_gone)
        })?;
        if let Some(name) = below {
            if let Some(child) = open_directory(current.as_fd(), &name)? {
                entered.push((name, identity(&current)?));
                current = child;
            }
        } else if !found {
            let Some((name, parent)) = entered.pop() else {
                return Ok(());
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            current = fs::openat(&current, "..", flags, Mode::empty())?;
            // Somebody moved the directory meanwhile: what is above it now is none of ours.
            if identity(&current)? != parent {
                return Err(Errno::STALE);
            }
            remove_directory(current.as_fd(), &name)?;
        }
    }
}

/// The names of a directory's entries, in their order.
///
/// # Errors
/// When the kernel refuses to list it.
pub fn names(directory: impl AsFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Calls `remove` with the entries of a directory, as long as it answers that they are gone;
/// answers whether there were any.
fn remove_entries(
    dir: &OwnedFd,
    mut remove: impl FnMut(&OsStr) -> Result<bool, Errno>,
) -> Result<bool, Errno> {
    let mut found = false;
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        found = true;
        if !remove(name)? {
            break;
        }
    }
    Ok(found)
}

/// Removes what is no directory; answers whether there is nothing now.
fn unlink(dir: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory; `None` where it is gone.
fn open_directory(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(dir, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        answer => answer.map(Some),
    }
}

fn remove_directory(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs as host;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        host::create_dir(dir.path().join("root")).unwrap();
        host::write(dir.path().join("secret"), "outside").unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        (dir, root)
    }

    #[test]
    fn neither_dots_nor_links_lead_outside() {
        let (dir, root) = root();
        symlink("../secret", dir.path().join("root/up")).unwrap();
        symlink("/etc/passwd", dir.path().join("root/absolute")).unwrap();
        for path in ["../secret", "/../../secret", "up", "absolute"] {
            let error = root.resolve(Path::new(path)).unwrap_err();
            assert_eq!(error.source, Errno::NOENT, "{path}");
            let error = root.beneath(Path::new(path)).unwrap_err();
            assert_eq!(error.source, Errno::XDEV, "{path}");
        }
        symlink("inner", dir.path().join("root/to")).unwrap();
        host::create_dir(dir.path().join("root/inner")).unwrap();
        root.beneath(Path::new("to/../to")).unwrap();
    }

    #[test]
    fn directories_are_made_inside_through_a_link_that_points_outside() {
        let (dir, root) = root();
        host::create_dir(dir.path().join("root/inner")).unwrap();
        symlink("/inner", dir.path().join("root/link")).unwrap();
        root.create_dir_all(Path::new("/link/a/b"), Mode::from_raw_mode(0o755))
            .unwrap();
        assert!(dir.path().join("root/inner/a/b").is_dir());
    }

    #[test]
    fn a_link_to_nowhere_is_not_created_through() {
        let (dir, root) = root();
        symlink("../../made", dir.path().join("root/link")).unwrap();
        root.create_file(Path::new("link"), Mode::from_raw_mode(0o644))
            .unwrap();
        assert!(!dir.path().join("made").exists());
        assert!(dir.path().join("root/made").exists());
    }

    #[test]
    fn removal_takes_a_deep_tree_and_stops_at_links() {
        let (dir, root) = root();
        host::create_dir_all(dir.path().join("root/a/b/c")).unwrap();
        host::write(dir.path().join("root/a/b/file"), "x").unwrap();
        symlink(dir.path(), dir.path().join("root/a/out")).unwrap();
        root.remove_all(Path::new("a")).unwrap();
        root.remove_all(Path::new("a")).unwrap();
        assert!(!dir.path().join("root/a").exists());
        assert!(dir.path().join("secret").exists());
    }

    #[test]
    fn a_tree_deeper_than_there_are_descriptors_is_removed() {
        let (dir, root) = root();
        let mut current = root.create_dir_all(Path::new("deep"), Mode::RWXU).unwrap();
        for _ in 0..3_000 {
            fs::mkdirat(&current, "d", Mode::RWXU).unwrap();
            fs::mkdirat(&current, "e", Mode::RWXU).unwrap();
            current = fs::openat(&current, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        root.remove_all(Path::new("deep")).unwrap();
        assert!(!dir.path().join("root/deep").exists());
    }

    #[test]
    fn paths_are_normalized_without_leaving() {
        assert_eq!(normalized(Path::new("/a/../../b/./c")), Path::new("b/c"));
        assert_eq!(normalized(Path::new("/")), Path::new(""));
    }
}
