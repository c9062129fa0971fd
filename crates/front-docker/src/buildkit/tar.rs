//! Heads of a tar archive, of what a client says of its files. Pure.
//!
//! Source: fsutil, `types/stat.proto`; Go, `io/fs`, `FileMode`; POSIX, `pax`.

use bollard_buildkit_proto::fsutil::types::Stat;
use tar::{EntryType, Header};
use tonic::Status;

/// Go's bits of a mode.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const SPECIAL: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;
const SET_USER: u32 = 1 << 23;
const SET_GROUP: u32 = 1 << 22;
const STICKY: u32 = 1 << 20;

/// The size of a block, to which contents are filled up.
const BLOCK: usize = 512;

/// The longest path that Linux knows.
const MOST_PATH_BYTES: usize = 4096;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    /// Another name of a file that came before.
    HardLink,
}

/// What a client's file is; pipes, sockets and devices are refused.
pub(super) fn kind(stat: &Stat) -> Result<Kind, Status> {
    if stat.mode & SPECIAL != 0 {
        return Err(Status::invalid_argument(format!(
            "{}: pipes, sockets and devices cannot be in a build context; name it in .dockerignore",
            stat.path
        )));
    }
    Ok(if stat.mode & DIRECTORY != 0 {
        Kind::Directory
    } else if stat.mode & SYMLINK != 0 {
        Kind::Symlink
    } else if !stat.linkname.is_empty() {
        Kind::HardLink
    } else {
        Kind::File
    })
}

/// Whether a path stays where it begins.
pub(super) fn check_path(path: &str) -> Result<(), Status> {
    let is_name = |part: &str| !matches!(part, "" | "." | "..");
    if path.len() > MOST_PATH_BYTES || path.contains('\0') || !path.split('/').all(is_name) {
        return Err(Status::invalid_argument(format!(
            "the client shows a file with the path {path:?}, which is none in a build context"
        )));
    }
    Ok(())
}

/// The head of a file in an archive, up to where its content begins.
pub(super) fn head(stat: &Stat) -> Result<Vec<u8>, Status> {
    check_path(&stat.path)?;
    let kind = kind(stat)?;
    let mut records = Vec::new();
    for (name, value) in sorted_attributes(stat) {
        put_record(&mut records, &format!("SCHILY.xattr.{name}"), value);
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(match kind {
        Kind::File => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Symlink => EntryType::Symlink,
        Kind::HardLink => EntryType::Link,
    });
    if header.set_path(&stat.path).is_err() {
        put_record(&mut records, "path", stat.path.as_bytes());
    }
    if !stat.linkname.is_empty() && header.set_link_name_literal(&stat.linkname).is_err() {
        put_record(&mut records, "linkpath", stat.linkname.as_bytes());
    }
    let size = if kind == Kind::File { size(stat)? } else { 0 };
    if size >= 1 << 33 {
        put_record(&mut records, "size", size.to_string().as_bytes());
    }
    header.set_size(size);
    header.set_mode(unix_mode(stat.mode));
    header.set_uid(0);
    header.set_gid(0);
    let seconds = u64::try_from(stat.mod_time.div_euclid(1_000_000_000)).unwrap_or(0);
    header.set_mtime(seconds);
    header.set_cksum();
    let mut head = Vec::new();
    if !records.is_empty() {
        let mut extension = Header::new_ustar();
        extension.set_entry_type(EntryType::XHeader);
        extension
            .set_path("extension")
            .map_err(|error| Status::internal(error.to_string()))?;
        extension.set_size(records.len() as u64);
        extension.set_mode(0o644);
        extension.set_cksum();
        head.extend_from_slice(extension.as_bytes());
        let filled = filling(records.len() as u64);
        head.append(&mut records);
        head.resize(head.len() + filled, 0);
    }
    head.extend_from_slice(header.as_bytes());
    Ok(head)
}

/// The size of a file.
pub(super) fn size(stat: &Stat) -> Result<u64, Status> {
    u64::try_from(stat.size).map_err(|_| {
        Status::invalid_argument(format!("{}: {} bytes is no size", stat.path, stat.size))
    })
}

/// How many zeros follow this many bytes.
pub(super) fn filling(bytes: u64) -> usize {
    let over = usize::try_from(bytes % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// What follows the last file.
pub(super) fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

/// What an image may keep beside a file's content: others mean nothing away from their host.
fn sorted_attributes(stat: &Stat) -> Vec<(&str, &[u8])> {
    let is_kept = |name: &str| name == "security.capability" || name.starts_with("user.");
    let known = stat.xattrs.iter();
    let mut kept: Vec<_> = known
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .filter(|(name, _)| is_kept(name) && !name.contains(['=', '\0']))
        .collect();
    kept.sort_unstable();
    kept
}

fn unix_mode(mode: u32) -> u32 {
    let bits = [(SET_USER, 0o4000), (SET_GROUP, 0o2000), (STICKY, 0o1000)];
    let special = bits.iter().filter(|(go, _)| mode & go != 0);
    special.fold(mode & 0o777, |all, (_, unix)| all | unix)
}

/// `LENGTH NAME=VALUE`, the length of the whole in front.
fn put_record(records: &mut Vec<u8>, name: &str, value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length += 1;
    }
    records.extend_from_slice(format!("{length} {name}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn stat(path: &str, mode: u32, size: i64) -> Stat {
        Stat {
            path: path.to_owned(),
            mode,
            size,
            mod_time: 1_500_000_000_999_999_999,
            ..Stat::default()
        }
    }

    #[test]
    fn heads_and_contents_are_an_archive() {
        let long = format!("{}/file", ["directory"; 40].join("/"));
        let mut link = stat("link", SYMLINK | 0o777, 5);
        link.linkname = format!("/{}", "far".repeat(60));
        let mut other = stat("other", 0o755 | SET_USER, 3);
        other.linkname = long.clone();
        let mut file = stat(&long, 0o640, 3);
        file.xattrs
            .insert("user.note".to_owned(), b"\xff\0".to_vec());
        file.xattrs
            .insert("trusted.overlay.opaque".to_owned(), b"y".to_vec());
        let mut archive = head(&stat("directory", DIRECTORY | 0o750, 4096)).unwrap();
        archive.extend(head(&file).unwrap());
        archive.extend(b"abc");
        archive.extend(vec![0; filling(3)]);
        archive.extend(head(&link).unwrap());
        archive.extend(head(&other).unwrap());
        archive.extend(end());
        let mut read = tar::Archive::new(archive.as_slice());
        let mut seen = Vec::new();
        for entry in read.entries().unwrap() {
            let mut entry = entry.unwrap();
            let extensions: Vec<_> = entry
                .pax_extensions()
                .unwrap()
                .into_iter()
                .flatten()
                .filter_map(|one| one.unwrap().key().ok().map(str::to_owned))
                .filter(|key| key.starts_with("SCHILY"))
                .collect();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let link = entry.link_name_bytes().map(|name| name.len());
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_500_000_000);
            let (mode, kind) = (header.mode().unwrap(), header.entry_type());
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            seen.push((path, kind, mode, link, text, extensions));
        }
        let none = Vec::new;
        assert_eq!(
            seen,
            [
                (
                    "directory".to_owned(),
                    EntryType::Directory,
                    0o750,
                    None,
                    String::new(),
                    none()
                ),
                (
                    long.clone(),
                    EntryType::Regular,
                    0o640,
                    None,
                    "abc".to_owned(),
                    vec!["SCHILY.xattr.user.note".to_owned()]
                ),
                (
                    "link".to_owned(),
                    EntryType::Symlink,
                    0o777,
                    Some(181),
                    String::new(),
                    none()
                ),
                (
                    "other".to_owned(),
                    EntryType::Link,
                    0o4755,
                    Some(long.len()),
                    String::new(),
                    none()
                ),
            ]
        );
    }

    #[test]
    fn what_is_no_file_of_a_context_is_refused_by_its_path() {
        for path in ["", "/etc/passwd", "..", "a/../../b", "a//b", "./a", "a/"] {
            assert!(head(&stat(path, 0o644, 0)).is_err(), "{path}");
        }
        let pipe = head(&stat("a/pipe", 1 << 25 | 0o644, 0)).unwrap_err();
        assert!(pipe.message().starts_with("a/pipe: "), "{pipe}");
        assert!(head(&stat("a", 0o644, -1)).is_err());
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for length in [1, 90, 91, 92, 93, 94, 988, 990, 991, 992] {
            let mut records = Vec::new();
            put_record(&mut records, "path", &vec![b'x'; length]);
            let said: usize = std::str::from_utf8(&records)
                .unwrap()
                .split_once(' ')
                .unwrap()
                .0
                .parse()
                .unwrap();
            assert_eq!(said, records.len());
        }
    }
}
