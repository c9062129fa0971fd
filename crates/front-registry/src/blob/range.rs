//! Which bytes of a blob a `Range` header asks for.
//!
//! Source: RFC 9110, section 14. Several ranges at once are answered by the whole, as it allows.

/// What is wanted of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// All of it.
    Whole,
    /// So many bytes from an offset on.
    Part { offset: u64, length: u64 },
    /// Nothing that it has.
    Outside,
}

impl Range {
    /// Reads the header; what is none asks for the whole.
    pub(crate) fn read(header: Option<&str>, size_bytes: u64) -> Self {
        let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
            return Self::Whole;
        };
        let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
            return Self::Whole;
        };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let (first, end) = match (first.trim(), last.trim()) {
            ("", "") => return Self::Whole,
            ("", last) => match number(last) {
                Some(suffix) => (size_bytes.saturating_sub(suffix), size_bytes),
                None => return Self::Whole,
            },
            (first, "") => match number(first) {
                Some(first) => (first, size_bytes),
                None => return Self::Whole,
            },
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => {
                    (first, last.saturating_add(1).min(size_bytes))
                }
                (Some(_), Some(_)) => return Self::Outside,
                _ => return Self::Whole,
            },
        };
        if first >= end {
            return Self::Outside;
        }
        Self::Part {
            offset: first,
            length: end - first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_blob_has_of_it() {
        let part = |offset, length| Range::Part { offset, length };
        for (header, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-5", part(2, 4)),
            ("bytes=2-", part(2, 8)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-30", part(0, 10)),
            ("bytes=8-99999999999999999999", Range::Whole),
            ("bytes=8-18446744073709551615", part(8, 2)),
            ("bytes=10-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=5-2", Range::Outside),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=x-4", Range::Whole),
            ("lines=1-2", Range::Whole),
        ] {
            assert_eq!(Range::read(Some(header), 10), wanted, "{header}");
        }
        assert_eq!(Range::read(None, 10), Range::Whole);
        assert_eq!(Range::read(Some("bytes=0-"), 0), Range::Outside);
    }
}
