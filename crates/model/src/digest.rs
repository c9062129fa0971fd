//! What content is named by: the digest of its bytes.
//!
//! Source: OCI Image Specification v1.1, "Descriptor", "Digests". Registries name by two algorithms;
//! the engine's own images are named by SHA-256 alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a digest is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// SHA-256; 64 hexadecimal digits.
    Sha256,
    /// SHA-512; 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name in digests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Hexadecimal digits of a digest.
    const fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| DigestError(text.to_owned()))
    }
}

/// A digest in its only text: `sha256:` or `sha512:` and lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest(String);

/// A text that is no digest, or one of another algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest: need sha256 and 64 hexadecimal digits, or sha512 and 128")]
pub struct DigestError(String);

impl ContentDigest {
    /// From the bytes that the algorithm computed.
    #[must_use]
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut text = format!("{}:", algorithm.as_str());
        for byte in bytes {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
            }
        }
        Self(text)
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How it is computed.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        }
    }

    /// Its digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
}

impl FromStr for ContentDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError(text.to_owned());
        let (algorithm, hex) = text.split_once(':').ok_or_else(wrong)?;
        let algorithm: Algorithm = algorithm.parse().map_err(|_| wrong())?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() == algorithm.digits() && hex.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong())
        }
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_algorithms_in_their_length_are_digests() {
        for (algorithm, length) in [(Algorithm::Sha256, 32), (Algorithm::Sha512, 64)] {
            let digest = ContentDigest::new(algorithm, &vec![0xa5; length]);
            assert_eq!(digest.as_str().parse(), Ok(digest.clone()));
            assert_eq!(digest.algorithm(), algorithm);
            assert_eq!(digest.hex(), "a5".repeat(length));
            let upper = format!("{}:{}", algorithm.as_str(), "A5".repeat(length));
            let short = &digest.as_str()[..digest.as_str().len() - 1];
            for wrong in [
                "",
                "sha256:",
                &upper,
                short,
                digest.hex(),
                "md5:a5",
                "a/../b",
            ] {
                assert!(wrong.parse::<ContentDigest>().is_err(), "{wrong}");
            }
        }
    }
}
