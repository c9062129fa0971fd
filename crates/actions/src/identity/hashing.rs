//! Argon2id, on threads of its own, a few hashes at once, in memory that is kept.
//!
//! It is slow on purpose, so it never runs where requests are served, and no more of it runs at once
//! than there are processors. A hash fills 19 MiB. Were they asked of the allocator each time, every
//! thread that ever hashed would keep as much; so they are handed from one hash to the next.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{Error, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use crate::{ActionError, ErrorKind};

/// Memory, passes and lanes: the second choice of RFC 9106 scaled to OWASP's minimum (Password
/// Storage Cheat Sheet, "Argon2id"): 19 MiB and two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What one hash is made in.
pub(super) type Memory = Vec<Block>;

/// How many hashes are made at once, and what they are made in.
pub(super) struct Pool {
    turns: Arc<Semaphore>,
    /// As many as were ever in use at once, less those that are now.
    free: Arc<Mutex<Vec<Memory>>>,
}

impl Default for Pool {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new(processors)),
            free: Arc::default(),
        }
    }
}

impl Pool {
    /// Runs `work` when its turn comes, with the memory for one hash.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> std::result::Result<T, ActionError> {
        let gone = |error: Box<dyn std::error::Error + Send + Sync>| {
            ActionError::new(ErrorKind::Internal, "the password could not be hashed")
                .caused_by(error)
        };
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|error| gone(error.into()))?;
        let free = Arc::clone(&self.free);
        tokio::task::spawn_blocking(move || {
            let shelf = || free.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = shelf().pop().unwrap_or_default();
            let done = work(&mut memory);
            shelf().push(memory);
            drop(turn);
            done
        })
        .await
        .map_err(|error| gone(error.into()))
    }
}

/// The hash of a password, in the PHC string format.
pub(super) fn hash(password: &[u8], salt: &[u8], memory: &mut Memory) -> Result<String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    let salt = Salt::new(salt)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(salt),
        hash: None,
    };
    let output = filled(&hash, params, password, memory)?;
    let hash = PasswordHash {
        hash: Some(output),
        ..hash
    };
    Ok(hash.to_string())
}

/// Whether a password has this hash. The time it takes does not tell how much of it is right.
pub(super) fn is_of(password: &[u8], hash: &str, memory: &mut Memory) -> Result<bool> {
    let hash = PasswordHash::new(hash)?;
    let params = Params::try_from(&hash)?;
    Ok(hash.hash == Some(filled(&hash, params, password, memory)?))
}

/// What the password hashes to, with the salt of `like`.
fn filled(
    like: &PasswordHash,
    params: Params,
    password: &[u8],
    memory: &mut Memory,
) -> Result<Output> {
    let algorithm = Algorithm::try_from(like.algorithm.as_str())?;
    let version = like.version.map(Version::try_from).transpose()?;
    let salt = like.salt.ok_or(Error::SaltInvalid)?;
    memory.resize(params.block_count(), Block::new());
    let mut output = [0; Output::MAX_LENGTH];
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let output = output.get_mut(..length).ok_or(Error::OutputSize)?;
    let argon2 = Argon2::new(algorithm, version.unwrap_or_default(), params);
    argon2.hash_password_into_with_memory(password, &salt, output, memory)?;
    Ok(Output::new(output)?)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    #[test]
    fn hashes_are_those_of_the_library_whatever_the_memory_held() {
        let mut memory = Memory::new();
        let own = hash(b"rope", b"0123456789abcdef", &mut memory).unwrap();
        assert_eq!(memory.len(), 19 * 1024);
        let again = hash(b"rope", b"0123456789abcdef", &mut memory).unwrap();
        assert_eq!(own, again);
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap();
        let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        library.verify_password(b"rope", own.as_str()).unwrap();
        let theirs = library.hash_password_with_salt(b"rope", b"0123456789abcdef");
        assert_eq!(theirs.unwrap().to_string(), own);
        assert!(is_of(b"rope", &own, &mut memory).unwrap());
        assert!(!is_of(b"ropes", &own, &mut memory).unwrap());
        assert!(is_of(b"rope", "no hash", &mut memory).is_err());
    }

    #[test]
    fn hashes_with_other_numbers_are_read() {
        let few = Params::new(64, 1, 1, None).unwrap();
        let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, few);
        let other = library.hash_password_with_salt(b"rope", b"0123456789abcdef");
        let other = other.unwrap().to_string();
        assert!(is_of(b"rope", &other, &mut Memory::new()).unwrap());
    }
}
