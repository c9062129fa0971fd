//! Key pairs for APIs in the manner of EC2: an access key that names a user in a project, and the
//! secret that requests are signed with. Kept as credentials of the type `ec2`.
//!
//! Whoever serves such an API asks with a signed request whose it is, and gets that user's token;
//! [`super::signature`] knows how requests are signed.

use jiff::{SignedDuration, Timestamp};
use model::credential::{Credential, CredentialSpec};
use model::delegation::Delegation;
use model::project::Project;
use model::user::User;
use model::{Id, Meta, ProjectId};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::credential::check_lent;
use super::record::not_found;
pub use super::signature::{Signed, SignedText};
use super::token::Session;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// The type of their credentials.
pub(super) const KIND: &str = "ec2";

/// How long after it was made a signature is taken, as Keystone comes.
const LONGEST_AGE: SignedDuration = SignedDuration::from_mins(15);

/// A key pair.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Whose it is.
    pub user: Id,
    /// Where it acts.
    pub project: Option<Id>,
    /// Names it.
    pub access: String,
    /// What requests are signed with.
    pub secret: String,
    /// What the right to make it was lent by: it is worth no more.
    pub delegation: Option<Delegation>,
}

// Secrets stay out of logs.
impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("user", &self.user)
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

/// The name of a key pair's record, so that one access key is one user's.
pub(super) fn record_name(access: &str) -> String {
    hex::encode(digest(&SHA256, access.as_bytes()))
}

/// Makes a key pair of a user for a project.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`], also for a restricted application credential and for another
/// project than that of a delegation; [`crate::ErrorKind::NotFound`] without the user or the project.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    session: &Session,
    user: Id,
    project: Id,
) -> Result<KeyPair, ActionError> {
    caller.may(Action::CreateEc2Credential, &Target::user(user))?;
    super::application_credential::check_restricted(session, "ec2_create_credential")?;
    check_lent(caller, Some(project))?;
    cloud.find::<User>(user)?;
    cloud.find::<Project>(project)?;
    let pair = KeyPair {
        user,
        project: Some(project),
        access: Id::random().simple(),
        secret: Id::random().simple() + &Id::random().simple(),
        delegation: caller.delegation,
    };
    let name = record_name(&pair.access);
    let credential = Credential {
        meta: Meta::new(name, ProjectId::SYSTEM, cloud.now()),
        spec: CredentialSpec {
            user,
            project: pair.project,
            kind: KIND.to_owned(),
            blob: json!({ "access": pair.access, "secret": pair.secret }).to_string(),
            delegation: pair.delegation,
            extra: Map::new(),
        },
    };
    cloud.make(credential).await?;
    Ok(pair)
}

/// The pair that a credential keeps; `None` where it keeps none.
fn pair_of(credential: &Credential) -> Option<KeyPair> {
    let spec = &credential.spec;
    if !spec.kind.eq_ignore_ascii_case(KIND) {
        return None;
    }
    let blob: Value = serde_json::from_str(&spec.blob).ok()?;
    let text = |name: &str| blob[name].as_str().map(str::to_owned);
    Some(KeyPair {
        user: spec.user,
        project: spec.project,
        access: text("access")?,
        secret: text("secret")?,
        delegation: spec.delegation,
    })
}

/// The key pairs of a user, the oldest first.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`], [`crate::ErrorKind::NotFound`] without the user.
pub fn list(cloud: &Cloud, caller: &Caller, user: Id) -> Result<Vec<KeyPair>, ActionError> {
    caller.may(Action::ListEc2Credentials, &Target::user(user))?;
    cloud.find::<User>(user)?;
    let mut found = cloud.all::<Credential>(|known| {
        known.spec.user == user && check_lent(caller, known.spec.project).is_ok()
    });
    found.sort_by_key(|known| known.meta.created_at);
    Ok(found.iter().filter_map(|known| pair_of(known)).collect())
}

/// One key pair of a user, by its access key.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, user: Id, access: &str) -> Result<KeyPair, ActionError> {
    caller.may(Action::GetEc2Credential, &Target::user(user))?;
    own(cloud, caller, user, access).map(|(_, pair)| pair)
}

fn own(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    access: &str,
) -> Result<(Id, KeyPair), ActionError> {
    let (id, pair) = find(cloud, access)
        .filter(|(_, pair)| pair.user == user)
        .ok_or_else(|| not_found("credential", access))?;
    check_lent(caller, pair.project)?;
    Ok((id, pair))
}

/// A key pair by its access key, and the credential that keeps it.
fn find(cloud: &Cloud, access: &str) -> Option<(Id, KeyPair)> {
    let name = record_name(access);
    let found = cloud
        .store
        .by_name::<Credential>(ProjectId::SYSTEM, &name)?
        .value;
    Some((found.meta.id, pair_of(&found)?))
}

/// Forgets a key pair of a user.
///
/// # Errors
/// As [`get`].
pub async fn delete(
    cloud: &Cloud,
    caller: &Caller,
    user: Id,
    access: &str,
) -> Result<(), ActionError> {
    caller.may(Action::DeleteEc2Credential, &Target::user(user))?;
    let (id, _) = own(cloud, caller, user, access)?;
    cloud.unmake::<Credential>(id).await
}

/// A token of whoever signed a request with their key pair.
///
/// # Errors
/// [`ErrorKind::Forbidden`] for whoever serves no such API; [`ErrorKind::NotFound`] for an access key
/// that is nobody's; [`ErrorKind::Unauthenticated`] for another signature, an old one, and a user who
/// may not act there any more.
pub async fn authenticate(
    cloud: &Cloud,
    caller: &Caller,
    signed: &Signed,
) -> Result<(String, Session), ActionError> {
    caller.may(Action::ValidateEc2Token, &Target::SYSTEM)?;
    let (_, pair) = find(cloud, &signed.access).ok_or_else(no_pair)?;
    if !signed.is_by(&pair.secret) {
        return Err(unauthenticated("Invalid EC2 signature."));
    }
    check_age(cloud.now(), signed.date())?;
    super::authenticate::for_key_pair(cloud, &pair).await
}

/// Whom somebody is who signed a request to an object store with their key pair. They get no token.
///
/// # Errors
/// As [`authenticate`].
pub async fn authenticate_s3(
    cloud: &Cloud,
    caller: &Caller,
    signed: &SignedText,
) -> Result<Session, ActionError> {
    caller.may(Action::ValidateS3Token, &Target::SYSTEM)?;
    let (_, pair) = find(cloud, &signed.access).ok_or_else(no_pair)?;
    if !signed.is_by(&pair.secret) {
        return Err(unauthenticated("Credential signature mismatch"));
    }
    let (_, session) = super::authenticate::for_key_pair(cloud, &pair).await?;
    Ok(session)
}

/// Refuses a signature that says when it was made, and is too old.
fn check_age(now: Timestamp, date: Option<&str>) -> Result<(), ActionError> {
    let Some(date) = date else {
        return Ok(());
    };
    // With and without the marks of ISO 8601.
    let made = date.parse::<Timestamp>().or_else(|_| {
        let parsed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date)?;
        parsed
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|at| at.timestamp())
    });
    match made {
        Err(error) => {
            let message = format!("Credential timestamp is invalid: {date}");
            Err(unauthenticated(&message).caused_by(error))
        }
        Ok(made) if now > made + LONGEST_AGE => Err(unauthenticated("Credential is expired")),
        Ok(_) => Ok(()),
    }
}

fn no_pair() -> ActionError {
    ActionError::new(ErrorKind::NotFound, "EC2 access key not found.")
}

fn unauthenticated(message: &str) -> ActionError {
    ActionError::new(ErrorKind::Unauthenticated, message)
}
