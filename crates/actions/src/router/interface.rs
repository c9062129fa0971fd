//! A router's legs: its ports on the subnets that it joins.

use std::net::IpAddr;
use std::sync::Arc;

use model::Id;
use model::network::Network;
use model::port::{Port, WantedAddress, owner};
use model::router::{FloatingAddress, Router};
use model::subnet::Subnet;

use super::gateway::own_port;
use super::{change_record, record};
use crate::error::invalid;
use crate::policy::{self, Target};
use crate::port::Uninserted;
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, ErrorKind, network, port, subnet};

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
pub(super) fn subnets_of(cloud: &Cloud, router: &Router) -> Vec<Subnet> {
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
