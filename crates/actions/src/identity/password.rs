//! Passwords: their hashes ([`super::hashing`] makes them), and when they are of no use; and the hashes of
//! secrets that are long by themselves.

use model::Id;
use model::application_credential::ApplicationCredential;
use model::user::User;
use ring::hmac;

use super::hashing;
use crate::{ActionError, Cloud, ErrorKind};

impl Cloud {
    /// The hash of a password, in the PHC string format, with a new salt.
    pub(super) async fn hash_password(&self, password: &str) -> Result<String, ActionError> {
        let password = password.to_owned();
        let salt: [u8; 16] = rand::random();
        let hashed = self
            .identity
            .hashing
            .run(move |memory| hashing::hash(password.as_bytes(), &salt, memory));
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
            .run(move |memory| {
                let password = password.as_bytes();
                let is = hash.map(|hash| hashing::is_of(password, &hash, memory));
                is.unwrap_or_else(|| {
                    drop(hashing::hash(password, &[0; 16], memory));
                    Ok(false)
                })
            })
            .await
            // A hash that cannot be read is nobody's.
            .map(|is| is.unwrap_or(false))
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
