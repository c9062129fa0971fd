//! The addresses of ports: which a port wants, which it was given, and why it got none.
//!
//! The placement controller gives them; what is written here are wishes.

use std::collections::HashSet;
use std::net::IpAddr;

use model::Id;
use model::network::Network;
use model::port::{Allotment, AllotmentRefusal, FixedAddress, WantedAddress};
use model::subnet::Subnet;

use crate::error::invalid;
use crate::refusal::Refusal;
use crate::{ActionError, Cloud};

/// An address that a user wants: of a subnet, a certain one, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewAddress {
    /// The subnet.
    pub subnet: Option<Id>,
    /// The address.
    pub address: Option<IpAddr>,
}

/// What a refused allotment means to a client.
pub(crate) fn refused(network: Id, refusal: AllotmentRefusal) -> Refusal {
    match refusal {
        AllotmentRefusal::InUse(address) => Refusal::AddressInUse { network, address },
        AllotmentRefusal::Outside(address) => Refusal::AddressOutsideSubnet(address),
        AllotmentRefusal::Exhausted(_) => Refusal::AddressesExhausted { network },
        AllotmentRefusal::NoSubnet(subnet) => Refusal::SubnetNotFound(subnet),
    }
}

/// The subnets and addresses that a port is to have. One with a hardware address of its own has what it
/// makes of that in every subnet where hosts do so, unless it wants no address at all.
pub(crate) fn wanted_of(
    network: &Network,
    addresses: Option<&[NewAddress]>,
    full: &HashSet<Id>,
    mac: Option<&str>,
) -> Result<Vec<WantedAddress>, ActionError> {
    let subnets = &network.spec.subnets;
    let self_made = |subnet: &Subnet| mac.and_then(|mac| subnet.self_made(mac));
    let mut wanted: Vec<WantedAddress> = if let Some(addresses) = addresses {
        let wanted = addresses
            .iter()
            .map(|new| wanted_address(network, *new, mac));
        wanted.collect::<Result<_, _>>()?
    } else {
        let of_family = |is_v4: bool| {
            let mut family = subnets.iter().filter(move |subnet| {
                subnet.cidr.address().is_ipv4() == is_v4 && self_made(subnet).is_none()
            });
            let first = family.clone().next();
            family
                .find(|subnet| !full.contains(&subnet.id))
                // All are full: the first says so.
                .or(first)
        };
        let families = [of_family(true), of_family(false)].into_iter().flatten();
        let any = families.map(|subnet| WantedAddress {
            subnet: subnet.id,
            address: None,
        });
        any.collect()
    };
    if addresses.is_none_or(|addresses| !addresses.is_empty()) {
        for subnet in subnets {
            let is_named = wanted.iter().any(|known| known.subnet == subnet.id);
            if let Some(address) = self_made(subnet).filter(|_| !is_named) {
                wanted.push(WantedAddress {
                    subnet: subnet.id,
                    address: Some(address),
                });
            }
        }
    }
    Ok(wanted)
}

fn wanted_address(
    network: &Network,
    new: NewAddress,
    mac: Option<&str>,
) -> Result<WantedAddress, ActionError> {
    let subnet = match (new.subnet, new.address) {
        (Some(id), _) => network.spec.subnet(id).ok_or_else(|| {
            invalid(format!(
                "Failed to create port on network {}, because fixed_ips included invalid subnet {id}",
                network.meta.id
            ))
        })?,
        (None, Some(address)) => network
            .spec
            .subnet_of(address)
            .ok_or(Refusal::AddressOutside(address))?,
        (None, None) => {
            return Err(invalid("IP allocation requires subnet_id or ip_address"));
        }
    };
    if let Some(address) = new.address
        && (!subnet.cidr.contains(address) || subnet.is_nobodys(address))
    {
        return Err(Refusal::AddressOutsideSubnet(address).into());
    }
    let self_made = mac.and_then(|mac| subnet.self_made(mac));
    if let (Some(address), Some(own)) = (new.address, self_made)
        && address != own
    {
        let subnet = subnet.id;
        return Err(Refusal::AddressSelfMade { subnet, address }.into());
    }
    Ok(WantedAddress {
        subnet: subnet.id,
        address: self_made.or(new.address),
    })
}

/// The addresses of a port.
pub(crate) fn addresses(cloud: &Cloud, id: Id) -> Vec<FixedAddress> {
    let allotment = cloud.store.get::<Allotment>(id);
    allotment.map_or_else(Vec::new, |found| found.value.addresses.clone())
}
