//! The files of one log, the current one and the rotated ones, opened while the keeper may be
//! renaming them and [`super::packing`] compressing them.
//!
//! A rotation moves every file to the next higher number. So files are opened from the newest to
//! the oldest, and one that is met again, under its new number or compressed, is left out.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Seek as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::GzHeader;
use flate2::bufread::GzDecoder;

use super::packing::nameless;

/// What the name of a compressed file ends with.
const PACKED: &[u8] = b".gz";

/// Bytes looked at in one step backwards.
const BLOCK_BYTES: usize = 64 << 10;

/// How a file of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Packed,
}

/// Which file it is; of a compressed one, which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// An open file of a log.
#[derive(Debug)]
pub(super) struct LogFile {
    /// As it is kept.
    pub(super) file: File,
    pub(super) identity: Identity,
    form: Form,
    /// What a compressed one holds, once it was asked for; it has no name.
    unpacked: Option<File>,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.device.to_le_bytes(), self.inode.to_le_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (device, inode) = bytes.split_first_chunk()?;
        Some(Self {
            device: u64::from_le_bytes(*device),
            inode: u64::from_le_bytes(inode.try_into().ok()?),
        })
    }
}

impl LogFile {
    /// Opens the file of this number and form; `None` where there is none.
    pub(super) fn open(path: &Path, number: u32, form: Form) -> io::Result<Option<Self>> {
        let file = match File::open(numbered(path, number, form)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let own = Identity::of(&file.metadata()?);
        let identity = match form {
            Form::Plain => own,
            Form::Packed => {
                let decoder = GzDecoder::new(BufReader::new(&file));
                let told = decoder.header().and_then(GzHeader::extra);
                told.and_then(Identity::from_bytes).unwrap_or(own)
            }
        };
        Ok(Some(Self {
            file,
            identity,
            form,
            unpacked: None,
        }))
    }

    /// The file as it was written, from where reading has come to. What is compressed of the log at
    /// `path` is unpacked beside it at the first call.
    pub(super) fn readable(&mut self, path: &Path) -> io::Result<&File> {
        if self.form == Form::Plain {
            return Ok(&self.file);
        }
        let unpacked = match self.unpacked.take() {
            Some(unpacked) => unpacked,
            None => {
                let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
                let mut unpacked = nameless(directory)?;
                self.file.rewind()?;
                let mut decoder = GzDecoder::new(BufReader::new(&self.file));
                io::copy(&mut decoder, &mut unpacked)?;
                unpacked.rewind()?;
                unpacked
            }
        };
        Ok(self.unpacked.insert(unpacked))
    }

    /// Whether it is this file, in whichever form. The inode of one that was compressed may have
    /// been given to a file since; their times of modification tell them apart.
    fn is(&self, other: &Self) -> io::Result<bool> {
        let are_plain = self.form == Form::Plain && other.form == Form::Plain;
        let modified = |file: &Self| file.file.metadata()?.modified();
        Ok(self.identity == other.identity && (are_plain || modified(self)? == modified(other)?))
    }

    /// Whether the log goes on in a newer file than this one.
    pub(super) fn is_rotated(&self, path: &Path) -> io::Result<bool> {
        match path.metadata() {
            Ok(metadata) => Ok(Identity::of(&metadata) != self.identity),
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
    'files: for number in 0..=oldest + 1 {
        for form in [Form::Plain, Form::Packed] {
            let Some(file) = LogFile::open(path, number, form)? else {
                continue;
            };
            if let Some(last) = last
                && last.is(&file)?
            {
                break 'files;
            }
            let mut is_known = false;
            for known in &files {
                is_known |= known.is(&file)?;
            }
            if !is_known {
                files.push(file);
            }
        }
    }
    files.reverse();
    Ok(files)
}

/// The highest number of a rotated file; 0 when there is none.
pub(super) fn oldest_number(path: &Path) -> io::Result<u32> {
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
        let number = number.map(|number| number.strip_suffix(PACKED).unwrap_or(number));
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        oldest = oldest.max(number.unwrap_or(0));
    }
    Ok(oldest)
}

/// The file of this number; 0 is the current one.
pub(super) fn numbered(path: &Path, number: u32, form: Form) -> PathBuf {
    let mut name = path.as_os_str().as_bytes().to_vec();
    if number > 0 {
        name.extend_from_slice(format!(".{number}").as_bytes());
    }
    if form == Form::Packed {
        name.extend_from_slice(PACKED);
    }
    OsString::from_vec(name).into()
}

/// Drops files of the log at `path` and answers the offset in the first one left, so that `count`
/// records are left.
///
/// A record that is not finished yet counts as none: it is left for whoever follows.
pub(super) fn cut_to_tail(
    path: &Path,
    files: &mut Vec<LogFile>,
    mut count: u64,
) -> io::Result<u64> {
    let mut index = files.len();
    while index > 0 {
        index -= 1;
        if let Some(offset) = tail_offset(files[index].readable(path)?, &mut count)? {
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
pub(super) mod tests {
    use super::*;
    use std::io::Read as _;

    /// A log in a directory of its own, with this in its files, the newest first.
    pub(in crate::log) fn log(contents: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        for (number, text) in (0..).zip(contents) {
            std::fs::write(numbered(&path, number, Form::Plain), text).unwrap();
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
        let offset = cut_to_tail(&path, &mut files, count).unwrap();
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
        std::fs::remove_file(numbered(&path, 1, Form::Plain)).unwrap();
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
            if numbered(&path, 1, Form::Plain).exists() {
                std::fs::rename(
                    numbered(&path, 1, Form::Plain),
                    numbered(&path, 2, Form::Plain),
                )
                .unwrap();
            }
            std::fs::rename(&path, numbered(&path, 1, Form::Plain)).unwrap();
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
