//! Nodes: the machines that instances run on, for whoever runs the installation.

use std::collections::HashSet;
use std::sync::Arc;

use model::Id;
use model::instance::{Instance, Placement};
use model::node::{Node, NodeStatus, Orders};

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, aggregate, instance};

/// A node as it is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What it has.
    pub node: Arc<Node>,
    /// What its agent last said; `None` before it said anything.
    pub status: Option<Arc<NodeStatus>>,
    /// The instances that are placed on it.
    pub instances: Vec<Arc<Instance>>,
    /// How many of them run.
    pub running: usize,
}

impl View {
    /// Its agent answers, and nobody says that it is down.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.answers() && !self.node.orders.forced_down
    }

    /// Its agent answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.ready)
    }

    /// Memory that its instances are limited to, in bytes, those without a limit left out.
    #[must_use]
    pub fn promised_memory_bytes(&self) -> u64 {
        let limits = self.containers().filter_map(|limits| limits.memory_bytes);
        limits.sum()
    }

    /// Processor time that its instances are limited to, in thousandths of a processor, those without
    /// a limit left out.
    #[must_use]
    pub fn promised_cpu_milli(&self) -> u64 {
        let limits = self.containers().filter_map(|limits| limits.nano_cpus);
        limits.sum::<u64>() / 1_000_000
    }

    fn containers(&self) -> impl Iterator<Item = &model::resources::Resources> {
        let containers = self.instances.iter().flat_map(|one| &one.spec.containers);
        containers.map(|container| &container.resources)
    }
}

/// Every node, by name.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`] for whoever does not run the installation.
pub fn list(cloud: &Cloud, caller: &Caller) -> Result<Vec<View>, ActionError> {
    caller.may(Action::ListNodes, &Target::SYSTEM)?;
    let all = cloud.store.list::<Node>().into_iter();
    let mut found: Vec<View> = all
        .map(|(id, found)| view(cloud, id, found.value))
        .collect();
    found.sort_by(|a, b| a.node.meta.name.cmp(&b.node.meta.name));
    Ok(found)
}

/// Gives orders about a node.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`].
pub async fn order(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    give: impl Fn(&mut Orders),
) -> Result<Orders, ActionError> {
    caller.may(Action::UpdateNode, &Target::SYSTEM)?;
    loop {
        let found = cloud.store.get::<Node>(id).ok_or_else(|| missing(id))?;
        let mut node = Node::clone(&found.value);
        give(&mut node.orders);
        let orders = node.orders.clone();
        node.meta.generation += 1;
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, node);
        match cloud.commit_durably(transaction).await {
            Err(error) if error.kind == ErrorKind::Conflict => {}
            done => return done.map(|()| orders),
        }
    }
}

/// Forgets a node that does not answer and has no instances, such as one that was taken away; it leaves
/// its aggregates.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] for any other node.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteNode, &Target::SYSTEM)?;
    let found = cloud.store.get::<Node>(id).ok_or_else(|| missing(id))?;
    let view = view(cloud, id, found.value);
    if !view.instances.is_empty() {
        return Err(ActionError::new(
            ErrorKind::Conflict,
            "Unable to delete compute service that is hosting instances. Migrate or delete the \
             instances first.",
        ));
    }
    if view.answers() {
        let name = &view.node.meta.name;
        let message = format!(
            "Unable to delete the compute service of {name}: it answers, and would be there again \
             with its next start. Stop it first."
        );
        return Err(ActionError::new(ErrorKind::Conflict, message));
    }
    let mut transaction = cloud.store.transaction();
    transaction.delete::<Node>(id, Some(found.revision));
    transaction.delete::<NodeStatus>(id, None);
    aggregate::forget(cloud, id, &mut transaction);
    cloud.commit_durably(transaction).await
}

fn missing(id: Id) -> ActionError {
    let message = format!("Service {id} not found.");
    ActionError::new(ErrorKind::NotFound, message)
}

fn view(cloud: &Cloud, id: Id, node: Arc<Node>) -> View {
    let placed: HashSet<Id> = cloud
        .store
        .list::<Placement>()
        .into_iter()
        .filter(|(_, placement)| placement.value.node == Some(id))
        .map(|(instance, _)| instance)
        .collect();
    let views = placed.iter().filter_map(|one| instance::find(cloud, *one));
    let views: Vec<instance::View> = views.collect();
    let status = cloud.store.get::<NodeStatus>(id);
    View {
        node,
        status: status.map(|found| found.value),
        running: views.iter().filter(|view| view.is_up()).count(),
        instances: views.into_iter().map(|view| view.instance).collect(),
    }
}
