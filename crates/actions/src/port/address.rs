//! The addresses of ports: which a port wants, which it was given, and why it got none.
//!
//! The placement controller gives them; what is written here are wishes.

use std::collections::HashSet;
use std::net::IpAddr;

use model::Id;
use model::network::Network;
use model::port::{Allotment, AllotmentRefusal, FixedAddress, WantedAddress};

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

/// The subnets and addresses that a port is to have.
pub(crate) fn wanted_of(
    network: &Network,
    addresses: Option<&[NewAddress]>,
    full: &HashSet<Id>,
) -> Result<Vec<WantedAddress>, ActionError> {
    let subnets = &network.spec.subnets;
    let Some(addresses) = addresses else {
        let of_family = |is_v4: bool| {
            let mut family = subnets
                .iter()
                .filter(move |subnet| subnet.cidr.address().is_ipv4() == is_v4);
            let first = family.clone().next();
            family
                .find(|subnet| !full.contains(&subnet.id))
                // All are full: the first says so.
                .or(first)
        };
        return Ok([of_family(true), of_family(false)]
            .into_iter()
            .flatten()
            .map(|subnet| WantedAddress {
                subnet: subnet.id,
                address: None,
            })
            .collect());
    };
    addresses
        .iter()
        .map(|new| wanted_address(network, *new))
        .collect()
}

fn wanted_address(network: &Network, new: NewAddress) -> Result<WantedAddress, ActionError> {
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
    Ok(WantedAddress {
        subnet: subnet.id,
        address: new.address,
    })
}

/// The addresses of a port.
pub(crate) fn addresses(cloud: &Cloud, id: Id) -> Vec<FixedAddress> {
    let allotment = cloud.store.get::<Allotment>(id);
    allotment.map_or_else(Vec::new, |found| found.value.addresses.clone())
}
