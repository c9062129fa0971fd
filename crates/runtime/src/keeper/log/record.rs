//! One record of a log, byte for byte as Docker's `json-file` driver writes it.
//!
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}` and a newline; before
//! the time `"attrs":{"tag":"a"}`, where there are some. The
//! escapes are those of Go's `encoding/json` for HTML: readers compare bytes. Source: moby,
//! `daemon/logger/jsonfilelog/jsonlog` and `daemon/logger/copier.go`.

/// Bytes of a line that one record holds; a longer line is cut into several, of which only the
/// last has its newline.
pub(super) const MAX_LINE_BYTES: usize = 16 << 10;

/// Bytes tested at once for needing no escape; the compiler makes vector code of it.
const BLOCK_BYTES: usize = 32;

/// Appends one record. `ends` says that a newline ended the line (it is not part of `line`);
/// `attributes` is a JSON object, or nothing.
pub(super) fn append(
    out: &mut Vec<u8>,
    line: &[u8],
    ends: bool,
    stream: &str,
    attributes: &str,
    time: &str,
) {
    out.extend_from_slice(b"{");
    // The field is left out when it would be empty.
    if ends || !line.is_empty() {
        out.extend_from_slice(br#""log":""#);
        escape(out, line);
        if ends {
            out.extend_from_slice(br"\n");
        }
        out.extend_from_slice(br#"","#);
    }
    out.extend_from_slice(br#""stream":""#);
    out.extend_from_slice(stream.as_bytes());
    out.extend_from_slice(b"\",");
    if !attributes.is_empty() {
        out.extend_from_slice(br#""attrs":"#);
        out.extend_from_slice(attributes.as_bytes());
        out.extend_from_slice(b",");
    }
    out.extend_from_slice(br#""time":""#);
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// Appends bytes as the inside of a JSON string.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = bytes;
    loop {
        let (plain, special) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some((&first, after)) = special.split_first() else {
            return;
        };
        rest = after;
        match first {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', first]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            0..0x80 => {
                out.extend_from_slice(br"\u00");
                out.extend_from_slice(&[
                    HEX[usize::from(first >> 4)],
                    HEX[usize::from(first & 15)],
                ]);
            }
            0x80.. => {
                // A sequence has such bytes only, so none is torn here.
                let length = special
                    .iter()
                    .position(u8::is_ascii)
                    .unwrap_or(special.len());
                let (run, after) = special.split_at(length);
                escape_not_ascii(out, run);
                rest = after;
            }
        }
    }
}

fn escape_not_ascii(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        // Line separators end a string in JavaScript.
        while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            let (separator, after) = rest[at..].split_at('\u{2028}'.len_utf8());
            out.extend_from_slice(if separator == "\u{2028}" {
                br"\u2028"
            } else {
                br"\u2029"
            });
            rest = after;
        }
        out.extend_from_slice(rest.as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(br"\ufffd");
        }
    }
}

/// Bytes from the beginning that stand for themselves.
fn plain_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    for block in bytes.chunks(BLOCK_BYTES) {
        // No early exit, so that it becomes vector code.
        if !block.iter().fold(true, |all, &byte| all & is_plain(byte)) {
            return length + block.iter().take_while(|&&byte| is_plain(byte)).count();
        }
        length += block.len();
    }
    length
}

fn is_plain(byte: u8) -> bool {
    let is_text = (0x20..0x80).contains(&byte);
    let is_quoted = (byte == b'"') | (byte == b'\\');
    let is_markup = (byte == b'<') | (byte == b'>') | (byte == b'&');
    is_text & !is_quoted & !is_markup
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_with(line: &[u8], ends: bool, attributes: &str) -> String {
        let (mut out, time) = (Vec::new(), "2026-01-02T03:04:05.6Z");
        append(&mut out, line, ends, "stdout", attributes, time);
        String::from_utf8(out).unwrap()
    }

    fn record(line: &[u8], ends: bool) -> String {
        record_with(line, ends, "")
    }

    fn escaped(text: impl AsRef<[u8]>) -> String {
        let mut out = Vec::new();
        escape(&mut out, text.as_ref());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_dockers() {
        let expected =
            "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.6Z\"}\n";
        assert_eq!(record(b"hello", true), expected);
        let expected = "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"attrs\":{\"a\":\"b\"},\"time\":\"2026-01-02T03:04:05.6Z\"}\n";
        assert_eq!(record_with(b"hello", true, "{\"a\":\"b\"}"), expected);
        let expected =
            "{\"log\":\"\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.6Z\"}\n";
        assert_eq!(record(b"", true), expected);
        let expected =
            "{\"log\":\"part\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.6Z\"}\n";
        assert_eq!(record(b"part", false), expected);
    }

    // The expectations of moby's jsonlog tests, and of Go's decoder of runes.
    #[test]
    fn escapes_are_gos() {
        assert_eq!(escaped(r#"a"b\c"#), r#"a\"b\\c"#);
        assert_eq!(escaped("<b>&</b>"), r"\u003cb\u003e\u0026\u003c/b\u003e");
        assert_eq!(
            escaped("\t\r\u{8}\u{c}\u{1b}[0m\0\u{7f}"),
            "\\u0009\\r\\u0008\\u000c\\u001b[0m\\u0000\u{7f}"
        );
        assert_eq!(escaped("\u{2028}x\u{2029}"), r"\u2028x\u2029");
        assert_eq!(
            escaped("żółw 水 \u{1f422} \u{fffd}"),
            "żółw 水 \u{1f422} \u{fffd}"
        );
        assert_eq!(escaped(b"\xff\xfe"), r"\ufffd\ufffd");
        assert_eq!(escaped(b"a\xe2\x82b"), r"a\ufffd\ufffdb");
        assert_eq!(escaped(b"\xed\xa0\x80"), r"\ufffd\ufffd\ufffd");
        assert_eq!(
            escaped(b"\xc0\xaf\xf5\x80\x80\x80"),
            r"\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"
        );
        assert_eq!(escaped(b"\xe6\xb0\xb4\xe6\xb0"), "水\\ufffd\\ufffd");
    }

    #[test]
    fn every_position_of_a_special_byte_is_found() {
        for at in 0..3 * BLOCK_BYTES {
            let mut text = vec![b'x'; 3 * BLOCK_BYTES];
            text[at] = b'"';
            let (before, after) = ("x".repeat(at), "x".repeat(3 * BLOCK_BYTES - at - 1));
            assert_eq!(escaped(&text), format!("{before}\\\"{after}"));
        }
    }
}
