//! What is copied: found in a root by path or pattern, and hashed.
//!
//! The hash is over names, kinds, modes, owners, links and contents, and no times: the cache of
//! builds looks at nothing else.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::extract::{self, ExtractError};
use ring::digest::{Context, SHA256};
use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::CopyError;
use crate::pattern::{Ignore, is_pattern, matches_name, parts};

/// Most directories in directories; as many descriptors are held.
const MAX_DEPTH: usize = 512;

/// One thing that is copied.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) root: Arc<Root>,
    /// Absolute path in the root, without links.
    pub(crate) path: PathBuf,
    /// What it is called where it goes to a directory.
    pub(crate) name: OsString,
    /// Where it is below the root, or below `/./` in it, for `--parents`.
    pub(crate) relative: PathBuf,
    pub(crate) stat: Stat,
    /// Hexadecimal digits of its hash.
    pub(crate) hash: String,
    /// Directories in it, by path relative to it.
    pub(crate) directories: Vec<PathBuf>,
    /// Owners stay as they are.
    pub(crate) keeps_owners: bool,
    /// Its content is copied, not itself.
    pub(crate) is_directory: bool,
    /// It is an archive, and what is in it is copied.
    pub(crate) is_archive: bool,
}

impl Source {
    /// Marks it as an archive, if it is one.
    pub(crate) fn unpack(&mut self) -> Result<(), CopyError> {
        if FileType::from_raw_mode(self.stat.st_mode) == FileType::RegularFile {
            let file = self.open()?;
            self.is_archive = extract::is_archive(&file);
        }
        Ok(())
    }

    /// What is in it, unpacked into a directory, as what is copied.
    pub(crate) fn unpacked(self, into: &Path) -> Result<Self, CopyError> {
        if !self.is_archive {
            return Ok(self);
        }
        let root = Arc::new(Root::open(into)?);
        let options = extract::Options::default();
        extract::extract(self.open()?, &root, Path::new("/"), options)
            .map_err(self.not_unpacked())?;
        let place = Place {
            root,
            keeps_owners: true,
        };
        place.whole(&Ignore::default())
    }

    fn open(&self) -> Result<std::fs::File, RootedError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        Ok(self.root.open_at(&self.path, flags, Mode::empty())?.into())
    }

    fn not_unpacked(&self) -> impl FnOnce(ExtractError) -> CopyError + use<> {
        let name = self.name.to_string_lossy().into_owned();
        |source| CopyError::Extract { name, source }
    }
}

/// Where sources are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) root: Arc<Root>,
    /// Owners stay as they are.
    pub(crate) keeps_owners: bool,
}

impl Place {
    /// What a path or pattern means here; more than one thing only for a pattern.
    pub(crate) fn find(&self, written: &str, exclude: &Ignore) -> Result<Vec<Source>, CopyError> {
        let names = parts(written);
        // What is before `/./` is not kept by `--parents`.
        let pivot = written
            .split_once("/./")
            .map_or(0, |(before, _)| parts(before).len());
        let found = if names.iter().any(|name| is_pattern(name)) {
            let mut found = Vec::new();
            self.expand(Path::new("/"), &names, &mut found)?;
            found.sort();
            found
        } else {
            vec![names.iter().collect()]
        };
        let sources = found
            .into_iter()
            .map(|path| self.source(&path, pivot, written, exclude));
        let sources: Vec<Source> = sources
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        Ok(sources)
    }

    /// Paths that match, name by name.
    fn expand(
        &self,
        directory: &Path,
        names: &[String],
        found: &mut Vec<PathBuf>,
    ) -> Result<(), CopyError> {
        let Some((pattern, rest)) = names.split_first() else {
            found.push(directory.strip_prefix("/").unwrap_or(directory).to_owned());
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let listed = match self.root.open_at(directory, flags, Mode::empty()) {
            Err(error) if matches!(error.source, Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            answer => answer?,
        };
        for name in entries(&listed, directory)? {
            if matches_name(pattern, &name.to_string_lossy())? {
                self.expand(&directory.join(name), rest, found)?;
            }
        }
        Ok(())
    }

    /// Everything that is here.
    pub(crate) fn whole(&self, exclude: &Ignore) -> Result<Source, CopyError> {
        let found = self.source(Path::new(""), 0, "", exclude)?;
        found.ok_or(CopyError::NoSources)
    }

    /// What is at a path; `None` where it is left out.
    fn source(
        &self,
        written: &Path,
        pivot: usize,
        shown: &str,
        exclude: &Ignore,
    ) -> Result<Option<Source>, CopyError> {
        let missing = || CopyError::NotFound(shown.trim_start_matches('/').to_owned());
        let path = match rooted::resolved(&self.root, written) {
            Err(error) if matches!(error.source, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                return Err(missing());
            }
            answer => answer?,
        };
        let stat = self.root.stat(&path, false)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let name = written.file_name().unwrap_or_default().to_owned();
        if !is_directory && exclude.leaves_out(Path::new(&name)) {
            return Ok(None);
        }
        let mut survey = Survey {
            keeps_owners: self.keeps_owners,
            exclude,
            directories: Vec::new(),
            hash: Context::new(&SHA256),
        };
        let (parent, last) = match path.file_name() {
            Some(_) => self.root.parent(&path)?,
            None => (self.root.resolve(Path::new("/"))?, OsString::from(".")),
        };
        survey.add(parent.as_fd(), &last, Path::new(""), &stat, 0)?;
        let relative = written.components().skip(pivot).collect();
        Ok(Some(Source {
            root: Arc::clone(&self.root),
            path,
            name,
            relative,
            stat,
            hash: hex::encode(survey.hash.finish()),
            directories: survey.directories,
            keeps_owners: self.keeps_owners,
            is_directory,
            is_archive: false,
        }))
    }
}

/// One hash on its way.
struct Survey<'a> {
    keeps_owners: bool,
    exclude: &'a Ignore,
    directories: Vec<PathBuf>,
    hash: Context,
}

impl Survey<'_> {
    fn add(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
        depth: usize,
    ) -> Result<(), CopyError> {
        let failed = |attempt| {
            let path = path.to_owned();
            move |source| RootedError {
                attempt,
                path,
                source,
            }
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        // The thing itself has no name: under another it is the same.
        self.text(path.as_os_str().as_bytes());
        let owner = if self.keeps_owners {
            (stat.st_uid, stat.st_gid)
        } else {
            (0, 0)
        };
        self.text(format!("{:o} {} {}", stat.st_mode, owner.0, owner.1).as_bytes());
        match kind {
            FileType::Directory => {
                if depth > MAX_DEPTH {
                    return Err(failed("look at")(Errno::NAMETOOLONG).into());
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory =
                    fs::openat(parent, name, flags, Mode::empty()).map_err(failed("open"))?;
                if depth > 0 {
                    self.directories.push(path.to_owned());
                }
                for name in entries(&directory, path)? {
                    let below = path.join(&name);
                    let stat = fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(failed("look at"))?;
                    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                    if leaves_out(self.exclude, &below, is_directory) {
                        continue;
                    }
                    self.add(directory.as_fd(), &name, &below, &stat, depth + 1)?;
                }
            }
            FileType::Symlink => {
                let target =
                    fs::readlinkat(parent, name, Vec::new()).map_err(failed("read link"))?;
                self.text(target.as_bytes());
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file =
                    fs::openat(parent, name, flags, Mode::empty()).map_err(failed("open"))?;
                let content =
                    digest_of(std::fs::File::from(file)).map_err(|source| CopyError::File {
                        attempt: "read",
                        path: path.display().to_string(),
                        source,
                    })?;
                self.text(content.as_bytes());
            }
            _ => self.text(stat.st_rdev.to_string().as_bytes()),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.hash.update(&(text.len() as u64).to_le_bytes());
        self.hash.update(text);
    }
}

/// Whether a path below what is copied is left out. Where rules have exceptions, directories are
/// gone through all the same.
pub(super) fn leaves_out(exclude: &Ignore, relative: &Path, is_directory: bool) -> bool {
    let goes_through = is_directory && exclude.has_exceptions();
    !goes_through && exclude.leaves_out(relative)
}

/// Hexadecimal digits of the SHA-256 of everything read.
pub(crate) fn digest_of(mut input: impl Read) -> std::io::Result<String> {
    let mut hash = Context::new(&SHA256);
    // Most files are small, and a larger buffer would cost more than they do.
    let mut buffer = [0; 16 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hash.finish())),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn entries(directory: &OwnedFd, path: &Path) -> Result<Vec<OsString>, CopyError> {
    let failed = |source| RootedError {
        attempt: "list",
        path: path.to_owned(),
        source,
    };
    Ok(rooted::names(directory).map_err(failed)?)
}
