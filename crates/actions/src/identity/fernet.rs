//! Sealing small secrets: encrypted, signed, and dated, in a text that fits into a header.
//!
//! Spec: <https://github.com/fernet/spec/blob/master/Spec.md>. As in Keystone, the padding of the
//! text is left out. Called by [`super::token`].

use aes::Aes128;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::key_ring::Key;
use ring::hmac;

const VERSION: u8 = 0x80;
/// Version, seconds, initialisation vector.
const HEAD: usize = 1 + 8 + BLOCK;
const BLOCK: usize = 16;
const SIGNATURE: usize = 32;

/// Seals `secret` as of `unix_seconds`.
///
/// `vector` must never be used twice: 16 random bytes.
pub(super) fn seal(key: &Key, unix_seconds: u64, vector: [u8; BLOCK], secret: &[u8]) -> String {
    let (signing, encrypting) = halves(key);
    let mut text = Vec::with_capacity(HEAD + secret.len() + BLOCK + SIGNATURE);
    text.push(VERSION);
    text.extend_from_slice(&unix_seconds.to_be_bytes());
    text.extend_from_slice(&vector);
    let cipher = cbc::Encryptor::<Aes128>::new(&encrypting.into(), &vector.into());
    text.extend_from_slice(&cipher.encrypt_padded_vec::<Pkcs7>(secret));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, signing), &text);
    text.extend_from_slice(signature.as_ref());
    URL_SAFE_NO_PAD.encode(text)
}

/// Opens what one of `keys` sealed. `None` for anything else.
pub(super) fn open(keys: &[Key], text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let body = bytes.len().checked_sub(SIGNATURE)?;
    let (body, signature) = bytes.split_at(body);
    if body.len() < HEAD + BLOCK || body[0] != VERSION {
        return None;
    }
    keys.iter().find_map(|key| {
        let (signing, encrypting) = halves(key);
        let signing = hmac::Key::new(hmac::HMAC_SHA256, signing);
        hmac::verify(&signing, body, signature).ok()?;
        let vector: [u8; BLOCK] = body[HEAD - BLOCK..HEAD].try_into().ok()?;
        cbc::Decryptor::<Aes128>::new(&encrypting.into(), &vector.into())
            .decrypt_padded_vec::<Pkcs7>(&body[HEAD..])
            .ok()
    })
}

/// The signing half and the encrypting half of a key.
fn halves(key: &Key) -> (&[u8], [u8; BLOCK]) {
    let (signing, encrypting) = key.secret.split_at(BLOCK);
    let mut half = [0; BLOCK];
    half.copy_from_slice(encrypting);
    (signing, half)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// The example of the specification, `generate.json`.
    fn spec_key() -> Key {
        let secret = base64::engine::general_purpose::URL_SAFE
            .decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
            .unwrap();
        Key {
            secret: secret.try_into().unwrap(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    const SPEC_TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA";

    #[test]
    fn the_specifications_example_is_sealed_and_opened() {
        let key = spec_key();
        let vector = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(seal(&key, 499_162_800, vector, b"hello"), SPEC_TOKEN);
        assert_eq!(open(&[key], SPEC_TOKEN).unwrap(), b"hello");
    }

    #[test]
    fn what_was_touched_is_not_opened() {
        let keys = [spec_key()];
        for index in 0..SPEC_TOKEN.len() {
            let mut touched = SPEC_TOKEN.as_bytes().to_vec();
            touched[index] = if touched[index] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(touched).unwrap();
            assert_ne!(
                open(&keys, &touched).as_deref(),
                Some(&b"hello"[..]),
                "{index}"
            );
        }
        for nonsense in ["", "gAAAA", "!", &SPEC_TOKEN[..40]] {
            assert!(open(&keys, nonsense).is_none());
        }
    }

    #[test]
    fn an_older_key_opens_too() {
        let mut newer = spec_key();
        newer.secret[0] ^= 1;
        assert!(open(&[newer.clone()], SPEC_TOKEN).is_none());
        assert!(open(&[newer, spec_key()], SPEC_TOKEN).is_some());
    }
}
