//! Networks: what there is of them, their address ranges, and who is on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use model::event::Action;
use model::instance::{Attachment, Endpoint, Instance, NetworkMode};
use model::meta::PORTS_FINALIZER;
use model::network::{Cidr, Driver, Network, NetworkSpec, NetworkStatus, Routing};
use model::node::Node;
use model::port::owner;
use model::quota::Resource;
use model::subnet::{AddressRange, Subnet};
use model::{Id, Meta, ProjectId};
use store::{Transaction, Versioned};

use crate::instance::View;
use crate::observer::network_event;
use crate::policy::{self, Target};
use crate::refusal::Refusal;
use crate::{
    ActionError, Caller, Cloud, ErrorKind, durable, instance, is_seen, is_visible, port, quota,
};

/// Name of the network that instances are on when they name none.
pub const DEFAULT_NAME: &str = "bridge";
/// Name of the external network.
pub const EXTERNAL_NAME: &str = "public";
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

/// A range that a user chose.
#[derive(Clone, Debug)]
pub struct NewSubnet {
    /// The range.
    pub cidr: Cidr,
    /// The bridge's address; `None` is the first of the range.
    pub gateway: Option<IpAddr>,
    /// Where addresses are taken from; `None` is the whole range.
    pub pool: Option<Cidr>,
    /// Addresses that are never given out, by name.
    pub reserved: BTreeMap<String, IpAddr>,
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
    let wanted = [
        (Resource::Networks, 1),
        (Resource::Subnets, network.spec.subnets.len() as u64),
    ];
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
            return Err(invalid(format!(
                "network {id} cannot become external: make it so when it is made"
            )));
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

/// Refuses a range that another network of the node has.
pub(crate) fn check_free(cloud: &Cloud, network: &Network, cidr: &Cidr) -> Result<(), ActionError> {
    let others = cloud.store.list::<Network>();
    let others = others
        .iter()
        .filter(|(id, found)| *id != network.meta.id && found.value.spec.routing == Routing::Node)
        .flat_map(|(_, found)| &found.value.spec.subnets);
    let mut others = others.map(|subnet| subnet.cidr);
    others
        .find(|other| other.overlaps(cidr))
        .map_or(Ok(()), |other| {
            Err(Refusal::SubnetsOverlap {
                network: network.meta.id,
                cidr: *cidr,
                other,
            }
            .into())
        })
}

/// Ranges that a user chose for the networks that every installation has; `None` takes a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct PredefinedRanges {
    /// Of the default network.
    pub default: Option<Cidr>,
    /// Of the external network.
    pub external: Option<Cidr>,
}

/// Makes the networks that every installation has, unless they exist. What the node makes of them
/// is not waited for: an installation without its default network can still be looked at.
///
/// # Errors
/// When the store fails or no range is free.
pub async fn ensure_predefined(cloud: &Cloud, ranges: PredefinedRanges) -> Result<(), ActionError> {
    let caller = Caller::operator(String::new());
    for (name, driver) in [
        (DEFAULT_NAME, Driver::Bridge),
        ("host", Driver::Host),
        ("none", Driver::None),
    ] {
        if by_name(cloud, &caller, name).is_some() {
            continue;
        }
        let subnets = ranges
            .default
            .filter(|_| driver == Driver::Bridge)
            .map(of_range);
        let spec = NetworkSpec {
            driver,
            dns: false,
            predefined: true,
            ..NetworkSpec::default()
        };
        let new = NewNetwork {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            spec,
            ipv4: true,
            ipv6: false,
            subnets: subnets.into_iter().collect(),
        };
        let network = planned(cloud, &caller, new)?;
        let mut transaction = cloud.store.transaction();
        transaction.insert(network.meta.id, network);
        cloud.commit_durably(transaction).await?;
    }
    if by_name(cloud, &caller, EXTERNAL_NAME).is_none() {
        let range = match ranges.external {
            Some(range) => range,
            None => free_external_range(cloud)?,
        };
        let spec = NetworkSpec {
            external: true,
            shared: true,
            port_security: true,
            predefined: true,
            ..NetworkSpec::default()
        };
        let new = NewNetwork {
            name: EXTERNAL_NAME.to_owned(),
            labels: BTreeMap::new(),
            spec,
            ipv4: true,
            ipv6: false,
            subnets: vec![of_range(range)],
        };
        let network = planned(cloud, &caller, new)?;
        let mut transaction = cloud.store.transaction();
        transaction.insert(network.meta.id, network);
        cloud.commit_durably(transaction).await?;
    }
    Ok(())
}

/// A range for the external network: the first that is free of 172.24.4.0/24, as in devstack, and
/// those after it, so that daemons side by side have one each.
fn free_external_range(cloud: &Cloud) -> Result<Cidr, ActionError> {
    let mut candidates =
        (4..=255).filter_map(|third| Cidr::new(IpAddr::from([172, 24, third, 0]), 24));
    candidates
        .find(|cidr| is_free(cloud, cidr, &[]))
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::Conflict,
                "no range of 172.24.0.0/16 is free for the external network; name one",
            )
        })
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
    refuse_with_ports(cloud, id)?;
    delete(cloud, id).await
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
    let ports = port::on_network(cloud, id);
    if ports.is_empty() {
        return Ok(());
    }
    Err(Refusal::NetworkInUse {
        network: id,
        ports: ports.iter().map(|port| port.meta.id).collect(),
    }
    .into())
}

/// Takes a port from the instance that plugs into it, and leaves the port; a running one loses its
/// interface at once.
///
/// # Errors
/// [`ErrorKind::NotFound`] where the instance does not plug into it, and what the node says.
pub async fn unplug_port(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    port: Id,
) -> Result<(), ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::DetachInterface, id)?;
    let attachments = &view.instance.spec.attachments;
    if !attachments.iter().any(|known| known.port == Some(port)) {
        return Err(Refusal::PortNotFound(port).into());
    }
    unplug(cloud, id, port).await?;
    port::disclaim(cloud, port, id).await
}

/// Takes the port that an instance plugs into from it; a running one loses its interface at once.
pub(crate) async fn unplug(cloud: &Cloud, instance: Id, port: Id) -> Result<(), ActionError> {
    let Some(view) = instance::find(cloud, instance) else {
        return Ok(());
    };
    let attachments = &view.instance.spec.attachments;
    if !attachments.iter().any(|known| known.port == Some(port)) {
        return Ok(());
    }
    let change = |instance: &mut Instance| {
        instance
            .spec
            .attachments
            .retain(|known| known.port != Some(port));
        Ok(())
    };
    let is_it = |endpoint: &Endpoint| endpoint.id == port;
    change_attachments(cloud, &view, is_it, change, false).await
}

/// Plugs an instance into a port; a running one gets an interface at once.
///
/// # Errors
/// [`ErrorKind::Conflict`] where something else plugs into the port, and what the node says.
pub async fn plug(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    port: Id,
    device_owner: &str,
) -> Result<(), ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::AttachInterface, id)?;
    let wanted = port::claim(cloud, caller, port, id, device_owner).await?;
    let attachment = Attachment {
        port: Some(port),
        ..Attachment::new(wanted.spec.network)
    };
    let change = |instance: &mut Instance| {
        let known = &mut instance.spec.attachments;
        if known.iter().all(|known| known.port != Some(port)) {
            known.push(attachment.clone());
        }
        instance.spec.network = NetworkMode::Attached;
        Ok(())
    };
    let is_it = |endpoint: &Endpoint| endpoint.id == port;
    let plugged = change_attachments(cloud, &view, is_it, change, true).await;
    if plugged.is_err() {
        port::disclaim(cloud, port, id).await?;
    }
    plugged
}

/// Puts an instance on a network; a running one gets an interface at once.
///
/// # Errors
/// [`ErrorKind::Forbidden`] when it is on it already, [`ErrorKind::Invalid`] for the host's or
/// no network, and what the node says.
pub async fn connect(
    cloud: &Cloud,
    caller: &Caller,
    network: Id,
    id: Id,
    attachment: Attachment,
) -> Result<(), ActionError> {
    let wanted = get(cloud, caller, network)?;
    let view = instance::allowed(cloud, caller, policy::Action::AttachInterface, id)?;
    validate_attachment(&wanted, &attachment)?;
    match view.instance.spec.network {
        NetworkMode::Host => {
            return Err(ActionError::new(
                ErrorKind::Forbidden,
                "cannot connect container to host network - container must be created in host network mode",
            ));
        }
        NetworkMode::Instance(_) => {
            return Err(ActionError::new(
                ErrorKind::Forbidden,
                "container sharing network namespace with another container or host cannot be connected to any other network",
            ));
        }
        NetworkMode::None if view.is_up() => {
            return Err(ActionError::new(
                ErrorKind::Forbidden,
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
        NetworkMode::None | NetworkMode::Attached => {}
    }
    change_attachments(
        cloud,
        &view,
        |endpoint| endpoint.network == network && !endpoint.port,
        |instance| {
            if instance
                .spec
                .attachments
                .iter()
                .any(|known| known.network == network)
            {
                return Err(ActionError::new(
                    ErrorKind::Forbidden,
                    format!(
                        "endpoint with name {} already exists in network {}",
                        instance.meta.name, wanted.meta.name
                    ),
                ));
            }
            instance.spec.network = NetworkMode::Attached;
            instance.spec.attachments.push(attachment.clone());
            Ok(())
        },
        true,
    )
    .await
}

/// Takes an instance from a network; a running one loses its interface at once.
///
/// # Errors
/// [`ErrorKind::Forbidden`] when it is not on it.
pub async fn disconnect(
    cloud: &Cloud,
    caller: &Caller,
    network: Id,
    id: Id,
) -> Result<(), ActionError> {
    let from = get(cloud, caller, network)?;
    let view = instance::allowed(cloud, caller, policy::Action::DetachInterface, id)?;
    change_attachments(
        cloud,
        &view,
        |endpoint| endpoint.network == network,
        |instance| {
            let before = instance.spec.attachments.len();
            instance
                .spec
                .attachments
                .retain(|known| known.network != network);
            if instance.spec.attachments.len() == before {
                return Err(ActionError::new(
                    ErrorKind::Forbidden,
                    format!(
                        "container {} is not connected to network {}",
                        instance.meta.id.simple(),
                        from.meta.name
                    ),
                ));
            }
            Ok(())
        },
        false,
    )
    .await
}

async fn change_attachments(
    cloud: &Cloud,
    view: &View,
    is_it: impl Fn(&Endpoint) -> bool,
    change: impl Fn(&mut Instance) -> Result<(), ActionError>,
    connected: bool,
) -> Result<(), ActionError> {
    let id = view.instance.meta.id;
    let waiter = cloud.observer.waiter(id);
    let (generation, ticket) = instance::change_intent(cloud, id, |instance| {
        change(instance)?;
        instance.meta.generation += 1;
        Ok(instance.meta.generation)
    })
    .await?;
    if view.is_up() {
        let done = waiter.until(|| {
            let status = instance::newest(cloud, id, waiter.last())?;
            let is_there = status.endpoints.iter().any(&is_it);
            if is_there == connected {
                return Some(Ok(()));
            }
            let failure = status
                .error
                .as_ref()
                .filter(|_| status.generation >= generation)?;
            Some(Err(failure.clone().into()))
        });
        let done = instance::within(NODE_ANSWERS_WITHIN, done)
            .await
            .and_then(|answer| answer);
        if let Err(error) = done {
            if connected {
                // What the node refused is not kept.
                let before = &view.instance.spec.attachments;
                instance::change_intent(cloud, id, |instance| {
                    let attachments = &mut instance.spec.attachments;
                    attachments.retain(|known| before.contains(known));
                    instance.meta.generation += 1;
                    Ok(())
                })
                .await?;
            }
            return Err(error);
        }
    }
    durable(ticket).await
}

/// The network that instances are on when they name none.
pub(crate) fn default(cloud: &Cloud) -> Result<Arc<Network>, ActionError> {
    cloud
        .store
        .by_name::<Network>(ProjectId::ADMIN, DEFAULT_NAME)
        .map(|found| found.value)
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("network {DEFAULT_NAME} not found"),
            )
        })
}

/// Checks the addresses that a user fixed against the network's ranges.
pub(crate) fn validate_attachment(
    network: &Network,
    attachment: &Attachment,
) -> Result<(), ActionError> {
    let fixed = [
        attachment.ipv4.map(IpAddr::V4),
        attachment.ipv6.map(IpAddr::V6),
    ];
    for address in fixed.into_iter().flatten() {
        if network.spec.predefined {
            return Err(ActionError::new(
                ErrorKind::Invalid,
                "invalid endpoint settings:\nuser specified IP address is supported on user defined networks only",
            ));
        }
        if !network
            .spec
            .subnets
            .iter()
            .any(|subnet| subnet.cidr.contains(address))
        {
            return Err(ActionError::new(
                ErrorKind::Invalid,
                format!(
                    "invalid endpoint settings:\nno configured subnet contains IP address {address}"
                ),
            ));
        }
    }
    Ok(())
}

fn of_range(cidr: Cidr) -> NewSubnet {
    NewSubnet {
        cidr,
        gateway: None,
        pool: None,
        reserved: BTreeMap::new(),
    }
}

fn checked(new: NewSubnet, now: Timestamp) -> Result<Subnet, ActionError> {
    let NewSubnet {
        cidr,
        gateway,
        pool,
        reserved,
    } = new;
    let smallest = if cidr.address().is_ipv4() { 31 } else { 127 };
    if cidr.prefix() > smallest {
        return Err(invalid(format!(
            "invalid network config:\ninvalid subnet {cidr}: it has no room for a gateway and a container"
        )));
    }
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => cidr
            .nth(1)
            .ok_or_else(|| invalid(format!("the range {cidr} has no first address")))?,
    };
    let outside = reserved
        .values()
        .copied()
        .chain([gateway])
        .find(|address| !cidr.contains(*address));
    if let Some(address) = outside {
        return Err(invalid(format!(
            "invalid network config:\ninvalid gateway {address}: parent subnet {cidr} does not contain it"
        )));
    }
    if let Some(pool) = &pool
        && (!cidr.contains(pool.address()) || pool.prefix() < cidr.prefix())
    {
        return Err(invalid(format!(
            "invalid network config:\ninvalid ip-range {pool}: parent subnet {cidr} does not contain it"
        )));
    }
    Ok(Subnet {
        pools: pool.map(AddressRange::of).into_iter().collect(),
        reserved,
        ..Subnet::new(cidr, Some(gateway), now)
    })
}

/// The range, of another network or of a node's other interfaces, that this one overlaps.
fn overlapping(cloud: &Cloud, wanted: &Cidr, own: &[Subnet]) -> Option<Cidr> {
    let networks = cloud.store.list::<Network>();
    let taken = networks
        .iter()
        .filter(|(_, found)| found.value.spec.routing == Routing::Node)
        .flat_map(|(_, found)| &found.value.spec.subnets)
        .chain(own);
    taken
        .map(|subnet| subnet.cidr)
        .find(|cidr| cidr.overlaps(wanted))
}

/// Whether neither a network nor a node's other interfaces use a range.
fn is_free(cloud: &Cloud, cidr: &Cidr, own: &[Subnet]) -> bool {
    let nodes = cloud.store.list::<Node>();
    overlapping(cloud, cidr, own).is_none()
        && !nodes
            .iter()
            .flat_map(|(_, node)| &node.value.spec.occupied)
            .any(|taken| taken.overlaps(cidr))
}

/// A range that neither a network nor a node's other interfaces use.
fn free_range(cloud: &Cloud, is_v4: bool, own: &[Subnet]) -> Result<Cidr, ActionError> {
    let candidates: Box<dyn Iterator<Item = Option<Cidr>>> = if is_v4 {
        // Docker's default pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in twentieths.
        let large = (17..=31).map(|second| Cidr::new(IpAddr::from([172, second, 0, 0]), 16));
        let small = (0..16).map(|block| Cidr::new(IpAddr::from([192, 168, block * 16, 0]), 20));
        Box::new(large.chain(small))
    } else {
        Box::new((0..64).map(|_| {
            let random = Id::random();
            let bytes = random.as_bytes();
            let global = [0xfd, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], 0, 0];
            let mut address = [0; 16];
            address[..8].copy_from_slice(&global);
            Cidr::new(IpAddr::from(address), 64)
        }))
    };
    let mut candidates = candidates.flatten();
    let free = candidates.find(|cidr| is_free(cloud, cidr, own));
    free.ok_or_else(|| {
        ActionError::new(
            ErrorKind::Conflict,
            "all predefined address pools have been fully subnetted",
        )
    })
}

fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}
