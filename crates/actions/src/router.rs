//! Routers: legs on subnets, a way out by an external network, and further routes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::network::Network;
use model::port::{
    Allotment, AllotmentRefusal, FixedAddress, Port, PortSpec, WantedAddress, owner,
};
use model::quota::Resource;
use model::router::{FloatingAddress, Router, RouterGateway, RouterSpec, RouterStatus};
use model::subnet::{Route, Subnet};
use model::{Id, Meta};
use store::{Transaction, Versioned};

use crate::policy::{self, Target};
use crate::port::{NewAddress, Uninserted};
use crate::refusal::Refusal;
use crate::{
    ActionError, Caller, Cloud, ErrorKind, durable, is_seen, network, port, quota, subnet,
};

/// A router as it is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for.
    pub router: Arc<Router>,
    /// What its node saw; `None` before any did.
    pub status: Option<Arc<RouterStatus>>,
    /// The addresses of its way out.
    pub gateway_addresses: Vec<FixedAddress>,
}

/// What to make.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of a router")]
pub struct NewRouter {
    pub name: String,
    pub description: String,
    pub admin_up: bool,
    pub gateway: Option<NewGateway>,
    pub tags: BTreeSet<String>,
}

/// A way out to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGateway {
    /// The external network.
    pub network: Id,
    /// What leaves has the router's address; `None` is so, too.
    pub snat: Option<bool>,
    /// The router's addresses there; none is any.
    pub addresses: Vec<NewAddress>,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a router")]
pub struct RouterChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub admin_up: Option<bool>,
    pub gateway: Option<Option<NewGateway>>,
    pub routes: Option<Vec<Route>>,
    pub tags: Option<BTreeSet<String>>,
}

/// A leg to add or to take away: by the subnet it is on, by its port, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// The subnet.
    pub subnet: Option<Id>,
    /// The port.
    pub port: Option<Id>,
}

/// A leg of a router.
#[derive(Clone, Debug)]
pub struct Interface {
    /// The router.
    pub router: Arc<Router>,
    /// The port that it is.
    pub port: Id,
    /// The network it is on.
    pub network: Id,
    /// The subnets that it has addresses of.
    pub subnets: Vec<Id>,
}

/// Makes a router.
///
/// # Errors
/// As [`update`].
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewRouter) -> Result<View, ActionError> {
    caller.may(
        policy::Action::CreateRouter,
        &Target::project(caller.project()),
    )?;
    let router = Router {
        meta: Meta::new(new.name, caller.project(), cloud.now()),
        spec: RouterSpec {
            description: new.description,
            admin_up: new.admin_up,
            interfaces: Vec::new(),
            gateway: None,
            routes: Vec::new(),
            tags: new.tags,
        },
    };
    let id = router.meta.id;
    let wanted = [(Resource::Routers, 1)];
    let committed = quota::commit(cloud, router.meta.project, &wanted, |transaction| {
        transaction.insert(id, router.clone());
    });
    durable(committed.await?.durable).await?;
    if let Some(gateway) = new.gateway {
        let led_out = lead_out(cloud, caller, id, Some(gateway)).await;
        if let Err(error) = led_out {
            let mut transaction = cloud.store.transaction();
            transaction.delete::<Router>(id, None);
            cloud.commit_durably(transaction).await?;
            return Err(error);
        }
    }
    get(cloud, caller, id)
}

/// The routers that a caller may see.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<View> {
    let routers = cloud.store.list::<Router>().into_iter();
    routers
        .map(|(_, found)| found.value)
        .filter(|router| is_seen(caller, router.meta.project))
        .map(|router| view(cloud, router))
        .collect()
}

/// One router.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    record(cloud, caller, id).map(|found| view(cloud, found.value))
}

fn record(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Versioned<Router>, ActionError> {
    cloud
        .store
        .get::<Router>(id)
        .filter(|found| is_seen(caller, found.value.meta.project))
        .ok_or_else(|| Refusal::RouterNotFound(id).into())
}

fn view(cloud: &Cloud, router: Arc<Router>) -> View {
    let gateway = router.spec.gateway;
    View {
        status: cloud
            .store
            .get::<RouterStatus>(router.meta.id)
            .map(|found| found.value),
        gateway_addresses: gateway
            .map(|gateway| port::addresses(cloud, gateway.port))
            .unwrap_or_default(),
        router,
    }
}

/// Changes a router.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the network, [`ErrorKind::Invalid`] for one that is not
/// external or a route that leads nowhere, [`ErrorKind::Conflict`] for a way out that a floating
/// address needs.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: RouterChange,
) -> Result<View, ActionError> {
    caller.may(
        policy::Action::UpdateRouter,
        &Target::project(caller.project()),
    )?;
    record(cloud, caller, id)?;
    if let Some(gateway) = change.gateway.clone() {
        lead_out(cloud, caller, id, gateway).await?;
    }
    change_record(cloud, caller, id, |router, _| {
        if let Some(routes) = &change.routes {
            check_routes(cloud, router, routes)?;
            router.spec.routes.clone_from(routes);
        }
        if let Some(name) = &change.name {
            router.meta.name.clone_from(name);
        }
        if let Some(description) = &change.description {
            router.spec.description.clone_from(description);
        }
        if let Some(admin_up) = change.admin_up {
            router.spec.admin_up = admin_up;
        }
        if let Some(tags) = &change.tags {
            router.spec.tags.clone_from(tags);
        }
        Ok(())
    })
    .await?;
    get(cloud, caller, id)
}

/// Changes a router's record, and what `change` adds to the batch, again where somebody else
/// changed it meanwhile.
async fn change_record(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&mut Router, &mut Transaction) -> Result<(), ActionError>,
) -> Result<Arc<Router>, ActionError> {
    loop {
        let found = record(cloud, caller, id)?;
        let mut router = Router::clone(&found.value);
        let mut transaction = cloud.store.transaction();
        change(&mut router, &mut transaction)?;
        router.meta.generation += 1;
        router.meta.updated_at = Some(cloud.now());
        transaction.update(id, found.revision, router.clone());
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(Arc::new(router));
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives a router a way out, another one, or none.
async fn lead_out(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    gateway: Option<NewGateway>,
) -> Result<(), ActionError> {
    let before = record(cloud, caller, id)?.value.spec.gateway;
    let is_same_leg = |old: &RouterGateway, new: &NewGateway| {
        let known = port::addresses(cloud, old.port);
        old.network == new.network
            && new.addresses.iter().all(|wanted| {
                known.iter().any(|has| {
                    wanted.subnet.is_none_or(|subnet| subnet == has.subnet)
                        && wanted.address.is_none_or(|address| address == has.address)
                })
            })
    };
    match (before, gateway) {
        (Some(old), Some(new)) if is_same_leg(&old, &new) => {
            let snat = new.snat.unwrap_or(true);
            change_record(cloud, caller, id, |router, _| {
                if let Some(gateway) = &mut router.spec.gateway {
                    gateway.snat = snat;
                }
                Ok(())
            })
            .await?;
            Ok(())
        }
        (before, Some(new)) => {
            if let Some(old) = before.filter(|old| old.network != new.network) {
                refuse_gateway_needed(cloud, id, &old)?;
            }
            check_external(cloud, caller, &new)?;
            let port = make_gateway_port(cloud, id, &new).await?;
            let set = change_record(cloud, caller, id, |router, transaction| {
                if let Some(old) = router.spec.gateway {
                    port::remove_in(cloud, transaction, old.port);
                }
                router.spec.gateway = Some(RouterGateway {
                    network: new.network,
                    port,
                    snat: new.snat.unwrap_or(true),
                });
                Ok(())
            });
            if let Err(error) = set.await {
                let mut transaction = cloud.store.transaction();
                port::remove_in(cloud, &mut transaction, port);
                cloud.commit_durably(transaction).await?;
                return Err(error);
            }
            Ok(())
        }
        (Some(old), None) => {
            refuse_gateway_needed(cloud, id, &old)?;
            change_record(cloud, caller, id, |router, transaction| {
                if let Some(old) = router.spec.gateway.take() {
                    port::remove_in(cloud, transaction, old.port);
                }
                Ok(())
            })
            .await?;
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

fn check_external(cloud: &Cloud, caller: &Caller, new: &NewGateway) -> Result<(), ActionError> {
    let network = network::get(cloud, caller, new.network)
        .map_err(|_| Refusal::NetworkNotFound(new.network))?;
    if network.spec.external {
        Ok(())
    } else {
        Err(Refusal::NotExternal(new.network).into())
    }
}

fn refuse_gateway_needed(
    cloud: &Cloud,
    router: Id,
    gateway: &RouterGateway,
) -> Result<(), ActionError> {
    let all = cloud.store.list::<FloatingAddress>();
    let is_needed = all.iter().any(|(_, found)| {
        found.value.spec.network == gateway.network
            && found
                .value
                .spec
                .target
                .is_some_and(|target| target.router == router)
    });
    if is_needed {
        return Err(Refusal::RouterGatewayNeeded {
            router,
            network: gateway.network,
        }
        .into());
    }
    Ok(())
}

/// Makes the port of a way out. It is the installation's, not the project's.
async fn make_gateway_port(cloud: &Cloud, router: Id, new: &NewGateway) -> Result<Id, ActionError> {
    let made = make_external_port(
        cloud,
        new.network,
        owner::ROUTER_GATEWAY,
        router,
        &new.addresses,
    );
    Ok(made.await?.port.meta.id)
}

/// Makes a port of the installation's own on an external network, with an address of its first
/// subnet that has one.
pub(crate) async fn make_external_port(
    cloud: &Cloud,
    network: Id,
    device_owner: &str,
    device: Id,
    addresses: &[NewAddress],
) -> Result<port::View, ActionError> {
    let mut skipped = 0;
    loop {
        let found = network::record(cloud, network)?;
        let wanted = if addresses.is_empty() {
            let subnets = found.value.spec.subnets.iter();
            let subnet = subnets
                .filter(|subnet| subnet.cidr.address().is_ipv4())
                .nth(skipped);
            let subnet = subnet.ok_or(Refusal::ExternalExhausted(network))?;
            vec![WantedAddress {
                subnet: subnet.id,
                address: None,
            }]
        } else {
            port::wanted_of(&found.value, Some(addresses), &Default::default())?
        };
        let port = own_port(cloud, network, device_owner, device, wanted);
        let mut transaction = cloud.store.transaction();
        transaction
            .insert(port.meta.id, port.clone())
            .require::<Network>(network, found.revision);
        match port::insert(cloud, transaction, &port).await {
            Ok(view) => return Ok(view),
            Err(Uninserted::NetworkChanged) => {}
            Err(Uninserted::Refused(AllotmentRefusal::Exhausted(_))) if addresses.is_empty() => {
                skipped += 1;
            }
            Err(Uninserted::Refused(refusal)) => {
                return Err(port::refused(network, refusal).into());
            }
            Err(Uninserted::Failed(error)) => return Err(error),
        }
    }
}

/// A port that the cloud makes for itself, without firewalls.
fn own_port(
    cloud: &Cloud,
    network: Id,
    device_owner: &str,
    device: Id,
    wanted: Vec<WantedAddress>,
) -> Port {
    Port {
        meta: Meta::new(String::new(), model::ProjectId::SYSTEM, cloud.now()),
        spec: PortSpec {
            network,
            mac: port::free_mac(cloud, network),
            wanted,
            firewalls: Vec::new(),
            allowed_pairs: Vec::new(),
            port_security: false,
            admin_up: true,
            device_id: device.to_string(),
            device_owner: device_owner.to_owned(),
            host: String::new(),
            dns_name: String::new(),
            description: String::new(),
            tags: BTreeSet::new(),
            origin: Default::default(),
        },
    }
}

/// Gives a router a leg: on a subnet, with its gateway's address, or by a port that nobody uses.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the subnet or port, [`ErrorKind::Invalid`] where it overlaps
/// another leg or has no gateway, [`ErrorKind::Conflict`] for a port in use.
pub async fn add_interface(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    leg: Leg,
) -> Result<Interface, ActionError> {
    caller.may(
        policy::Action::AddRouterInterface,
        &Target::project(caller.project()),
    )?;
    let router = record(cloud, caller, id)?.value;
    match leg {
        Leg {
            subnet: Some(subnet),
            port: None,
        } => add_subnet(cloud, caller, &router, subnet).await,
        Leg {
            subnet: None,
            port: Some(port),
        } => add_port(cloud, caller, &router, port).await,
        Leg {
            subnet: Some(_),
            port: Some(_),
        } => Err(invalid("Cannot specify both subnet-id and port-id")),
        Leg {
            subnet: None,
            port: None,
        } => Err(invalid("Either subnet_id or port_id must be specified")),
    }
}

async fn add_subnet(
    cloud: &Cloud,
    caller: &Caller,
    router: &Router,
    id: Id,
) -> Result<Interface, ActionError> {
    let subnet::View { network, subnet } = subnet::get(cloud, caller, id)?;
    let gateway = subnet
        .gateway
        .ok_or_else(|| invalid("Subnet for router interface must have a gateway IP"))?;
    check_leg(cloud, router, &[&subnet])?;
    let wanted = vec![WantedAddress {
        subnet: id,
        address: Some(gateway),
    }];
    let mut leg = own_port(
        cloud,
        network.meta.id,
        owner::ROUTER_INTERFACE,
        router.meta.id,
        wanted,
    );
    leg.meta.project = router.meta.project;
    loop {
        let found = network::record(cloud, network.meta.id)?;
        let mut transaction = cloud.store.transaction();
        transaction
            .insert(leg.meta.id, leg.clone())
            .require::<Network>(network.meta.id, found.revision);
        match port::insert(cloud, transaction, &leg).await {
            Ok(_) => break,
            Err(Uninserted::NetworkChanged) => {}
            Err(Uninserted::Refused(refusal)) => {
                return Err(port::refused(network.meta.id, refusal).into());
            }
            Err(Uninserted::Failed(error)) => return Err(error),
        }
    }
    let added = change_record(cloud, caller, router.meta.id, |router, _| {
        check_leg(cloud, router, &[&subnet])?;
        router.spec.interfaces.push(leg.meta.id);
        Ok(())
    });
    match added.await {
        Ok(router) => Ok(Interface {
            router,
            port: leg.meta.id,
            network: network.meta.id,
            subnets: vec![id],
        }),
        Err(error) => {
            let mut transaction = cloud.store.transaction();
            port::remove_in(cloud, &mut transaction, leg.meta.id);
            cloud.commit_durably(transaction).await?;
            Err(error)
        }
    }
}

async fn add_port(
    cloud: &Cloud,
    caller: &Caller,
    router: &Router,
    id: Id,
) -> Result<Interface, ActionError> {
    let view = port::get(cloud, caller, id)?;
    let spec = &view.port.spec;
    if !spec.device_id.is_empty() {
        return Err(Refusal::PortInUse {
            port: id,
            network: spec.network,
            device: spec.device_id.clone(),
        }
        .into());
    }
    let network = network::record(cloud, spec.network)?.value;
    let subnets: Vec<Subnet> = view
        .addresses
        .iter()
        .filter_map(|fixed| network.spec.subnet(fixed.subnet).cloned())
        .collect();
    if subnets.is_empty() {
        return Err(invalid(
            "Cannot add a port without an address as an interface of a router",
        ));
    }
    let all: Vec<&Subnet> = subnets.iter().collect();
    let added = change_record(cloud, caller, router.meta.id, |router, transaction| {
        check_leg(cloud, router, &all)?;
        let found = cloud
            .store
            .get::<Port>(id)
            .ok_or(Refusal::PortNotFound(id))?;
        let mut port = Port::clone(&found.value);
        if !port.spec.device_id.is_empty() {
            return Err(Refusal::PortInUse {
                port: id,
                network: port.spec.network,
                device: port.spec.device_id,
            }
            .into());
        }
        port.spec.device_id = router.meta.id.to_string();
        owner::ROUTER_INTERFACE.clone_into(&mut port.spec.device_owner);
        port.spec.port_security = false;
        port.spec.firewalls.clear();
        port.spec.allowed_pairs.clear();
        port.meta.generation += 1;
        transaction.update(id, found.revision, port);
        router.spec.interfaces.push(id);
        Ok(())
    })
    .await?;
    Ok(Interface {
        router: added,
        port: id,
        network: network.meta.id,
        subnets: subnets.iter().map(|subnet| subnet.id).collect(),
    })
}

/// The subnets that a router has legs on.
fn subnets_of(cloud: &Cloud, router: &Router) -> Vec<Subnet> {
    router
        .spec
        .interfaces
        .iter()
        .filter_map(|id| cloud.store.get::<Port>(*id))
        .flat_map(|port| leg_subnets(cloud, &port.value))
        .collect()
}

fn leg_subnets(cloud: &Cloud, port: &Port) -> Vec<Subnet> {
    let Some(network) = cloud.store.get::<Network>(port.spec.network) else {
        return Vec::new();
    };
    port::addresses(cloud, port.meta.id)
        .iter()
        .filter_map(|fixed| network.value.spec.subnet(fixed.subnet).cloned())
        .collect()
}

/// A router has one leg on a subnet, and none on two that overlap.
fn check_leg(cloud: &Cloud, router: &Router, new: &[&Subnet]) -> Result<(), ActionError> {
    let mut known = subnets_of(cloud, router);
    if let Some(gateway) = &router.spec.gateway
        && let Some(network) = cloud.store.get::<Network>(gateway.network)
    {
        known.extend(network.value.spec.subnets.iter().cloned());
    }
    for subnet in new {
        if known.iter().any(|other| other.id == subnet.id) {
            return Err(invalid(format!(
                "Router already has a port on subnet {}",
                subnet.id
            )));
        }
        if let Some(other) = known.iter().find(|other| other.cidr.overlaps(&subnet.cidr)) {
            return Err(invalid(format!(
                "Cidr {} of subnet {} overlaps with cidr {} of subnet {}",
                subnet.cidr, subnet.id, other.cidr, other.id
            )));
        }
    }
    Ok(())
}

/// Takes a leg from a router, and removes its port.
///
/// # Errors
/// [`ErrorKind::NotFound`] without it, [`ErrorKind::Conflict`] where a floating address or a route
/// needs it.
pub async fn remove_interface(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    leg: Leg,
) -> Result<Interface, ActionError> {
    caller.may(
        policy::Action::RemoveRouterInterface,
        &Target::project(caller.project()),
    )?;
    let router = record(cloud, caller, id)?.value;
    if leg == Leg::default() {
        return Err(invalid("Either subnet_id or port_id must be specified"));
    }
    let legs: Vec<Arc<Port>> = router
        .spec
        .interfaces
        .iter()
        .filter_map(|id| cloud.store.get::<Port>(*id).map(|found| found.value))
        .collect();
    let has = |port: &Port, subnet: Id| {
        port::addresses(cloud, port.meta.id)
            .iter()
            .any(|fixed| fixed.subnet == subnet)
    };
    let found = match leg.port {
        Some(wanted) => {
            let port = legs.iter().find(|port| port.meta.id == wanted);
            let port = port.ok_or(Refusal::RouterHasNoPort {
                router: id,
                port: wanted,
            })?;
            if let Some(subnet) = leg.subnet.filter(|subnet| !has(port, *subnet)) {
                return Err(ActionError::new(
                    ErrorKind::Conflict,
                    format!("Subnet on port {wanted} does not match the requested subnet {subnet}"),
                ));
            }
            port
        }
        None => {
            let subnet = leg.subnet.unwrap_or(id);
            subnet::get(cloud, caller, subnet)?;
            let port = legs.iter().find(|port| has(port, subnet));
            port.ok_or(Refusal::RouterHasNoSubnet { router: id, subnet })?
        }
    };
    let gone = found.meta.id;
    let subnets = leg_subnets(cloud, found);
    refuse_leg_needed(cloud, &router, &subnets)?;
    let rest = change_record(cloud, caller, id, |router, transaction| {
        router.spec.interfaces.retain(|port| *port != gone);
        port::remove_in(cloud, transaction, gone);
        Ok(())
    })
    .await?;
    Ok(Interface {
        router: rest,
        port: gone,
        network: found.spec.network,
        subnets: subnets.iter().map(|subnet| subnet.id).collect(),
    })
}

fn refuse_leg_needed(
    cloud: &Cloud,
    router: &Router,
    subnets: &[Subnet],
) -> Result<(), ActionError> {
    let is_on = |address: IpAddr| subnets.iter().find(|subnet| subnet.cidr.contains(address));
    let all = cloud.store.list::<FloatingAddress>();
    let by_floating = all.iter().find_map(|(_, found)| {
        let target = found.value.spec.target?;
        is_on(target.address).filter(|_| target.router == router.meta.id)
    });
    let routes = router.spec.routes.iter();
    let by_route = routes.clone().find_map(|route| is_on(route.next_hop));
    by_floating.or(by_route).map_or(Ok(()), |subnet| {
        Err(Refusal::RouterInterfaceNeeded {
            router: router.meta.id,
            subnet: subnet.id,
        }
        .into())
    })
}

/// Routes lead to somebody on one of the router's subnets who is not the router itself.
fn check_routes(cloud: &Cloud, router: &Router, routes: &[Route]) -> Result<(), ActionError> {
    let mut subnets = subnets_of(cloud, router);
    let mut own: Vec<IpAddr> = router
        .spec
        .interfaces
        .iter()
        .flat_map(|port| port::addresses(cloud, *port))
        .map(|fixed| fixed.address)
        .collect();
    if let Some(gateway) = &router.spec.gateway {
        let network = cloud.store.get::<Network>(gateway.network);
        subnets.extend(
            network
                .iter()
                .flat_map(|network| network.value.spec.subnets.iter().cloned()),
        );
        own.extend(
            port::addresses(cloud, gateway.port)
                .iter()
                .map(|fixed| fixed.address),
        );
    }
    for (at, route) in routes.iter().enumerate() {
        let reason = if routes[..at].contains(route) {
            "it is there twice"
        } else if route.destination.address().is_ipv4() != route.next_hop.is_ipv4() {
            "the two are of different families"
        } else if own.contains(&route.next_hop) {
            "the nexthop is used by router"
        } else if !subnets
            .iter()
            .any(|subnet| subnet.cidr.contains(route.next_hop))
        {
            "the nexthop is not connected with router"
        } else {
            continue;
        };
        return Err(Refusal::RouteInvalid {
            destination: route.destination,
            next_hop: route.next_hop,
            reason,
        }
        .into());
    }
    Ok(())
}

/// Removes a router without legs, and its way out.
///
/// # Errors
/// [`ErrorKind::Conflict`] where it has legs, or a floating address needs it.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeleteRouter,
        &Target::project(caller.project()),
    )?;
    loop {
        let found = record(cloud, caller, id)?;
        if !found.value.spec.interfaces.is_empty() {
            return Err(Refusal::RouterInUse { router: id }.into());
        }
        let mut transaction = cloud.store.transaction();
        if let Some(gateway) = &found.value.spec.gateway {
            refuse_gateway_needed(cloud, id, gateway)?;
            transaction
                .delete::<Port>(gateway.port, None)
                .delete::<Allotment>(gateway.port, None);
        }
        // The status goes with the router's last node.
        transaction.delete::<Router>(id, Some(found.revision));
        match cloud.store.commit(transaction).await {
            Ok(committed) => return durable(committed.durable).await,
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The router that carries packets between a subnet and an external network.
pub(crate) fn between(cloud: &Cloud, subnet: Id, external: Id) -> Option<Arc<Router>> {
    let mut routers = cloud.store.list::<Router>().into_iter();
    routers
        .find(|(_, found)| {
            let router = &found.value;
            router
                .spec
                .gateway
                .is_some_and(|gateway| gateway.network == external)
                && subnets_of(cloud, router).iter().any(|leg| leg.id == subnet)
        })
        .map(|(_, found)| found.value)
}

fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}
