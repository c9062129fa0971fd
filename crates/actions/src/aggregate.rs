//! Aggregates: nodes that the operator counts together, and the zones that some of them are. Messages
//! are Nova's.
//!
//! A node is in one zone at most, and in the same one as long as it has instances. Whoever puts it into
//! an aggregate or takes it out writes its record too, so that of two at once the second looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::aggregate::Aggregate;
use model::instance::Placement;
use model::node::Node;
use model::{Id, Kind, Meta, ProjectId};
use store::{CommitError, Transaction, Versioned};

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// What to change of an aggregate.
#[derive(Clone, Debug, Default)]
pub struct AggregateChange {
    /// Another name.
    pub name: Option<String>,
    /// What to say of its nodes from now on; `None` says it no more. The rest stays.
    pub metadata: BTreeMap<String, Option<String>>,
}

/// What somebody tries to do, as it is refused.
#[derive(Clone, Copy)]
struct Attempt {
    /// "Cannot ... aggregate".
    words: &'static str,
    kind: ErrorKind,
}

const UPDATE: Attempt = Attempt {
    words: "update",
    kind: ErrorKind::Invalid,
};
const ADD: Attempt = Attempt {
    words: "add host to",
    kind: ErrorKind::Conflict,
};
const REMOVE: Attempt = Attempt {
    words: "remove host from",
    kind: ErrorKind::Conflict,
};
const DELETE: Attempt = Attempt {
    words: "remove",
    kind: ErrorKind::Invalid,
};

impl Attempt {
    fn refuse(self, id: Id, reason: &str) -> ActionError {
        let message = format!("Cannot {} aggregate {id}. Reason: {reason}.", self.words);
        ActionError::new(self.kind, message)
    }
}

/// Makes an aggregate without nodes; with a zone, in which its nodes will be.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::AlreadyExists`].
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    zone: Option<String>,
) -> Result<Arc<Aggregate>, ActionError> {
    caller.may(Action::CreateAggregate, &Target::SYSTEM)?;
    let metadata = zone.map(|zone| (Aggregate::ZONE.to_owned(), zone));
    let aggregate = Aggregate {
        meta: Meta::new(name, ProjectId::SYSTEM, cloud.now()),
        nodes: BTreeSet::new(),
        metadata: metadata.into_iter().collect(),
    };
    let mut transaction = cloud.store.transaction();
    transaction.insert(aggregate.meta.id, aggregate.clone());
    let made = cloud.commit_durably(transaction).await;
    made.map_err(|error| taken(error, name))?;
    Ok(Arc::new(aggregate))
}

/// Every aggregate, the oldest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(cloud: &Cloud, caller: &Caller) -> Result<Vec<Arc<Aggregate>>, ActionError> {
    caller.may(Action::ListAggregates, &Target::SYSTEM)?;
    let mut found = all(cloud);
    found.sort_by_key(|aggregate| aggregate.meta.created_at);
    Ok(found)
}

pub(crate) fn all(cloud: &Cloud) -> Vec<Arc<Aggregate>> {
    let all = cloud.store.list::<Aggregate>().into_iter();
    all.map(|(_, found)| found.value).collect()
}

/// Changes name and metadata. The zone of nodes with instances stays.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`], [`ErrorKind::AlreadyExists`] for the name,
/// [`ErrorKind::Invalid`] for a zone that cannot be.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    wanted: AggregateChange,
) -> Result<Arc<Aggregate>, ActionError> {
    caller.may(Action::UpdateAggregate, &Target::SYSTEM)?;
    let changed = change(cloud, id, UPDATE, |aggregate| {
        if let Some(name) = &wanted.name {
            aggregate.meta.name.clone_from(name);
        }
        for (key, value) in &wanted.metadata {
            match value {
                Some(value) => aggregate.metadata.insert(key.clone(), value.clone()),
                None => aggregate.metadata.remove(key),
            };
        }
        if aggregate.zone().is_some_and(str::is_empty) {
            let name = &aggregate.meta.name;
            let reason = format!("Aggregate {name} does not support empty named availability zone");
            return Err(UPDATE.refuse(id, &reason));
        }
        Ok(())
    });
    let name = wanted.name.as_deref().unwrap_or_default();
    changed.await.map_err(|error| taken(error, name))
}

/// Puts a node into an aggregate.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`] for the aggregate or the node,
/// [`ErrorKind::Conflict`] where it is in it, is in another zone, or would leave its zone with
/// instances on it.
pub async fn add_node(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    host: &str,
) -> Result<Arc<Aggregate>, ActionError> {
    caller.may(Action::AddAggregateNode, &Target::SYSTEM)?;
    let node = cloud.store.by_name::<Node>(ProjectId::ADMIN, host);
    let node = node.ok_or_else(|| {
        let message = format!("Compute host {host} could not be found.");
        ActionError::new(ErrorKind::NotFound, message)
    })?;
    change(cloud, id, ADD, |aggregate| {
        if aggregate.nodes.insert(node.value.meta.id) {
            return Ok(());
        }
        let message = format!("Aggregate {id} already has host {host}.");
        Err(ActionError::new(ErrorKind::Conflict, message))
    })
    .await
}

/// Takes a node out of an aggregate.
///
/// # Errors
/// As [`add_node`].
pub async fn remove_node(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    host: &str,
) -> Result<Arc<Aggregate>, ActionError> {
    caller.may(Action::RemoveAggregateNode, &Target::SYSTEM)?;
    let node = cloud.store.by_name::<Node>(ProjectId::ADMIN, host);
    let node = node.map(|found| found.value.meta.id);
    change(cloud, id, REMOVE, |aggregate| {
        if node.is_some_and(|node| aggregate.nodes.remove(&node)) {
            return Ok(());
        }
        let message = format!("Cannot remove host {host} in aggregate {id}");
        Err(ActionError::new(ErrorKind::NotFound, message))
    })
    .await
}

/// Removes an aggregate without nodes.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`], [`ErrorKind::Invalid`] where it has nodes.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteAggregate, &Target::SYSTEM)?;
    let found = find(cloud, id)?;
    if !found.value.nodes.is_empty() {
        let reason = "Host aggregate is not empty";
        return Err(DELETE.refuse(id, reason));
    }
    let mut transaction = cloud.store.transaction();
    transaction.delete::<Aggregate>(id, Some(found.revision));
    cloud.commit_durably(transaction).await
}

/// Refuses to fetch images ahead for an aggregate that is not there. Every image is on every node as
/// soon as it is uploaded, so that there is nothing else to do.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`].
pub fn cache_images(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::CacheAggregateImages, &Target::SYSTEM)?;
    find(cloud, id).map(drop)
}

/// Takes a node that is being removed out of every aggregate.
pub(crate) fn forget(cloud: &Cloud, node: Id, transaction: &mut Transaction) {
    for (id, found) in cloud.store.list::<Aggregate>() {
        if found.value.nodes.contains(&node) {
            let mut rest = Aggregate::clone(&found.value);
            rest.nodes.remove(&node);
            transaction.update(id, found.revision, rest);
        }
    }
}

fn find(cloud: &Cloud, id: Id) -> Result<Versioned<Aggregate>, ActionError> {
    cloud.store.get::<Aggregate>(id).ok_or_else(|| {
        let message = format!("Aggregate {id} could not be found.");
        ActionError::new(ErrorKind::NotFound, message)
    })
}

/// Changes an aggregate, unless that would move instances to another zone; again where an aggregate
/// or one of its nodes was changed meanwhile.
async fn change(
    cloud: &Cloud,
    id: Id,
    attempt: Attempt,
    edit: impl Fn(&mut Aggregate) -> Result<(), ActionError>,
) -> Result<Arc<Aggregate>, ActionError> {
    loop {
        let found = find(cloud, id)?;
        let mut changed = Aggregate::clone(&found.value);
        edit(&mut changed)?;
        changed.meta.updated_at = Some(cloud.now());
        changed.meta.generation += 1;
        let mut transaction = cloud.store.transaction();
        check_zones(cloud, attempt, &found.value, &changed, &mut transaction)?;
        transaction.update(id, found.revision, changed.clone());
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                crate::durable(committed.durable).await?;
                return Ok(Arc::new(changed));
            }
            Err(CommitError::Conflict {
                kind: Kind::Aggregate | Kind::Node,
                ..
            }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Refuses a change by which a node would be in two zones, or its instances in another; and writes the
/// nodes that come into another zone, so that nobody else moves them at the same time.
fn check_zones(
    cloud: &Cloud,
    attempt: Attempt,
    before: &Aggregate,
    after: &Aggregate,
    transaction: &mut Transaction,
) -> Result<(), ActionError> {
    let id = after.meta.id;
    let others: Vec<Arc<Aggregate>> = all(cloud)
        .into_iter()
        .filter(|other| other.meta.id != id)
        .collect();
    for node in before.nodes.union(&after.nodes) {
        let of = |aggregate: &Aggregate| {
            let zone = aggregate.zone().filter(|_| aggregate.nodes.contains(node));
            zone.map(str::to_owned)
        };
        let elsewhere = others.iter().find_map(|other| of(other));
        let (was, is) = (of(before), of(after));
        if was == is {
            continue;
        }
        if let (Some(is), Some(elsewhere)) = (&is, &elsewhere)
            && is != elsewhere
        {
            let reason =
                format!("One or more hosts already in availability zone(s) ['{elsewhere}']");
            return Err(attempt.refuse(id, &reason));
        }
        let has_instances = || {
            let placements = cloud.store.list::<Placement>();
            placements
                .iter()
                .any(|(_, placement)| placement.value.node == Some(*node))
        };
        // In the same zone by another aggregate, nothing moves.
        if elsewhere.is_none() && has_instances() {
            let reason = "One or more hosts contain instances in this zone";
            return Err(attempt.refuse(id, reason));
        }
        if let Some(found) = cloud.store.get::<Node>(*node) {
            transaction.update(*node, found.revision, Node::clone(&found.value));
        }
    }
    Ok(())
}

fn taken(error: ActionError, name: &str) -> ActionError {
    if error.kind != ErrorKind::AlreadyExists {
        return error;
    }
    let message = format!("Aggregate {name} already exists.");
    ActionError::new(ErrorKind::AlreadyExists, message).caused_by(error)
}
