//! A router's way out: its port on an external network.

use std::collections::BTreeSet;

use model::network::Network;
use model::port::{AllotmentRefusal, Port, PortSpec, WantedAddress, owner};
use model::router::{FloatingAddress, RouterGateway};
use model::{Id, Meta};

use super::{change_record, record};
use crate::port::{NewAddress, Uninserted};
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, network, port};

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

/// Gives a router a way out, another one, or none.
pub(super) async fn lead_out(
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

pub(super) fn refuse_gateway_needed(
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
            port::wanted_of(&found.value, Some(addresses), &Default::default(), None)?
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
pub(super) fn own_port(
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
