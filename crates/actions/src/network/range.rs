//! Address ranges of networks: those a user chose, checked, and free ones where none was chosen.
//! Networks that the node itself routes never share addresses with each other or with the node's
//! other interfaces; those behind routers may.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use model::Id;
use model::network::{Cidr, Network, Routing};
use model::node::Node;
use model::subnet::{AddressRange, Subnet};

use crate::error::invalid;
use crate::refusal::Refusal;
use crate::{ActionError, Cloud, ErrorKind};

/// A range that a user chose.
#[derive(Clone, Debug)]
pub struct NewSubnet {
    /// The range.
    pub cidr: Cidr,
    /// The bridge's address; `None` is the first of the range.
    pub gateway: Option<IpAddr>,
    /// Where addresses are taken from; `None` is the whole range.
    pub pool: Option<Cidr>,
    /// Addresses that are never given out, by name.
    pub reserved: BTreeMap<String, IpAddr>,
}

/// Refuses a range that another network of the node has.
pub(crate) fn check_free(cloud: &Cloud, network: &Network, cidr: &Cidr) -> Result<(), ActionError> {
    let others = cloud.store.list::<Network>();
    let others = others
        .iter()
        .filter(|(id, found)| *id != network.meta.id && found.value.spec.routing == Routing::Node)
        .flat_map(|(_, found)| &found.value.spec.subnets);
    let mut others = others.map(|subnet| subnet.cidr);
    others
        .find(|other| other.overlaps(cidr))
        .map_or(Ok(()), |other| {
            Err(Refusal::SubnetsOverlap {
                network: network.meta.id,
                cidr: *cidr,
                other,
            }
            .into())
        })
}

pub(super) fn of_range(cidr: Cidr) -> NewSubnet {
    NewSubnet {
        cidr,
        gateway: None,
        pool: None,
        reserved: BTreeMap::new(),
    }
}

pub(super) fn checked(new: NewSubnet, now: Timestamp) -> Result<Subnet, ActionError> {
    let NewSubnet {
        cidr,
        gateway,
        pool,
        reserved,
    } = new;
    let smallest = if cidr.address().is_ipv4() { 31 } else { 127 };
    if cidr.prefix() > smallest {
        return Err(invalid(format!(
            "invalid network config:\ninvalid subnet {cidr}: it has no room for a gateway and a container"
        )));
    }
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => cidr
            .nth(1)
            .ok_or_else(|| invalid(format!("the range {cidr} has no first address")))?,
    };
    let outside = reserved
        .values()
        .copied()
        .chain([gateway])
        .find(|address| !cidr.contains(*address));
    if let Some(address) = outside {
        return Err(invalid(format!(
            "invalid network config:\ninvalid gateway {address}: parent subnet {cidr} does not contain it"
        )));
    }
    if let Some(pool) = &pool
        && (!cidr.contains(pool.address()) || pool.prefix() < cidr.prefix())
    {
        return Err(invalid(format!(
            "invalid network config:\ninvalid ip-range {pool}: parent subnet {cidr} does not contain it"
        )));
    }
    Ok(Subnet {
        pools: pool.map(AddressRange::of).into_iter().collect(),
        reserved,
        ..Subnet::new(cidr, Some(gateway), now)
    })
}

/// The range of another network that this one overlaps.
pub(super) fn overlapping(cloud: &Cloud, wanted: &Cidr, own: &[Subnet]) -> Option<Cidr> {
    let mut ranges = of_networks(cloud, own).into_iter();
    ranges.find(|cidr| cidr.overlaps(wanted))
}

fn of_networks(cloud: &Cloud, own: &[Subnet]) -> Vec<Cidr> {
    let networks = cloud.store.list::<Network>();
    let subnets = networks
        .iter()
        .filter(|(_, found)| found.value.spec.routing == Routing::Node)
        .flat_map(|(_, found)| &found.value.spec.subnets)
        .chain(own);
    subnets.map(|subnet| subnet.cidr).collect()
}

/// The ranges that a network or a node's other interfaces use.
pub(super) fn taken(cloud: &Cloud, own: &[Subnet]) -> Vec<Cidr> {
    let nodes = cloud.store.list::<Node>();
    let mut taken = of_networks(cloud, own);
    taken.extend(nodes.iter().flat_map(|(_, node)| &node.value.spec.occupied));
    taken
}

/// A range of the kind that RFC 4193 has everybody make up.
fn made_up_range() -> Option<Cidr> {
    let random = Id::random();
    let bytes = random.as_bytes();
    let global = [0xfd, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], 0, 0];
    let mut address = [0; 16];
    address[..8].copy_from_slice(&global);
    Cidr::new(IpAddr::from(address), 64)
}

/// A range that neither a network nor a node's other interfaces use.
pub(super) fn free_range(cloud: &Cloud, is_v4: bool, own: &[Subnet]) -> Result<Cidr, ActionError> {
    let mut candidates: Box<dyn Iterator<Item = Cidr>> = match cloud.address_pools.ranges(is_v4) {
        Some(ranges) => Box::new(ranges),
        None => Box::new((0..64).filter_map(|_| made_up_range())),
    };
    // A pool may have many more ranges than there are networks.
    let taken = taken(cloud, own);
    let free = candidates.find(|cidr| !taken.iter().any(|taken| taken.overlaps(cidr)));
    free.ok_or_else(|| {
        ActionError::new(
            ErrorKind::Conflict,
            "all predefined address pools have been fully subnetted",
        )
    })
}
