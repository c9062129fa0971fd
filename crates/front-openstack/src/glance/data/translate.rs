//! Which part of the data a client wants.
//!
//! Source: RFC 9110, section 14; one range only, as in Glance. Some clients of old ask by
//! `Content-Range`, which Glance reads too.

use http::{HeaderMap, StatusCode, header};

use crate::glance::error::ApiError;

/// A part of some bytes: the first and the last that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) first: u64,
    last: u64,
}

impl Part {
    pub(super) const fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// `bytes 0-4/10`
    pub(super) fn text(self, of: u64) -> String {
        format!("bytes {}-{}/{of}", self.first, self.last)
    }
}

/// The part of `size` bytes that is asked for; `None` is all of them.
pub(super) fn range(headers: &HeaderMap, size: u64) -> Result<Option<Part>, ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let part = match (text(header::RANGE), text(header::CONTENT_RANGE)) {
        (Some(range), _) => of_range(range, size),
        (None, Some(range)) => of_content_range(range, size),
        (None, None) => return Ok(None),
    };
    part.map(Some).ok_or_else(|| {
        ApiError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "The range is malformed, or no part of the image's data.",
        )
    })
}

/// `bytes=0-4`, `bytes=5-`, `bytes=-3`
fn of_range(text: &str, size: u64) -> Option<Part> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = size.checked_sub(1)?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", suffix) => {
            let length: u64 = suffix.parse().ok().filter(|length| *length > 0)?;
            (size.saturating_sub(length), end)
        }
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.min(end)),
    };
    (first <= last).then_some(Part { first, last })
}

/// `bytes 0-4/10`, `bytes 0-4/*`
fn of_content_range(text: &str, size: u64) -> Option<Part> {
    let (part, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let is_whole = whole == "*" || whole.parse() == Ok(size);
    is_whole.then(|| of_range(&format!("bytes={part}"), size))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: header::HeaderName, text: &str) -> Result<Option<(u64, u64)>, ApiError> {
        let headers = HeaderMap::from_iter([(name, text.parse().unwrap())]);
        range(&headers, 10).map(|part| part.map(|part| (part.first, part.length())))
    }

    #[test]
    fn a_part_lies_within() {
        assert_eq!(range(&HeaderMap::new(), 10).unwrap(), None);
        for (text, expected) in [
            ("bytes=0-4", (0, 5)),
            ("bytes=5-", (5, 5)),
            ("bytes=-3", (7, 3)),
            ("bytes=-30", (0, 10)),
            ("bytes=9-20", (9, 1)),
        ] {
            assert_eq!(
                asked(header::RANGE, text).unwrap(),
                Some(expected),
                "{text}"
            );
        }
        assert_eq!(
            asked(header::CONTENT_RANGE, "bytes 1-2/*").unwrap(),
            Some((1, 2))
        );
        for text in [
            "bytes=10-",
            "bytes=4-3",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=-0",
        ] {
            assert!(asked(header::RANGE, text).is_err(), "{text}");
        }
        assert!(asked(header::CONTENT_RANGE, "bytes 1-2/11").is_err());
    }
}
