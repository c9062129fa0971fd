//! Tokens: what somebody proved, sealed so that nothing of it must be stored.
//!
//! A token says who, how, where and until when. What its user may do is looked up anew whenever it
//! is shown, so a role that is taken away is gone at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use model::application_credential::ApplicationCredential;
use model::assignment::Target;
use model::delegation::Delegation;
use model::project::Project;
use model::revocation::Revocation;
use model::role::Role;
use model::trust::Trust;
use model::user::User;
use model::{Id, Meta, ProjectId};

use super::{fernet, key_ring};
use crate::policy::{self, Action};
use crate::{ActionError, Caller, Cloud, ErrorKind, Scope};

/// The first byte of what is sealed: how the rest is laid out.
const LAYOUT: u8 = 1;
/// The same, of tokens that are not identity's own.
const OTHER_LAYOUT: u8 = 2;

/// Whoever has this role may everything.
const ADMIN_ROLE: &str = "admin";

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says how")]
pub enum Method {
    Password = 1,
    Token = 2,
    ApplicationCredential = 4,
    Ec2Credential = 8,
}

impl Method {
    const ALL: [Self; 4] = [
        Self::Password,
        Self::Token,
        Self::ApplicationCredential,
        Self::Ec2Credential,
    ];
}

/// Names one token, without being one.
pub type AuditId = [u8; 16];

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who proved it.
    pub user: Id,
    /// Where; `None` is nowhere.
    pub target: Option<Target>,
    /// The trust that lets them act there, in its project.
    pub trust: Option<Id>,
    /// How it was proved.
    pub methods: BTreeSet<Method>,
    /// Since when.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// Names this token.
    pub audit: AuditId,
    /// Names the token that this one goes back to.
    pub parent_audit: Option<AuditId>,
    /// The application credential that it was got with.
    pub application_credential: Option<Id>,
}

impl Token {
    /// Seals it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] before the first start has made a key.
    pub(super) fn seal(&self, cloud: &Cloud) -> Result<String, ActionError> {
        let ring = key_ring::tokens(cloud)?;
        let key = ring.value.keys.first().ok_or_else(no_key)?;
        let seconds = u64::try_from(self.issued_at.as_second()).unwrap_or(0);
        Ok(fernet::seal(key, seconds, rand::random(), &self.to_bytes()))
    }

    /// Opens what [`Self::seal`] sealed.
    fn open(cloud: &Cloud, sealed: &str) -> Option<Self> {
        let ring = key_ring::tokens(cloud).ok()?;
        Self::from_bytes(&fernet::open(&ring.value.keys, sealed)?)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let methods = self
            .methods
            .iter()
            .fold(0, |bits, method| bits | *method as u8);
        let mut bytes = vec![LAYOUT, methods];
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.extend_from_slice(&self.issued_at.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(&self.expires_at.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(&self.audit);
        let (kind, ids) = match (self.target, self.trust) {
            (None, _) => (0, [None, None]),
            (Some(Target::System), _) => (1, [None, None]),
            (Some(Target::Project(id)), None) => (2, [Some(id), None]),
            (Some(Target::Domain(id)), _) => (3, [Some(id), None]),
            (Some(Target::Project(id)), trust) => (4, [Some(id), trust]),
        };
        bytes.push(kind);
        bytes.extend(ids.iter().flatten().flat_map(|id| *id.as_bytes()));
        for optional in [
            self.parent_audit,
            self.application_credential.map(|id| *id.as_bytes()),
        ] {
            bytes.push(u8::from(optional.is_some()));
            bytes.extend(optional.into_iter().flatten());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [layout, methods] = take(&mut rest)?;
        if layout != LAYOUT {
            return None;
        }
        let user = Id::from_bytes(take(&mut rest)?);
        let issued_at = Timestamp::from_microsecond(i64::from_be_bytes(take(&mut rest)?)).ok()?;
        let expires_at = Timestamp::from_microsecond(i64::from_be_bytes(take(&mut rest)?)).ok()?;
        let audit = take(&mut rest)?;
        let [kind] = take(&mut rest)?;
        let mut id = || take(&mut rest).map(Id::from_bytes);
        let (target, trust) = match kind {
            0 => (None, None),
            1 => (Some(Target::System), None),
            2 => (Some(Target::Project(id()?)), None),
            3 => (Some(Target::Domain(id()?)), None),
            4 => (Some(Target::Project(id()?)), Some(id()?)),
            _ => return None,
        };
        let mut optional = || match take(&mut rest)? {
            [0] => Some(None),
            [_] => take(&mut rest).map(Some),
        };
        let (parent_audit, credential): (Option<AuditId>, Option<[u8; 16]>) =
            (optional()?, optional()?);
        Some(Self {
            user,
            target,
            trust,
            methods: Method::ALL
                .into_iter()
                .filter(|method| methods & *method as u8 != 0)
                .collect(),
            issued_at,
            expires_at,
            audit,
            parent_audit,
            application_credential: credential.map(Id::from_bytes),
        })
    }
}

/// Seals what a token says that is not identity's own, and is of no use as one.
///
/// # Errors
/// [`ErrorKind::Unavailable`] before the first start has made a key.
pub(crate) fn seal_other(cloud: &Cloud, text: &[u8]) -> Result<String, ActionError> {
    let ring = key_ring::tokens(cloud)?;
    let key = ring.value.keys.first().ok_or_else(no_key)?;
    let seconds = u64::try_from(cloud.now().as_second()).unwrap_or(0);
    let text = [&[OTHER_LAYOUT], text].concat();
    Ok(fernet::seal(key, seconds, rand::random(), &text))
}

/// Opens what [`seal_other`] sealed.
pub(crate) fn open_other(cloud: &Cloud, sealed: &str) -> Option<Vec<u8>> {
    let ring = key_ring::tokens(cloud).ok()?;
    let text = fernet::open(&ring.value.keys, sealed)?;
    text.strip_prefix(&[OTHER_LAYOUT]).map(<[u8]>::to_vec)
}

/// The first bytes of `rest`, which begins after them from then on.
fn take<const COUNT: usize>(rest: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

/// A token with everything that it stands for, as of now.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it says.
    pub token: Token,
    /// As whom it acts: who proved it, or who lets them act under their name.
    pub user: Arc<User>,
    /// The user's domain.
    pub user_domain: Arc<Project>,
    /// Where.
    pub place: Place,
    /// The roles that the user has there, implied ones included, by name.
    pub roles: Vec<Arc<Role>>,
    /// The application credential that it was got with.
    pub application_credential: Option<Arc<ApplicationCredential>>,
    /// The trust that it was got by.
    pub trust: Option<Arc<Trust>>,
}

/// Where a token is good for.
#[derive(Clone, Debug)]
pub enum Place {
    /// Nowhere.
    Nowhere,
    /// In a project.
    Project {
        /// The project.
        project: Arc<Project>,
        /// Its domain.
        domain: Arc<Project>,
    },
    /// In a domain.
    Domain(Arc<Project>),
    /// In the whole installation.
    System,
}

/// Why a token or a scope is refused; callers say no more than that to whoever asks.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no key here opens the token")]
    Unreadable,
    #[error("the token has expired")]
    Expired,
    #[error("the token was revoked")]
    Revoked,
    #[error("user {0} is gone, disabled, or has ended their tokens")]
    User(Id),
    #[error("{0:?} is gone or disabled")]
    Place(Target),
    #[error("user {user} has no role in {target:?}")]
    NoRole { user: Id, target: Target },
    #[error("application credential {0} is gone or has expired")]
    ApplicationCredential(Id),
    #[error("trust {0} is gone or has expired")]
    Trust(Id),
    #[error("whoever lent trust {trust} has not all of its roles any more")]
    NotDelegated { trust: Id },
}

impl Session {
    /// Looks up what a token stands for.
    pub(super) fn of(cloud: &Cloud, token: Token) -> Result<Self, Refusal> {
        let now = cloud.now();
        if token.expires_at <= now {
            return Err(Refusal::Expired);
        }
        if is_revoked(cloud, &token.audit) {
            return Err(Refusal::Revoked);
        }
        let (mut user, mut user_domain) = cloud.valid_user(token.user, token.issued_at)?;
        let trust = token
            .trust
            .map(|id| super::trust::lent(cloud, id, token.user))
            .transpose()?;
        if let Some(trust) = &trust {
            let trustor = cloud.valid_user(trust.spec.trustor, token.issued_at)?;
            if trust.spec.impersonation {
                (user, user_domain) = trustor;
            }
        }
        let place = Place::of(cloud, token.target)?;
        let application_credential = token
            .application_credential
            .map(|id| {
                cloud
                    .store
                    .get::<ApplicationCredential>(id)
                    .map(|found| found.value)
                    .filter(|credential| credential.spec.expires_at.is_none_or(|at| at > now))
                    .ok_or(Refusal::ApplicationCredential(id))
            })
            .transpose()?;
        let roles = match token.target {
            None => Vec::new(),
            Some(target) => {
                let mut ids = match &trust {
                    Some(trust) => super::trust::roles_lent(cloud, trust)?,
                    None => cloud.roles_in(user.meta.id, target),
                };
                if let Some(credential) = &application_credential {
                    let delegated = cloud
                        .access()
                        .with_implied(credential.spec.roles.iter().copied());
                    ids.retain(|role| delegated.contains(role));
                }
                let mut roles: Vec<Arc<Role>> = ids
                    .into_iter()
                    .filter_map(|role| cloud.store.get::<Role>(role))
                    .map(|found| found.value)
                    .collect();
                if roles.is_empty() {
                    return Err(Refusal::NoRole {
                        user: user.meta.id,
                        target,
                    });
                }
                roles.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
                roles
            }
        };
        Ok(Self {
            token,
            user,
            user_domain,
            place,
            roles,
            application_credential,
            trust,
        })
    }

    /// Who asks, where they show this token.
    #[must_use]
    pub fn caller(&self, request_id: String) -> Caller {
        Caller {
            user: self.user.meta.id,
            user_domain: self.user_domain.meta.id,
            scope: match &self.place {
                Place::Nowhere => Scope::Unscoped,
                Place::Project { project, domain } => Scope::Project {
                    project: project.as_owner(),
                    domain: domain.meta.id,
                },
                Place::Domain(domain) => Scope::Domain(domain.meta.id),
                Place::System => Scope::System,
            },
            roles: self
                .roles
                .iter()
                .map(|role| role.meta.name.clone())
                .collect(),
            delegation: self.delegation(),
            request_id,
        }
    }

    /// What its right to act was lent by.
    #[must_use]
    pub fn delegation(&self) -> Option<Delegation> {
        let trust = self.token.trust.map(Delegation::Trust);
        let credential = self.token.application_credential;
        trust.or(credential.map(Delegation::ApplicationCredential))
    }
}

impl Cloud {
    /// A user whose tokens since `issued_at` are valid, and the user's domain.
    fn valid_user(
        &self,
        id: Id,
        issued_at: Timestamp,
    ) -> Result<(Arc<User>, Arc<Project>), Refusal> {
        let user = self
            .store
            .get::<User>(id)
            .map(|found| found.value)
            .filter(|user| user.spec.enabled)
            .filter(|user| {
                let from = user.spec.tokens_valid_from;
                from.is_none_or(|from| issued_at >= from)
            })
            .ok_or(Refusal::User(id))?;
        let domain = self
            .any_project(user.meta.project.0)
            .filter(|domain| domain.spec.enabled)
            .ok_or(Refusal::User(id))?;
        Ok((user, domain))
    }
}

impl Place {
    fn of(cloud: &Cloud, target: Option<Target>) -> Result<Self, Refusal> {
        let open = |id: Id, target: Target| {
            cloud
                .any_project(id)
                .filter(|project| cloud.is_open(project))
                .ok_or(Refusal::Place(target))
        };
        Ok(match target {
            None => Self::Nowhere,
            Some(Target::System) => Self::System,
            Some(target @ Target::Domain(id)) => Self::Domain(open(id, target)?),
            Some(target @ Target::Project(id)) => {
                let project = open(id, target)?;
                let domain = open(project.domain(), target)?;
                Self::Project { project, domain }
            }
        })
    }
}

/// The session of a token that somebody shows to be let in.
///
/// # Errors
/// [`ErrorKind::Unauthenticated`] for a token that is worth nothing.
pub fn session(cloud: &Cloud, sealed: &str) -> Result<Session, ActionError> {
    open(cloud, sealed).map_err(|refusal| super::authenticate::unauthenticated().caused_by(refusal))
}

/// The session of a token that somebody asks about.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a token that is worth nothing, [`ErrorKind::Forbidden`] for one that
/// is none of the caller's business.
pub fn validate(cloud: &Cloud, caller: &Caller, sealed: &str) -> Result<Session, ActionError> {
    asked_about(cloud, caller, Action::ValidateToken, sealed)
}

fn asked_about(
    cloud: &Cloud,
    caller: &Caller,
    action: Action,
    sealed: &str,
) -> Result<Session, ActionError> {
    let session = open(cloud, sealed).map_err(|refusal| missing(sealed).caused_by(refusal))?;
    caller.may(action, &policy::Target::user(session.user.meta.id))?;
    Ok(session)
}

/// Takes a token back.
///
/// # Errors
/// As [`validate`].
pub async fn revoke(cloud: &Cloud, caller: &Caller, sealed: &str) -> Result<(), ActionError> {
    let token = asked_about(cloud, caller, Action::RevokeToken, sealed)?.token;
    let meta = Meta::new(hex::encode(token.audit), ProjectId::SYSTEM, cloud.now());
    let mut transaction = cloud.store.transaction();
    transaction.insert(
        meta.id,
        Revocation {
            meta,
            expires_at: token.expires_at,
        },
    );
    match cloud.commit_durably(transaction).await {
        // Somebody else did it meanwhile.
        Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// The session of a token that was kept, as of now.
///
/// # Errors
/// [`ErrorKind::Unauthenticated`] for a token that is worth nothing any more.
pub(crate) fn resume(cloud: &Cloud, token: Token) -> Result<Session, ActionError> {
    Session::of(cloud, token)
        .map_err(|refusal| super::authenticate::unauthenticated().caused_by(refusal))
}

/// As whom a session's user acts in a project, wherever the session itself is for: with the roles that
/// they have there, and as an admin where they are one of the whole installation.
///
/// What was lent does not grow: an application credential and a trust act in their own project.
pub(crate) fn caller_in(
    cloud: &Cloud,
    session: &Session,
    project: ProjectId,
    request_id: String,
) -> Caller {
    let own = session.caller(request_id);
    if session.delegation().is_some() {
        return own;
    }
    let user = session.user.meta.id;
    let names = |target: Target| {
        let roles = cloud.roles_in(user, target).into_iter();
        let found = roles.filter_map(|role| cloud.store.get::<Role>(role));
        found
            .map(|found| found.value.meta.name.clone())
            .collect::<BTreeSet<String>>()
    };
    let mut roles = names(Target::Project(project.0));
    let is_admin = |target| names(target).contains(ADMIN_ROLE);
    if is_admin(Target::System) || is_admin(Target::Project(ProjectId::ADMIN.0)) {
        roles.insert(ADMIN_ROLE.to_owned());
    }
    let domain = cloud
        .any_project(project.0)
        .map_or(ProjectId::SYSTEM.0, |project| project.domain());
    Caller {
        scope: Scope::Project { project, domain },
        roles,
        ..own
    }
}

fn open(cloud: &Cloud, sealed: &str) -> Result<Session, Refusal> {
    Session::of(
        cloud,
        Token::open(cloud, sealed).ok_or(Refusal::Unreadable)?,
    )
}

fn is_revoked(cloud: &Cloud, audit: &AuditId) -> bool {
    cloud
        .store
        .by_name::<Revocation>(ProjectId::SYSTEM, &hex::encode(audit))
        .is_some()
}

fn missing(sealed: &str) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Could not find token: {sealed}."),
    )
}

fn no_key() -> ActionError {
    ActionError::new(ErrorKind::Internal, "the ring of keys for tokens is empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let id = Id::random();
        for (target, trust) in [
            (None, None),
            (Some(Target::System), None),
            (Some(Target::Project(id)), None),
            (Some(Target::Domain(id)), None),
            (Some(Target::Project(id)), Some(Id::random())),
        ] {
            for (parent_audit, application_credential) in [(None, Some(id)), (Some([7; 16]), None)]
            {
                let token = Token {
                    user: Id::random(),
                    target,
                    trust,
                    methods: [Method::Password, Method::Token].into(),
                    issued_at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
                    expires_at: Timestamp::from_microsecond(1_700_000_003_123_456).unwrap(),
                    audit: [9; 16],
                    parent_audit,
                    application_credential,
                };
                let bytes = token.to_bytes();
                assert_eq!(Token::from_bytes(&bytes), Some(token));
                assert_eq!(Token::from_bytes(&bytes[..bytes.len() - 1]), None);
            }
        }
    }
}
