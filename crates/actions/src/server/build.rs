//! Makes what a server is lowered to: ports, the instance, its volumes, and its first start.
//!
//! Runs behind the answer to whoever asked, one task a server, and reads everything again at each
//! step: after a crash [`resume`] begins it anew, and what is there already is taken.

use std::collections::HashSet;
use std::sync::Arc;

use model::instance::Attachment;
use model::meta::Owner;
use model::port::Port;
use model::server::{Server, Standing, Task, WantedNetwork};
use model::{Id, Kind, Meta};
use store::Versioned;

use super::task::{Outcome, change_record, end};
use super::{greet, lower, missing, size, steward, volumes};
use crate::instance::{NewInstance, ServerRecord};
use crate::port::{NewAddress, NewPort};
use crate::{ActionError, Caller, Cloud, ErrorKind, instance, network, port};

/// Carries on what a crash of the daemon left: servers that were being made are made, and of what
/// else was being done the instance tells how far it came.
///
/// # Errors
/// When the store fails.
pub async fn resume(cloud: &Cloud) -> Result<(), ActionError> {
    for (id, found) in cloud.store.list::<Server>() {
        match found.value.task {
            None => {}
            Some(Task::Building) => begin(cloud, id),
            Some(task) => {
                change_record(cloud, id, |server| {
                    if task == Task::Resizing {
                        size::settle(cloud, server);
                    }
                    server.task = None;
                    Ok(())
                })
                .await?;
            }
        }
    }
    Ok(())
}

/// Makes a server behind the answer.
pub(super) fn begin(cloud: &Cloud, id: Id) {
    let cloud = cloud.clone();
    drop(tokio::spawn(async move {
        let outcome = build(&cloud, id).await;
        end(&cloud, id, outcome).await;
    }));
}

async fn build(cloud: &Cloud, id: Id) -> Result<Outcome, ActionError> {
    make_instance(cloud, id).await?;
    let server = current(cloud, id)?.value;
    let caller = steward(&server, "");
    volumes::attach(cloud, &caller, &server).await?;
    match instance::start(cloud, &caller, id).await {
        Err(error) if error.kind != ErrorKind::NotModified => return Err(error),
        _ => {}
    }
    greet::greet(cloud, &caller, &server).await;
    Ok(Outcome::Stands(Standing::Made))
}

/// Makes the instance of a server, unless there is one.
pub(super) async fn make_instance(cloud: &Cloud, id: Id) -> Result<(), ActionError> {
    while instance::find(cloud, id).is_none() {
        let server = current(cloud, id)?;
        let caller = steward(&server.value, "");
        if let Some(root) = server.value.spec.root_volume() {
            volumes::ensure(cloud, &caller, root).await?;
        }
        let attachments = plug_in(cloud, &caller, &server.value).await?;
        match make(cloud, &caller, &server, attachments).await {
            // Its record was changed, or marked for removal, meanwhile.
            Err(error) if error.kind == ErrorKind::Conflict && error.refusal.is_none() => {}
            made => return made,
        }
    }
    Ok(())
}

/// A server that is still to be made.
fn current(cloud: &Cloud, id: Id) -> Result<Versioned<Server>, ActionError> {
    cloud
        .store
        .get::<Server>(id)
        .filter(|found| found.value.meta.deleted_at.is_none())
        .ok_or_else(|| missing(id))
}

/// Gets a server its places on networks: the ports that were named, and one for each network.
async fn plug_in(
    cloud: &Cloud,
    caller: &Caller,
    server: &Server,
) -> Result<Vec<Attachment>, ActionError> {
    let mut attachments: Vec<Attachment> = Vec::new();
    for (position, wanted) in server.spec.networks.iter().enumerate() {
        let used: HashSet<Id> = attachments.iter().filter_map(|on| on.port).collect();
        let port = match wanted.port {
            Some(port) => port,
            None => own_port(cloud, caller, server, wanted, &used).await?,
        };
        // The first has the default route.
        let behind = i64::try_from(position).unwrap_or(i64::MAX);
        attachments.push(Attachment {
            port: Some(port),
            gateway_priority: -behind,
            ..Attachment::new(wanted.network)
        });
    }
    Ok(attachments)
}

/// A port that goes with the server, which a run before this one may have made.
async fn own_port(
    cloud: &Cloud,
    caller: &Caller,
    server: &Server,
    wanted: &WantedNetwork,
    used: &HashSet<Id>,
) -> Result<Id, ActionError> {
    let id = server.meta.id;
    let is_left = |port: &Arc<Port>| {
        port.meta.owners.iter().any(|owner| owner.id == id) && !used.contains(&port.meta.id)
    };
    let left = port::on_network(cloud, wanted.network);
    if let Some(left) = left.iter().find(|port| is_left(port)) {
        return Ok(left.meta.id);
    }
    let made = port::create(cloud, caller, own(cloud, caller, server, wanted)?).await?;
    let made = made.port.meta.id;
    // Who asked for its removal meanwhile did not see the port.
    if let Err(gone) = current(cloud, id) {
        port::remove(cloud, caller, made).await?;
        return Err(gone);
    }
    Ok(made)
}

/// The port to make for a server.
pub(super) fn own(
    cloud: &Cloud,
    caller: &Caller,
    server: &Server,
    wanted: &WantedNetwork,
) -> Result<NewPort, ActionError> {
    let on = network::get(cloud, caller, wanted.network)?;
    let firewalls = Some(server.spec.firewalls.clone()).filter(|named| !named.is_empty());
    let address = |address| {
        vec![NewAddress {
            subnet: None,
            address: Some(address),
        }]
    };
    Ok(NewPort {
        addresses: wanted.address.map(address),
        firewalls: firewalls.filter(|_| on.spec.port_security),
        device_id: server.meta.id.to_string(),
        device_owner: port::COMPUTE_OWNER.to_owned(),
        dns_name: server.spec.hostname.clone(),
        owners: vec![owner(&server.meta)],
        ..NewPort::on(wanted.network)
    })
}

fn owner(meta: &Meta) -> Owner {
    Owner {
        kind: Kind::Server,
        id: meta.id,
    }
}

async fn make(
    cloud: &Cloud,
    caller: &Caller,
    server: &Versioned<Server>,
    attachments: Vec<Attachment>,
) -> Result<(), ActionError> {
    let value = &server.value;
    let base = volumes::base(cloud, value)?;
    let lowered = lower::lowered(value, attachments, &base);
    let without_image = value.spec.root_volume().map(|_| base.defaults);
    let new = |name: String| NewInstance {
        name: Some(name),
        spec: lowered.spec.clone(),
        entrypoint: lowered.entrypoint.clone(),
        command: lowered.command.clone(),
        without_image: without_image.clone(),
        server: Some(ServerRecord {
            id: value.meta.id,
            revision: server.revision,
        }),
        ..NewInstance::default()
    };
    let name = lower::instance_name(&value.meta.name, value.meta.id);
    let made = instance::create(cloud, caller, new(name.clone())).await;
    match made {
        // Servers' names need not be unique.
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            let digits: String = value.meta.id.simple().chars().take(8).collect();
            let unique = new(format!("{name}-{digits}"));
            instance::create(cloud, caller, unique).await.map(drop)
        }
        made => made.map(drop),
    }
}
