//! Docker's identifiers: 64 hexadecimal digits, made from ours and back. Pure.
//!
//! The first 32 digits are the identity itself, the rest follows from it, so a short form that
//! `docker ps` prints is a prefix of ours.

use model::Id;
use ring::digest::{SHA256, digest};

/// Digits of an identifier that are the identity itself.
const OWN_DIGITS: usize = 32;

/// Digits of a whole identifier.
pub(crate) const DIGITS: usize = 64;

/// Digits that clients print.
pub(crate) const SHORT_DIGITS: usize = 12;

/// The identifier of an object.
pub(crate) fn docker_id(id: Id) -> String {
    let mut text = id.simple();
    let hash = digest(&SHA256, text.as_bytes());
    text.push_str(&hex::encode(&hash.as_ref()[..16]));
    text
}

/// The first digits, as clients print them.
pub(crate) fn short(id: Id) -> String {
    let mut text = id.simple();
    text.truncate(SHORT_DIGITS);
    text
}

/// What a text can mean as an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// Exactly this object, if it exists.
    Whole(Id),
    /// Objects whose identity begins with these digits.
    Prefix(&'a str),
    /// No identifier.
    Not,
}

/// Reads a whole identifier or the beginning of one.
pub(crate) fn parse(text: &str) -> Parsed<'_> {
    let is_hex = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.is_empty() || text.len() > DIGITS || !is_hex {
        return Parsed::Not;
    }
    if text.len() < OWN_DIGITS {
        return Parsed::Prefix(text);
    }
    match text[..OWN_DIGITS].parse::<Id>() {
        Ok(id) if docker_id(id).starts_with(text) => Parsed::Whole(id),
        Ok(_) | Err(_) => Parsed::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_go_there_and_back() {
        let id = Id::from_bytes([0xab; 16]);
        let text = docker_id(id);
        assert_eq!(text.len(), DIGITS);
        assert_eq!(parse(&text), Parsed::Whole(id));
        assert_eq!(parse(&text[..40]), Parsed::Whole(id));
        assert_eq!(parse(&text[..32]), Parsed::Whole(id));
        assert_eq!(parse(&text[..12]), Parsed::Prefix("abababababab"));
        assert_eq!(short(id), "abababababab");
    }

    #[test]
    fn what_was_never_given_out_is_no_identifier() {
        let wrong_tail = format!("{}{}", "ab".repeat(16), "0".repeat(32));
        for text in ["", "web", "ABAB", &wrong_tail, &"a".repeat(65)] {
            assert_eq!(parse(text), Parsed::Not, "{text}");
        }
    }
}
