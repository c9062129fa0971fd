//! Proving who one is, and getting a token for it.
//!
//! Every failure looks the same from outside, whatever failed; what it was goes to the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use model::Id;
use model::application_credential::ApplicationCredential;
use model::assignment::Target;
use model::delegation::Delegation;
use model::trust::Trust;
use model::user::{User, UserStatus};

use super::Named;
use super::ec2::KeyPair;
use super::record::refused;
use super::token::{Method, Refusal, Session, Token};
use crate::{ActionError, Cloud, ErrorKind};

/// What somebody shows, and where they want to act.
#[derive(Clone, Debug)]
pub struct Proof {
    /// What they show; all of it must be right, and be one user's.
    pub shown: Vec<Shown>,
    /// Where they want to act.
    pub scope: Wanted,
}

/// One thing that proves who somebody is.
#[derive(Clone)]
pub enum Shown {
    /// A user's password.
    Password {
        /// The user.
        user: Who,
        /// The password.
        password: String,
    },
    /// A token from before.
    Token(String),
    /// An application credential.
    ApplicationCredential {
        /// Which one: by identity, or by its user's and its own name.
        credential: CredentialName,
        /// Its secret.
        secret: String,
    },
}

// Secrets stay out of logs.
impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::Token(_) => "Token",
            Self::ApplicationCredential { .. } => "ApplicationCredential",
        })
    }
}

/// A user: by identity, or by name in a domain.
#[derive(Clone, Debug)]
pub struct Who {
    /// The user.
    pub user: Named,
    /// The domain that the name is one of.
    pub domain: Option<Named>,
}

/// An application credential: by identity, or by name.
#[derive(Clone, Debug)]
pub enum CredentialName {
    /// By identity.
    Id(Id),
    /// By name.
    Name {
        /// The user's.
        user: Who,
        /// Its own.
        name: String,
    },
}

/// Where somebody wants to act.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// In their default project, where they have one; nowhere otherwise.
    Default,
    /// Nowhere.
    Unscoped,
    /// In a project.
    Project {
        /// The project.
        project: Named,
        /// The domain that the name is one of.
        domain: Option<Named>,
    },
    /// In a domain.
    Domain(Named),
    /// In the whole installation.
    System,
    /// Where a trust lets them.
    Trust(Id),
}

/// Why nobody is let in. Told to the log only.
#[derive(Debug, thiserror::Error)]
enum Denial {
    #[error("nothing was shown")]
    Nothing,
    #[error("there is no such user")]
    NoUser,
    #[error("user {0} showed a wrong password")]
    Password(Id),
    #[error("there is no such application credential, or its secret is another")]
    ApplicationCredential,
    #[error("an application credential acts in its own project only")]
    OtherProject,
    #[error("what was shown is two users'")]
    TwoUsers,
    #[error("there is no such place to act in")]
    NoPlace,
    #[error("there is no such trust, or it has no more uses")]
    NoTrust,
}

/// What was proved so far.
struct Proved {
    user: Id,
    /// Where a token or an application credential was for.
    from: Option<Target>,
    expires_at: Timestamp,
    parent_audit: Option<super::token::AuditId>,
    methods: BTreeSet<Method>,
    application_credential: Option<Id>,
}

/// A new token for whoever shows enough, and what it stands for.
///
/// # Errors
/// [`ErrorKind::Unauthenticated`] for every proof that is not good enough. An account that is
/// disabled, locked or has an expired password is told so once the password is right.
/// [`ErrorKind::Forbidden`] for a trust that is another's, and for what a trust was used for already.
pub async fn authenticate(cloud: &Cloud, proof: Proof) -> Result<(String, Session), ActionError> {
    let mut proved: Option<Proved> = None;
    for shown in proof.shown {
        let next = check(cloud, shown).await?;
        proved = Some(match proved {
            None => next,
            Some(before) => before.and(next).map_err(deny)?,
        });
    }
    let proved = proved.ok_or_else(|| deny(Denial::Nothing))?;
    let trust = match proof.scope {
        Wanted::Trust(id) => Some(usable_trust(cloud, &proved, id)?),
        _ => None,
    };
    let target = match &trust {
        Some(trust) => Some(Target::Project(trust.spec.project)),
        None => place(cloud, &proved, &proof.scope).map_err(deny)?,
    };
    let end = trust.as_ref().and_then(|trust| trust.spec.expires_at);
    let expires_at = end.map_or(proved.expires_at, |end| end.min(proved.expires_at));
    let token = Token {
        user: proved.user,
        target,
        trust: trust.map(|trust| trust.meta.id),
        methods: proved.methods,
        issued_at: now_in_microseconds(cloud),
        expires_at,
        audit: rand::random(),
        parent_audit: proved.parent_audit,
        application_credential: proved.application_credential,
    };
    let session = match Session::of(cloud, token.clone()) {
        // A default project in which the user has no role is no reason to keep them out.
        Err(Refusal::NoRole { .. } | Refusal::Place(_))
            if matches!(proof.scope, Wanted::Default) =>
        {
            Session::of(
                cloud,
                Token {
                    target: None,
                    ..token
                },
            )
        }
        found => found,
    };
    issue(cloud, session).await
}

/// Seals a new token, where it stands for something.
async fn issue(
    cloud: &Cloud,
    session: Result<Session, Refusal>,
) -> Result<(String, Session), ActionError> {
    let session = session.map_err(|refusal| match refusal {
        Refusal::NotDelegated { .. } => refused("Trustee has no delegated roles."),
        refusal => unauthenticated().caused_by(refusal),
    })?;
    if let Some(trust) = &session.trust
        && !super::trust::use_once(cloud, trust.meta.id).await?
    {
        return Err(deny(Denial::NoTrust));
    }
    Ok((session.token.seal(cloud)?, session))
}

/// A new token for whoever a key pair for EC2 is, who signed a request with it.
///
/// # Errors
/// As [`authenticate`].
pub(super) async fn for_key_pair(
    cloud: &Cloud,
    pair: &KeyPair,
) -> Result<(String, Session), ActionError> {
    let until = now_in_microseconds(cloud)
        + SignedDuration::from_secs(cloud.identity.settings.token_seconds);
    let mut token = Token {
        user: pair.user,
        target: pair.project.map(Target::Project),
        trust: None,
        methods: [Method::Ec2Credential].into(),
        issued_at: now_in_microseconds(cloud),
        expires_at: until,
        audit: rand::random(),
        parent_audit: None,
        application_credential: None,
    };
    match pair.delegation {
        None => {}
        Some(Delegation::ApplicationCredential(id)) => token.application_credential = Some(id),
        Some(Delegation::Trust(id)) => {
            let trust = super::trust::usable(cloud, id).ok_or_else(|| deny(Denial::NoTrust))?;
            // The pair is of whom the trustee acted as.
            token.user = trust.spec.trustee;
            token.expires_at = trust.spec.expires_at.map_or(until, |end| end.min(until));
            token.trust = Some(id);
        }
    }
    issue(cloud, Session::of(cloud, token)).await
}

/// The trust that whoever proved to be its trustee wants to act by.
fn usable_trust(cloud: &Cloud, proved: &Proved, id: Id) -> Result<Arc<Trust>, ActionError> {
    if proved.application_credential.is_some() {
        return Err(deny(Denial::OtherProject));
    }
    let trust = super::trust::usable(cloud, id).ok_or_else(|| deny(Denial::NoTrust))?;
    if trust.spec.trustee != proved.user {
        return Err(refused("User is not a trustee."));
    }
    Ok(trust)
}

impl Proved {
    fn and(mut self, other: Self) -> Result<Self, Denial> {
        if self.user != other.user {
            return Err(Denial::TwoUsers);
        }
        self.methods.extend(other.methods);
        self.expires_at = self.expires_at.min(other.expires_at);
        self.parent_audit = self.parent_audit.or(other.parent_audit);
        self.from = self.from.or(other.from);
        self.application_credential = self.application_credential.or(other.application_credential);
        Ok(self)
    }
}

async fn check(cloud: &Cloud, shown: Shown) -> Result<Proved, ActionError> {
    match shown {
        Shown::Password { user, password } => check_password(cloud, &user, &password).await,
        Shown::Token(sealed) => {
            let session = super::token::session(cloud, &sealed)?;
            if session.trust.is_some() {
                return Err(refused(
                    "You are not authorized to perform the requested action: Using trust-scoped \
                     token to create another token. Create a new trust-scoped token instead.",
                ));
            }
            // Not as whom it acts: who proved it.
            let user = session.token.user;
            let mut methods = session.token.methods;
            methods.insert(Method::Token);
            Ok(Proved {
                user,
                from: session.token.target,
                expires_at: session.token.expires_at,
                parent_audit: Some(session.token.parent_audit.unwrap_or(session.token.audit)),
                methods,
                application_credential: session.token.application_credential,
            })
        }
        Shown::ApplicationCredential { credential, secret } => {
            check_application_credential(cloud, &credential, &secret)
        }
    }
}

async fn check_password(cloud: &Cloud, who: &Who, password: &str) -> Result<Proved, ActionError> {
    let user = cloud.user(&who.user, who.domain.as_ref());
    let is_locked = is_locked_out(cloud, user.as_deref());
    let is_right = cloud.check_password(user.as_deref(), password).await?;
    let user = user.ok_or_else(|| deny(Denial::NoUser))?;
    let id = user.meta.id;
    if is_locked {
        return Err(ActionError::new(
            ErrorKind::Unauthenticated,
            format!("The account is locked for user: {}.", id.simple()),
        ));
    }
    note_attempt(cloud, &user, is_right).await?;
    if !is_right {
        return Err(deny(Denial::Password(id)));
    }
    if !user.spec.enabled {
        return Err(deny(Denial::NoUser));
    }
    if super::password::must_be_changed(cloud, &user) {
        return Err(ActionError::new(
            ErrorKind::Unauthenticated,
            format!(
                "The password is expired and needs to be changed for user: {}.",
                id.simple()
            ),
        ));
    }
    Ok(Proved {
        user: id,
        from: None,
        expires_at: now_in_microseconds(cloud)
            + SignedDuration::from_secs(cloud.identity.settings.token_seconds),
        parent_audit: None,
        methods: [Method::Password].into(),
        application_credential: None,
    })
}

fn check_application_credential(
    cloud: &Cloud,
    name: &CredentialName,
    secret: &str,
) -> Result<Proved, ActionError> {
    let found = match name {
        CredentialName::Id(id) => cloud.store.get::<ApplicationCredential>(*id),
        CredentialName::Name { user, name } => cloud
            .user(&user.user, user.domain.as_ref())
            .and_then(|user| {
                let owner = model::ProjectId(user.meta.id);
                cloud.store.by_name::<ApplicationCredential>(owner, name)
            }),
    };
    let credential = found
        .map(|found| found.value)
        .filter(|credential| super::password::is_secret_of(credential, secret))
        .ok_or_else(|| deny(Denial::ApplicationCredential))?;
    let until = now_in_microseconds(cloud)
        + SignedDuration::from_secs(cloud.identity.settings.token_seconds);
    Ok(Proved {
        user: credential.spec.user,
        from: Some(Target::Project(credential.spec.project)),
        expires_at: credential.spec.expires_at.map_or(until, |at| at.min(until)),
        parent_audit: None,
        methods: [Method::ApplicationCredential].into(),
        application_credential: Some(credential.meta.id),
    })
}

/// Where the token will be for.
fn place(cloud: &Cloud, proved: &Proved, wanted: &Wanted) -> Result<Option<Target>, Denial> {
    let found = |found: Option<Id>| found.ok_or(Denial::NoPlace);
    let target = match wanted {
        Wanted::Default if proved.application_credential.is_some() => proved.from,
        // A token that was for nothing stays so; one from a token is for nothing unless asked.
        Wanted::Default if proved.methods.contains(&Method::Token) => None,
        Wanted::Default => cloud
            .user(&Named::Id(proved.user), None)
            .and_then(|user| user.spec.default_project)
            .map(Target::Project),
        Wanted::Unscoped | Wanted::Trust(_) => None,
        Wanted::System => Some(Target::System),
        Wanted::Domain(domain) => {
            let domain = cloud.domain(domain).map(|domain| domain.meta.id);
            Some(Target::Domain(found(domain)?))
        }
        Wanted::Project { project, domain } => {
            let project = cloud
                .project(project, domain.as_ref())
                .map(|project| project.meta.id);
            Some(Target::Project(found(project)?))
        }
    };
    if proved.application_credential.is_some() && target != proved.from {
        return Err(Denial::OtherProject);
    }
    Ok(target)
}

/// Whether too many failures lock an account still.
pub(super) fn is_locked_out(cloud: &Cloud, user: Option<&User>) -> bool {
    let Some(user) = user else {
        return false;
    };
    let settings = &cloud.identity.settings;
    let Some(most) = settings.lockout_failures else {
        return false;
    };
    if user.spec.options.ignore_lockout_failure_attempts == Some(true) {
        return false;
    }
    let Some(status) = cloud.store.get::<UserStatus>(user.meta.id) else {
        return false;
    };
    let until = SignedDuration::from_secs(settings.lockout_seconds);
    status.value.failures >= most
        && status
            .value
            .failed_at
            .is_some_and(|at| cloud.now() < at + until)
}

/// Counts failures, and forgets them after a success.
pub(super) async fn note_attempt(
    cloud: &Cloud,
    user: &User,
    is_right: bool,
) -> Result<(), ActionError> {
    if cloud.identity.settings.lockout_failures.is_none() {
        return Ok(());
    }
    let before = cloud
        .store
        .get::<UserStatus>(user.meta.id)
        .map_or_else(UserStatus::default, |found| UserStatus::clone(&found.value));
    let after = if is_right {
        UserStatus::default()
    } else {
        UserStatus {
            failures: before.failures.saturating_add(1),
            failed_at: Some(cloud.now()),
        }
    };
    if after == before {
        return Ok(());
    }
    let mut transaction = cloud.store.transaction();
    transaction.put(user.meta.id, after);
    cloud.commit(transaction).await.map(drop)
}

fn now_in_microseconds(cloud: &Cloud) -> Timestamp {
    let now = cloud.now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

fn deny(denial: Denial) -> ActionError {
    unauthenticated().caused_by(denial)
}

/// What everybody is told who is not let in.
pub(super) fn unauthenticated() -> ActionError {
    ActionError::new(
        ErrorKind::Unauthenticated,
        "The request you have made requires authentication.",
    )
}
