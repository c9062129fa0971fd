//! Networks: makes, changes, lists and removes them. Their address ranges are in [`range`], those
//! that every installation has in [`predefined`], who is on them in [`attachment`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::event::Action;
use model::meta::PORTS_FINALIZER;
use model::network::{Driver, Network, NetworkSpec, NetworkStatus, Routing};
use model::port::{Port, owner};
use model::router::FloatingAddress;
use model::{Id, Meta, ProjectId};
use store::{Transaction, Versioned};

use crate::error::invalid;
use crate::instance::View;
use crate::observer::network_event;
use crate::policy::{self, Target};
use crate::refusal::Refusal;
use crate::{
    ActionError, Caller, Cloud, ErrorKind, durable, instance, is_seen, is_visible, port, quota,
};

mod attachment;
mod pools;
mod predefined;
mod range;

pub use attachment::{connect, disconnect, plug, unplug_port};
pub(crate) use attachment::{unplug, validate_attachment};
pub use pools::{AddressPool, AddressPoolError, AddressPools};
pub(crate) use predefined::default;
pub use predefined::{DEFAULT_NAME, EXTERNAL_NAME, PredefinedRanges, ensure_predefined};
pub use range::NewSubnet;
pub(crate) use range::check_free;

use range::{checked, free_range, of_range, overlapping};

/// How long a node may take to make, join, leave or remove a network.
const NODE_ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// What to make.
#[derive(Clone, Debug)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it is; its subnets come from the field below.
    pub spec: NetworkSpec,
    /// It has IPv4 addresses.
    pub ipv4: bool,
    /// It has IPv6 addresses.
    pub ipv6: bool,
    /// Its ranges; a family that is wanted and has none gets a free one.
    pub subnets: Vec<NewSubnet>,
}

/// Makes a network, and waits until its node has made it.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when the name is taken, [`ErrorKind::Forbidden`] when a range
/// overlaps another network's, [`ErrorKind::Invalid`] when an address lies outside its range, and
/// what the node says; nothing is kept then.
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewNetwork) -> Result<Id, ActionError> {
    caller.may(
        policy::Action::CreateNetwork,
        &Target::project(caller.project()),
    )?;
    if new.spec.shared || new.spec.external {
        caller.may(policy::Action::ShareNetwork, &Target::SYSTEM)?;
    }
    let network = planned(cloud, caller, new)?;
    let id = network.meta.id;
    let waiter = cloud.observer.waiter(id);
    let wanted = quota::of_network(&network);
    let committed = quota::commit(cloud, network.meta.project, &wanted, |transaction| {
        transaction.insert(id, network.clone());
    });
    let committed = committed.await?;
    let made = waiter.until(|| {
        let status = cloud.store.get::<NetworkStatus>(id)?;
        Some(status.value.error.clone().map_or(Ok(()), Err))
    });
    let (made, flushed) = tokio::join!(
        instance::within(NODE_ANSWERS_WITHIN, made),
        durable(committed.durable)
    );
    if let Err(error) = made.and_then(|made| made.map_err(ActionError::from)) {
        delete(cloud, id).await?;
        return Err(error);
    }
    flushed?;
    cloud
        .observer
        .tell(network_event(&network, Action::Created));
    Ok(id)
}

/// The network to make, with its ranges chosen.
fn planned(cloud: &Cloud, caller: &Caller, new: NewNetwork) -> Result<Network, ActionError> {
    let mut spec = new.spec;
    spec.subnets = Vec::new();
    for subnet in new.subnets {
        let chosen = checked(subnet, cloud.now())?;
        if spec.routing == Routing::Node
            && let Some(other) = overlapping(cloud, &chosen.cidr, &spec.subnets)
        {
            return Err(ActionError::new(
                ErrorKind::Forbidden,
                format!(
                    "invalid pool request: Pool overlaps with other one on this address space: {} overlaps {other}",
                    chosen.cidr
                ),
            ));
        }
        spec.subnets.push(chosen);
    }
    if spec.driver == Driver::Bridge {
        for (is_wanted, is_v4) in [(new.ipv4, true), (new.ipv6, false)] {
            if is_wanted
                && !spec
                    .subnets
                    .iter()
                    .any(|subnet| subnet.cidr.address().is_ipv4() == is_v4)
            {
                let cidr = free_range(cloud, is_v4, &spec.subnets)?;
                spec.subnets.push(checked(of_range(cidr), cloud.now())?);
            }
        }
        spec.subnets
            .sort_by_key(|subnet| subnet.cidr.address().is_ipv6());
    }
    let mut meta = Meta::new(new.name, caller.project(), cloud.now());
    meta.labels = new.labels;
    meta.finalizers.push(model::meta::NODE_FINALIZER.to_owned());
    Ok(Network { meta, spec })
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a network")]
pub struct NetworkChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub tags: Option<BTreeSet<String>>,
    pub admin_up: Option<bool>,
    pub shared: Option<bool>,
    pub external: Option<bool>,
    pub port_security: Option<bool>,
    pub mtu: Option<u32>,
}

/// Changes a network.
///
/// # Errors
/// [`ErrorKind::Conflict`] for a network that is to be external no more, or shared no more, and is
/// used as such; [`ErrorKind::Forbidden`] for the name of a predefined one.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: NetworkChange,
) -> Result<Arc<Network>, ActionError> {
    caller.may(
        policy::Action::UpdateNetwork,
        &Target::project(caller.project()),
    )?;
    if change.shared.is_some() || change.external.is_some() {
        caller.may(policy::Action::ShareNetwork, &Target::SYSTEM)?;
    }
    change_record(cloud, caller, id, |network, _| {
        if let Some(name) = &change.name {
            if network.spec.predefined && *name != network.meta.name {
                return Err(ActionError::new(
                    ErrorKind::Forbidden,
                    format!(
                        "{} is a pre-defined network and cannot be renamed",
                        network.meta.name
                    ),
                ));
            }
            network.meta.name.clone_from(name);
        }
        if change.external == Some(false) && network.spec.external {
            let is_used = port::on_network(cloud, id).iter().any(|port| {
                [owner::ROUTER_GATEWAY, owner::FLOATING].contains(&port.spec.device_owner.as_str())
            });
            if is_used || network.spec.predefined {
                return Err(Refusal::ExternalInUse { network: id }.into());
            }
        }
        if change.external == Some(true) && network.spec.routing == Routing::Routers {
            // Others may have the addresses, which the node then would route to two networks.
            if !network.spec.subnets.is_empty() {
                return Err(invalid(format!(
                    "network {id} cannot become external while it has subnets: remove them first"
                )));
            }
            network.spec.routing = Routing::Node;
        }
        if change.shared == Some(false) && network.spec.shared {
            let is_used = port::on_network(cloud, id).iter().any(|port| {
                port.meta.project != network.meta.project && port.meta.project != ProjectId::SYSTEM
            });
            if is_used {
                return Err(Refusal::SharedInUse { network: id }.into());
            }
        }
        let spec = &mut network.spec;
        spec.external = change.external.unwrap_or(spec.external);
        spec.shared = change.shared.unwrap_or(spec.shared);
        spec.admin_up = change.admin_up.unwrap_or(spec.admin_up);
        spec.port_security = change.port_security.unwrap_or(spec.port_security);
        spec.mtu = change.mtu.or(spec.mtu);
        if let Some(description) = &change.description {
            spec.description.clone_from(description);
        }
        if let Some(tags) = &change.tags {
            spec.tags.clone_from(tags);
        }
        Ok(())
    })
    .await
}

/// Changes the record of a network of the caller's, again where somebody else changed it meanwhile.
pub(crate) async fn change_record(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&mut Network, &mut Transaction) -> Result<(), ActionError>,
) -> Result<Arc<Network>, ActionError> {
    loop {
        let found = record(cloud, id)?;
        if !is_seen(caller, found.value.meta.project) || found.value.meta.deleted_at.is_some() {
            return Err(Refusal::NetworkNotFound(id).into());
        }
        let mut network = Network::clone(&found.value);
        let mut transaction = cloud.store.transaction();
        change(&mut network, &mut transaction)?;
        network.meta.generation += 1;
        network.meta.updated_at = Some(cloud.now());
        transaction.update(id, found.revision, network.clone());
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(Arc::new(network));
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) if quota::is_contended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The record of a network that is not about to go.
pub(crate) fn record(cloud: &Cloud, id: Id) -> Result<Versioned<Network>, ActionError> {
    cloud
        .store
        .get::<Network>(id)
        .filter(|found| found.value.meta.deleted_at.is_none())
        .ok_or_else(|| Refusal::NetworkNotFound(id).into())
}

/// The networks of the caller's project.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<Arc<Network>> {
    let mut networks: Vec<_> = cloud
        .store
        .list::<Network>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|network| {
            let owner = network.meta.project;
            is_visible(caller, owner) && caller.reads(policy::Action::GetNetwork, owner)
        })
        .collect();
    networks.sort_by_key(|network| network.meta.created_at);
    networks
}

/// The bridged networks that a caller may use: the project's own, shared ones and external ones.
#[must_use]
pub fn list_all(cloud: &Cloud, caller: &Caller) -> Vec<Arc<Network>> {
    let mut networks: Vec<_> = cloud
        .store
        .list::<Network>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|network| network.spec.driver == Driver::Bridge && may_use(caller, network))
        .collect();
    networks.sort_by_key(|network| network.meta.created_at);
    networks
}

fn may_use(caller: &Caller, network: &Network) -> bool {
    is_seen(caller, network.meta.project) || network.spec.shared || network.spec.external
}

/// One network that the caller may use.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Network>, ActionError> {
    cloud
        .store
        .get::<Network>(id)
        .map(|found| found.value)
        .filter(|network| may_use(caller, network))
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("network {} not found", id.simple()),
            )
        })
}

/// The network of this name: the one that has it for itself, or the oldest.
#[must_use]
pub fn by_name(cloud: &Cloud, caller: &Caller, name: &str) -> Option<Arc<Network>> {
    let known = cloud.store.by_name::<Network>(caller.project(), name);
    known.map(|found| found.value).or_else(|| {
        list(cloud, caller)
            .into_iter()
            .find(|network| network.meta.name == name)
    })
}

/// The networks whose identity, written without dashes, begins so.
#[must_use]
pub fn by_id_prefix(cloud: &Cloud, caller: &Caller, prefix: &str) -> Vec<Arc<Network>> {
    let mut networks = list(cloud, caller);
    networks.retain(|network| network.meta.id.simple().starts_with(prefix));
    networks
}

/// The instances that the caller sees attached to a network.
#[must_use]
pub fn members(cloud: &Cloud, caller: &Caller, id: Id) -> Vec<View> {
    let mut views = attached(cloud, id);
    views.retain(|view| {
        let owner = view.instance.meta.project;
        caller.reads(policy::Action::GetInstance, owner)
    });
    views
}

/// The instances that are attached to a network, whoever's they are.
pub(crate) fn attached(cloud: &Cloud, id: Id) -> Vec<View> {
    let mut views = instance::owned_by(cloud, |_| true);
    views.retain(|view| {
        view.instance
            .spec
            .attachments
            .iter()
            .any(|attachment| attachment.network == id)
    });
    views
}

/// Removes a network that no running instance is on.
///
/// # Errors
/// [`ErrorKind::Forbidden`] for a predefined one, or one in use.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeleteNetwork,
        &Target::project(caller.project()),
    )?;
    let network = get(cloud, caller, id)?;
    if !is_seen(caller, network.meta.project) {
        return Err(ActionError::new(
            ErrorKind::Forbidden,
            format!("network {id} is another project's"),
        ));
    }
    let name = &network.meta.name;
    if network.spec.predefined {
        return Err(ActionError::new(
            ErrorKind::Forbidden,
            format!("{name} is a pre-defined network and cannot be removed"),
        ));
    }
    let active: Vec<String> = attached(cloud, id)
        .into_iter()
        .filter(View::is_up)
        .map(|view| {
            format!(
                "name:\"{}\" id:\"{}\"",
                view.instance.meta.name,
                &view.instance.meta.id.simple()[..12]
            )
        })
        .collect();
    if !active.is_empty() {
        return Err(ActionError::new(
            ErrorKind::Forbidden,
            format!(
                "error while removing network: network {name} has active endpoints ({})",
                active.join(", ")
            ),
        ));
    }
    release_floating(cloud, id).await?;
    delete(cloud, id).await
}

/// Takes the floating addresses that lead nowhere from an external network that is about to go, as
/// long as nothing else is on it.
async fn release_floating(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    let on_it = |found: &Versioned<FloatingAddress>| {
        found.value.spec.network == id && found.value.spec.target.is_none()
    };
    loop {
        let mut loose = cloud.store.list::<FloatingAddress>();
        loose.retain(|(_, found)| on_it(found));
        let held: Vec<Id> = loose.iter().map(|(_, one)| one.value.spec.port).collect();
        let mut others = port::on_network(cloud, id);
        others.retain(|port| !held.contains(&port.meta.id));
        refuse_for(id, &others)?;
        if loose.is_empty() {
            return Ok(());
        }
        let mut transaction = cloud.store.transaction();
        for (floating, found) in loose {
            transaction.delete::<FloatingAddress>(floating, Some(found.revision));
            port::remove_in(cloud, &mut transaction, found.value.spec.port);
        }
        match cloud.commit_durably(transaction).await {
            // One was led somewhere, or taken away, meanwhile.
            Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
            done => return done,
        }
    }
}

/// Has a network removed by its node, and waits until it is gone; a missing one is no error.
async fn delete(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    let waiter = cloud.observer.waiter(id);
    let now = cloud.now();
    let Some(found) = cloud.store.get::<Network>(id) else {
        return Ok(());
    };
    let mut marked = Network::clone(&found.value);
    marked.meta.deleted_at.get_or_insert(now);
    // While this stands in the way no node takes it apart.
    marked.meta.finalizers.push(PORTS_FINALIZER.to_owned());
    let mut transaction = cloud.store.transaction();
    transaction.update(id, found.revision, marked);
    let committed = cloud.commit(transaction).await?;
    // Nobody can make a port on it any more; whoever did before is seen now.
    if let Err(error) = refuse_with_ports(cloud, id) {
        unmark(cloud, id).await?;
        return Err(error);
    }
    let gone = waiter.until(|| cloud.store.get::<Network>(id).is_none().then_some(()));
    let (gone, flushed) = tokio::join!(
        instance::within(NODE_ANSWERS_WITHIN, gone),
        durable(committed.durable)
    );
    gone.and(flushed)
}

/// Takes back the deletion of a network.
async fn unmark(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    loop {
        let Some(found) = cloud.store.get::<Network>(id) else {
            return Ok(());
        };
        let mut network = Network::clone(&found.value);
        network.meta.deleted_at = None;
        network.meta.finalizers.retain(|has| has != PORTS_FINALIZER);
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, network);
        match cloud.store.commit(transaction).await {
            Ok(_) => return Ok(()),
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Refuses what cannot be done to a network with ports.
fn refuse_with_ports(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    refuse_for(id, &port::on_network(cloud, id))
}

fn refuse_for(id: Id, ports: &[Arc<Port>]) -> Result<(), ActionError> {
    if ports.is_empty() {
        return Ok(());
    }
    Err(Refusal::NetworkInUse {
        network: id,
        ports: ports.iter().map(|port| port.meta.id).collect(),
    }
    .into())
}
