//! Taking a subnet away, and who is in the way.

use model::Id;
use model::port::Port;
use model::subnet::Subnet;

use super::{View, get};
use crate::policy::{self, Target};
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, network, port};

/// Removes a subnet that nobody was given an address of; those that ports made themselves go with it.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] where somebody was.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeleteSubnet,
        &Target::project(caller.project()),
    )?;
    let view = get(cloud, caller, id)?;
    let in_use = || {
        let reason = who_uses(cloud, &view)?;
        Some(Refusal::SubnetInUse { subnet: id, reason })
    };
    if let Some(refusal) = in_use() {
        return Err(refusal.into());
    }
    for port in port::on_network(cloud, view.network.meta.id) {
        if has_own(&port, &view.subnet) {
            port::change_record(cloud, port.meta.id, |port| {
                port.spec.wanted.retain(|wanted| wanted.subnet != id);
                Ok(())
            })
            .await?;
        }
    }
    let taken_out = network::change_record(cloud, caller, view.network.meta.id, |network, _| {
        let before = network.spec.subnets.len();
        network.spec.subnets.retain(|subnet| subnet.id != id);
        if network.spec.subnets.len() == before {
            return Err(Refusal::SubnetNotFound(id).into());
        }
        Ok(())
    });
    taken_out.await?;
    // Nobody can ask for an address of it any more; whoever did before is seen now.
    if let Some(refusal) = in_use() {
        network::change_record(cloud, caller, view.network.meta.id, |network, _| {
            network.spec.subnets.push(view.subnet.clone());
            Ok(())
        })
        .await?;
        return Err(refusal.into());
    }
    Ok(())
}

/// Whether the address that a port has of a subnet is the one that it makes itself.
fn has_own(port: &Port, subnet: &Subnet) -> bool {
    let own = subnet.self_made(&port.spec.mac);
    let mut wanted = port.spec.wanted.iter();
    own.is_some() && wanted.any(|wanted| wanted.subnet == subnet.id && wanted.address == own)
}

/// Who was given an address of a subnet, in words.
fn who_uses(cloud: &Cloud, view: &View) -> Option<String> {
    let of_ports = port::on_network(cloud, view.network.meta.id);
    let ports = of_ports.iter().find(|port| {
        port.spec
            .wanted
            .iter()
            .any(|wanted| wanted.subnet == view.subnet.id)
            && !has_own(port, &view.subnet)
    });
    if let Some(port) = ports {
        return Some(format!(
            "One or more ports have an IP allocation from this subnet ({})",
            port.meta.id
        ));
    }
    let members = network::attached(cloud, view.network.meta.id);
    let member = members.iter().find(|member| {
        let endpoints = member
            .placement
            .as_ref()
            .map(|placement| placement.endpoints.as_slice())
            .unwrap_or_default();
        endpoints.iter().any(|endpoint| {
            endpoint.network == view.network.meta.id
                && endpoint.addresses().any(|(address, _)| {
                    view.subnet.cidr.contains(address)
                        && view.subnet.self_made(&endpoint.mac) != Some(address)
                })
        })
    });
    member.map(|member| {
        format!(
            "instance {} has an address of it",
            member.instance.meta.name
        )
    })
}
