//! Trusts: what users lend to others, who may lend it on.
//!
//! A trust that was lent on hangs on the one before, and is deleted with it. Which roles it gives is
//! looked up anew with each token: all that it names must still be those of whoever lent first.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use model::assignment::Target as Place;
use model::delegation::Delegation;
use model::project::Project;
use model::role::Role;
use model::trust::{Trust, TrustSpec};
use model::user::User;
use model::{Id, Meta, ProjectId};
use store::Transaction;

use super::Named;
use super::record::{invalid, not_found, refused};
use super::token::Refusal;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// How often a trust can be lent on at most, as Keystone comes.
const MOST_REDELEGATIONS: u32 = 3;

/// A trust to make.
#[derive(Clone, Debug)]
pub struct New {
    /// Who lends: the caller.
    pub trustor: Id,
    /// Who may act.
    pub trustee: Id,
    /// Where.
    pub project: Id,
    /// With which roles, by identity or name.
    pub roles: Vec<Named>,
    /// The trustee acts as the trustor.
    pub impersonation: bool,
    /// Until when; `None` for ever, or for as long as the trust that it is lent on from.
    pub expires_at: Option<Timestamp>,
    /// How many tokens are made of it; `None` is any number.
    pub remaining_uses: Option<u32>,
    /// The trustee may lend it on.
    pub allow_redelegation: bool,
    /// How often.
    pub redelegation_count: Option<u32>,
}

/// Whose trusts to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Who lends.
    pub trustor: Option<Id>,
    /// Who may act.
    pub trustee: Option<Id>,
}

/// Lends something. Whoever acts by a trust lends that one on.
///
/// # Errors
/// [`ErrorKind::Forbidden`] for anybody but the trustor, for application credentials and for more than
/// the trust that is lent on gives; [`ErrorKind::NotFound`] without trustee, project or a role that
/// the trustor has; [`ErrorKind::Invalid`].
pub async fn create(cloud: &Cloud, caller: &Caller, new: New) -> Result<Arc<Trust>, ActionError> {
    caller.may(Action::CreateTrust, &Target::user(new.trustor))?;
    check_not_by_credential(caller)?;
    if new.roles.is_empty() {
        return Err(refused(
            "You are not authorized to perform the requested action: At least one role should be \
             specified.",
        ));
    }
    let mut transaction = cloud.store.transaction();
    // A trust is deleted with any of these: none of them may go meanwhile.
    transaction.require::<User>(new.trustor, cloud.find::<User>(new.trustor)?.revision);
    transaction.require::<User>(new.trustee, cloud.find::<User>(new.trustee)?.revision);
    transaction.require::<Project>(new.project, cloud.find::<Project>(new.project)?.revision);
    let parent = match caller.delegation {
        Some(Delegation::Trust(id)) => {
            transaction.require::<Trust>(id, cloud.find::<Trust>(id)?.revision);
            Some(find_usable(cloud, id)?)
        }
        Some(Delegation::ApplicationCredential(_)) | None => None,
    };
    let first = match &parent {
        Some(parent) => original_trustor(cloud, parent),
        None => new.trustor,
    };
    let mut spec = TrustSpec {
        trustor: new.trustor,
        trustee: new.trustee,
        project: new.project,
        roles: roles_to_lend(cloud, first, &new)?,
        impersonation: new.impersonation,
        expires_at: new.expires_at,
        remaining_uses: new.remaining_uses,
        redelegation_count: redelegations(&new, parent.as_deref())?,
        redelegated: parent.as_ref().map(|parent| parent.meta.id),
    };
    if let Some(parent) = &parent {
        check_within(&spec, parent)?;
        spec.expires_at = spec.expires_at.or(parent.spec.expires_at);
    }
    let meta = Meta::new("", ProjectId(new.trustor), cloud.now());
    let made = Arc::new(Trust { meta, spec });
    transaction.insert(made.meta.id, Trust::clone(&made));
    cloud.commit_durably(transaction).await?;
    Ok(made)
}

/// An application credential lends nothing, and learns of nothing that was lent: it acts in its own
/// project only.
fn check_not_by_credential(caller: &Caller) -> Result<(), ActionError> {
    match caller.delegation {
        Some(Delegation::ApplicationCredential(_)) => Err(refused(
            "You are not authorized to perform the requested action: Using method \
             'application_credential' is not allowed for managing trusts.",
        )),
        Some(Delegation::Trust(_)) | None => Ok(()),
    }
}

/// The roles that are named, each of which whoever lends first has.
fn roles_to_lend(cloud: &Cloud, first: Id, new: &New) -> Result<BTreeSet<Id>, ActionError> {
    let had = cloud.roles_in(first, Place::Project(new.project));
    let role = |named: &Named| {
        let (found, name) = match named {
            Named::Id(id) => (cloud.store.get::<Role>(*id), id.simple()),
            Named::Name(name) => (
                cloud.store.by_name::<Role>(ProjectId::SYSTEM, name),
                name.clone(),
            ),
        };
        found
            .map(|found| found.value.meta.id)
            .filter(|id| had.contains(id))
            .ok_or_else(|| not_found("role", &name))
    };
    new.roles.iter().map(role).collect()
}

/// How often a new trust may be lent on.
fn redelegations(new: &New, parent: Option<&Trust>) -> Result<u32, ActionError> {
    let left = match parent {
        // A trust that has none left is refused by [`check_within`].
        Some(parent) => parent.spec.redelegation_count.saturating_sub(1),
        None => MOST_REDELEGATIONS,
    };
    if !new.allow_redelegation || new.redelegation_count == Some(0) {
        return match new.remaining_uses {
            Some(0) => Err(invalid(
                "remaining_uses must be a positive integer or null.",
            )),
            _ => Ok(0),
        };
    }
    if new.remaining_uses.is_some() {
        return Err(invalid(
            "remaining_uses must not be set if redelegation is allowed",
        ));
    }
    match new.redelegation_count {
        None => Ok(left),
        Some(count) if count > MOST_REDELEGATIONS => Err(refused(format!(
            "Requested redelegation depth of {count} is greater than allowed {MOST_REDELEGATIONS}"
        ))),
        Some(count) if parent.is_some() && count != left => Err(refused(
            "Modifying \"redelegation_count\" upon redelegation is forbidden. Omitting this \
             parameter is advised.",
        )),
        Some(count) => Ok(count),
    }
}

/// Refuses a trust that gives more than the one that it is lent on from.
fn check_within(spec: &TrustSpec, parent: &Trust) -> Result<(), ActionError> {
    let depth = parent.spec.redelegation_count;
    if depth == 0 {
        return Err(refused(format!(
            "Remaining redelegation depth of {depth} out of allowed range of \
             [0..{MOST_REDELEGATIONS}]"
        )));
    }
    if let Some(uses) = spec.remaining_uses {
        return Err(refused(format!(
            "Field \"remaining_uses\" is set to {uses} while it must not be set in order to \
             redelegate a trust"
        )));
    }
    if let (Some(end), Some(wanted)) = (parent.spec.expires_at, spec.expires_at)
        && end < wanted
    {
        return Err(refused(
            "Requested expiration time is more than redelegated trust can provide",
        ));
    }
    if spec.project != parent.spec.project {
        return Err(refused("The project is not that of the redelegated trust"));
    }
    if !spec.roles.is_subset(&parent.spec.roles) {
        return Err(refused(
            "Some of requested roles are not in redelegated trust",
        ));
    }
    if spec.impersonation && !parent.spec.impersonation {
        return Err(refused(format!(
            "Impersonation is not allowed because redelegated trust does not specify \
             impersonation. Redelegated trust id: {}",
            parent.meta.id.simple()
        )));
    }
    Ok(())
}

/// The trusts of whom the filter names, or all; the oldest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    filter: Filter,
) -> Result<Vec<Arc<Trust>>, ActionError> {
    match filter {
        Filter {
            trustor: Some(user),
            ..
        } => caller.may(Action::ListTrustsForTrustor, &Target::user(user))?,
        Filter {
            trustee: Some(user),
            ..
        } => caller.may(Action::ListTrustsForTrustee, &Target::user(user))?,
        Filter { .. } => caller.may(Action::ListTrusts, &Target::SYSTEM)?,
    }
    check_not_by_credential(caller)?;
    let fits = |wanted: Option<Id>, id: Id| wanted.is_none_or(|wanted| wanted == id);
    let mut found = cloud.all::<Trust>(|trust| {
        fits(filter.trustor, trust.spec.trustor) && fits(filter.trustee, trust.spec.trustee)
    });
    found.sort_by_key(|trust| trust.meta.created_at);
    Ok(found)
}

/// One trust that can be used.
///
/// # Errors
/// [`ErrorKind::NotFound`], also when it is over or used up; [`ErrorKind::Forbidden`] for whoever is
/// neither trustor nor trustee.
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Trust>, ActionError> {
    let trust = find_usable(cloud, id)?;
    let may = |user| caller.may(Action::GetTrust, &Target::user(user));
    may(trust.spec.trustor).or_else(|_| may(trust.spec.trustee))?;
    check_not_by_credential(caller)?;
    Ok(trust)
}

/// The roles of a trust that are still there, by name.
#[must_use]
pub fn roles_of(cloud: &Cloud, trust: &Trust) -> Vec<Arc<Role>> {
    let ids = trust.spec.roles.iter();
    let roles = ids.filter_map(|id| cloud.store.get::<Role>(*id));
    let mut roles: Vec<_> = roles.map(|found| found.value).collect();
    roles.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    roles
}

/// One role of a trust.
///
/// # Errors
/// As [`get`].
pub fn role(cloud: &Cloud, caller: &Caller, id: Id, role: Id) -> Result<Arc<Role>, ActionError> {
    let trust = get(cloud, caller, id)?;
    let roles = roles_of(cloud, &trust).into_iter();
    let mut fitting = roles.filter(|known| known.meta.id == role);
    fitting
        .next()
        .ok_or_else(|| not_found("role", &role.simple()))
}

/// Takes back what was lent, and what was lent on of it. Its tokens are worth nothing from then on.
///
/// # Errors
/// [`ErrorKind::NotFound`]; [`ErrorKind::Forbidden`] for anybody but the trustor.
pub async fn delete(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let trust = cloud.find::<Trust>(id)?.value;
    caller.may(Action::DeleteTrust, &Target::user(trust.spec.trustor))?;
    check_not_by_credential(caller)?;
    let mut transaction = cloud.store.transaction();
    forget(cloud, &mut transaction, |trust| trust.meta.id == id);
    cloud.commit_durably(transaction).await
}

/// Deletes the trusts that are concerned, and those that were lent on of them.
pub(super) fn forget(
    cloud: &Cloud,
    transaction: &mut Transaction,
    concerns: impl Fn(&Trust) -> bool,
) {
    let mut next: Vec<Id> = cloud
        .all::<Trust>(concerns)
        .iter()
        .map(|trust| trust.meta.id)
        .collect();
    let mut gone = BTreeSet::new();
    while let Some(id) = next.pop() {
        if gone.insert(id) {
            transaction.delete::<Trust>(id, None);
            let hanging = cloud.all::<Trust>(|trust| trust.spec.redelegated == Some(id));
            next.extend(hanging.iter().map(|trust| trust.meta.id));
        }
    }
}

/// A trust that tokens are made of still.
pub(super) fn usable(cloud: &Cloud, id: Id) -> Option<Arc<Trust>> {
    let found = cloud.store.get::<Trust>(id)?.value;
    found.is_usable(cloud.now()).then_some(found)
}

fn find_usable(cloud: &Cloud, id: Id) -> Result<Arc<Trust>, ActionError> {
    usable(cloud, id).ok_or_else(|| not_found("trust", &id.simple()))
}

/// The trust that a token of `trustee`'s goes by, as of now. That it is used up ends no token.
pub(super) fn lent(cloud: &Cloud, id: Id, trustee: Id) -> Result<Arc<Trust>, Refusal> {
    let trust = cloud
        .store
        .get::<Trust>(id)
        .map(|found| found.value)
        .filter(|trust| trust.spec.trustee == trustee && !trust.has_expired(cloud.now()))
        .ok_or(Refusal::Trust(id))?;
    let is_open = |user: Id| {
        let found = cloud.store.get::<User>(user);
        found.is_some_and(|found| found.value.spec.enabled)
    };
    let agents = chain(cloud, &trust);
    if agents
        .iter()
        .any(|trust| !is_open(trust.spec.trustor) || !is_open(trust.spec.trustee))
    {
        return Err(Refusal::Trust(id));
    }
    Ok(trust)
}

/// A trust and those before it, back to the first.
fn chain(cloud: &Cloud, trust: &Arc<Trust>) -> Vec<Arc<Trust>> {
    let before = |trust: &Arc<Trust>| {
        let id = trust.spec.redelegated?;
        cloud.store.get::<Trust>(id).map(|found| found.value)
    };
    std::iter::successors(Some(Arc::clone(trust)), before).collect()
}

/// Who lent first what a trust gives.
fn original_trustor(cloud: &Cloud, trust: &Arc<Trust>) -> Id {
    let chain = chain(cloud, trust);
    chain
        .last()
        .map_or(trust.spec.trustor, |first| first.spec.trustor)
}

/// The roles that a trust gives, implied ones included, by identity.
pub(super) fn roles_lent(cloud: &Cloud, trust: &Arc<Trust>) -> Result<BTreeSet<Id>, Refusal> {
    let had = cloud.roles_in(
        original_trustor(cloud, trust),
        Place::Project(trust.spec.project),
    );
    let mut lent = cloud
        .access()
        .with_implied(trust.spec.roles.iter().copied());
    lent.retain(|role| cloud.is_of_system(*role) || trust.spec.roles.contains(role));
    if lent.is_subset(&had) {
        Ok(lent)
    } else {
        Err(Refusal::NotDelegated {
            trust: trust.meta.id,
        })
    }
}

/// Counts one use, where they are counted; says whether there was one left.
pub(super) async fn use_once(cloud: &Cloud, id: Id) -> Result<bool, ActionError> {
    loop {
        let Some(found) = cloud.store.get::<Trust>(id) else {
            return Ok(false);
        };
        let left = match found.value.spec.remaining_uses {
            None => return Ok(true),
            Some(0) => return Ok(false),
            Some(uses) => uses - 1,
        };
        let mut trust = Trust::clone(&found.value);
        trust.spec.remaining_uses = Some(left);
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, trust);
        match cloud.commit_durably(transaction).await {
            Ok(()) => return Ok(true),
            // Somebody else used it, or took it back, meanwhile.
            Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
}
