//! The files of one log, the current one and the rotated ones, opened while the keeper may be
//! renaming them.
//!
//! A rotation moves every file to the next higher number. So files are opened from the newest to
//! the oldest, and one that is met again under its new number is left out.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes looked at in one step backwards.
const BLOCK_BYTES: usize = 64 << 10;

/// An open file of a log.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: File,
    identity: (u64, u64),
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let metadata = file.metadata()?;
        Ok(Some(Self {
            file,
            identity: (metadata.dev(), metadata.ino()),
        }))
    }

    /// Whether the log goes on in a newer file than this one.
    pub(super) fn is_rotated(&self, path: &Path) -> io::Result<bool> {
        match path.metadata() {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino()) != self.identity),
            // Between a rotation's renaming and its making of the new file; there will be a wake-up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing was written to it since.
    pub(super) fn is_older_than(&self, time: SystemTime) -> io::Result<bool> {
        Ok(self.file.metadata()?.modified()? < time)
    }
}

/// The files of the log at `path`, the oldest first; those after `last` only, where it is given.
pub(super) fn open_all(path: &Path, last: Option<&LogFile>) -> io::Result<Vec<LogFile>> {
    let mut files: Vec<LogFile> = Vec::new();
    let oldest = oldest_number(path)?;
    for number in 0..=oldest + 1 {
        let Some(file) = LogFile::open(&numbered(path, number))? else {
            continue;
        };
        if last.is_some_and(|last| last.identity == file.identity) {
            break;
        }
        if files.iter().all(|known| known.identity != file.identity) {
            files.push(file);
        }
    }
    files.reverse();
    Ok(files)
}

/// The highest number of a rotated file; 0 when there is none.
fn oldest_number(path: &Path) -> io::Result<u32> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(0);
    };
    let entries = match dir.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        answer => answer?,
    };
    let mut oldest = 0;
    for entry in entries {
        let found = entry?.file_name();
        let number = found
            .as_bytes()
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"."));
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        oldest = oldest.max(number.unwrap_or(0));
    }
    Ok(oldest)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().as_bytes().to_vec();
    name.extend_from_slice(format!(".{number}").as_bytes());
    OsString::from_vec(name).into()
}

/// Drops the files and answers the offset in the first one left, so that `count` records are left.
///
/// A record that is not finished yet counts as none: it is left for whoever follows.
pub(super) fn cut_to_tail(files: &mut Vec<LogFile>, mut count: u64) -> io::Result<u64> {
    let mut index = files.len();
    while index > 0 {
        index -= 1;
        if let Some(offset) = tail_offset(&files[index].file, &mut count)? {
            files.drain(..index);
            return Ok(offset);
        }
    }
    Ok(0)
}

/// Where the last `count` records of a file begin; `None` when it has fewer, which are subtracted.
fn tail_offset(file: &File, count: &mut u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut end = file.metadata()?.len();
    // The newline that ends a record is passed before the record itself.
    let mut ends_seen = 0;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK_BYTES as u64);
        let length = usize::try_from(end - begin).unwrap_or(BLOCK_BYTES);
        let block = &mut block[..length];
        file.read_exact_at(block, begin)?;
        for at in memchr::memrchr_iter(b'\n', block) {
            if ends_seen == *count {
                return Ok(Some(begin + at as u64 + 1));
            }
            ends_seen += 1;
        }
        end = begin;
    }
    if ends_seen == *count && *count > 0 {
        return Ok(Some(0));
    }
    *count -= ends_seen;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn log(contents: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        for (number, text) in (0..).zip(contents) {
            std::fs::write(numbered(&path, number), text).unwrap();
        }
        (dir, path)
    }

    fn texts(files: &[LogFile]) -> Vec<String> {
        files
            .iter()
            .map(|file| std::io::read_to_string(&file.file).unwrap())
            .collect()
    }

    fn tail(contents: &[&str], count: u64) -> String {
        let (_dir, path) = log(contents);
        let mut files = open_all(&path, None).unwrap();
        let offset = cut_to_tail(&mut files, count).unwrap();
        let all = texts(&files).concat();
        all[usize::try_from(offset).unwrap()..].to_owned()
    }

    #[test]
    fn files_are_opened_from_the_oldest_and_gaps_are_no_end() {
        let (_dir, path) = log(&["now", "before", "long ago"]);
        assert_eq!(
            texts(&open_all(&path, None).unwrap()),
            ["long ago", "before", "now"]
        );
        std::fs::remove_file(numbered(&path, 1)).unwrap();
        assert_eq!(texts(&open_all(&path, None).unwrap()), ["long ago", "now"]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(texts(&open_all(&path, None).unwrap()), ["long ago"]);
        let nothing = Path::new("/nonexistent/x-json.log");
        assert!(open_all(nothing, None).unwrap().is_empty());
    }

    #[test]
    fn what_came_after_a_file_is_found_over_several_rotations() {
        let (_dir, path) = log(&["first"]);
        let last = open_all(&path, None).unwrap().pop().unwrap();
        assert!(!last.is_rotated(&path).unwrap());
        for text in ["second", "third"] {
            if numbered(&path, 1).exists() {
                std::fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
            }
            std::fs::rename(&path, numbered(&path, 1)).unwrap();
            assert!(!last.is_rotated(&path).unwrap());
            std::fs::write(&path, text).unwrap();
        }
        assert!(last.is_rotated(&path).unwrap());
        assert_eq!(
            texts(&open_all(&path, Some(&last)).unwrap()),
            ["second", "third"]
        );
    }

    #[test]
    fn a_tail_spans_files_and_leaves_an_unfinished_record() {
        let contents = ["4\n5\nhal", "1\n2\n3\n"];
        for (count, expected) in [
            (0, "hal"),
            (1, "5\nhal"),
            (2, "4\n5\nhal"),
            (3, "3\n4\n5\nhal"),
            (5, "1\n2\n3\n4\n5\nhal"),
            (9, "1\n2\n3\n4\n5\nhal"),
        ] {
            assert_eq!(tail(&contents, count), expected, "{count}");
        }
        assert_eq!(tail(&[""], 3), "");
        assert_eq!(tail(&["half"], 0), "half");
    }

    #[test]
    fn a_tail_is_found_across_blocks() {
        let line = "x".repeat(BLOCK_BYTES - 1) + "\n";
        let text = line.repeat(3) + "end\n";
        for (count, length) in [
            (1, 4),
            (2, 4 + BLOCK_BYTES),
            (3, 4 + 2 * BLOCK_BYTES),
            (7, text.len()),
        ] {
            assert_eq!(tail(&[&text], count).len(), length);
        }
    }

    #[test]
    fn an_open_file_reads_on_after_its_rotation() {
        let (_dir, path) = log(&["text"]);
        let mut file = open_all(&path, None).unwrap().pop().unwrap().file;
        std::fs::remove_file(&path).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }
}
