//! Where copies go: the tar of a layer with them, and with the directories on the way as they are.
//!
//! A layer's directories count over those below it, so each one on the way is listed as the image
//! has it. New ones are made as root's, or as `--chown` says.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use image::pack::{Item, Options, PackError, Packer};
use rooted::{Root, RootedError};
use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::CopyError;
use super::source::{Source, leaves_out};
use crate::pattern::Ignore;

/// A directory, with the sticky bits of its kind.
const DIRECTORY: u32 = 0o040_000;

/// Where a copy goes.
#[derive(Debug)]
pub(crate) struct Destination {
    /// What the image has.
    pub(crate) image: Arc<Root>,
    /// Absolute, as written, but for the working directory.
    pub(crate) path: PathBuf,
    /// It is written as a directory.
    pub(crate) is_directory: bool,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) mode: Option<u32>,
    pub(crate) parents: bool,
    /// Seconds since 1970 of what is made new.
    pub(crate) mtime: i64,
    pub(crate) exclude: Ignore,
}

impl Destination {
    /// For a directory that is made, and nothing copied.
    pub(crate) fn of_directory(image: &Arc<Root>, mtime: i64) -> Self {
        Self {
            image: Arc::clone(image),
            path: PathBuf::from("/"),
            is_directory: true,
            owner: None,
            mode: None,
            parents: false,
            mtime,
            exclude: Ignore::default(),
        }
    }

    /// The absolute path that a destination stands for in a working directory.
    pub(crate) fn absolute(working_dir: &str, written: &str) -> (PathBuf, bool) {
        let is_directory = written.ends_with('/')
            || matches!(
                Path::new(written).components().next_back(),
                None | Some(Component::CurDir | Component::ParentDir)
            )
            || written.ends_with("/.");
        let joined = Path::new("/").join(working_dir).join(written);
        (
            Path::new("/").join(rooted::normalized(&joined)),
            is_directory,
        )
    }

    /// Refuses what cannot be copied there, before anything is.
    pub(crate) fn check(&self, keyword: &str, sources: &[Source]) -> Result<(), CopyError> {
        if sources.len() > 1 && !self.is_directory {
            return Err(CopyError::ManySources(keyword.to_owned()));
        }
        for source in sources {
            let target = self.target(source)?;
            let inside = source.directories.iter().map(|below| target.join(below));
            let own = source.is_directory.then(|| target.clone());
            for directory in own.into_iter().chain(inside) {
                self.check_directory(&directory)?;
            }
            for parent in target.ancestors().skip(1) {
                self.check_directory(parent)?;
            }
        }
        Ok(())
    }

    fn check_directory(&self, path: &Path) -> Result<(), CopyError> {
        match self.look(path)? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
                Err(CopyError::NonDirectory(path.display().to_string()))
            }
            _ => Ok(()),
        }
    }

    /// What the image has at a path without links.
    fn look(&self, path: &Path) -> Result<Option<Stat>, RootedError> {
        match self.image.stat(path, false) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if matches!(error.source, Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where a source goes: for a directory, whose content it is, the directory.
    fn target(&self, source: &Source) -> Result<PathBuf, RootedError> {
        let place = rooted::followed(&self.image, &self.path)?;
        if self.parents {
            return Ok(rooted::followed(&self.image, &place.path.join(&source.relative))?.path);
        }
        if source.is_directory {
            return Ok(place.path);
        }
        let is_directory = self.is_directory
            || self
                .look(&place.path)?
                .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        Ok(if is_directory {
            place.path.join(&source.name)
        } else {
            place.path
        })
    }

    /// Writes a layer with a directory and those on the way to it.
    pub(crate) fn pack_directory(&self, path: &Path, out: impl Write) -> Result<(), PackError> {
        let mut layer = Layer::new(self, out);
        layer.list(path)?;
        layer.packer.finish()
    }

    /// Writes the layer.
    pub(crate) fn pack(&self, sources: &[Source], out: impl Write) -> Result<(), PackError> {
        let mut layer = Layer::new(self, out);
        for source in sources {
            layer.add(source)?;
        }
        layer.packer.finish()
    }
}

/// One layer on its way.
struct Layer<'a, W: Write> {
    to: &'a Destination,
    packer: Packer<W>,
    /// Directories on the way that are in it already.
    listed: BTreeSet<PathBuf>,
}

impl<'a, W: Write> Layer<'a, W> {
    fn new(to: &'a Destination, out: W) -> Self {
        Self {
            to,
            packer: Packer::new(out, Options::default()),
            listed: BTreeSet::new(),
        }
    }

    fn add(&mut self, source: &Source) -> Result<(), PackError> {
        let target = self.to.target(source)?;
        let is_there = source.is_directory && self.to.look(&target)?.is_some();
        if is_there || target == Path::new("/") {
            self.list(&target)?;
        } else if let Some(parent) = target.parent() {
            self.list(parent)?;
        }
        let owner = self.to.owner.or((!source.keeps_owners).then_some((0, 0)));
        let options = Options {
            owner,
            mode: self.to.mode,
            ..Options::default()
        };
        self.packer.set_options(options);
        let leave_out = |path: &Path, is_directory: bool| {
            let relative = path.strip_prefix(&source.path).unwrap_or(path);
            leaves_out(&self.to.exclude, relative, is_directory)
        };
        let archived = archived(&target);
        if is_there || target == Path::new("/") {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let directory = source.root.open_at(&source.path, flags, Mode::empty())?;
            let archived = (!archived.is_empty()).then_some(archived);
            self.packer
                .add_content(&directory, &source.path, archived, &leave_out)?;
        } else {
            let (parent, name) = match source.path.file_name() {
                Some(_) => source.root.parent(&source.path)?,
                None => (source.root.resolve(Path::new("/"))?, ".".into()),
            };
            let item = Item {
                parent: parent.as_fd(),
                name: &name,
                path: &source.path,
                archived,
                stat: &source.stat,
            };
            self.packer.add_but(&item, &leave_out)?;
            if source.is_directory {
                self.listed.insert(target);
            }
        }
        Ok(())
    }

    /// Lists a directory of the image, and those above it, unless they are listed.
    fn list(&mut self, directory: &Path) -> Result<(), PackError> {
        let mut above: Vec<&Path> = directory.ancestors().collect();
        above.pop();
        for path in above.into_iter().rev() {
            if !self.listed.insert(path.to_owned()) {
                continue;
            }
            let stat = match self.to.look(path)? {
                Some(stat) => stat,
                None => self.new_directory(path)?,
            };
            let item = Item {
                parent: self.to.image.as_fd(),
                name: path.as_os_str(),
                path,
                archived: archived(path),
                stat: &stat,
            };
            self.packer.add_bare_directory(&item)?;
        }
        Ok(())
    }

    fn new_directory(&self, path: &Path) -> Result<Stat, RootedError> {
        let failed = |source| RootedError {
            attempt: "look at",
            path: path.to_owned(),
            source,
        };
        let mut stat = fs::fstat(self.to.image.as_fd()).map_err(failed)?;
        stat.st_mode = DIRECTORY | 0o755;
        (stat.st_uid, stat.st_gid) = self.to.owner.unwrap_or((0, 0));
        stat.st_mtime = self.to.mtime;
        Ok(stat)
    }
}

/// What an archive calls an absolute path.
fn archived(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_prefix(b"/").unwrap_or(bytes)
}
