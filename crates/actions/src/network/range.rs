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

/// The range, of another network or of a node's other interfaces, that this one overlaps.
pub(super) fn overlapping(cloud: &Cloud, wanted: &Cidr, own: &[Subnet]) -> Option<Cidr> {
    let networks = cloud.store.list::<Network>();
    let taken = networks
        .iter()
        .filter(|(_, found)| found.value.spec.routing == Routing::Node)
        .flat_map(|(_, found)| &found.value.spec.subnets)
        .chain(own);
    taken
        .map(|subnet| subnet.cidr)
        .find(|cidr| cidr.overlaps(wanted))
}

/// Whether neither a network nor a node's other interfaces use a range.
pub(super) fn is_free(cloud: &Cloud, cidr: &Cidr, own: &[Subnet]) -> bool {
    let nodes = cloud.store.list::<Node>();
    overlapping(cloud, cidr, own).is_none()
        && !nodes
            .iter()
            .flat_map(|(_, node)| &node.value.spec.occupied)
            .any(|taken| taken.overlaps(cidr))
}

/// A range that neither a network nor a node's other interfaces use.
pub(super) fn free_range(cloud: &Cloud, is_v4: bool, own: &[Subnet]) -> Result<Cidr, ActionError> {
    let candidates: Box<dyn Iterator<Item = Option<Cidr>>> = if is_v4 {
        // Docker's default pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in twentieths.
        let large = (17..=31).map(|second| Cidr::new(IpAddr::from([172, second, 0, 0]), 16));
        let small = (0..16).map(|block| Cidr::new(IpAddr::from([192, 168, block * 16, 0]), 20));
        Box::new(large.chain(small))
    } else {
        Box::new((0..64).map(|_| {
            let random = Id::random();
            let bytes = random.as_bytes();
            let global = [0xfd, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], 0, 0];
            let mut address = [0; 16];
            address[..8].copy_from_slice(&global);
            Cidr::new(IpAddr::from(address), 64)
        }))
    };
    let mut candidates = candidates.flatten();
    let free = candidates.find(|cidr| is_free(cloud, cidr, own));
    free.ok_or_else(|| {
        ActionError::new(
            ErrorKind::Conflict,
            "all predefined address pools have been fully subnetted",
        )
    })
}
