//! Takes ports for instances, and gives them back: a port has one thing that plugs into it.

use model::Id;
use model::port::Port;

use super::{change_record, get};
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// Takes a port for an instance, so that nothing else plugs into it.
///
/// # Errors
/// [`ErrorKind::Conflict`] where something else does already.
pub async fn claim(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    device: Id,
    device_owner: &str,
) -> Result<Port, ActionError> {
    let view = get(cloud, caller, id)?;
    let in_use = |port: &Port| Refusal::PortInUse {
        port: id,
        network: port.spec.network,
        device: port.spec.device_id.clone(),
    };
    if view.implied {
        return Err(in_use(&view.port).into());
    }
    let device = device.to_string();
    let (port, ticket) = change_record(cloud, id, |port| {
        if !port.spec.device_id.is_empty() && port.spec.device_id != device {
            return Err(in_use(port).into());
        }
        port.spec.device_id.clone_from(&device);
        device_owner.clone_into(&mut port.spec.device_owner);
        Ok(())
    })
    .await?;
    durable(ticket).await?;
    Ok(port)
}

/// Gives back a port that an instance had taken; one that is gone, or another's, is left.
///
/// # Errors
/// When the store fails.
pub async fn disclaim(cloud: &Cloud, id: Id, device: Id) -> Result<(), ActionError> {
    let device = device.to_string();
    let given_back = change_record(cloud, id, |port| {
        if port.spec.device_id == device {
            port.spec.device_id.clear();
            port.spec.device_owner.clear();
        }
        Ok(())
    });
    match given_back.await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        given_back => given_back.map(drop),
    }
}
