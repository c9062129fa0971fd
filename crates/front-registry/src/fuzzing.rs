//! Doors for the fuzz targets in `fuzz/`, into what no other crate calls. Built for them only.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue};

use crate::blob::range::Range;
use crate::upload::piece;

/// Reads a header as the part of a blob that is wanted, and as the place of one that is sent.
///
/// # Panics
/// When a part is not within the blob.
pub fn ranges(header: &str, size_bytes: u64) {
    if let Range::Part { offset, length } = Range::read(Some(header), size_bytes) {
        assert!(length > 0 && offset + length <= size_bytes, "outside");
    }
    if let Ok(value) = HeaderValue::from_str(header) {
        let headers =
            HeaderMap::from_iter([(CONTENT_RANGE, value), (CONTENT_LENGTH, size_bytes.into())]);
        let _answer = piece::read(&headers);
    }
}
