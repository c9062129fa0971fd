//! Chooses where instances run, and with which addresses.
//!
//! Reads the specs, statuses and retries of instances, the ports, the networks and the nodes;
//! writes the [`Placement`]s and the [`Allotment`]s of ports, and nobody else does. An instance gets its node when it is made, because what
//! it writes lies there, and keeps it; it has addresses from a start until it is over. One object
//! at a time, so that no address is given twice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::aggregate::{self, Aggregate};
use model::instance::{
    Attachment, Endpoint, Failure, FailureKind, Instance, InstanceStatus, NetworkMode, Phase,
    Placement, Retry,
};
use model::network::{Driver, Network};
use model::node::{Node, NodeStatus};
use model::port::{Allotment, AllotmentRefusal, Port};
use model::restart::will_run_again;
use model::{Id, Kind};
use scheduler::snapshot::Resources;
use scheduler::{Candidate, Neighbours, Request, Snapshot, Strategy};
use store::runner::{Next, Reconciler};
use store::{Change, CommitError, Part, Store};

use crate::address::{AddressError, Addresses, Held, held_by_instance};

/// Chooses nodes and addresses.
pub struct Controller {
    store: Store,
    strategy: Strategy,
    index: Mutex<Index>,
}

/// What all placements say together.
struct Index {
    addresses: Addresses,
    nodes: Snapshot,
}

impl Controller {
    /// For the instances of a store.
    #[must_use]
    pub fn new(store: Store, strategy: Strategy) -> Self {
        let mut index = Index {
            addresses: Addresses::default(),
            nodes: Snapshot::default(),
        };
        for (id, _) in store.list::<Node>() {
            index.look_at_node(&store, id);
        }
        // Everything that is taken, before anything is given.
        for (id, placement) in store.list::<Placement>() {
            if let Some(instance) = store.get::<Instance>(id) {
                let occupies = occupies(&store, id, &instance.value);
                index.look_at_placement(id, &instance.value, Some(&placement.value), occupies);
            }
        }
        for (id, allotment) in store.list::<Allotment>() {
            if let Some(port) = store.get::<Port>(id) {
                index.look_at_allotment(id, &port.value, Some(&allotment.value));
            }
        }
        Self {
            store,
            strategy,
            index: Mutex::new(index),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the placement of an instance should be; `None` where it is right as it is.
    fn decide(&self, id: Id, instance: &Instance) -> Option<Placement> {
        let before = self.store.get::<Placement>(id).map(|found| found.value);
        let before = before.as_deref();
        let occupies = occupies(&self.store, id, instance);
        let mut index = self.index();
        index.look_at_placement(id, instance, before, occupies);
        if instance.meta.deleted_at.is_some() {
            return None;
        }
        let run = &instance.spec.run;
        let is_new_start = run.started && before.is_none_or(|before| before.epoch < run.epoch);
        let epoch = if run.started {
            run.epoch
        } else {
            before.map_or(0, |before| before.epoch)
        };
        let mut placement = Placement {
            node: before.and_then(|before| before.node),
            reason: None,
            epoch,
            generation: instance.meta.generation,
            endpoints: Vec::new(),
        };

        let had_no_room = before
            .and_then(|before| before.reason.as_ref())
            .is_some_and(|reason| reason.kind == FailureKind::NoCapacity);
        if is_new_start || had_no_room || placement.node.is_none() {
            let mut request = Request::of(&instance.spec);
            match placement.node {
                Some(node) => request.node = Some(node),
                None => request.companions = self.companions(id, instance),
            }
            match scheduler::place(&index.nodes, &request, self.strategy) {
                Ok(node) => placement.node = Some(node),
                // What nobody wants to run yet can wait for a node.
                Err(_) if !run.started => return None,
                Err(unplaceable) => {
                    placement.reason =
                        Some(failure(FailureKind::NoCapacity, unplaceable.to_string()));
                    return Some(placement).filter(|placement| {
                        before.is_none_or(|before| !is_same(before, placement))
                    });
                }
            }
        }
        if occupies {
            let held = before
                .map(|before| before.endpoints.as_slice())
                .unwrap_or_default();
            match self.endpoints(&mut index.addresses, id, instance, held) {
                Ok(endpoints) => placement.endpoints = endpoints,
                Err(reason) => {
                    placement.reason = Some(reason);
                    // What runs keeps what it has.
                    placement.endpoints = if is_new_start {
                        Vec::new()
                    } else {
                        held.to_vec()
                    };
                }
            }
        } else if instance.spec.auto_remove
            && before.is_some_and(|before| !before.endpoints.is_empty())
        {
            // It is about to be deleted, addresses and all.
            return None;
        }
        if before.is_some_and(|before| is_same(before, &placement)) {
            return None;
        }
        index.look_at_placement(id, instance, Some(&placement), occupies);
        Some(placement)
    }

    /// Where the others of an instance's group are.
    fn companions(&self, id: Id, instance: &Instance) -> Option<Neighbours> {
        let rule = instance.spec.companions.clone()?;
        let mut per_node = BTreeMap::new();
        for (other, found) in self.store.list::<Instance>() {
            let companions = found.value.spec.companions.as_ref();
            if other == id || companions.is_none_or(|its| its.group != rule.group) {
                continue;
            }
            let placement = self.store.get::<Placement>(other);
            if let Some(node) = placement.and_then(|found| found.value.node) {
                *per_node.entry(node).or_default() += 1;
            }
        }
        Some(Neighbours { rule, per_node })
    }

    /// An endpoint for each attachment: the one it has, or a new one.
    fn endpoints(
        &self,
        addresses: &mut Addresses,
        id: Id,
        instance: &Instance,
        held: &[Endpoint],
    ) -> Result<Vec<Endpoint>, Failure> {
        if instance.spec.network != NetworkMode::Attached {
            return Ok(Vec::new());
        }
        let mut endpoints = Vec::with_capacity(instance.spec.attachments.len());
        for attachment in &instance.spec.attachments {
            let network = self
                .store
                .get::<Network>(attachment.network)
                .map(|found| found.value)
                .filter(|network| network.meta.deleted_at.is_none())
                .ok_or_else(|| {
                    failure(
                        FailureKind::NotFound,
                        format!("network {} not found", attachment.network.simple()),
                    )
                })?;
            if network.spec.driver != Driver::Bridge {
                continue;
            }
            if let Some(port) = attachment.port {
                endpoints.push(self.endpoint_of_port(port, &network)?);
                continue;
            }
            let known = held.iter().find(|endpoint| is_right(endpoint, attachment));
            endpoints.push(match known {
                Some(endpoint) => endpoint.clone(),
                None => addresses
                    .choose(id, &network, attachment)
                    .map_err(|error| {
                        let kind = match error {
                            AddressError::InUse { .. } | AddressError::Exhausted { .. } => {
                                FailureKind::Conflict
                            }
                            AddressError::Outside { .. } => FailureKind::Invalid,
                        };
                        failure(kind, error.to_string())
                    })?,
            });
        }
        Ok(endpoints)
    }
}

impl Reconciler for Controller {
    type Error = CommitError;
    const NAME: &'static str = "placement";
    const CONCURRENCY: usize = 1;

    fn all(&self) -> Vec<Id> {
        // Also those that are gone, so that their addresses are free again.
        let mut ids: Vec<Id> = self.index().addresses.holders().collect();
        ids.extend(nodes(&self.store));
        ids.extend(self.store.list::<Instance>().into_iter().map(|(id, _)| id));
        ids.extend(self.store.list::<Port>().into_iter().map(|(id, _)| id));
        ids
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        match (change.kind, change.part) {
            (Kind::Instance, Part::Placement) if !change.deleted => Vec::new(),
            (Kind::Port, _) => {
                // What plugs into it has its addresses.
                let port = self.store.get::<Port>(change.id).map(|found| found.value);
                let port = port.or_else(|| change.value::<Port>());
                let device = port.and_then(|port| port.spec.device_id.parse().ok());
                [change.id].into_iter().chain(device).collect()
            }
            (Kind::Instance | Kind::Node, _) => vec![change.id],
            // Any node may have come into another zone.
            (Kind::Aggregate, _) => nodes(&self.store),
            _ => Vec::new(),
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, CommitError> {
        if let Some(port) = self.store.get::<Port>(id) {
            return self.port(id, &port.value).await;
        }
        let Some(instance) = self.store.get::<Instance>(id) else {
            return self.node_or_nothing(id).await;
        };
        let Some(placement) = self.decide(id, &instance.value) else {
            return Ok(Next::Change);
        };
        let mut batch = self.store.transaction();
        batch.put(id, placement);
        match self.store.commit(batch).await {
            Ok(_) => Ok(Next::Change),
            Err(error) => {
                // The index says what is written, not what was meant to be.
                let before = self.store.get::<Placement>(id).map(|found| found.value);
                let occupies = occupies(&self.store, id, &instance.value);
                self.index()
                    .look_at_placement(id, &instance.value, before.as_deref(), occupies);
                Err(error)
            }
        }
    }
}

impl Controller {
    /// The endpoint of an instance that plugs into a port.
    fn endpoint_of_port(&self, id: Id, network: &Network) -> Result<Endpoint, Failure> {
        let port = self.store.get::<Port>(id).map(|found| found.value);
        let port = port.filter(|port| port.spec.network == network.meta.id);
        let allotment = self.store.get::<Allotment>(id).map(|found| found.value);
        let (Some(port), Some(allotment)) = (port, allotment) else {
            return Err(failure(
                FailureKind::NotFound,
                format!("port {id} not found on network {}", network.meta.name),
            ));
        };
        let mut endpoint = Endpoint {
            network: network.meta.id,
            id,
            port: true,
            ipv4: None,
            ipv6: None,
            more: Vec::new(),
            mac: port.spec.mac.clone(),
        };
        for fixed in &allotment.addresses {
            let prefix = network
                .spec
                .subnet(fixed.subnet)
                .map_or(if fixed.address.is_ipv4() { 32 } else { 128 }, |subnet| {
                    subnet.cidr.prefix()
                });
            match fixed.address {
                IpAddr::V4(address) if endpoint.ipv4.is_none() => {
                    endpoint.ipv4 = Some((address, prefix));
                }
                IpAddr::V6(address) if endpoint.ipv6.is_none() => {
                    endpoint.ipv6 = Some((address, prefix));
                }
                address => endpoint.more.push((address, prefix)),
            }
        }
        Ok(endpoint)
    }

    /// Gives a port its addresses, and looks again at the instance that plugs into it.
    async fn port(&self, id: Id, port: &Port) -> Result<Next, CommitError> {
        let before = self.store.get::<Allotment>(id).map(|found| found.value);
        let is_decided = before
            .as_ref()
            .is_some_and(|before| before.generation >= port.meta.generation);
        if !is_decided {
            let allotment = self.allot(id, port, before.as_deref());
            let mut batch = self.store.transaction();
            batch.put(id, allotment.clone());
            // The port may have gone meanwhile; then its next change releases what it has.
            if let Err(error) = self.store.commit(batch).await {
                self.index().look_at_allotment(id, port, before.as_deref());
                return Err(error);
            }
        }
        Ok(Next::Change)
    }

    /// What the allotment of a port should be; what it is given is taken.
    fn allot(&self, id: Id, port: &Port, before: Option<&Allotment>) -> Allotment {
        let had = before.map(|before| before.addresses.clone());
        let generation = port.meta.generation;
        let refused = |refusal| Allotment {
            generation,
            addresses: had.clone().unwrap_or_default(),
            refusal: Some(refusal),
        };
        let Some(network) = self.store.get::<Network>(port.spec.network) else {
            return refused(AllotmentRefusal::NoSubnet(port.spec.network));
        };
        let mut index = self.index();
        index.look_at_allotment(id, port, before);
        let mut chosen = index.addresses.allot(id, &network.value, &port.spec.wanted);
        if chosen.is_err() {
            // Those who have gone may not have been looked at yet.
            index.forget_gone(&self.store);
            chosen = index.addresses.allot(id, &network.value, &port.spec.wanted);
        }
        let allotment = match chosen {
            Ok(addresses) => Allotment {
                generation,
                addresses,
                refusal: None,
            },
            Err(refusal) => refused(refusal),
        };
        index.look_at_allotment(id, port, Some(&allotment));
        allotment
    }

    /// Looks at a node, and at the instances that wait for one; or at an instance that is gone.
    async fn node_or_nothing(&self, id: Id) -> Result<Next, CommitError> {
        if self.store.get::<Node>(id).is_none() {
            let mut index = self.index();
            index.nodes.remove_node(id);
            index.nodes.release(id);
            index.addresses.release(id);
            return Ok(Next::Change);
        }
        self.index().look_at_node(&self.store, id);
        for (waiting, instance) in self.store.list::<Instance>() {
            let placement = self.store.get::<Placement>(waiting);
            if placement
                .is_some_and(|found| found.value.node.is_some() && found.value.reason.is_none())
            {
                continue;
            }
            if let Some(placement) = self.decide(waiting, &instance.value) {
                let mut batch = self.store.transaction();
                batch.put(waiting, placement);
                self.store.commit(batch).await?;
            }
        }
        Ok(Next::Change)
    }
}

impl Index {
    fn look_at_node(&mut self, store: &Store, id: Id) {
        let Some(node) = store.get::<Node>(id) else {
            return self.nodes.remove_node(id);
        };
        let (spec, orders) = (&node.value.spec, &node.value.orders);
        let answers = store
            .get::<NodeStatus>(id)
            .is_some_and(|status| status.value.ready);
        let aggregates = store.list::<Aggregate>();
        let aggregates = aggregates.iter().map(|(_, found)| &*found.value);
        self.nodes.set_node(Candidate {
            id,
            ready: answers && !orders.forced_down,
            cordoned: orders.cordoned,
            zone: aggregate::zone_of(id, aggregates).to_owned(),
            capacity: Resources {
                cpu_milli: spec.cpu_milli,
                memory_bytes: spec.memory_bytes,
                instances: spec.pid_max,
            },
            reserved: Resources::default(),
            expected: Resources::default(),
        });
    }

    /// Releases the addresses of ports and instances that are gone.
    fn forget_gone(&mut self, store: &Store) {
        let gone: Vec<Id> = self
            .addresses
            .holders()
            .filter(|id| store.get::<Port>(*id).is_none() && store.get::<Instance>(*id).is_none())
            .collect();
        for id in gone {
            self.addresses.release(id);
        }
    }

    fn look_at_allotment(&mut self, id: Id, port: &Port, allotment: Option<&Allotment>) {
        let addresses = allotment
            .map(|allotment| allotment.addresses.as_slice())
            .unwrap_or_default();
        let held = addresses.iter().map(|fixed| Held {
            network: port.spec.network,
            address: fixed.address,
        });
        self.addresses.hold(id, held.collect());
    }

    fn look_at_placement(
        &mut self,
        id: Id,
        instance: &Instance,
        placement: Option<&Placement>,
        occupies: bool,
    ) {
        self.addresses.hold(
            id,
            held_by_instance(
                placement
                    .map(|placement| placement.endpoints.as_slice())
                    .unwrap_or_default(),
            ),
        );
        let request = Request::of(&instance.spec);
        match placement.and_then(|placement| placement.node) {
            Some(node) if occupies => self.nodes.assign(id, node, &request),
            _ => self.nodes.release(id),
        }
    }
}

fn nodes(store: &Store) -> Vec<Id> {
    store.list::<Node>().into_iter().map(|(id, _)| id).collect()
}

/// Whether an instance needs room and addresses: it is to run, runs, or will run again by itself.
fn occupies(store: &Store, id: Id, instance: &Instance) -> bool {
    let run = &instance.spec.run;
    let Some(status) = store.get::<InstanceStatus>(id).map(|found| found.value) else {
        return run.started;
    };
    let is_up = matches!(status.phase, Phase::Running | Phase::Paused);
    if is_up || run.started && status.run.epoch < run.epoch {
        return true;
    }
    let retry = store.get::<Retry>(id).map(|found| found.value);
    will_run_again(instance, &status, retry.as_deref())
}

/// Whether a placement says what it said before. A refusal speaks of one generation of the spec;
/// what is granted holds for the next ones too.
fn is_same(before: &Placement, after: &Placement) -> bool {
    let generation = if after.reason.is_some() {
        after.generation
    } else {
        before.generation
    };
    *before
        == Placement {
            generation,
            ..after.clone()
        }
}

/// Whether an endpoint is what an attachment asks for.
fn is_right(endpoint: &Endpoint, attachment: &Attachment) -> bool {
    endpoint.network == attachment.network
        && !endpoint.port
        && attachment
            .ipv4
            .is_none_or(|fixed| endpoint.ipv4.is_some_and(|(address, _)| address == fixed))
        && attachment
            .ipv6
            .is_none_or(|fixed| endpoint.ipv6.is_some_and(|(address, _)| address == fixed))
        && attachment
            .mac
            .as_ref()
            .is_none_or(|fixed| endpoint.mac == *fixed)
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message }
}
