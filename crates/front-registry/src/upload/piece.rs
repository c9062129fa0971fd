//! Which bytes of a blob a request sends: `Content-Range`, as this protocol writes it, and its length.
//!
//! Source: OCI Distribution Specification v1.1, "Pushing a blob in chunks": `<first>-<last>`. What
//! RFC 9110 writes, `bytes <first>-<last>/<all>`, is read too.

use actions::registry::RegistryError;
use actions::registry::upload::Piece;
use http::{HeaderMap, header};

use crate::error::ApiError;

/// Reads the headers of a piece.
pub(crate) fn read(headers: &HeaderMap) -> Result<Piece, ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length: Option<u64> = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let Some(range) = text(header::CONTENT_RANGE) else {
        return Ok(Piece {
            begins_at: None,
            bytes: length,
        });
    };
    let wrong = || ApiError::wrong_parameter("Content-Range", "`<first>-<last>`, in bytes");
    let (first, last) = range
        .trim()
        .trim_start_matches("bytes")
        .trim_start_matches([' ', '='])
        .split('/')
        .next()
        .and_then(|range| range.split_once('-'))
        .ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    let said = last
        .checked_sub(first)
        .and_then(|more| more.checked_add(1))
        .ok_or_else(wrong)?;
    match length {
        Some(came) if came != said => Err(RegistryError::SizeMismatch { said, came }.into()),
        Some(_) | None => Ok(Piece {
            begins_at: Some(first),
            bytes: Some(said),
        }),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn piece(pairs: &[(HeaderName, &'static str)]) -> Option<Piece> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        read(&headers.collect()).ok()
    }

    #[test]
    fn a_range_and_a_length_must_agree() {
        let (range, length) = (header::CONTENT_RANGE, header::CONTENT_LENGTH);
        let of = |begins_at, bytes| Some(Piece { begins_at, bytes });
        assert_eq!(piece(&[]), of(None, None));
        assert_eq!(piece(&[(length.clone(), "7")]), of(None, Some(7)));
        for text in ["10-19", "bytes 10-19/30", "bytes=10-19"] {
            assert_eq!(
                piece(&[(range.clone(), text), (length.clone(), "10")]),
                of(Some(10), Some(10)),
                "{text}"
            );
        }
        for wrong in ["", "10", "a-b", "19-10", "0-18446744073709551615"] {
            assert_eq!(piece(&[(range.clone(), wrong)]), None, "{wrong}");
        }
        assert_eq!(piece(&[(range, "0-9"), (length, "11")]), None);
    }
}
