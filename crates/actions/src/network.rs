//! Networks: what there is of them, their address ranges, and who is on them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::event::Action;
use model::instance::{Attachment, Instance, NetworkMode};
use model::network::{Cidr, Driver, Network, NetworkSpec, NetworkStatus, Subnet};
use model::node::Node;
use model::{Id, Meta, ProjectId};

use crate::instance::View;
use crate::observer::network_event;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, instance, is_visible};

/// Name of the network that instances are on when they name none.
pub const DEFAULT_NAME: &str = "bridge";
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
    /// It has IPv6 addresses too.
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
    pub allocation: Option<Cidr>,
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
    let network = planned(cloud, caller, new)?;
    let id = network.meta.id;
    let waiter = cloud.observer.waiter(id);
    let mut transaction = cloud.store.transaction();
    transaction.insert(id, network.clone());
    let committed = cloud.commit(transaction).await?;
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
        let chosen = checked(subnet)?;
        if let Some(other) = overlapping(cloud, &chosen.cidr, &spec.subnets) {
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
        for (is_wanted, is_v4) in [(true, true), (new.ipv6, false)] {
            if is_wanted
                && !spec
                    .subnets
                    .iter()
                    .any(|subnet| subnet.cidr.address().is_ipv4() == is_v4)
            {
                let cidr = free_range(cloud, is_v4, &spec.subnets)?;
                spec.subnets
                    .push(with_gateway(cidr, None, None, BTreeMap::new())?);
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

/// Makes the networks that every installation has, unless they exist. What the node makes of them
/// is not waited for: an installation without its default network can still be looked at.
///
/// # Errors
/// When the store fails or no range is free.
pub async fn ensure_predefined(
    cloud: &Cloud,
    default_range: Option<Cidr>,
) -> Result<(), ActionError> {
    let caller = Caller::operator(String::new());
    for (name, driver) in [
        (DEFAULT_NAME, Driver::Bridge),
        ("host", Driver::Host),
        ("none", Driver::None),
    ] {
        if by_name(cloud, &caller, name).is_some() {
            continue;
        }
        let subnets = default_range
            .filter(|_| driver == Driver::Bridge)
            .map(|cidr| NewSubnet {
                cidr,
                gateway: None,
                allocation: None,
                reserved: BTreeMap::new(),
            });
        let spec = NetworkSpec {
            driver,
            subnets: Vec::new(),
            internal: false,
            dns: false,
            inter_instance: true,
            masquerade: true,
            mtu: None,
            bridge_name: None,
            host_binding: None,
            predefined: true,
            origin: BTreeMap::new(),
        };
        let new = NewNetwork {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            spec,
            ipv6: false,
            subnets: subnets.into_iter().collect(),
        };
        let network = planned(cloud, &caller, new)?;
        let mut transaction = cloud.store.transaction();
        transaction.insert(network.meta.id, network);
        cloud.commit_durably(transaction).await?;
    }
    Ok(())
}

/// The networks of the caller's project.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<Arc<Network>> {
    let mut networks: Vec<_> = cloud
        .store
        .list::<Network>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|network| is_visible(caller, network.meta.project))
        .collect();
    networks.sort_by_key(|network| network.meta.created_at);
    networks
}

/// One network.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Network>, ActionError> {
    cloud
        .store
        .get::<Network>(id)
        .map(|found| found.value)
        .filter(|network| is_visible(caller, network.meta.project))
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("network {} not found", id.simple()),
            )
        })
}

/// The network of this name.
#[must_use]
pub fn by_name(cloud: &Cloud, caller: &Caller, name: &str) -> Option<Arc<Network>> {
    cloud
        .store
        .by_name::<Network>(caller.project(), name)
        .map(|found| found.value)
}

/// The networks whose identity, written without dashes, begins so.
#[must_use]
pub fn by_id_prefix(cloud: &Cloud, caller: &Caller, prefix: &str) -> Vec<Arc<Network>> {
    let mut networks = list(cloud, caller);
    networks.retain(|network| network.meta.id.simple().starts_with(prefix));
    networks
}

/// The instances that are attached to a network.
#[must_use]
pub fn members(cloud: &Cloud, caller: &Caller, id: Id) -> Vec<View> {
    let mut views = instance::list(cloud, caller);
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
    let network = get(cloud, caller, id)?;
    let name = &network.meta.name;
    if network.spec.predefined {
        return Err(ActionError::new(
            ErrorKind::Forbidden,
            format!("{name} is a pre-defined network and cannot be removed"),
        ));
    }
    let active: Vec<String> = members(cloud, caller, id)
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
    let mut transaction = cloud.store.transaction();
    transaction.update(id, found.revision, marked);
    let committed = cloud.commit(transaction).await?;
    let gone = waiter.until(|| cloud.store.get::<Network>(id).is_none().then_some(()));
    let (gone, flushed) = tokio::join!(
        instance::within(NODE_ANSWERS_WITHIN, gone),
        durable(committed.durable)
    );
    gone.and(flushed)
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
    let view = instance::get(cloud, caller, id)?;
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
        network,
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
    force: bool,
) -> Result<(), ActionError> {
    let from = get(cloud, caller, network)?;
    let view = instance::get(cloud, caller, id)?;
    change_attachments(
        cloud,
        &view,
        network,
        |instance| {
            let before = instance.spec.attachments.len();
            instance
                .spec
                .attachments
                .retain(|known| known.network != network);
            if instance.spec.attachments.len() == before && !force {
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
    network: Id,
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
            let is_there = status
                .endpoints
                .iter()
                .any(|endpoint| endpoint.network == network);
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
                instance::change_intent(cloud, id, |instance| {
                    instance
                        .spec
                        .attachments
                        .retain(|known| known.network != network);
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

fn checked(subnet: NewSubnet) -> Result<Subnet, ActionError> {
    with_gateway(
        subnet.cidr,
        subnet.gateway,
        subnet.allocation,
        subnet.reserved,
    )
}

fn with_gateway(
    cidr: Cidr,
    gateway: Option<IpAddr>,
    allocation: Option<Cidr>,
    reserved: BTreeMap<String, IpAddr>,
) -> Result<Subnet, ActionError> {
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
    if let Some(allocation) = &allocation
        && (!cidr.contains(allocation.address()) || allocation.prefix() < cidr.prefix())
    {
        return Err(invalid(format!(
            "invalid network config:\ninvalid ip-range {allocation}: parent subnet {cidr} does not contain it"
        )));
    }
    Ok(Subnet {
        cidr,
        gateway,
        allocation,
        reserved,
    })
}

/// The range, of another network or of a node's other interfaces, that this one overlaps.
fn overlapping(cloud: &Cloud, wanted: &Cidr, own: &[Subnet]) -> Option<Cidr> {
    let networks = cloud.store.list::<Network>();
    let taken = networks
        .iter()
        .flat_map(|(_, found)| &found.value.spec.subnets)
        .chain(own);
    taken
        .map(|subnet| subnet.cidr)
        .find(|cidr| cidr.overlaps(wanted))
}

/// A range that neither a network nor a node's other interfaces use.
fn free_range(cloud: &Cloud, is_v4: bool, own: &[Subnet]) -> Result<Cidr, ActionError> {
    let nodes = cloud.store.list::<Node>();
    let is_free = |cidr: &Cidr| {
        overlapping(cloud, cidr, own).is_none()
            && !nodes
                .iter()
                .flat_map(|(_, node)| &node.value.spec.occupied)
                .any(|taken| taken.overlaps(cidr))
    };
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
    candidates.flatten().find(is_free).ok_or_else(|| {
        ActionError::new(
            ErrorKind::Conflict,
            "all predefined address pools have been fully subnetted",
        )
    })
}

fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}
