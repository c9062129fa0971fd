//! Extracts an archive into a directory of a container's root file system, which the container
//! may be changing meanwhile.
//!
//! Unlike a layer ([`crate::unpack`]) it has no whiteouts, goes to a directory that links may lead
//! to, and merges with what is there. Nothing here leaves the root: paths are resolved inside it,
//! and what was made is described by its descriptor, or without following a link.

use std::io::{BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rooted::{Root, RootedError};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::archive::{self, ArchiveError, BLOCK, Entry, Kind, Reader, Time};
use crate::compression;
use crate::entry::{self, Spot};
use crate::unpack::{IMPLIED_MODE, UnpackError, failed};

/// Bytes that are written at once.
const BUFFER: usize = 128 << 10;

/// How an archive is extracted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Refuse to replace a directory by something else, or something else by a directory.
    pub keep_kinds: bool,
    /// User and group that everything belongs to, instead of whom the archive names.
    pub owner: Option<(u32, u32)>,
    /// Added to every user and group id: the first of the range that a container's ids map to.
    pub first_id: u32,
    /// Refuse devices.
    pub refuse_devices: bool,
}

/// Why an archive was not extracted, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The archive, or what it wants to be made.
    #[error(transparent)]
    Entry(#[from] UnpackError),
    /// A name that leads out of the directory.
    #[error("{:?} is outside of {:?}", name.display().to_string(), into.display().to_string())]
    Outside {
        /// As written in the archive.
        name: PathBuf,
        /// The directory.
        into: PathBuf,
    },
    /// A device, where there may be none.
    #[error("{:?} is a device: there may be none in this archive", path.display().to_string())]
    Device {
        /// As written in the archive.
        path: PathBuf,
    },
    /// A file would take a directory's place.
    #[error("cannot overwrite directory {:?} with non-directory {:?}", path.display().to_string(), into.display().to_string())]
    OverwriteDirectory {
        /// The directory.
        path: PathBuf,
        /// The directory extracted into.
        into: PathBuf,
    },
    /// A directory would take a file's place.
    #[error("cannot overwrite non-directory {:?} with directory {:?}", path.display().to_string(), into.display().to_string())]
    OverwriteFile {
        /// The file.
        path: PathBuf,
        /// The directory extracted into.
        into: PathBuf,
    },
}

impl From<ArchiveError> for ExtractError {
    fn from(error: ArchiveError) -> Self {
        UnpackError::from(error).into()
    }
}

impl From<RootedError> for ExtractError {
    fn from(error: RootedError) -> Self {
        UnpackError::from(error).into()
    }
}

/// Extracts `input` (plain, gzip, bzip2, xz or zstd) into the directory `into` of `root`.
///
/// `into` is an absolute path without links. What was extracted before an error stays, as with
/// Docker, but the file being written then is removed.
///
/// # Errors
/// As [`ExtractError`] says.
pub fn extract(
    input: impl Read + Send,
    root: &Root,
    into: &Path,
    options: Options,
) -> Result<(), ExtractError> {
    let input = compression::unpacked(input).map_err(ArchiveError::from)?;
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, input));
    let mut target = Target {
        root,
        into,
        options,
        directories: Vec::new(),
    };
    while let Some(entry) = reader.next_entry()? {
        target.add(entry, &mut reader)?;
    }
    target.finish();
    Ok(())
}

/// Whether a file is an archive that [`extract`] reads; its position does not matter and stays.
#[must_use]
pub fn is_archive(file: &std::fs::File) -> bool {
    let mut clone = PositionedFile { file, at: 0 };
    let mut block = [0; BLOCK];
    let read = compression::unpacked(&mut clone).and_then(|mut input| input.read_exact(&mut block));
    // What is compressed and holds no archive is a file like others.
    read.is_ok() && archive::is_start(block)
}

/// Whether an archive that begins so is not compressed: it unpacks to no more than it has.
#[must_use]
pub fn is_plain(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>()
        .is_some_and(|block| archive::is_start(*block))
}

/// Reads a file without moving its position.
struct PositionedFile<'a> {
    file: &'a std::fs::File,
    at: u64,
}

impl Read for PositionedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = rustix::io::pread(self.file, buffer, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

struct Target<'a> {
    root: &'a Root,
    into: &'a Path,
    options: Options,
    /// Directories whose times are set last, for every entry in them changes these.
    directories: Vec<(PathBuf, Time)>,
}

impl Target<'_> {
    fn add<R: Read + Send>(
        &mut self,
        mut entry: Entry,
        content: &mut Reader<BufReader<R>>,
    ) -> Result<(), ExtractError> {
        if entry.path.as_os_str().as_bytes().contains(&0)
            || entry.link.as_os_str().as_bytes().contains(&0)
        {
            return Err(UnpackError::Name {
                reason: "zero byte in name",
                path: entry.path,
            }
            .into());
        }
        let is_device = matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice);
        if is_device && self.options.refuse_devices {
            return Err(ExtractError::Device { path: entry.path });
        }
        let path = self.inside(&entry.path)?;
        let Some(name) = path.file_name().filter(|_| path != self.into) else {
            // The directory itself is there already and stays as it is.
            return Ok(());
        };
        if let Some((uid, gid)) = self.options.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        entry.uid = entry.uid.saturating_add(self.options.first_id);
        entry.gid = entry.gid.saturating_add(self.options.first_id);
        // Before anything is made that would then belong to the host's root.
        entry::owner(&path, &entry)?;
        let parent = self
            .root
            .create_dir_all(path.parent().unwrap_or(Path::new("/")), IMPLIED_MODE)?;
        let spot = Spot {
            parent: parent.as_fd(),
            name,
            path: &path,
        };
        let is_kept = self.make_room(&spot, &entry)?;
        match entry.kind {
            Kind::Directory => {
                let directory = directory(&spot, is_kept)?;
                entry::describe_without_time(directory.as_fd(), &path, &entry)?;
                self.directories.push((path.clone(), entry.mtime));
            }
            Kind::File => {
                let flags = OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::WRONLY
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = fs::openat(spot.parent, name, flags, Mode::from_raw_mode(0o600))
                    .map_err(failed("create", &path))?;
                if let Err(problem) = entry::write_content(&file, &entry, content) {
                    // Half a file would pass for a whole one.
                    _ = fs::unlinkat(spot.parent, name, AtFlags::empty());
                    return Err(problem.about(&path).into());
                }
                entry::describe(file.as_fd(), &path, &entry)?;
            }
            Kind::HardLink => {
                let (directory, target) = self.root.parent(&self.inside(&entry.link)?)?;
                fs::linkat(&directory, &target, spot.parent, name, AtFlags::empty())
                    .map_err(failed("hard link", &path))?;
            }
            Kind::Symlink => {
                fs::symlinkat(&entry.link, spot.parent, name).map_err(failed("symlink", &path))?;
                entry::describe_node(&spot, &entry)?;
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                entry::make_node(&spot, &entry).map_err(failed("make node", &path))?;
                entry::describe_node(&spot, &entry)?;
            }
        }
        Ok(())
    }

    /// The path in the root that a name of the archive stands for.
    fn inside(&self, name: &Path) -> Result<PathBuf, ExtractError> {
        let mut path = self.into.to_owned();
        for component in name.components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::ParentDir => drop(path.pop()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        if path.starts_with(self.into) {
            Ok(path)
        } else {
            Err(ExtractError::Outside {
                name: name.to_owned(),
                into: self.into.to_owned(),
            })
        }
    }

    /// Removes what is in the way. Answers whether a directory is there that is to be kept.
    fn make_room(&self, spot: &Spot<'_>, entry: &Entry) -> Result<bool, ExtractError> {
        let there = match fs::statat(spot.parent, spot.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            answer => answer.map_err(failed("look at", spot.path))?,
        };
        let was_directory = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
        match (was_directory, entry.kind == Kind::Directory) {
            (true, true) => return Ok(true),
            (true, false) if self.options.keep_kinds => {
                return Err(ExtractError::OverwriteDirectory {
                    path: spot.path.to_owned(),
                    into: self.into.to_owned(),
                });
            }
            (false, true) if self.options.keep_kinds => {
                return Err(ExtractError::OverwriteFile {
                    path: spot.path.to_owned(),
                    into: self.into.to_owned(),
                });
            }
            _ => {}
        }
        rooted::remove_entry(spot.parent, spot.name).map_err(failed("replace", spot.path))?;
        Ok(false)
    }

    fn finish(self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        for (path, mtime) in self.directories.iter().rev() {
            let opened = self
                .root
                .open_at(path, flags, Mode::empty())
                .map_err(|error| error.source);
            // It may have been removed by now, and a time is no reason to fail.
            if let Err(error) =
                opened.and_then(|directory| fs::futimens(directory, &entry::timestamps(*mtime)))
            {
                tracing::debug!(path = %path.display(), %error, "time of an extracted directory not set");
            }
        }
    }
}

fn directory(spot: &Spot<'_>, is_there: bool) -> Result<OwnedFd, RootedError> {
    if !is_there {
        fs::mkdirat(spot.parent, spot.name, IMPLIED_MODE)
            .map_err(failed("make directory", spot.path))?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(spot.parent, spot.name, flags, Mode::empty()).map_err(failed("open", spot.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs as host;
    use std::os::unix::fs::{MetadataExt, symlink};

    struct Scene {
        dir: tempfile::TempDir,
        root: Root,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for path in ["root/tmp", "root/etc"] {
                host::create_dir_all(dir.path().join(path)).unwrap();
            }
            host::write(dir.path().join("secret"), "outside").unwrap();
            let root = Root::open(&dir.path().join("root")).unwrap();
            Self { dir, root }
        }

        fn extract(&self, archive: &[u8], options: Options) -> Result<(), ExtractError> {
            extract(archive, &self.root, Path::new("/tmp"), options)
        }

        fn path(&self, inside: &str) -> PathBuf {
            self.dir.path().join("root").join(inside)
        }

        fn read(&self, inside: &str) -> String {
            host::read_to_string(self.path(inside)).unwrap()
        }
    }

    /// Names as they are, even those that the archiver would refuse to write.
    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o640);
            header.set_uid(1234);
            header.set_mtime(1_000_000);
            let is_link = kind.is_symlink() || kind.is_hard_link();
            if is_link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            let content = if is_link { "" } else { content };
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.append(&header, content.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;
    const DIRECTORY: tar::EntryType = tar::EntryType::Directory;
    const LINK: tar::EntryType = tar::EntryType::Symlink;
    const HARD: tar::EntryType = tar::EntryType::Link;

    #[test]
    fn files_arrive_with_owner_mode_and_time_and_whiteouts_are_names_like_others() {
        let scene = Scene::new();
        let entries = [
            ("./", DIRECTORY, ""),
            ("a/b/file", FILE, "hello"),
            ("a/.wh.x", FILE, ""),
            ("hard", HARD, "a/b/file"),
        ];
        scene
            .extract(&archive(&entries), Options::default())
            .unwrap();
        assert_eq!(scene.read("tmp/hard"), "hello");
        assert!(scene.path("tmp/a/.wh.x").is_file());
        let metadata = scene.path("tmp/a/b/file").metadata().unwrap();
        assert_eq!(
            (metadata.uid(), metadata.mode() & 0o7777, metadata.mtime()),
            (1234, 0o640, 1_000_000)
        );
        let owned = Options {
            owner: Some((5, 6)),
            ..Options::default()
        };
        scene
            .extract(&archive(&[("a/b/file", FILE, "again")]), owned)
            .unwrap();
        let metadata = scene.path("tmp/a/b/file").metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (5, 6));
        assert_eq!(
            scene.read("tmp/hard"),
            "hello",
            "the old file was replaced, not written into"
        );
    }

    #[test]
    fn nothing_is_written_or_linked_outside() {
        let scene = Scene::new();
        for name in ["../etc/x", "a/../../x"] {
            let error = scene
                .extract(&archive(&[(name, FILE, "x")]), Options::default())
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{name:?} is outside of \"/tmp\"")
            );
        }
        let error = scene
            .extract(&archive(&[("x", HARD, "../../secret")]), Options::default())
            .unwrap_err();
        assert!(matches!(error, ExtractError::Outside { .. }), "{error}");

        let entries = [
            ("link", LINK, "../.."),
            ("link/secret", FILE, "overwritten"),
            ("x", HARD, "link/../secret"),
        ];
        scene
            .extract(&archive(&entries[..2]), Options::default())
            .unwrap();
        assert_eq!(
            host::read_to_string(scene.dir.path().join("secret")).unwrap(),
            "outside"
        );
        assert_eq!(scene.read("secret"), "overwritten");
        symlink("/", scene.path("tmp/absolute")).unwrap();
        scene
            .extract(
                &archive(&[("absolute/etc/x", FILE, "inside")]),
                Options::default(),
            )
            .unwrap();
        assert_eq!(scene.read("etc/x"), "inside");
        scene
            .extract(
                &archive(&[("link", FILE, "no link now")]),
                Options::default(),
            )
            .unwrap();
        assert_eq!(scene.read("tmp/link"), "no link now");
    }

    #[test]
    fn a_device_is_described_without_following_what_takes_its_place() {
        let scene = Scene::new();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Fifo);
        header.set_mode(0o622);
        header.set_size(0);
        tar.append_data(&mut header, "fifo", std::io::empty())
            .unwrap();
        scene
            .extract(&tar.into_inner().unwrap(), Options::default())
            .unwrap();
        assert_eq!(
            scene.path("tmp/fifo").metadata().unwrap().mode() & 0o7777,
            0o622
        );
    }

    #[test]
    fn kinds_are_kept_where_that_is_asked_for() {
        let scene = Scene::new();
        host::create_dir_all(scene.path("tmp/dir/inner")).unwrap();
        host::write(scene.path("tmp/file"), "x").unwrap();
        let careful = Options {
            keep_kinds: true,
            ..Options::default()
        };
        let error = scene
            .extract(&archive(&[("dir", FILE, "x")]), careful)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot overwrite directory \"/tmp/dir\" with non-directory \"/tmp\""
        );
        let error = scene
            .extract(&archive(&[("file", DIRECTORY, "")]), careful)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot overwrite non-directory \"/tmp/file\" with directory \"/tmp\""
        );
        scene
            .extract(
                &archive(&[("dir", DIRECTORY, ""), ("file", FILE, "y")]),
                careful,
            )
            .unwrap();
        assert!(scene.path("tmp/dir/inner").is_dir());
        scene
            .extract(
                &archive(&[("dir", FILE, "x"), ("file", DIRECTORY, "")]),
                Options::default(),
            )
            .unwrap();
        assert_eq!(scene.read("tmp/dir"), "x");
        assert!(scene.path("tmp/file").is_dir());
    }

    #[test]
    fn an_archive_that_breaks_off_leaves_no_half_file() {
        let scene = Scene::new();
        let whole = archive(&[("one", FILE, "1"), ("two", FILE, &"2".repeat(5000))]);
        let error = scene
            .extract(&whole[..3000], Options::default())
            .unwrap_err();
        assert_eq!(error.to_string(), "unexpected end of the archive");
        assert_eq!(scene.read("tmp/one"), "1");
        assert!(!scene.path("tmp/two").exists());
    }

    #[test]
    fn what_would_be_the_hosts_roots_is_not_made() {
        let scene = Scene::new();
        let options = Options {
            first_id: u32::MAX - 1,
            ..Options::default()
        };
        let answer = scene.extract(&archive(&[("file", FILE, "x")]), options);
        let is_owner = matches!(answer, Err(ExtractError::Entry(UnpackError::Owner { .. })));
        assert!(is_owner && !scene.path("tmp/file").exists());
    }

    #[test]
    fn compressed_archives_are_inflated() {
        let scene = Scene::new();
        let plain = archive(&[("file", FILE, "packed")]);
        scene
            .extract(
                &zstd::encode_all(&plain[..], 1).unwrap(),
                Options::default(),
            )
            .unwrap();
        assert_eq!(scene.read("tmp/file"), "packed");
        let error = scene
            .extract(b"BZh91AY&SY", Options::default())
            .unwrap_err();
        assert!(matches!(error, ExtractError::Entry(_)), "{error}");
    }
}
