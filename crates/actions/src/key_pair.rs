//! Key pairs: the public keys that users have put into what they start.
//!
//! A private key that is made here is told once and kept nowhere. Messages are Nova's.

use std::sync::Arc;

use md5::{Digest as _, Md5};
use model::key_pair::KeyPair;
use model::quota::Resource;
use model::{Id, Meta, ProjectId};
use store::CommitError;

use crate::error::invalid;
use crate::policy::{Action, Target};
use crate::quota::{self, Unmade};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, openssh};

/// Characters of the longest name.
const LONGEST_NAME: usize = 255;
/// The remark on a public key that was made here.
const COMMENT: &str = "Generated-by-Nova";

/// A key pair that was made here, and its private half in OpenSSH's format.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The pair.
    pub pair: Arc<KeyPair>,
    /// The private key; nobody can ask for it again.
    pub private_key: String,
}

/// Makes an Ed25519 key pair for a user.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a name that cannot be, [`ErrorKind::AlreadyExists`] when it is taken,
/// [`ErrorKind::QuotaExceeded`].
pub async fn generate(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    name: String,
) -> Result<Generated, ActionError> {
    caller.may(Action::CreateKeyPair, &Target::user(user))?;
    let made = openssh::pair(&rand::random(), COMMENT).map_err(|error| {
        ActionError::new(
            ErrorKind::Internal,
            format!("no key pair can be made: {error}"),
        )
    })?;
    let pair = keep(cloud, caller, user, name, made.public).await?;
    Ok(Generated {
        pair,
        private_key: made.private,
    })
}

/// Keeps a public key that a user has.
///
/// # Errors
/// As [`generate`], and [`ErrorKind::Invalid`] for what is no public key.
pub async fn import(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    name: String,
    public_key: String,
) -> Result<Arc<KeyPair>, ActionError> {
    caller.may(Action::CreateKeyPair, &Target::user(user))?;
    keep(cloud, caller, user, name, public_key).await
}

async fn keep(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    name: String,
    public_key: String,
) -> Result<Arc<KeyPair>, ActionError> {
    check_name(&name)?;
    let pair = KeyPair {
        fingerprint: fingerprint(&public_key)?,
        public_key,
        meta: Meta::new(name, ProjectId(user), cloud.now()),
    };
    let wanted = [(Resource::KeyPairs, 1)];
    let (project, owner) = (caller.project(), ProjectId(user));
    let kept = quota::commit_for(cloud, project, owner, &wanted, |transaction| {
        transaction.insert(pair.meta.id, pair.clone());
    });
    match kept.await {
        Ok(committed) => durable(committed.durable).await?,
        Err(Unmade::Refused(error @ CommitError::NameTaken { .. })) => {
            let message = format!("Key pair '{}' already exists.", pair.meta.name);
            return Err(ActionError::new(ErrorKind::AlreadyExists, message).caused_by(error));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Arc::new(pair))
}

/// The key pairs of a user, by name.
///
/// # Errors
/// [`ErrorKind::Forbidden`] for another user's.
pub fn list(cloud: &Cloud, caller: &Caller, user: Id) -> Result<Vec<Arc<KeyPair>>, ActionError> {
    caller.may(Action::ListKeyPairs, &Target::user(user))?;
    let all = cloud.store.list::<KeyPair>().into_iter();
    let mut found: Vec<Arc<KeyPair>> = all
        .map(|(_, found)| found.value)
        .filter(|pair| pair.meta.project == ProjectId(user))
        .collect();
    found.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    Ok(found)
}

/// One key pair of a user, by its name.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`] for another user's.
pub fn get(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    name: &str,
) -> Result<Arc<KeyPair>, ActionError> {
    caller.may(Action::GetKeyPair, &Target::user(user))?;
    find(cloud, user, name)
}

fn find(cloud: &Cloud, user: Id, name: &str) -> Result<Arc<KeyPair>, ActionError> {
    let found = cloud.store.by_name::<KeyPair>(ProjectId(user), name);
    found.map(|found| found.value).ok_or_else(|| {
        ActionError::new(
            ErrorKind::NotFound,
            format!("Keypair {name} not found for user {}", user.simple()),
        )
    })
}

/// Forgets a key pair; what was started with it keeps it.
///
/// # Errors
/// As [`get`].
pub async fn remove(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    name: &str,
) -> Result<(), ActionError> {
    caller.may(Action::DeleteKeyPair, &Target::user(user))?;
    let found = find(cloud, user, name)?;
    let mut transaction = cloud.store.transaction();
    transaction.delete::<KeyPair>(found.meta.id, None);
    cloud.commit_durably(transaction).await
}

fn check_name(name: &str) -> Result<(), ActionError> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || " _-@.".contains(letter);
    let length = name.chars().count();
    if (1..=LONGEST_NAME).contains(&length) && name.trim() == name && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(invalid(format!(
        "Keypair data is invalid: Keypair name must be string and between 1 and {LONGEST_NAME} \
         characters long, of letters, digits, blanks and _-@. without blanks at its ends: {name:?}"
    )))
}

/// MD5 of the key itself, as OpenSSH showed it of old.
fn fingerprint(public_key: &str) -> Result<String, ActionError> {
    let key = openssh::public_key(public_key)
        .map_err(|error| invalid(format!("Keypair data is invalid: {error}")))?;
    let pairs: Vec<String> = Md5::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprint is that of `ssh-keygen -l -E md5`.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII0+QsbEhW4H49wgGguCTvNGSV9mAmwpvzDYk5ZvLuer somebody@somewhere";

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_shows() {
        assert_eq!(
            fingerprint(KEY).unwrap(),
            "6b:fe:b6:9f:1e:d8:c4:1b:29:65:8c:36:7b:43:9f:33"
        );
    }

    #[test]
    fn names_are_those_that_nova_takes() {
        assert!(check_name("me@home 1_2-3.4").is_ok());
        for name in ["", " ", "key/1", " key", &"k".repeat(256)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
