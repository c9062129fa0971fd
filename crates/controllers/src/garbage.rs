//! Removes what is over.
//!
//! Marks instances that remove themselves once they have ended, with the anonymous volumes that
//! only they use; keeps what a server had used for as long as somebody may ask; and deletes all
//! records of an object whose deletion was asked for, when nobody has anything to clean up any more.
//! Where something is on a node its agent cleans up first.

use std::time::Duration;

use jiff::SignedDuration;
use model::instance::{Instance, InstanceStatus, Phase, Placement, Retry};
use model::meta::{Meta, NODE_FINALIZER, Owner, PORTS_FINALIZER, VOLUMES_FINALIZER};
use model::network::Network;
use model::port::{Allotment, Port, owner};
use model::restart::will_run_again;
use model::router::FloatingAddress;
use model::server::Server;
use model::snapshot::Snapshot;
use model::usage::Usage;
use model::volume::Volume;
use model::{Id, Kind};
use store::runner::{Next, Reconciler};
use store::{Change, CommitError, Part, Store, Transaction, Versioned};

/// Before another look at what somebody else changed meanwhile.
const SOON: Duration = Duration::from_millis(100);

/// Removes what is over.
pub struct Controller {
    store: Store,
}

impl Controller {
    /// For the objects of a store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    async fn instance(&self, id: Id, found: Versioned<Instance>) -> Result<(), CommitError> {
        let instance = &found.value;
        if instance.meta.deleted_at.is_some() {
            let is_on_a_node = self
                .store
                .get::<Placement>(id)
                .is_some_and(|placement| placement.value.node.is_some());
            if is_awaited(&instance.meta, is_on_a_node) {
                return Ok(());
            }
            let mut batch = self.store.transaction();
            let attached = instance.spec.attached_volumes.iter();
            let going = attached.filter(|known| known.delete_with_instance);
            self.mark_volumes(&mut batch, id, going.map(|known| known.volume));
            batch
                .delete::<Instance>(id, Some(found.revision))
                .delete::<Placement>(id, None)
                .delete::<Retry>(id, None)
                .delete::<InstanceStatus>(id, None);
            return self.store.commit(batch).await.map(drop);
        }
        if !self.has_removed_itself(id, instance) {
            return Ok(());
        }
        let now = jiff::Timestamp::now();
        let mut batch = self.store.transaction();
        for volume in self.own_volumes(id, instance) {
            let mut marked = Volume::clone(&volume.value);
            marked.meta.deleted_at = Some(now);
            batch.update(marked.meta.id, volume.revision, marked);
        }
        let mut marked = Instance::clone(instance);
        marked.meta.deleted_at = Some(now);
        batch.update(id, found.revision, marked);
        self.store.commit(batch).await.map(drop)
    }

    /// Whether an instance that is removed when it ends has ended, or could not be started.
    fn has_removed_itself(&self, id: Id, instance: &Instance) -> bool {
        if !instance.spec.auto_remove || instance.spec.run.again {
            return false;
        }
        let epoch = instance.spec.run.epoch;
        let has_no_node = self.store.get::<Placement>(id).is_some_and(|placement| {
            placement.value.node.is_none() && placement.value.epoch == epoch && epoch > 0
        });
        if has_no_node {
            return true;
        }
        let Some(status) = self.store.get::<InstanceStatus>(id) else {
            return false;
        };
        let retry = self.store.get::<Retry>(id);
        let is_up = matches!(status.value.phase, Phase::Running | Phase::Paused);
        status.value.run.epoch > 0
            && status.value.run.epoch == epoch
            && !is_up
            && !will_run_again(
                instance,
                &status.value,
                retry.as_ref().map(|retry| &*retry.value),
            )
    }

    /// Removes the server whose instance is gone, unless it is to have another, and frees the ports
    /// that the instance was plugged into; those that were made for it go with it.
    async fn gone(&self, id: Id) -> Result<(), CommitError> {
        let server = self.store.get::<Server>(id);
        if server
            .as_ref()
            .is_some_and(|found| found.value.outlives_instance())
        {
            return Ok(());
        }
        self.free_ports(id).await?;
        if let Some(found) = server {
            let mut batch = self.store.transaction();
            // One that never ran may have volumes that were made for it and not attached yet.
            let wanted = found.value.spec.volumes.iter();
            let going = wanted.filter(|wanted| wanted.made.is_some() && wanted.delete_with_server);
            if found.value.launched_at.is_none() {
                self.mark_volumes(&mut batch, id, going.map(|wanted| wanted.volume));
            }
            batch.delete::<Server>(id, Some(found.revision));
            if let Some(usage) = usage(&found.value) {
                batch.put(id, usage);
            }
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    /// Removes what is over of one object.
    async fn clear(&self, id: Id) -> Result<Next, CommitError> {
        if let Some(found) = self.store.get::<Instance>(id) {
            self.instance(id, found).await?;
        } else if let Some(found) = self.store.get::<Network>(id) {
            self.network(id, found).await?;
        } else if let Some(found) = self.store.get::<Volume>(id)
            && found.value.meta.deleted_at.is_some()
            && !is_awaited(&found.value.meta, true)
        {
            let mut batch = self.store.transaction();
            batch.delete::<Volume>(id, Some(found.revision));
            self.store.commit(batch).await?;
        } else {
            self.gone(id).await?;
            if let Some(usage) = self.store.get::<Usage>(id) {
                return self.forget_usage(id, &usage.value).await;
            }
        }
        Ok(Next::Change)
    }

    /// Forgets what a server had used once nobody asks any more.
    async fn forget_usage(&self, id: Id, usage: &Usage) -> Result<Next, CommitError> {
        let kept = SignedDuration::from_hours(Usage::KEPT_HOURS);
        let left = kept - jiff::Timestamp::now().duration_since(usage.ended_at);
        if let Ok(left) = left.try_into()
            && left > Duration::ZERO
        {
            return Ok(Next::After(left));
        }
        let mut batch = self.store.transaction();
        batch.delete::<Usage>(id, None);
        self.store.commit(batch).await.map(|_| Next::Change)
    }

    /// Marks volumes that go with an instance for removal: those that no other uses and that have no
    /// snapshots, as whoever removed them by hand would have to find them.
    fn mark_volumes(&self, batch: &mut Transaction, id: Id, going: impl Iterator<Item = Id>) {
        let now = jiff::Timestamp::now();
        for volume in going {
            let Some(found) = self.store.get::<Volume>(volume) else {
                continue;
            };
            let meta = &found.value.meta;
            let snapshots = self.store.list::<Snapshot>();
            let has_snapshots = snapshots
                .iter()
                .any(|(_, snapshot)| snapshot.value.spec.volume == volume);
            if meta.deleted_at.is_some() || has_snapshots || self.is_used_by_others(id, meta) {
                continue;
            }
            let mut marked = Volume::clone(&found.value);
            marked.meta.deleted_at = Some(now);
            batch.update(volume, found.revision, marked);
        }
    }

    /// Whether an instance other than this one mounts a volume.
    fn is_used_by_others(&self, id: Id, volume: &Meta) -> bool {
        let others = self.store.list::<Instance>();
        others.iter().any(|(other, found)| {
            *other != id
                && found.value.meta.project == volume.project
                && found.value.spec.volumes().any(|name| *name == volume.name)
        })
    }

    async fn free_ports(&self, id: Id) -> Result<(), CommitError> {
        let device = id.to_string();
        for (port, found) in self.store.list::<Port>() {
            if found.value.spec.device_id != device {
                continue;
            }
            let mut batch = self.store.transaction();
            if found.value.meta.owners.iter().any(|owner| owner.id == id) {
                batch
                    .delete::<Port>(port, Some(found.revision))
                    .delete::<Allotment>(port, None);
                for (floating, leading) in self.store.list::<FloatingAddress>() {
                    let target = leading.value.spec.target;
                    if target.is_some_and(|target| target.port == port) {
                        let mut loose = FloatingAddress::clone(&leading.value);
                        loose.spec.target = None;
                        loose.meta.generation += 1;
                        batch.update(floating, leading.revision, loose);
                    }
                }
            } else {
                let mut free = Port::clone(&found.value);
                free.spec.device_id.clear();
                free.spec.device_owner.clear();
                free.meta.generation += 1;
                batch.update(port, found.revision, free);
            }
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    async fn network(&self, id: Id, found: Versioned<Network>) -> Result<(), CommitError> {
        let network = &*found.value;
        if network.meta.deleted_at.is_none() {
            return Ok(());
        }
        let mut batch = self.store.transaction();
        if network
            .meta
            .finalizers
            .iter()
            .any(|has| has == PORTS_FINALIZER)
        {
            let ports = self.store.list::<Port>();
            if ports.iter().any(|(_, port)| port.value.spec.network == id) {
                return Ok(());
            }
            // No port can come any more.
            let mut rest = network.clone();
            rest.meta.finalizers.retain(|has| has != PORTS_FINALIZER);
            batch.update(id, found.revision, rest);
        } else if !is_awaited(&network.meta, true) {
            batch.delete::<Network>(id, Some(found.revision));
        }
        self.store.commit(batch).await.map(drop)
    }

    /// The anonymous volumes that were made for an instance and that no other uses.
    fn own_volumes(&self, id: Id, instance: &Instance) -> Vec<Versioned<Volume>> {
        instance
            .spec
            .volumes()
            .filter_map(|name| self.store.by_name::<Volume>(instance.meta.project, name))
            .filter(|volume| {
                let meta = &volume.value.meta;
                let is_own = |owner: &Owner| owner.kind == Kind::Instance && owner.id == id;
                volume.value.spec.anonymous
                    && meta.deleted_at.is_none()
                    && meta.owners.iter().any(is_own)
                    && !self.is_used_by_others(id, meta)
            })
            .collect()
    }
}

impl Reconciler for Controller {
    type Error = CommitError;
    const NAME: &'static str = "garbage";
    const CONCURRENCY: usize = 4;

    fn all(&self) -> Vec<Id> {
        let instances = self.store.list::<Instance>().into_iter().map(|(id, _)| id);
        let networks = self.store.list::<Network>().into_iter().map(|(id, _)| id);
        let volumes = self.store.list::<Volume>().into_iter().map(|(id, _)| id);
        let servers = self.store.list::<Server>().into_iter().map(|(id, _)| id);
        let ports = self.store.list::<Port>();
        let devices = ports.iter().filter_map(|(_, port)| {
            let spec = &port.value.spec;
            let is_instances = spec.device_owner.starts_with(owner::COMPUTE);
            spec.device_id.parse::<Id>().ok().filter(|_| is_instances)
        });
        let usages = self.store.list::<Usage>().into_iter().map(|(id, _)| id);
        let mut ids: Vec<Id> = instances
            .chain(usages)
            .chain(networks)
            .chain(volumes)
            .chain(servers)
            .collect();
        ids.extend(devices);
        ids
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        let concerns = match change.kind {
            // Also one that is gone, whose ports are free now.
            Kind::Instance if change.deleted => change.part == Part::Desired,
            Kind::Instance => change.part != Part::Retry,
            Kind::Network | Kind::Volume | Kind::Server => !change.deleted,
            _ => false,
        };
        if concerns {
            vec![change.id]
        } else {
            Vec::new()
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, CommitError> {
        match self.clear(id).await {
            // Others change what is over, too: whoever was first, there is less to do now.
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => {
                Ok(Next::After(SOON))
            }
            answer => answer,
        }
    }
}

/// What is kept of a server that is gone; nothing of one that never ran, and of one that a protocol
/// without flavors made.
fn usage(server: &Server) -> Option<Usage> {
    let meta = &server.meta;
    let ended_at = meta.deleted_at.unwrap_or_else(jiff::Timestamp::now);
    let mut deeds = server.deeds.clone();
    for deed in &mut deeds {
        deed.ended_at.get_or_insert(ended_at);
    }
    Some(Usage {
        project: meta.project,
        name: meta.name.clone(),
        flavor: server.spec.flavor.clone(),
        launched_at: server.launched_at?,
        ended_at,
        deeds,
    })
}

/// Whether somebody else has still to clean up. A node does so only for what is on it.
fn is_awaited(meta: &Meta, is_on_a_node: bool) -> bool {
    let mut others = meta
        .finalizers
        .iter()
        .filter(|has| *has != VOLUMES_FINALIZER);
    others.any(|finalizer| is_on_a_node || finalizer != NODE_FINALIZER)
}
