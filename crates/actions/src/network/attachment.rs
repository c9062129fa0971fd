//! Puts instances on networks and takes them off again: by a network's name, as Docker does, or
//! by a port that was made before. A running instance gets or loses its interface at once.

use std::net::IpAddr;

use model::Id;
use model::instance::{Attachment, Endpoint, Instance, NetworkMode};
use model::network::Network;

use super::{NODE_ANSWERS_WITHIN, get};
use crate::instance::View;
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, instance, policy, port};

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
