//! One record of a log, read back: the inverse of what the keeper writes.
//!
//! The known shape is taken apart by hand, since a log is read at the speed of this; any other
//! JSON of the same meaning (more fields, another order) goes through serde.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::stream::{LogLine, Stream};
use serde::Deserialize;

const BEGIN: &[u8] = br#"{"log":""#;
const TIME: &[u8] = br#","time":"#;
const STDOUT: &[u8] = br#"","stream":"stdout""#;
const STDERR: &[u8] = br#"","stream":"stderr""#;
const ATTRIBUTES: &[u8] = br#","attrs":"#;

/// Takes records apart. Records written at once share a time, those of a run what they tell beside
/// the line: so the last ones are remembered.
#[derive(Debug, Default)]
pub(super) struct Parser {
    time_text: Vec<u8>,
    time: Timestamp,
    details_text: Vec<u8>,
    details: Arc<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    log: String,
    stream: Stream,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    time: Timestamp,
}

impl Parser {
    /// The line that a record (without its newline) holds; `None` when it is none.
    pub(super) fn parse(&mut self, record: &[u8]) -> Option<LogLine> {
        self.known_shape(record)
            .or_else(|| any_shape(record))
            .or_else(|| {
                // A record that was cut off by a crash has the next one on the same line.
                let begin = memchr::memmem::rfind(record, BEGIN).filter(|begin| *begin > 0)?;
                self.known_shape(&record[begin..])
            })
    }

    fn known_shape(&mut self, record: &[u8]) -> Option<LogLine> {
        let rest = record.strip_prefix(BEGIN)?.strip_suffix(b"\"}")?;
        let (rest, time) = rest.split_at(memchr::memrchr(b'"', rest)?);
        let rest = rest.strip_suffix(TIME)?;
        // No text has this in it: its quotes are escaped there.
        let (rest, details) = match rest.last() {
            Some(b'}') => rest.split_at(memchr::memmem::rfind(rest, ATTRIBUTES)?),
            _ => (rest, &[][..]),
        };
        let (text, stream) = match rest.strip_suffix(STDOUT) {
            Some(text) => (text, Stream::Stdout),
            None => (rest.strip_suffix(STDERR)?, Stream::Stderr),
        };
        let at = self.time(&time[1..])?;
        let details = self.details(details.strip_prefix(ATTRIBUTES).unwrap_or_default())?;
        Some(LogLine {
            stream,
            at,
            bytes: unescaped(text)?,
            details,
        })
    }

    fn details(&mut self, text: &[u8]) -> Option<Arc<BTreeMap<String, String>>> {
        if self.details_text != text {
            self.details = if text.is_empty() {
                Arc::default()
            } else {
                serde_json::from_slice(text).ok()?
            };
            self.details_text.clear();
            self.details_text.extend_from_slice(text);
        }
        Some(Arc::clone(&self.details))
    }

    fn time(&mut self, text: &[u8]) -> Option<Timestamp> {
        if self.time_text != text {
            self.time = std::str::from_utf8(text).ok()?.parse().ok()?;
            self.time_text.clear();
            self.time_text.extend_from_slice(text);
        }
        Some(self.time)
    }
}

fn any_shape(record: &[u8]) -> Option<LogLine> {
    let document: Document = serde_json::from_slice(record).ok()?;
    Some(LogLine {
        stream: document.stream,
        at: document.time,
        bytes: document.log.into_bytes(),
        details: Arc::new(document.attrs),
    })
}

/// The bytes that the inside of a JSON string stands for; `None` when it is no such thing.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\\', b'"', rest) {
        bytes.extend_from_slice(&rest[..at]);
        let escape = rest[at..].strip_prefix(b"\\")?;
        let (&kind, after) = escape.split_first()?;
        rest = after;
        match kind {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'"' | b'\\' | b'/' => bytes.push(kind),
            b'u' => {
                // Surrogates come in pairs, which the writer never needs: serde knows them.
                let char = char::from_u32(hex(rest.get(..4)?)?)?;
                bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[4..];
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest);
    Some(bytes)
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, &digit| {
        Some(number << 4 | char::from(digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(record: &str) -> Option<LogLine> {
        Parser::default().parse(record.as_bytes())
    }

    #[test]
    fn the_known_shape_is_read() {
        let record = r#"{"log":"a \"b\" \\ \u003c\ufffd\n","stream":"stderr","time":"2026-01-02T03:04:05.000000006Z"}"#;
        let line = parse(record).unwrap();
        assert_eq!(line.stream, Stream::Stderr);
        assert_eq!(line.at, "2026-01-02T03:04:05.000000006Z".parse().unwrap());
        assert_eq!(line.bytes, "a \"b\" \\ <\u{fffd}\n".as_bytes());
        assert_eq!(Parser::default().known_shape(record.as_bytes()), Some(line));
    }

    #[test]
    fn what_stands_beside_a_line_is_read() {
        let mut parser = Parser::default();
        let mut details = |attributes: &str| {
            let record = format!(
                r#"{{"log":",\"attrs\":{{\n","stream":"stdout"{attributes},"time":"2026-01-02T03:04:05Z"}}"#
            );
            let line = parser.known_shape(record.as_bytes()).unwrap();
            assert_eq!(line.bytes, b",\"attrs\":{\n");
            line.details.get("tag").cloned()
        };
        assert_eq!(details(""), None);
        for _ in 0..2 {
            let tag = details(r#","attrs":{"tag":"a,\"attrs\":{"}"#);
            assert_eq!(tag.as_deref(), Some("a,\"attrs\":{"));
        }
        assert_eq!(details(""), None);
    }

    #[test]
    fn other_shapes_of_the_same_meaning_are_read() {
        let time = "2026-01-02T03:04:05Z";
        for record in [
            format!(r#"{{"log":"x","stream":"stdout","attrs":{{"tag":"a"}},"time":"{time}"}}"#),
            format!(r#"{{"time":"{time}", "stream":"stdout", "log":"x"}}"#),
            r#"{"log":"x","stream":"stdout","time":"2026-01-02T04:04:05+01:00"}"#.to_owned(),
        ] {
            let line = parse(&record).unwrap_or_else(|| panic!("{record}"));
            assert_eq!(
                (line.bytes, line.at),
                (b"x".to_vec(), time.parse().unwrap())
            );
        }
        assert_eq!(
            parse(&format!(r#"{{"stream":"stdout","time":"{time}"}}"#))
                .unwrap()
                .bytes,
            b""
        );
        let pair = parse(&format!(
            r#"{{"log":"\ud83d\ude00","stream":"stdout","time":"{time}"}}"#
        ))
        .unwrap();
        assert_eq!(pair.bytes, "\u{1f600}".as_bytes());
    }

    #[test]
    fn text_that_looks_like_a_record_stays_text() {
        let text = r#"","stream":"stderr","time":"2020-01-01T00:00:00Z"}"#;
        let escaped = text.replace('"', "\\\"");
        let record =
            format!(r#"{{"log":"{escaped}","stream":"stdout","time":"2026-01-02T03:04:05Z"}}"#);
        let line = parse(&record).unwrap();
        assert_eq!(
            (line.stream, line.bytes),
            (Stream::Stdout, text.as_bytes().to_vec())
        );
    }

    #[test]
    fn what_is_broken_is_none_and_what_follows_it_is_read() {
        for record in [
            "",
            "{",
            r#"{"log":"x"#,
            r#"{"log":"x","stream":"stdout","time":"soon"}"#,
            "\0\0\0",
            "[]",
            "null",
        ] {
            assert_eq!(parse(record), None, "{record}");
        }
        let torn =
            r#"{"log":"half{"log":"whole\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#;
        assert_eq!(parse(torn).unwrap().bytes, b"whole\n");
    }

    #[test]
    fn a_remembered_time_is_not_mistaken() {
        let mut parser = Parser::default();
        for second in [5, 5, 6] {
            let record =
                format!(r#"{{"log":"x","stream":"stdout","time":"2026-01-02T03:04:0{second}Z"}}"#);
            let at = parser.parse(record.as_bytes()).unwrap().at;
            assert_eq!(at.to_string(), format!("2026-01-02T03:04:0{second}Z"));
        }
    }
}
