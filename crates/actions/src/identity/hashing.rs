//! Argon2id, on threads of its own, a few hashes at once, in memory that is kept for a while.
//!
//! It is slow on purpose, so it never runs where requests are served, and no more of it runs at once
//! than there are processors. A hash fills 19 MiB, which is handed from one to the next, because the
//! kernel takes its time to give it; when nobody has logged in for some seconds it is given back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// How long memory waits for the next hash.
const KEPT: Duration = Duration::from_secs(5);

/// What one hash is made in.
pub(super) type Memory = Vec<Block>;

/// How many hashes are made at once, and what they are made in.
pub(super) struct Pool {
    turns: Arc<Semaphore>,
    shelf: Arc<Mutex<Shelf>>,
}

/// Memory that waits for the next hash.
#[derive(Default)]
struct Shelf {
    /// As many as were in use at once lately, less those that are now.
    free: Vec<Memory>,
    /// Hashes made so far.
    made: u64,
    /// Somebody looks whether it is still needed.
    is_watched: bool,
}

impl Default for Pool {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new(processors)),
            shelf: Arc::default(),
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
        let shelf = Arc::clone(&self.shelf);
        // All of it in there: whoever asked may have gone before it is done.
        let done = tokio::task::spawn_blocking(move || {
            let mut memory = lock(&shelf).free.pop().unwrap_or_default();
            let done = work(&mut memory);
            put_back(&shelf, memory);
            drop(turn);
            done
        });
        done.await.map_err(|error| gone(error.into()))
    }
}

/// Keeps what a hash was made in, and has somebody look whether it is still needed.
fn put_back(shelf: &Arc<Mutex<Shelf>>, memory: Memory) {
    let mut held = lock(shelf);
    held.free.push(memory);
    held.made += 1;
    if !std::mem::replace(&mut held.is_watched, true) {
        tokio::spawn(clear_when_unused(Arc::clone(shelf)));
    }
}

/// Waits until no hash was made for a while, and gives the memory back.
async fn clear_when_unused(shelf: Arc<Mutex<Shelf>>) {
    loop {
        let made = lock(&shelf).made;
        tokio::time::sleep(KEPT).await;
        let mut shelf = lock(&shelf);
        if shelf.made == made {
            shelf.free = Vec::new();
            shelf.is_watched = false;
            return;
        }
    }
}

/// What this guards is whole between any two lines, so a panic elsewhere does not spoil it.
fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn memory_is_kept_for_the_next_hash_and_then_given_back() {
        let pool = Pool::default();
        let kept = || lock(&pool.shelf).free.len();
        pool.run(|memory| memory.resize(1, Block::new()))
            .await
            .unwrap();
        assert_eq!(kept(), 1);
        tokio::time::sleep(KEPT / 2).await;
        let found = pool.run(|memory| memory.len()).await.unwrap();
        assert_eq!((found, kept()), (1, 1));
        tokio::time::sleep(KEPT).await;
        assert_eq!(kept(), 1, "it was used since the last look");
        tokio::time::sleep(KEPT).await;
        assert_eq!(kept(), 0);
        let found = pool.run(|memory| memory.len()).await.unwrap();
        assert_eq!((found, kept()), (0, 1));
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
