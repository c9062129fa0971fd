//! Reads the records of a log in order, batch by batch, across rotations. It blocks on the disk
//! only, and never waits for more.

use std::collections::VecDeque;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use model::stream::{LogLine, LogOptions, Stream};

use super::files::{self, LogFile};
use super::record::Parser;

/// Bytes read from the disk at once; also about the size of a batch.
const READ_BYTES: usize = 256 << 10;

/// A longer record is no record: the writer's longest has 16 KiB of text, six bytes each.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// How far a file's time of modification may lag behind the last record in it.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// A place in a log.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    options: LogOptions,
    current: Option<LogFile>,
    newer: VecDeque<LogFile>,
    parser: Parser,
    buffer: Vec<u8>,
    /// The rest of a record that is too long is passed over.
    overlong: bool,
}

/// What comes next in a log.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    /// Lines that were asked for, perhaps none.
    pub(super) lines: Vec<LogLine>,
    pub(super) end: End,
}

/// What is known to follow a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// There may be more already.
    #[default]
    More,
    /// Nothing more is written yet.
    Written,
    /// Nothing more is wanted: the time is past.
    Wanted,
}

impl Reader {
    /// The beginning of what is asked for.
    pub(super) fn open(path: PathBuf, options: LogOptions) -> io::Result<Self> {
        let mut files = files::open_all(&path, None)?;
        if let Some(count) = options.tail {
            let offset = files::cut_to_tail(&path, &mut files, count)?;
            if let Some(first) = files.first_mut() {
                first.readable(&path)?.seek(SeekFrom::Start(offset))?;
            }
        }
        if let Some(since) = options
            .since
            .map(SystemTime::from)
            .and_then(|since| since.checked_sub(CLOCK_SLACK))
        {
            // The newest one stays, so that there is something to go on from.
            while files.len() > 1 && files[0].is_older_than(since)? {
                files.remove(0);
            }
        }
        let mut newer = VecDeque::from(files);
        let current = newer.pop_front();
        Ok(Self {
            path,
            options,
            current,
            newer,
            parser: Parser::default(),
            buffer: Vec::new(),
            overlong: false,
        })
    }

    /// The next lines.
    pub(super) fn batch(&mut self) -> io::Result<Batch> {
        let read = self.fill()?;
        if read == 0 && !self.advance()? {
            return Ok(Batch {
                lines: Vec::new(),
                end: End::Written,
            });
        }
        let mut batch = Batch::default();
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &self.buffer) {
            let record = &self.buffer[begin..end];
            begin = end + 1;
            if std::mem::take(&mut self.overlong) {
                continue;
            }
            let Some(line) = self.parser.parse(record) else {
                continue;
            };
            if self.options.until.is_some_and(|until| line.at > until) {
                batch.end = End::Wanted;
                break;
            }
            let is_wanted = match line.stream {
                Stream::Stdout => self.options.stdout,
                Stream::Stderr => self.options.stderr,
            };
            if is_wanted && self.options.since.is_none_or(|since| line.at >= since) {
                batch.lines.push(line);
            }
        }
        self.buffer.drain(..begin);
        if self.buffer.len() > MAX_RECORD_BYTES {
            self.buffer = Vec::new();
            self.overlong = true;
        }
        Ok(batch)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let Some(current) = &mut self.current else {
            return Ok(0);
        };
        self.buffer.reserve(READ_BYTES);
        current
            .readable(&self.path)?
            .take(READ_BYTES as u64)
            .read_to_end(&mut self.buffer)
    }

    /// Goes to the next file, if there is one. Answers whether there may be more to read.
    fn advance(&mut self) -> io::Result<bool> {
        if self.newer.is_empty() {
            match &self.current {
                Some(current) if !current.is_rotated(&self.path)? => return Ok(false),
                current => self.newer = files::open_all(&self.path, current.as_ref())?.into(),
            }
            // The rotation may have come after the last read and what was written in between.
            if self.fill()? > 0 {
                return Ok(true);
            }
        }
        let Some(next) = self.newer.pop_front() else {
            return Ok(false);
        };
        self.current = Some(next);
        // A record is never continued in another file: what is left of one is lost.
        self.buffer.clear();
        self.overlong = false;
        Ok(true)
    }

    /// Gives memory back while there is nothing to read.
    pub(super) fn rest(&mut self) {
        self.buffer.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::io::Write as _;

    fn record(text: &str, stream: &str, second: i64) -> String {
        let time = Timestamp::from_second(second).unwrap();
        format!("{{\"log\":\"{text}\\n\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n")
    }

    fn both() -> LogOptions {
        LogOptions {
            stdout: true,
            stderr: true,
            ..LogOptions::default()
        }
    }

    fn read(reader: &mut Reader) -> (String, End) {
        let mut text = String::new();
        loop {
            let batch = reader.batch().unwrap();
            for line in batch.lines {
                text.push_str(std::str::from_utf8(&line.bytes).unwrap());
            }
            if batch.end != End::More {
                return (text, batch.end);
            }
        }
    }

    fn log(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn streams_and_times_are_chosen_after_the_tail_is_cut() {
        let text: String = (1..=4)
            .map(|n| record(&n.to_string(), if n == 3 { "stderr" } else { "stdout" }, n))
            .collect();
        let (_dir, path) = log(&text);
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let cases = [
            (both(), "1\n2\n3\n4\n", End::Written),
            (
                LogOptions {
                    stderr: false,
                    tail: Some(2),
                    ..both()
                },
                "4\n",
                End::Written,
            ),
            (
                LogOptions {
                    stdout: false,
                    ..both()
                },
                "3\n",
                End::Written,
            ),
            (
                LogOptions {
                    since: at(2),
                    until: at(3),
                    ..both()
                },
                "2\n3\n",
                End::Wanted,
            ),
            (
                LogOptions {
                    since: at(9),
                    ..both()
                },
                "",
                End::Written,
            ),
        ];
        for (options, expected, end) in cases {
            let mut reader = Reader::open(path.clone(), options.clone()).unwrap();
            assert_eq!(read(&mut reader), (expected.to_owned(), end), "{options:?}");
        }
    }

    #[test]
    fn broken_records_are_passed_over_and_unfinished_ones_waited_for() {
        let whole = record("whole", "stdout", 1);
        let (first, second) = whole.split_at(20);
        let (_dir, path) = log(&format!(
            "\0\0\0\n{}not json\n{first}",
            record("one", "stdout", 1)
        ));
        let mut reader = Reader::open(path.clone(), both()).unwrap();
        assert_eq!(read(&mut reader), ("one\n".to_owned(), End::Written));
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(second.as_bytes()).unwrap();
        assert_eq!(read(&mut reader), ("whole\n".to_owned(), End::Written));
    }

    #[test]
    fn a_record_without_end_takes_no_memory() {
        let (_dir, path) = log("");
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        for _ in 0..20 {
            file.write_all(&vec![b'x'; MAX_RECORD_BYTES / 4]).unwrap();
        }
        file.write_all(format!("\n{}", record("after", "stdout", 1)).as_bytes())
            .unwrap();
        let mut reader = Reader::open(path, both()).unwrap();
        let mut text = Vec::new();
        loop {
            let batch = reader.batch().unwrap();
            assert!(reader.buffer.capacity() <= 2 * (MAX_RECORD_BYTES + READ_BYTES));
            text.extend(batch.lines.into_iter().flat_map(|line| line.bytes));
            if batch.end == End::Written {
                break;
            }
        }
        assert_eq!(text, b"after\n");
    }

    #[test]
    fn reading_goes_on_across_rotations() {
        let (_dir, path) = log(&record("1", "stdout", 1));
        let rotated = PathBuf::from(format!("{}.1", path.display()));
        let mut reader = Reader::open(path.clone(), both()).unwrap();
        assert_eq!(read(&mut reader).0, "1\n");
        let append = |text: &str| {
            let mut file = std::fs::File::options()
                .create(true)
                .append(true)
                .open(&path)
                .unwrap();
            file.write_all(record(text, "stdout", 2).as_bytes())
                .unwrap();
        };
        // Written after the last read, and rotated before the next one.
        append("2");
        std::fs::rename(&path, &rotated).unwrap();
        assert_eq!(read(&mut reader).0, "2\n");
        append("3");
        assert_eq!(read(&mut reader).0, "3\n");
        std::fs::remove_file(&rotated).unwrap();
        std::fs::rename(&path, &rotated).unwrap();
        append("4");
        assert_eq!(read(&mut reader).0, "4\n");
    }
}
