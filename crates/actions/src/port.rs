//! Ports: places on networks, with their addresses, for instances and routers to plug into.
//!
//! A port's addresses are given by the placement controller, which gives those of instances
//! without ports too, so that no address is had twice: making a port writes it, then waits for
//! its allotment ([`insertion`]). What an instance has without a port of its own is shown as one
//! ([`implied`]).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::instance::InstanceStatus;
use model::meta::Owner;
use model::network::Network;
use model::node::Node;
use model::port::{
    AddressPair, Allotment, AllotmentRefusal, FixedAddress, Port, PortSpec, WantedAddress, owner,
};
use model::quota::Resource;
use model::router::{FloatingAddress, RouterStatus};
use model::{Id, Meta};
use serde_json::Value;

use crate::policy::{self, Target};
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, durable, firewall, instance, network, quota};

mod address;
mod claim;
mod implied;
mod insertion;
mod mac;

pub use address::NewAddress;
pub(crate) use address::{addresses, refused, wanted_of};
pub use claim::{claim, disclaim};
pub(crate) use insertion::{Uninserted, insert};
pub(crate) use mac::free_mac;

pub(crate) use implied::implied;
use insertion::allotment;
use mac::{checked_mac, has_mac};

/// Owner of the ports that instances plug into.
pub const COMPUTE_OWNER: &str = "compute:nova";

/// A port as it is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for.
    pub port: Arc<Port>,
    /// Its addresses.
    pub addresses: Vec<FixedAddress>,
    /// What plugs into it uses it now.
    pub active: bool,
    /// Name of the node on which it is used.
    pub host: Option<String>,
    /// It was not made as a port: it is an instance's place on a network, and goes with it.
    pub implied: bool,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct NewPort {
    /// Its name; need not be unique.
    pub name: String,
    /// The network.
    pub network: Id,
    /// Hardware address; `None` is a free one.
    pub mac: Option<String>,
    /// Addresses; `None` is one of each family that the network has.
    pub addresses: Option<Vec<NewAddress>>,
    /// Firewalls; `None` is the project's default one.
    pub firewalls: Option<Vec<Id>>,
    /// Further sources that it may send from.
    pub allowed_pairs: Vec<AddressPair>,
    /// Firewalls hold; `None` is as the network says.
    pub port_security: Option<bool>,
    /// It may be used.
    pub admin_up: bool,
    /// Identity of what plugs in.
    pub device_id: String,
    /// What kind of thing plugs in.
    pub device_owner: String,
    /// Node on which it is wanted.
    pub host: String,
    /// Host name told to the network's resolver.
    pub dns_name: String,
    /// For people.
    pub description: String,
    /// For selection.
    pub tags: BTreeSet<String>,
    /// What one protocol alone knows of it.
    pub origin: BTreeMap<String, Value>,
    /// Whom it belongs to, and goes with.
    pub owners: Vec<Owner>,
}

impl NewPort {
    /// A port of a network, with all else as by default.
    #[must_use]
    pub fn on(network: Id) -> Self {
        Self {
            name: String::new(),
            network,
            mac: None,
            addresses: None,
            firewalls: None,
            allowed_pairs: Vec::new(),
            port_security: None,
            admin_up: true,
            device_id: String::new(),
            device_owner: String::new(),
            host: String::new(),
            dns_name: String::new(),
            description: String::new(),
            tags: BTreeSet::new(),
            origin: BTreeMap::new(),
            owners: Vec::new(),
        }
    }
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a new port")]
pub struct PortChange {
    pub name: Option<String>,
    pub mac: Option<String>,
    pub addresses: Option<Vec<NewAddress>>,
    pub firewalls: Option<Vec<Id>>,
    pub allowed_pairs: Option<Vec<AddressPair>>,
    pub port_security: Option<bool>,
    pub admin_up: Option<bool>,
    pub device_id: Option<String>,
    pub device_owner: Option<String>,
    pub host: Option<String>,
    pub dns_name: Option<String>,
    pub description: Option<String>,
    pub tags: Option<BTreeSet<String>>,
    pub origin: Option<BTreeMap<String, Value>>,
}

/// Makes a port and gives it its addresses.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] without the network, a subnet or a firewall,
/// [`crate::ErrorKind::Conflict`] where an address is taken or none is left,
/// [`crate::ErrorKind::Invalid`] for one of no subnet.
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewPort) -> Result<View, ActionError> {
    caller.may(
        policy::Action::CreatePort,
        &Target::project(caller.project()),
    )?;
    let spec = resolved(cloud, caller, new.clone()).await?;
    let mut meta = Meta::new(new.name, caller.project(), cloud.now());
    meta.owners = new.owners;
    let wanted = new.addresses.as_deref();
    // Of a family's subnets the first that has room.
    let mut full = HashSet::new();
    loop {
        let found = network::record(cloud, spec.network)?;
        let mut spec = spec.clone();
        let mac = own_mac(&spec.device_owner, &spec.mac);
        spec.wanted = wanted_of(&found.value, wanted, &full, mac)?;
        meta.id = Id::random();
        let port = Port {
            meta: meta.clone(),
            spec,
        };
        let mut transaction = cloud.store.transaction();
        transaction
            .insert(port.meta.id, port.clone())
            .require::<Network>(found.value.meta.id, found.revision);
        quota::claim(
            cloud,
            &mut transaction,
            port.meta.project,
            &[(Resource::Ports, 1)],
        )?;
        match insert(cloud, transaction, &port).await {
            Ok(view) => return Ok(view),
            Err(Uninserted::NetworkChanged) => {}
            Err(Uninserted::Refused(AllotmentRefusal::Exhausted(subnet)))
                if wanted.is_none() && full.insert(subnet) => {}
            Err(Uninserted::Refused(refusal)) => {
                return Err(refused(port.spec.network, refusal).into());
            }
            Err(Uninserted::Failed(error)) => return Err(error),
        }
    }
}

/// On another project's network a port passes for nobody else: only the network's owner and an
/// admin may take its guards away, or make it one of the cloud's own.
fn check_guarded(
    caller: &Caller,
    on: &Network,
    device_owner: &str,
    port_security: Option<bool>,
    has_pairs: bool,
) -> Result<(), ActionError> {
    let is_own = caller.project() == on.meta.project;
    if is_own || !(is_infrastructure(device_owner) || port_security == Some(false) || has_pairs) {
        return Ok(());
    }
    caller.may(policy::Action::UnguardPort, &Target::SYSTEM)
}

/// Checks all of a new port but its addresses.
async fn resolved(cloud: &Cloud, caller: &Caller, new: NewPort) -> Result<PortSpec, ActionError> {
    let on = network::get(cloud, caller, new.network)
        .map_err(|_| Refusal::NetworkNotFound(new.network))?;
    check_guarded(
        caller,
        &on,
        &new.device_owner,
        new.port_security,
        !new.allowed_pairs.is_empty(),
    )?;
    let port_security = new.port_security.unwrap_or(on.spec.port_security);
    let firewalls = match new.firewalls {
        Some(firewalls) => {
            check_firewalls(cloud, caller, &firewalls)?;
            firewalls
        }
        None if port_security && !is_infrastructure(&new.device_owner) => {
            vec![firewall::default(cloud, caller).await?.meta.id]
        }
        None => Vec::new(),
    };
    let mac = match new.mac {
        Some(mac) => {
            let mac = checked_mac(&mac)?;
            if has_mac(cloud, new.network, &mac, None) {
                return Err(Refusal::MacInUse {
                    network: new.network,
                    mac,
                }
                .into());
            }
            mac
        }
        None => free_mac(cloud, new.network),
    };
    let spec = PortSpec {
        network: new.network,
        mac,
        wanted: Vec::new(),
        firewalls,
        allowed_pairs: new.allowed_pairs,
        port_security,
        admin_up: new.admin_up,
        device_id: new.device_id,
        device_owner: new.device_owner,
        host: new.host,
        dns_name: new.dns_name,
        description: new.description,
        tags: new.tags,
        origin: new.origin,
    };
    check_security(Id::random(), &spec)?;
    Ok(spec)
}

/// Port security cannot be off where something rests on it.
fn check_security(port: Id, spec: &PortSpec) -> Result<(), ActionError> {
    if spec.port_security {
        return Ok(());
    }
    if !spec.allowed_pairs.is_empty() {
        return Err(Refusal::PortSecurityNeeded {
            port,
            needs: "allowed address pairs",
        }
        .into());
    }
    if !spec.firewalls.is_empty() {
        return Err(Refusal::PortSecurityInUse { port }.into());
    }
    Ok(())
}

fn check_firewalls(cloud: &Cloud, caller: &Caller, ids: &[Id]) -> Result<(), ActionError> {
    ids.iter()
        .try_for_each(|id| firewall::get(cloud, caller, *id).map(drop))
}

/// The hardware address that a port makes addresses of, where it does: a router is told its own.
fn own_mac<'a>(device_owner: &str, mac: &'a str) -> Option<&'a str> {
    (!is_infrastructure(device_owner)).then_some(mac)
}

/// Ports that the cloud itself makes have no firewalls.
fn is_infrastructure(device_owner: &str) -> bool {
    device_owner.starts_with("network:")
}

/// The ports that a caller may see: made ones, and the places that instances have on networks.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<View> {
    let mut views: Vec<View> = cloud
        .store
        .list::<Port>()
        .into_iter()
        .filter(|(_, found)| crate::is_seen(caller, found.value.meta.project))
        .map(|(_, found)| view(cloud, found.value))
        .collect();
    views.extend(
        instance::owned_by(cloud, |owner| crate::is_seen(caller, owner))
            .iter()
            .flat_map(|instance| implied(cloud, instance)),
    );
    views
}

/// One port.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    if let Some(found) = cloud.store.get::<Port>(id) {
        let port = Some(found.value);
        return port
            .filter(|port| crate::is_seen(caller, port.meta.project))
            .map(|port| view(cloud, port))
            .ok_or_else(|| Refusal::PortNotFound(id).into());
    }
    instance::owned_by(cloud, |owner| crate::is_seen(caller, owner))
        .iter()
        .flat_map(|instance| implied(cloud, instance))
        .find(|view| view.port.meta.id == id)
        .ok_or_else(|| Refusal::PortNotFound(id).into())
}

pub(crate) fn view(cloud: &Cloud, port: Arc<Port>) -> View {
    let id = port.meta.id;
    let addresses = cloud
        .store
        .get::<Allotment>(id)
        .map(|found| found.value.addresses.clone())
        .unwrap_or_default();
    let device: Option<Id> = port.spec.device_id.parse().ok();
    let by_instance = device
        .and_then(|device| cloud.store.get::<InstanceStatus>(device))
        .is_some_and(|status| status.value.endpoints.iter().any(|one| one.id == id));
    let router = device.and_then(|device| cloud.store.get::<RouterStatus>(device));
    let by_router = router.filter(|status| status.value.ports.contains(&id));
    let node = match &by_router {
        Some(status) => Some(status.value.node),
        None => device
            .filter(|_| by_instance)
            .and_then(|device| cloud.store.get::<model::instance::Placement>(device))
            .and_then(|placement| placement.value.node),
    };
    View {
        addresses,
        active: port.spec.admin_up && (by_instance || by_router.is_some()),
        host: node
            .and_then(|node| cloud.store.get::<Node>(node))
            .map(|node| node.value.meta.name.clone()),
        implied: false,
        port,
    }
}

/// Changes a port; what it is plugged into follows at once.
///
/// # Errors
/// As [`create`]; [`crate::ErrorKind::Conflict`] for a port that only shows an instance's place.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: PortChange,
) -> Result<View, ActionError> {
    caller.may(
        policy::Action::UpdatePort,
        &Target::project(caller.project()),
    )?;
    let before = get(cloud, caller, id)?;
    if before.implied {
        return Err(Refusal::PortOwned {
            port: id,
            owner: before.port.spec.device_owner.clone(),
            device: before.port.spec.device_id.clone(),
        }
        .into());
    }
    let on = network::record(cloud, before.port.spec.network)?.value;
    check_guarded(
        caller,
        &on,
        change.device_owner.as_deref().unwrap_or_default(),
        change.port_security,
        change
            .allowed_pairs
            .as_ref()
            .is_some_and(|pairs| !pairs.is_empty()),
    )?;
    if let Some(firewalls) = &change.firewalls {
        check_firewalls(cloud, caller, firewalls)?;
    }
    let mac = match &change.mac {
        Some(mac) => Some(checked_mac(mac)?),
        None => None,
    };
    let wanted = match &change.addresses {
        Some(addresses) => {
            let spec = &before.port.spec;
            let owner = change.device_owner.as_ref().unwrap_or(&spec.device_owner);
            let mac = own_mac(owner, mac.as_ref().unwrap_or(&spec.mac));
            Some(wanted_of(&on, Some(addresses), &HashSet::new(), mac)?)
        }
        None => None,
    };
    if let Some(mac) = &mac
        && has_mac(cloud, on.meta.id, mac, Some(id))
    {
        return Err(Refusal::MacInUse {
            network: on.meta.id,
            mac: mac.clone(),
        }
        .into());
    }
    let waiter = cloud.observer.waiter(id);
    let mut old = None;
    let (port, ticket) = change_record(cloud, id, |port| {
        old = Some(port.clone());
        apply(port, &change, wanted.as_ref(), mac.as_ref());
        check_security(id, &port.spec)
    })
    .await?;
    let decided = allotment(cloud, &waiter, &port);
    let (decided, flushed) = tokio::join!(decided, durable(ticket));
    if let Some(refusal) = decided?.refusal {
        // What cannot be is not kept.
        let (restored, _) = change_record(cloud, id, |port| {
            if let Some(old) = &old {
                port.spec = old.spec.clone();
            }
            Ok(())
        })
        .await?;
        allotment(cloud, &waiter, &restored).await?;
        return Err(refused(on.meta.id, refusal).into());
    }
    flushed?;
    get(cloud, caller, id)
}

fn apply(
    port: &mut Port,
    change: &PortChange,
    wanted: Option<&Vec<WantedAddress>>,
    mac: Option<&String>,
) {
    fn set<T: Clone>(field: &mut T, value: Option<&T>) {
        if let Some(value) = value {
            field.clone_from(value);
        }
    }
    let spec = &mut port.spec;
    set(&mut port.meta.name, change.name.as_ref());
    set(&mut spec.mac, mac);
    set(&mut spec.wanted, wanted);
    set(&mut spec.firewalls, change.firewalls.as_ref());
    set(&mut spec.allowed_pairs, change.allowed_pairs.as_ref());
    set(&mut spec.port_security, change.port_security.as_ref());
    set(&mut spec.admin_up, change.admin_up.as_ref());
    set(&mut spec.device_id, change.device_id.as_ref());
    set(&mut spec.device_owner, change.device_owner.as_ref());
    set(&mut spec.host, change.host.as_ref());
    set(&mut spec.dns_name, change.dns_name.as_ref());
    set(&mut spec.description, change.description.as_ref());
    set(&mut spec.tags, change.tags.as_ref());
    set(&mut spec.origin, change.origin.as_ref());
}

/// Changes a port's record, again where somebody else changed it meanwhile.
pub(crate) async fn change_record(
    cloud: &Cloud,
    id: Id,
    mut change: impl FnMut(&mut Port) -> Result<(), ActionError>,
) -> Result<(Port, store::Durable), ActionError> {
    loop {
        let found = cloud
            .store
            .get::<Port>(id)
            .ok_or(Refusal::PortNotFound(id))?;
        let mut port = Port::clone(&found.value);
        change(&mut port)?;
        port.meta.generation += 1;
        port.meta.updated_at = Some(cloud.now());
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, port.clone());
        match cloud.store.commit(transaction).await {
            Ok(committed) => return Ok((port, committed.durable)),
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a port: what is plugged in loses its interface, floating addresses lead nowhere.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] for a port of a router, of a floating address, or one that only
/// shows an instance's place on a network.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeletePort,
        &Target::project(caller.project()),
    )?;
    let view = get(cloud, caller, id)?;
    let spec = &view.port.spec;
    let is_owned = [
        owner::ROUTER_INTERFACE,
        owner::ROUTER_GATEWAY,
        owner::FLOATING,
    ]
    .contains(&spec.device_owner.as_str());
    if view.implied || is_owned {
        return Err(Refusal::PortOwned {
            port: id,
            owner: spec.device_owner.clone(),
            device: spec.device_id.clone(),
        }
        .into());
    }
    if let Ok(device) = spec.device_id.parse() {
        network::unplug(cloud, device, id).await?;
    }
    loop {
        let mut transaction = cloud.store.transaction();
        if let Some(found) = cloud.store.get::<Port>(id) {
            // What began to lead to it meanwhile is looked at again.
            transaction.delete::<Port>(id, Some(found.revision));
        }
        loosen(cloud, &mut transaction, id);
        match cloud.store.commit(transaction).await {
            Ok(committed) => return durable(committed.durable).await,
            Err(store::CommitError::Conflict { .. } | store::CommitError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Adds to a batch what removes a port, and has floating addresses that lead to it lead nowhere.
pub(crate) fn remove_in(cloud: &Cloud, transaction: &mut store::Transaction, id: Id) {
    transaction.delete::<Port>(id, None);
    loosen(cloud, transaction, id);
}

/// Adds to a batch what goes with a port.
fn loosen(cloud: &Cloud, transaction: &mut store::Transaction, id: Id) {
    transaction.delete::<Allotment>(id, None);
    for (floating, found) in cloud.store.list::<FloatingAddress>() {
        if found
            .value
            .spec
            .target
            .is_some_and(|target| target.port == id)
        {
            let mut loose = FloatingAddress::clone(&found.value);
            loose.spec.target = None;
            loose.meta.generation += 1;
            loose.meta.updated_at = Some(cloud.now());
            transaction.update(floating, found.revision, loose);
        }
    }
}

/// The made ports of a network.
pub(crate) fn on_network(cloud: &Cloud, network: Id) -> Vec<Arc<Port>> {
    let ports = cloud.store.list::<Port>().into_iter();
    ports
        .map(|(_, found)| found.value)
        .filter(|port| port.spec.network == network)
        .collect()
}
