//! The log of one container: Docker's `json-file`, with rotation.
//!
//! Output comes in chunks; whole lines are encoded straight from the chunk, and what is left of a
//! line waits (bounded) in [`Lines`]. A full disk never stops a container: records are dropped
//! whole and their bytes counted, so that the file stays readable. The file is closed while a
//! container is silent. The engine reads these files, and compresses the older ones where that is
//! wanted; nothing here does.

mod record;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::launch::{LogFile, LogTarget};
use record::MAX_LINE_BYTES;

/// What the name of a compressed file ends with.
const PACKED: &str = ".gz";

/// Encoded bytes that are written at once.
const WRITE_BYTES: usize = 128 << 10;

/// The unfinished line of one stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lines {
    /// Its bytes so far, fewer than a record holds.
    #[serde(with = "crate::launch::base64_bytes")]
    pending: Vec<u8>,
    /// A part of it is written already; all parts have the time of the first.
    since: Option<Arc<str>>,
}

/// Where a container's output is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Log {
    #[serde(flatten)]
    file: LogFile,
    /// Bytes of records that could not be written.
    pub(super) lost_bytes: u64,
    #[serde(skip)]
    open: Option<Open>,
}

// A copy is for another program image, which opens the file again.
impl Clone for Log {
    fn clone(&self) -> Self {
        Self {
            file: self.file.clone(),
            lost_bytes: self.lost_bytes,
            open: None,
        }
    }
}

#[derive(Debug)]
struct Open {
    file: File,
    size_bytes: u64,
    used_at: Instant,
}

impl Log {
    /// Opens or makes the file.
    pub(super) fn open(target: &LogTarget) -> io::Result<Option<Self>> {
        let LogTarget::JsonFile(file) = target else {
            return Ok(None);
        };
        Ok(Some(Self {
            file: file.clone(),
            lost_bytes: 0,
            open: Some(Open::append(&file.path)?),
        }))
    }

    /// Takes a chunk of a stream. `now` is the time in RFC 3339; `encoded` is scratch space.
    pub(super) fn take(
        &mut self,
        lines: &mut Lines,
        stream: &str,
        chunk: &[u8],
        now: &Arc<str>,
        encoded: &mut Vec<u8>,
    ) {
        let mut writer = Writer {
            limit: self.room(),
            log: self,
            encoded,
        };
        writer.encoded.clear();
        let mut rest = chunk;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let mut line = &rest[..end.unwrap_or(rest.len())];
            while lines.pending.len() + line.len() >= MAX_LINE_BYTES {
                let (part, after) = line.split_at(MAX_LINE_BYTES - lines.pending.len());
                let time = Arc::clone(lines.since.get_or_insert_with(|| Arc::clone(now)));
                writer.record(lines.join(part), false, stream, &time);
                lines.pending.clear();
                line = after;
            }
            if let Some(end) = end {
                let since = lines.since.take();
                writer.record(
                    lines.join(line),
                    true,
                    stream,
                    since.as_ref().unwrap_or(now),
                );
                lines.pending.clear();
                rest = &rest[end + 1..];
            } else {
                lines.pending.extend_from_slice(line);
                rest = &[];
            }
        }
        writer.write();
        if lines.pending.is_empty() {
            // A silent stream holds no memory.
            lines.pending = Vec::new();
        }
    }

    /// Writes what is left of a stream that ended in the middle of a line.
    pub(super) fn finish(
        &mut self,
        lines: &mut Lines,
        stream: &str,
        now: &Arc<str>,
        encoded: &mut Vec<u8>,
    ) {
        let lines = std::mem::take(lines);
        if lines.pending.is_empty() {
            return;
        }
        let mut writer = Writer {
            limit: self.room(),
            log: self,
            encoded,
        };
        writer.encoded.clear();
        writer.record(
            &lines.pending,
            false,
            stream,
            lines.since.as_ref().unwrap_or(now),
        );
        writer.write();
    }

    /// Closes the file if nothing was written since.
    pub(super) fn close_if_unused_since(&mut self, since: Instant) {
        if self.open.as_ref().is_some_and(|open| open.used_at < since) {
            self.open = None;
        }
    }

    /// The file is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Bytes until the next rotation is due. A record may overshoot it, as with Docker.
    fn room(&self) -> u64 {
        let Some(max) = self.file.max_size_bytes else {
            return u64::MAX;
        };
        // A file that is closed is looked at when it is opened; rotation is then due at the latest
        // with the first record.
        max.saturating_sub(self.open.as_ref().map_or(max, |open| open.size_bytes))
    }

    fn write(&mut self, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        let kept = self.try_write(records).unwrap_or(0);
        self.lost_bytes += (records.len() - kept) as u64;
    }

    /// Writes whole records, and answers the bytes of those that are kept.
    fn try_write(&mut self, records: &[u8]) -> io::Result<usize> {
        let open = self.opened()?;
        open.used_at = Instant::now();
        let mut written = 0;
        while written < records.len() {
            match open.file.write(&records[written..]) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let kept = if written == records.len() {
            written
        } else {
            // A torn record would make the next one unreadable too.
            let whole = memchr::memrchr(b'\n', &records[..written]).map_or(0, |end| end + 1);
            open.file.set_len(open.size_bytes + whole as u64)?;
            whole
        };
        open.size_bytes += kept as u64;
        Ok(kept)
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            self.open = Some(Open::append(&self.file.path)?);
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Moves the file out of the way. Readers of it go on reading what they opened.
    ///
    /// When a step fails the file just goes on growing: better than losing lines.
    fn rotate(&mut self) {
        let forms: &[&str] = if self.file.compressed_by_other {
            &["", PACKED]
        } else {
            &[""]
        };
        let Ok(_turn) = self.turn() else {
            return;
        };
        self.open = None;
        if self.file.compressed_by_other {
            // In whichever form it is: what takes its place may be in the other one.
            let oldest = self.file.max_files.saturating_sub(1);
            for form in forms {
                drop(std::fs::remove_file(self.numbered(oldest, form)));
            }
        }
        for older in (1..self.file.max_files.saturating_sub(1)).rev() {
            for form in forms {
                drop(std::fs::rename(
                    self.numbered(older, form),
                    self.numbered(older + 1, form),
                ));
            }
        }
        drop(if self.file.max_files > 1 {
            std::fs::rename(&self.file.path, self.numbered(1, ""))
        } else {
            std::fs::remove_file(&self.file.path)
        });
    }

    /// Keeps whoever compresses from giving names; fails while they do.
    fn turn(&self) -> io::Result<Option<File>> {
        if !self.file.compressed_by_other {
            return Ok(None);
        }
        let directory = self.file.path.parent().ok_or(io::ErrorKind::NotFound)?;
        let directory = File::open(directory)?;
        directory.try_lock()?;
        Ok(Some(directory))
    }

    fn numbered(&self, number: u32, form: &str) -> PathBuf {
        let mut name = OsString::from(&self.file.path);
        name.push(format!(".{number}{form}"));
        name.into()
    }
}

impl Open {
    fn append(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(path)?;
        let size_bytes = file.metadata()?.len();
        Ok(Self {
            file,
            size_bytes,
            used_at: Instant::now(),
        })
    }
}

impl Lines {
    /// The whole unfinished line, copied only if it came in several chunks.
    fn join<'a>(&'a mut self, end: &'a [u8]) -> &'a [u8] {
        if self.pending.is_empty() {
            return end;
        }
        self.pending.extend_from_slice(end);
        &self.pending
    }
}

/// Collects records up to the next rotation.
struct Writer<'a> {
    log: &'a mut Log,
    encoded: &'a mut Vec<u8>,
    limit: u64,
}

impl Writer<'_> {
    fn record(&mut self, line: &[u8], ends: bool, stream: &str, time: &str) {
        if self.encoded.len() as u64 >= self.limit {
            self.write();
            // It may have been closed, and be smaller than was thought.
            if self.log.opened().is_ok() && self.log.room() == 0 {
                self.log.rotate();
                drop(self.log.opened());
            }
            self.limit = self.log.room();
        } else if self.encoded.len() >= WRITE_BYTES {
            self.write();
            self.limit = self.log.room();
        }
        let attributes = &self.log.file.attributes;
        record::append(self.encoded, line, ends, stream, attributes, time);
    }

    fn write(&mut self) {
        self.log.write(self.encoded);
        self.encoded.clear();
    }
}
