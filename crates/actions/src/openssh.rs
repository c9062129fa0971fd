//! Keys as OpenSSH writes them: reads public ones, and writes new Ed25519 pairs.
//!
//! It signs, verifies and encrypts nothing. Formats: RFC 4253 section 6.6 and RFC 8709 for public
//! keys; OpenSSH, `PROTOCOL.key`, for private ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// Bytes of the longest public key.
const LONGEST: usize = 65_535;
/// Bytes of the shortest modulus of RSA that is worth anything: 1024 bits.
const SHORTEST_MODULUS: usize = 128;
/// Characters on a line of a private key.
const LINE: usize = 70;
const ED25519: &str = "ssh-ed25519";

/// Each algorithm, and the fields of its keys after its name.
const ALGORITHMS: [(&str, &[Field]); 7] = [
    ("ssh-rsa", &[Field::Any, Field::AtLeast(SHORTEST_MODULUS)]),
    (ED25519, &[Field::Exactly(32)]),
    (
        "ecdsa-sha2-nistp256",
        &[Field::Text("nistp256"), Field::Exactly(65)],
    ),
    (
        "ecdsa-sha2-nistp384",
        &[Field::Text("nistp384"), Field::Exactly(97)],
    ),
    (
        "ecdsa-sha2-nistp521",
        &[Field::Text("nistp521"), Field::Exactly(133)],
    ),
    (
        "sk-ssh-ed25519@openssh.com",
        &[Field::Exactly(32), Field::Any],
    ),
    (
        "sk-ecdsa-sha2-nistp256@openssh.com",
        &[Field::Text("nistp256"), Field::Exactly(65), Field::Any],
    ),
];

/// What a field of a key must be.
#[derive(Clone, Copy)]
enum Field {
    Any,
    AtLeast(usize),
    Exactly(usize),
    Text(&'static str),
}

impl Field {
    fn fits(self, value: &[u8]) -> bool {
        match self {
            Self::Any => !value.is_empty(),
            Self::AtLeast(length) => value.len() >= length,
            Self::Exactly(length) => value.len() == length,
            Self::Text(text) => value == text.as_bytes(),
        }
    }
}

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("a public key is one line of at most 65535 bytes: an algorithm, a key, a comment")]
    NotOneLine,
    #[error("the algorithm is none that OpenSSH takes")]
    Algorithm,
    #[error("the key is not base64")]
    Encoding,
    #[error("the key is not one of its algorithm")]
    Key,
}

/// The bytes of a public key: `ssh-ed25519 AAAA... comment`, with line ends after it at most.
pub(crate) fn public_key(text: &str) -> Result<Vec<u8>, KeyError> {
    // What follows on another line would be a further key wherever keys are put.
    let line = text.trim_end_matches(['\r', '\n']);
    if line.len() > LONGEST || line.chars().any(char::is_control) {
        return Err(KeyError::NotOneLine);
    }
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let (Some(algorithm), Some(encoded)) = (words.next(), words.next()) else {
        return Err(KeyError::NotOneLine);
    };
    let known = ALGORITHMS.iter().find(|(name, _)| *name == algorithm);
    let (_, fields) = known.ok_or(KeyError::Algorithm)?;
    let key = STANDARD.decode(encoded).map_err(|_| KeyError::Encoding)?;
    let mut rest = key.as_slice();
    let name = next(&mut rest).ok_or(KeyError::Key)?;
    let all_fit = name == algorithm.as_bytes()
        && fields
            .iter()
            .all(|field| next(&mut rest).is_some_and(|value| field.fits(value)));
    if all_fit && rest.is_empty() {
        Ok(key)
    } else {
        Err(KeyError::Key)
    }
}

/// Takes what a length of four bytes stands before.
fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (value, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(value)
}

/// A new pair.
pub(crate) struct Pair {
    /// The public half: `ssh-ed25519 AAAA... comment`.
    pub(crate) public: String,
    /// The private half, in lines between `-----BEGIN OPENSSH PRIVATE KEY-----` and its end.
    pub(crate) private: String,
}

/// The pair that 32 random bytes make.
pub(crate) fn pair(seed: &[u8; 32], comment: &str) -> Result<Pair, ring::error::KeyRejected> {
    let made = Ed25519KeyPair::from_seed_unchecked(seed)?;
    let point = made.public_key().as_ref();
    let mut key = Vec::new();
    put(&mut key, ED25519.as_bytes());
    put(&mut key, point);

    let mut secret = Vec::new();
    // Twice the same, by which whoever decrypts one sees that it succeeded; this one is plain.
    secret.extend([0; 8]);
    put(&mut secret, ED25519.as_bytes());
    put(&mut secret, point);
    put(&mut secret, &[seed, point].concat());
    put(&mut secret, comment.as_bytes());
    for filler in 1.. {
        if secret.len() % 8 == 0 {
            break;
        }
        secret.push(filler);
    }

    let mut whole = b"openssh-key-v1\0".to_vec();
    put(&mut whole, b"none");
    put(&mut whole, b"none");
    put(&mut whole, b"");
    whole.extend(1_u32.to_be_bytes());
    put(&mut whole, &key);
    put(&mut whole, &secret);

    let mut private = "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned();
    for (at, letter) in STANDARD.encode(whole).chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            private.push('\n');
        }
        private.push(letter);
    }
    private.push_str("\n-----END OPENSSH PRIVATE KEY-----\n");
    let public = format!("{ED25519} {} {comment}", STANDARD.encode(key));
    Ok(Pair { public, private })
}

/// Appends a value with its length before it; none here is near four GiB.
fn put(to: &mut Vec<u8>, value: &[u8]) {
    to.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenSSL makes of the seed 0, 1, 2, ...
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 comment";

    fn with_key(key: &[u8]) -> String {
        format!("{ED25519} {}", STANDARD.encode(key))
    }

    #[test]
    fn public_keys_are_read_with_and_without_comment() {
        let key = public_key(KEY).unwrap();
        assert_eq!(public_key(&format!("{KEY}\r\n")).unwrap(), key);
        let without = KEY.trim_end_matches(" comment");
        assert_eq!(public_key(without).unwrap(), key);
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let key = public_key(KEY).unwrap();
        let mut longer = key.clone();
        longer.push(0);
        for (text, expected) in [
            (String::new(), KeyError::NotOneLine),
            ("ssh-rsa".to_owned(), KeyError::NotOneLine),
            (format!("{KEY}\n{KEY}"), KeyError::NotOneLine),
            ("ssh-dss AAAA".to_owned(), KeyError::Algorithm),
            (
                "-----BEGIN CERTIFICATE-----".to_owned(),
                KeyError::Algorithm,
            ),
            ("ssh-rsa JUNK!".to_owned(), KeyError::Encoding),
            (KEY.replace(ED25519, "ssh-rsa"), KeyError::Key),
            (with_key(&key[..key.len() - 1]), KeyError::Key),
            (with_key(&longer), KeyError::Key),
            (with_key(&[0xff; 8]), KeyError::Key),
        ] {
            assert_eq!(public_key(&text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn a_pair_is_what_openssh_reads() {
        let seed: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let pair = pair(&seed, "comment").unwrap();
        assert_eq!(pair.public, KEY);
        let body: String = pair
            .private
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let whole = STANDARD.decode(body).unwrap();
        assert!(whole.starts_with(b"openssh-key-v1\0"));
        let key = public_key(KEY).unwrap();
        assert!(whole.windows(key.len()).any(|part| part == key));
        assert!(pair.private.lines().all(|line| line.len() <= LINE));
    }
}
