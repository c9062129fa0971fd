//! The places of servers on networks: plugged in and out while they run, and which firewalls hold.

use std::sync::Arc;

use model::Id;
use model::firewall::Firewall;

use super::create::{NewPlace, chosen_place, firewall_called};
use super::task::{Doing, begin};
use super::{Place, State, View, build, get, steward};
use crate::policy::Action;
use crate::port::PortChange;
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, ErrorKind, firewall, network, port};

/// States in which a server's places on networks can change.
const PLUGGABLE: &[State] = &[State::Active, State::Paused, State::Stopped];

/// A server's places on networks, in order, and whether each is used now.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn list(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Vec<(Place, bool)>, ActionError> {
    let view = get(cloud, caller, id)?;
    let places = view.places(cloud).into_iter();
    Ok(places
        .map(|place| {
            let is_active = view.is_plugged_in(place.port.meta.id);
            (place, is_active)
        })
        .collect())
}

impl View {
    /// Whether it has an interface for a port now.
    fn is_plugged_in(&self, port: Id) -> bool {
        let endpoints = self.instance.iter().flat_map(|view| &view.status.endpoints);
        endpoints.into_iter().any(|endpoint| endpoint.id == port)
    }
}

/// Gives a server a place on a network: a port, or a new one that goes with it.
///
/// # Errors
/// [`ErrorKind::Conflict`] in a state in which it cannot be and for a port in use,
/// [`ErrorKind::Invalid`] for a network or an address that cannot be, and what the node says.
pub async fn attach(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    place: NewPlace,
) -> Result<(Place, bool), ActionError> {
    let attaching = Doing {
        action: Action::AttachInterface,
        name: "attach_interface",
        task: None,
        states: PLUGGABLE,
    };
    let view = super::task::check(cloud, caller, id, &attaching)?;
    let acting = steward(&view.server, &caller.request_id);
    let wanted = chosen_place(cloud, &acting, &place)?;
    begin(cloud, caller, id, &attaching).await?;
    let port = match wanted.port {
        Some(port) => port,
        None => {
            let new = build::own(cloud, &acting, &view.server, &wanted)?;
            port::create(cloud, &acting, new).await?.port.meta.id
        }
    };
    let plugged = network::plug(cloud, &acting, id, port, port::COMPUTE_OWNER).await;
    if let Err(error) = plugged {
        if wanted.port.is_none() {
            port::remove(cloud, &acting, port).await?;
        }
        return Err(error);
    }
    let mut places = list(cloud, caller, id)?.into_iter();
    places
        .find(|(place, _)| place.port.meta.id == port)
        .ok_or_else(|| Refusal::PortNotFound(port).into())
}

/// Takes a place on a network from a server; a port that was made for it goes.
///
/// # Errors
/// [`ErrorKind::NotFound`] where it has no such port, [`ErrorKind::Conflict`] in a state in which
/// it cannot be, and what the node says.
pub async fn detach(cloud: &Cloud, caller: &Caller, id: Id, port: Id) -> Result<(), ActionError> {
    let detaching = Doing {
        action: Action::DetachInterface,
        name: "detach_interface",
        task: None,
        states: PLUGGABLE,
    };
    let view = super::task::check(cloud, caller, id, &detaching)?;
    let places = view.places(cloud);
    let found = places
        .iter()
        .find(|place| place.port.meta.id == port)
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("Port id {port} could not be found."),
            )
        })?;
    begin(cloud, caller, id, &detaching).await?;
    let acting = steward(&view.server, &caller.request_id);
    if found.is_implied {
        return network::disconnect(cloud, &acting, found.port.spec.network, id).await;
    }
    let is_own = found.port.meta.owners.iter().any(|owner| owner.id == id);
    network::unplug_port(cloud, &acting, id, port).await?;
    if is_own {
        port::remove(cloud, &acting, port).await?;
    }
    Ok(())
}

/// The firewalls of all of a server's ports, each once.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn firewalls(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
) -> Result<Vec<Arc<Firewall>>, ActionError> {
    let view = get(cloud, caller, id)?;
    let acting = steward(&view.server, &caller.request_id);
    let found = View::firewalls(&view.places(cloud)).into_iter();
    Ok(found
        .filter_map(|id| firewall::get(cloud, &acting, id).ok())
        .collect())
}

/// Has a firewall hold for all of a server's ports.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the firewall, [`ErrorKind::Conflict`] in a state in which it
/// cannot be.
pub async fn add_firewall(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    called: &str,
) -> Result<(), ActionError> {
    change_firewalls(cloud, caller, id, called, |firewalls, wanted| {
        if !firewalls.contains(&wanted) {
            firewalls.push(wanted);
        }
        true
    })
    .await
}

/// Has a firewall hold for none of a server's ports any more.
///
/// # Errors
/// As [`add_firewall`]; [`ErrorKind::NotFound`] where it held for none.
pub async fn remove_firewall(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    called: &str,
) -> Result<(), ActionError> {
    change_firewalls(cloud, caller, id, called, |firewalls, wanted| {
        let before = firewalls.len();
        firewalls.retain(|known| *known != wanted);
        firewalls.len() < before
    })
    .await
}

async fn change_firewalls(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    called: &str,
    change: impl Fn(&mut Vec<Id>, Id) -> bool,
) -> Result<(), ActionError> {
    let changing = Doing {
        action: Action::ChangeServerFirewalls,
        name: "addSecurityGroup",
        task: None,
        states: super::task::ANY_STATE,
    };
    let view = super::task::check(cloud, caller, id, &changing)?;
    let acting = steward(&view.server, &caller.request_id);
    let found = firewall_called(cloud, &acting, called).await?;
    let not_found = |message: String| ActionError::new(ErrorKind::NotFound, message);
    let wanted = found.ok_or_else(|| {
        not_found(format!(
            "Security group {called} not found for project {}.",
            acting.project()
        ))
    })?;
    let mut is_changed = false;
    for place in view.places(cloud) {
        if place.is_implied || !place.port.spec.port_security {
            continue;
        }
        let mut firewalls = place.port.spec.firewalls.clone();
        is_changed |= change(&mut firewalls, wanted.meta.id);
        let change = PortChange {
            firewalls: Some(firewalls),
            ..PortChange::default()
        };
        port::update(cloud, &acting, place.port.meta.id, change).await?;
    }
    if !is_changed {
        return Err(not_found(format!(
            "Security group {called} not associated with the instance {id}"
        )));
    }
    Ok(())
}
