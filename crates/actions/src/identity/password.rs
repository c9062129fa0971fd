//! Passwords: hashing and checking them, on threads of their own, a few at once.
//!
//! Argon2id is slow on purpose, so it never runs where requests are served, and no more of it runs
//! at once than there are processors.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use model::Id;
use model::application_credential::ApplicationCredential;
use model::user::User;
use ring::hmac;
use tokio::sync::Semaphore;

use crate::{ActionError, Cloud, ErrorKind};

/// Memory, passes and lanes: the second choice of RFC 9106 scaled to OWASP's minimum (Password
/// Storage Cheat Sheet, "Argon2id"): 19 MiB and two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many hashes are made at once.
pub(super) struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }
}

impl Pool {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ActionError> {
        let gone = |error: Box<dyn std::error::Error + Send + Sync>| {
            ActionError::new(ErrorKind::Internal, "the password could not be hashed")
                .caused_by(error)
        };
        let permit = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(|error| gone(error.into()))?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
        .map_err(|error| gone(error.into()))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

impl Cloud {
    /// The hash of a password, in the PHC string format, with a new salt.
    pub(super) async fn hash_password(&self, password: &str) -> Result<String, ActionError> {
        let password = password.to_owned();
        let salt: [u8; 16] = rand::random();
        let hashed = self.identity.hashing.run(move || {
            argon2()
                .hash_password_with_salt(password.as_bytes(), &salt)
                .map(|hash| hash.to_string())
        });
        hashed.await?.map_err(|error| {
            ActionError::new(ErrorKind::Internal, "the password could not be hashed")
                .caused_by(error)
        })
    }

    /// Whether a password is the user's. As slow for a user without one, so that the time tells
    /// nothing.
    pub(super) async fn check_password(
        &self,
        user: Option<&User>,
        password: &str,
    ) -> Result<bool, ActionError> {
        let hash = user
            .and_then(|user| user.spec.passwords.first())
            .map(|password| password.hash.clone());
        self.check_hash(hash, password).await
    }

    /// Whether a password has this hash.
    pub(super) async fn check_hash(
        &self,
        hash: Option<String>,
        password: &str,
    ) -> Result<bool, ActionError> {
        let password = password.to_owned();
        self.identity
            .hashing
            .run(move || match hash.as_deref().map(PasswordHash::new) {
                Some(Ok(hash)) => argon2().verify_password(password.as_bytes(), &hash).is_ok(),
                Some(Err(_)) | None => {
                    drop(argon2().hash_password_with_salt(password.as_bytes(), &[0; 16]));
                    false
                }
            })
            .await
    }
}

/// Whether a password is of no use until it is changed.
pub(super) fn must_be_changed(cloud: &Cloud, user: &User) -> bool {
    let Some(password) = user.spec.passwords.first() else {
        return false;
    };
    let options = &user.spec.options;
    let is_expired = options.ignore_password_expiry != Some(true)
        && password.expires_at.is_some_and(|at| at <= cloud.now());
    let is_first_use = cloud.identity.settings.change_password_upon_first_use
        && password.set_by_admin
        && options.ignore_change_password_upon_first_use != Some(true);
    is_expired || is_first_use
}

/// The keyed hash of an application credential's secret, in hexadecimal.
///
/// Secrets that we make are 64 random bytes: nobody guesses them, so nothing has to be slow. Whoever
/// chooses a short one has been told that it is a secret for programs.
pub(super) fn hash_secret(credential: Id, secret: &str) -> String {
    hex::encode(hmac::sign(&secret_key(credential), secret.as_bytes()))
}

/// Whether a secret has this hash, in a time that tells nothing.
pub(super) fn is_secret_of(credential: &ApplicationCredential, secret: &str) -> bool {
    hex::decode(&credential.spec.secret_hash).is_ok_and(|hash| {
        hmac::verify(&secret_key(credential.meta.id), secret.as_bytes(), &hash).is_ok()
    })
}

/// Two credentials with one secret have two hashes.
fn secret_key(credential: Id) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, credential.as_bytes())
}
