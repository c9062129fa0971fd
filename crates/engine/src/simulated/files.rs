//! Root file systems of the simulated engine: trees in memory, with `tar` in and out.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use model::instance::{Failure, FailureKind};
use model::stream::{Change, ChangeKind, ExtractOptions, PathStat};

use crate::failure::refused;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Symbolic links followed before a look-up gives up, as the kernel's.
const MAX_LINKS: usize = 40;

/// A file system. Paths are without a leading `/`; the root is the empty path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    content: Content,
    permissions: u32,
    modified_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Directory,
    File(Vec<u8>),
    Symlink(PathBuf),
}

/// What kind of file is at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FileKind {
    Directory,
    Other,
}

impl Entry {
    const fn mode(&self) -> u32 {
        let kind = match self.content {
            Content::Directory => DIRECTORY,
            Content::File(_) => FILE,
            Content::Symlink(_) => SYMLINK,
        };
        kind | self.permissions
    }

    const fn size(&self) -> u64 {
        match &self.content {
            Content::Directory => 4096,
            Content::File(contents) => contents.len() as u64,
            Content::Symlink(_) => 0,
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree = Self {
            entries: BTreeMap::new(),
        };
        tree.insert(
            PathBuf::new(),
            Content::Directory,
            0o755,
            Timestamp::UNIX_EPOCH,
        );
        tree
    }
}

impl Tree {
    /// What a small image has.
    pub(super) fn of_an_image(now: Timestamp) -> Self {
        let mut tree = Self::default();
        for dir in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"] {
            tree.make_dir(dir, now);
        }
        tree.put(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
            now,
        );
        tree.put("etc/group", b"root:x:0:\nnogroup:x:65534:\n", now);
        tree
    }

    fn insert(
        &mut self,
        path: PathBuf,
        content: Content,
        permissions: u32,
        modified_at: Timestamp,
    ) {
        self.entries.insert(
            path,
            Entry {
                content,
                permissions,
                modified_at,
            },
        );
    }

    /// The path that `path` leads to, with the link at its end followed where `follow` says so.
    ///
    /// The last part may be missing; `None` when something on the way is.
    fn resolved(&self, path: &Path, follow: bool) -> Option<PathBuf> {
        let mut links = 0;
        let mut left: Vec<PathBuf> = parts(path);
        let mut walked = PathBuf::new();
        while let Some(part) = left.pop() {
            if part == Path::new("..") {
                walked.pop();
                continue;
            }
            let here = walked.join(&part);
            match self.entries.get(&here).map(|entry| &entry.content) {
                Some(Content::Symlink(target)) if follow || !left.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.is_absolute() {
                        walked = PathBuf::new();
                    }
                    left.extend(parts(target));
                }
                None if !left.is_empty() => return None,
                Some(Content::File(_)) if !left.is_empty() => return None,
                _ => walked = here,
            }
        }
        Some(walked)
    }

    fn find(&self, path: &str, follow: bool) -> Option<(PathBuf, &Entry)> {
        let path = self.resolved(Path::new(path), follow)?;
        let entry = self.entries.get(&path)?;
        Some((path, entry))
    }

    pub(super) fn kind_of(&self, path: &str) -> Option<FileKind> {
        let (_, entry) = self.find(path, true)?;
        Some(if entry.content == Content::Directory {
            FileKind::Directory
        } else {
            FileKind::Other
        })
    }

    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        match &self.find(path, true)?.1.content {
            Content::File(contents) => Some(contents.clone()),
            _ => None,
        }
    }

    pub(super) fn put(&mut self, path: &str, contents: &[u8], now: Timestamp) {
        self.make_parent(path, now);
        if let Some(path) = self.resolved(Path::new(path), true) {
            self.insert(path, Content::File(contents.to_vec()), 0o644, now);
        }
    }

    pub(super) fn link(&mut self, path: &str, target: &str, now: Timestamp) {
        self.make_parent(path, now);
        if let Some(path) = self.resolved(Path::new(path), false) {
            self.insert(path, Content::Symlink(PathBuf::from(target)), 0o777, now);
        }
    }

    fn make_parent(&mut self, path: &str, now: Timestamp) {
        if let Some(parent) = Path::new(path).parent().and_then(Path::to_str) {
            self.make_dir(parent, now);
        }
    }

    /// Makes a directory, and those on the way.
    pub(super) fn make_dir(&mut self, path: &str, now: Timestamp) {
        let mut walked = PathBuf::new();
        for part in parts(Path::new(path)).into_iter().rev() {
            walked.push(part);
            match self.resolved(&walked, true) {
                Some(path) if !self.entries.contains_key(&path) => {
                    self.insert(path, Content::Directory, 0o755, now);
                }
                _ => {}
            }
        }
    }

    /// Removes what is at a path, with everything below it.
    pub(super) fn remove(&mut self, path: &str) {
        if let Some(path) = self
            .resolved(Path::new(path), false)
            .filter(|path| !path.as_os_str().is_empty())
        {
            self.entries.retain(|entry, _| !entry.starts_with(&path));
        }
    }

    /// Names in a directory, a line each; the name alone of anything else.
    pub(super) fn list(&self, path: &str) -> Option<String> {
        let (found, entry) = self.find(path, true)?;
        if entry.content != Content::Directory {
            return Some(format!("{path}\n"));
        }
        let inside = self
            .entries
            .keys()
            .filter(|path| path.parent() == Some(&found));
        Some(
            inside
                .filter_map(|path| path.file_name())
                .map(|name| format!("{}\n", name.display()))
                .collect(),
        )
    }

    /// What is at a path; `None` when nothing is.
    pub(super) fn stat(&self, path: &str) -> Option<PathStat> {
        let follow = path.ends_with('/') || path.ends_with("/.");
        let (found, entry) = self.find(path, follow)?;
        let link_target = match &entry.content {
            Content::Symlink(_) => self.resolved(Path::new(path), true).unwrap_or_default(),
            _ => PathBuf::new(),
        };
        Some(PathStat {
            name: name_of(&found),
            size_bytes: entry.size(),
            mode: entry.mode(),
            modified_at: entry.modified_at,
            link_target: if link_target.as_os_str().is_empty() {
                String::new()
            } else {
                format!("/{}", link_target.display())
            },
        })
    }

    /// What is at a path as an archive, named from its last part.
    pub(super) fn archive(&self, path: &str) -> Option<Vec<u8>> {
        let follow = path.ends_with('/') || path.ends_with("/.");
        let (found, _) = self.find(path, follow)?;
        let name = if path.ends_with("/.") || found.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            PathBuf::from(name_of(&found))
        };
        Some(self.packed(&found, &name))
    }

    /// The whole tree as an archive.
    pub(super) fn export(&self) -> Vec<u8> {
        self.packed(Path::new(""), Path::new(""))
    }

    /// What is new or changed since the image, and a whiteout for what is gone.
    pub(super) fn layer_over(&self, image: &Self) -> Vec<u8> {
        let mut layer = self.clone();
        layer
            .entries
            .retain(|path, entry| image.entries.get(path) != Some(entry));
        let gone = image
            .entries
            .iter()
            .filter(|(path, _)| !self.entries.contains_key(*path));
        for (path, entry) in gone {
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                let mark = Entry {
                    content: Content::File(Vec::new()),
                    ..entry.clone()
                };
                layer
                    .entries
                    .insert(path.with_file_name(format!(".wh.{name}")), mark);
            }
        }
        layer.export()
    }

    fn packed(&self, from: &Path, name: &Path) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, entry) in self
            .entries
            .iter()
            .filter(|(path, _)| path.starts_with(from))
        {
            let below = path.strip_prefix(from).unwrap_or(path);
            // Joining an empty path would add a slash.
            let inside = if below.as_os_str().is_empty() {
                name.to_owned()
            } else {
                name.join(below)
            };
            if inside.as_os_str().is_empty() {
                continue;
            }
            let mut header = tar::Header::new_gnu();
            header.set_mode(entry.permissions);
            header.set_mtime(u64::try_from(entry.modified_at.as_second()).unwrap_or_default());
            header.set_size(0);
            // Writing to memory does not fail, and the names fit because they came from an archive or a test.
            drop(match &entry.content {
                Content::Directory => {
                    header.set_entry_type(tar::EntryType::Directory);
                    archive.append_data(&mut header, inside, std::io::empty())
                }
                Content::File(contents) => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_size(contents.len() as u64);
                    archive.append_data(&mut header, inside, contents.as_slice())
                }
                Content::Symlink(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    archive.append_link(&mut header, inside, target)
                }
            });
        }
        archive.into_inner().unwrap_or_default()
    }

    /// Extracts an archive into the directory at a path: all of it, or nothing.
    ///
    /// # Errors
    /// In Docker's words, when the path is no directory or the archive is none.
    pub(super) fn extract(
        &mut self,
        path: &str,
        archive: &[u8],
        options: ExtractOptions,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let base = match self.find(path, true) {
            Some((base, entry)) if entry.content == Content::Directory => base,
            _ => {
                return Err(refused(
                    FailureKind::Invalid,
                    "extraction point is not a directory",
                ));
            }
        };
        let mut made = self.clone();
        let unreadable = |error: std::io::Error| {
            refused(
                FailureKind::Internal,
                format!("cannot read the archive: {error}"),
            )
        };
        for entry in tar::Archive::new(archive).entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let name: PathBuf = parts(&entry.path().map_err(unreadable)?)
                .into_iter()
                .rev()
                .collect();
            let target = base.join(&name);
            let text = target.to_string_lossy().into_owned();
            let is_dir = entry.header().entry_type().is_dir();
            if let Some((_, existing)) = made
                .find(&text, false)
                .filter(|_| options.no_overwrite_dir_non_dir)
            {
                let was_dir = existing.content == Content::Directory;
                if was_dir != is_dir {
                    let (old, new) = if was_dir {
                        ("directory", "non-directory")
                    } else {
                        ("non-directory", "directory")
                    };
                    let message = format!(
                        "cannot overwrite {old} \"/{text}\" with {new} \"/{}\"",
                        base.display()
                    );
                    return Err(refused(FailureKind::Internal, message));
                }
            }
            if is_dir {
                made.make_dir(&text, now);
                continue;
            }
            made.remove(&text);
            if let Some(link) = entry
                .link_name()
                .map_err(unreadable)?
                .filter(|_| entry.header().entry_type().is_symlink())
            {
                made.link(&text, &link.to_string_lossy(), now);
                continue;
            }
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).map_err(unreadable)?;
            made.put(&text, &contents, now);
            if let (Some(path), Ok(mode)) = (made.resolved(&target, true), entry.header().mode())
                && let Some(entry) = made.entries.get_mut(&path)
            {
                entry.permissions = mode & 0o7777;
            }
        }
        *self = made;
        Ok(())
    }

    /// How this tree differs from the one it began as.
    pub(super) fn changes_since(&self, image: &Self) -> Vec<Change> {
        let mut changes: BTreeMap<PathBuf, ChangeKind> = BTreeMap::new();
        for (path, entry) in &self.entries {
            match image.entries.get(path) {
                None => changes.insert(path.clone(), ChangeKind::Added),
                Some(old) if old != entry => changes.insert(path.clone(), ChangeKind::Modified),
                Some(_) => continue,
            };
        }
        for path in image
            .entries
            .keys()
            .filter(|path| !self.entries.contains_key(*path))
        {
            // A removed directory stands for all that was in it.
            if path
                .parent()
                .is_none_or(|parent| self.entries.contains_key(parent))
            {
                changes.insert(path.clone(), ChangeKind::Deleted);
            }
        }
        for path in changes.keys().cloned().collect::<Vec<_>>() {
            for parent in path
                .ancestors()
                .skip(1)
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                changes
                    .entry(parent.to_owned())
                    .or_insert(ChangeKind::Modified);
            }
        }
        changes
            .into_iter()
            .map(|(path, kind)| Change {
                path: format!("/{}", path.display()),
                kind,
            })
            .collect()
    }

    /// Bytes of files that differ from those of the tree it began as.
    pub(super) fn bytes_since(&self, image: &Self) -> u64 {
        let changed = self
            .entries
            .iter()
            .filter(|(path, entry)| image.entries.get(*path) != Some(*entry));
        changed
            .filter(|(_, entry)| entry.content != Content::Directory)
            .map(|(_, entry)| entry.size())
            .sum()
    }
}

/// Parts of a path, the last one first; `..` stays.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path
        .components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(PathBuf::from(part)),
            Component::ParentDir => Some(PathBuf::from("..")),
            _ => None,
        });
    parts.collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || "/".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn links_are_followed_inside() {
        let mut tree = Tree::of_an_image(NOW);
        tree.put("/a/b/file", b"x", NOW);
        tree.link("/link", "../../a/./b", NOW);
        assert_eq!(tree.read("/link/file"), Some(b"x".to_vec()));
        assert_eq!(tree.stat("/link").unwrap().link_target, "/a/b");
        tree.link("/loop", "loop", NOW);
        assert_eq!(tree.read("/loop"), None);
    }

    #[test]
    fn what_is_packed_can_be_extracted_elsewhere() {
        let mut tree = Tree::of_an_image(NOW);
        tree.put("/a/b/file", b"hello", NOW);
        tree.link("/a/link", "b/file", NOW);
        let archive = tree.archive("/a").unwrap();
        tree.extract("/tmp", &archive, ExtractOptions::default(), NOW)
            .unwrap();
        assert_eq!(tree.read("/tmp/a/link"), Some(b"hello".to_vec()));
    }

    #[test]
    fn changes_name_parents_and_removed_trees_once() {
        let image = Tree::of_an_image(NOW);
        let mut tree = image.clone();
        tree.put("/tmp/new", b"1234", NOW);
        tree.remove("/etc");
        let changes: Vec<_> = tree
            .changes_since(&image)
            .into_iter()
            .map(|change| (change.path, change.kind))
            .collect();
        let expected = [
            ("/etc", ChangeKind::Deleted),
            ("/tmp", ChangeKind::Modified),
            ("/tmp/new", ChangeKind::Added),
        ];
        assert_eq!(
            changes,
            expected.map(|(path, kind)| (path.to_owned(), kind))
        );
        assert_eq!(tree.bytes_since(&image), 4);
    }
}
