//! What an instance may know about itself, put together when it asks.
//!
//! Whoever asks is the instance, as the place where it asked says: there is no caller, and nothing
//! of another instance is answered. The front end's metadata service calls this.

use std::net::IpAddr;
use std::sync::Arc;

use model::firewall::Firewall;
use model::guest::Guest;
use model::instance::{Endpoint, NetworkMode};
use model::network::Network;
use model::port::Port;
use model::router::FloatingAddress;
use model::server::Server;
use model::{Id, ProjectId};

use crate::instance::{change_intent, find};
use crate::{ActionError, Cloud, ErrorKind, durable, zone};

/// What an instance may know about itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who it is.
    pub id: Id,
    /// Whose it is.
    pub project: ProjectId,
    /// Its host name.
    pub hostname: String,
    /// What it is told.
    pub guest: Guest,
    /// Its interfaces, the one with the default route first.
    pub links: Vec<Link>,
    /// Names of its firewalls.
    pub firewalls: Vec<String>,
    /// An address of the world that leads to it.
    pub floating: Option<IpAddr>,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its addresses.
    pub endpoint: Endpoint,
    /// What it is on.
    pub network: Arc<Network>,
}

/// What an instance may know about itself now.
///
/// # Errors
/// [`ErrorKind::NotFound`] for one that is gone, or is told nothing.
pub fn facts(cloud: &Cloud, id: Id) -> Result<Facts, ActionError> {
    let view = find(cloud, id).ok_or_else(|| missing(id))?;
    let spec = &view.instance.spec;
    let mut guest = spec.guest.clone().ok_or_else(|| missing(id))?;
    // What users change meanwhile is in the server's record.
    if let Some(server) = cloud.store.get::<Server>(id) {
        guest.name.clone_from(&server.value.meta.name);
        guest.metadata.clone_from(&server.value.spec.metadata);
    }
    let node = view.placement.as_ref().and_then(|placement| placement.node);
    if let Some(node) = node {
        guest.availability_zone = zone::of_node(cloud, node);
    }
    let endpoints = match (spec.network, &view.placement) {
        (NetworkMode::Attached, Some(placement)) => placement.endpoints.as_slice(),
        _ => &[],
    };
    let links: Vec<Link> = endpoints
        .iter()
        .filter_map(|endpoint| {
            let network = cloud.store.get::<Network>(endpoint.network)?.value;
            Some(Link {
                endpoint: endpoint.clone(),
                network,
            })
        })
        .collect();
    let ports: Vec<Arc<Port>> = links
        .iter()
        .filter_map(|link| Some(cloud.store.get::<Port>(link.endpoint.id)?.value))
        .collect();
    let mut firewalls: Vec<String> = ports
        .iter()
        .flat_map(|port| &port.spec.firewalls)
        .filter_map(|firewall| {
            let firewall = cloud.store.get::<Firewall>(*firewall)?;
            Some(firewall.value.meta.name.clone())
        })
        .collect();
    firewalls.sort();
    firewalls.dedup();
    Ok(Facts {
        id,
        project: view.instance.meta.project,
        hostname: spec.hostname.clone(),
        floating: floating(cloud, &ports),
        guest,
        links,
        firewalls,
    })
}

/// The floating address that leads to the first of these ports that has one.
fn floating(cloud: &Cloud, ports: &[Arc<Port>]) -> Option<IpAddr> {
    let known = cloud.store.list::<FloatingAddress>();
    let leads_to = |port: Id| {
        let mut targets = known.iter().map(|(_, found)| &found.value.spec);
        let spec = targets.find(|spec| spec.target.is_some_and(|target| target.port == port))?;
        let held = crate::port::addresses(cloud, spec.port);
        Some(held.first()?.address)
    };
    ports.iter().find_map(|port| leads_to(port.meta.id))
}

/// Keeps the password that an instance made up, encrypted for its user; only once.
///
/// # Errors
/// [`ErrorKind::Conflict`] where it has one.
pub async fn set_password(cloud: &Cloud, id: Id, encrypted: &str) -> Result<(), ActionError> {
    let ((), ticket) = change_intent(cloud, id, |instance| {
        let guest = instance.spec.guest.as_mut().ok_or_else(|| missing(id))?;
        if !guest.password.is_empty() {
            return Err(ActionError::new(
                ErrorKind::Conflict,
                "the password was set before, and stays",
            ));
        }
        encrypted.clone_into(&mut guest.password);
        Ok(())
    })
    .await?;
    durable(ticket).await
}

fn missing(id: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("there is nothing to tell instance {id}"),
    )
}
