//! Subnets: ranges of a network's addresses. They are kept in the network's record.

mod removal;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use model::Id;
use model::network::{Cidr, Network, Routing};
use model::port::{Port, owner};
use model::quota::Resource;
use model::subnet::{AddressRange, Ipv6Mode, Route, Subnet};

use crate::error::invalid;
use crate::policy::{self, Target};
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, ErrorKind, network, port, quota};

pub use removal::remove;

/// The most name servers of a subnet, as Neutron has it.
const MAX_DNS_SERVERS: usize = 5;
/// The most host routes of a subnet, as Neutron has it.
const MAX_ROUTES: usize = 20;

/// What to make.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of a subnet")]
pub struct NewSubnet {
    pub network: Id,
    pub name: String,
    pub description: String,
    pub tags: BTreeSet<String>,
    pub cidr: Cidr,
    pub gateway: NewGateway,
    /// Where addresses are taken from; `None` is all but the gateway.
    pub pools: Option<Vec<AddressRange>>,
    pub routes: Vec<Route>,
    pub dns_servers: Vec<IpAddr>,
    pub dhcp: bool,
    pub ipv6_address_mode: Option<Ipv6Mode>,
    pub ipv6_ra_mode: Option<Ipv6Mode>,
}

/// A wish for a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewGateway {
    /// The first address of the range.
    #[default]
    First,
    /// None.
    Without,
    /// This one.
    At(IpAddr),
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a subnet")]
pub struct SubnetChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub tags: Option<BTreeSet<String>>,
    pub gateway: Option<Option<IpAddr>>,
    pub pools: Option<Vec<AddressRange>>,
    pub routes: Option<Vec<Route>>,
    pub dns_servers: Option<Vec<IpAddr>>,
    pub dhcp: Option<bool>,
}

/// A subnet and the network it is of.
#[derive(Clone, Debug)]
pub struct View {
    /// The network.
    pub network: Arc<Network>,
    /// The subnet.
    pub subnet: Subnet,
}

/// Makes a subnet of a network of the caller's.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the network, [`ErrorKind::Invalid`] where it overlaps another
/// subnet of the network or what it says does not fit together.
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewSubnet) -> Result<View, ActionError> {
    caller.may(
        policy::Action::CreateSubnet,
        &Target::project(caller.project()),
    )?;
    let subnet = built(&new, cloud.now())?;
    let network = network::change_record(cloud, caller, new.network, |network, transaction| {
        let wanted = [(Resource::Subnets, 1)];
        quota::claim(cloud, transaction, network.meta.project, &wanted)?;
        check_overlap(network, &subnet.cidr)?;
        if network.spec.routing == Routing::Node {
            network::check_free(cloud, network, &subnet.cidr)?;
        }
        network.spec.subnets.push(subnet.clone());
        Ok(())
    })
    .await?;
    Ok(View { network, subnet })
}

fn check_overlap(network: &Network, cidr: &Cidr) -> Result<(), ActionError> {
    let other = network
        .spec
        .subnets
        .iter()
        .find(|subnet| subnet.cidr.overlaps(cidr));
    other.map_or(Ok(()), |other| {
        Err(Refusal::SubnetsOverlap {
            network: network.meta.id,
            cidr: *cidr,
            other: other.cidr,
        }
        .into())
    })
}

/// A subnet from a wish, checked by itself.
pub(crate) fn built(new: &NewSubnet, now: jiff::Timestamp) -> Result<Subnet, ActionError> {
    let cidr = new.cidr;
    if cidr.prefix() == 0 || cidr.address().is_multicast() || cidr.address().is_loopback() {
        return Err(invalid(format!(
            "the range {cidr} cannot be a subnet: it is everything, loopback or multicast"
        )));
    }
    let gateway = match new.gateway {
        NewGateway::At(address) => Some(address),
        NewGateway::Without => None,
        NewGateway::First => {
            let longest = if cidr.address().is_ipv4() { 32 } else { 128 };
            Some(if cidr.prefix() == longest {
                cidr.address()
            } else {
                cidr.nth(1).unwrap_or(cidr.address())
            })
        }
    };
    let mut subnet = Subnet {
        name: new.name.clone(),
        description: new.description.clone(),
        tags: new.tags.clone(),
        pools: new.pools.clone().unwrap_or_default(),
        routes: new.routes.clone(),
        dns_servers: new.dns_servers.clone(),
        dhcp: new.dhcp,
        ipv6_address_mode: new.ipv6_address_mode,
        ipv6_ra_mode: new.ipv6_ra_mode,
        ..Subnet::new(cidr, gateway, now)
    };
    check(&subnet)?;
    if subnet.pools.is_empty() {
        subnet.pools = pools_around(cidr, gateway);
    }
    Ok(subnet)
}

/// Checks how hosts of a subnet are meant to find their IPv6 addresses.
fn check_modes(subnet: &Subnet) -> Result<(), ActionError> {
    let (address, announced) = (subnet.ipv6_address_mode, subnet.ipv6_ra_mode);
    if address.is_none() && announced.is_none() {
        return Ok(());
    }
    if subnet.cidr.address().is_ipv4() {
        return Err(invalid(
            "ipv6_address_mode and ipv6_ra_mode are not valid when ip_version is 4",
        ));
    }
    if !subnet.dhcp {
        return Err(invalid(
            "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False",
        ));
    }
    if address.is_some() && announced.is_some() && address != announced {
        return Err(invalid(
            "ipv6_ra_mode and ipv6_address_mode must be the same where both are set",
        ));
    }
    if subnet.is_self_made() && subnet.cidr.prefix() != 64 {
        return Err(invalid(format!(
            "Invalid CIDR {} for IPv6 address mode: hosts that make their addresses need a prefix of 64",
            subnet.cidr
        )));
    }
    Ok(())
}

/// Checks that what a subnet says fits together.
fn check(subnet: &Subnet) -> Result<(), ActionError> {
    let cidr = subnet.cidr;
    let is_v4 = cidr.address().is_ipv4();
    if let Some(gateway) = subnet.gateway {
        if gateway.is_ipv4() != is_v4 {
            return Err(invalid(format!(
                "gateway_ip '{gateway}' does not match the ip_version '{}'",
                if is_v4 { 4 } else { 6 }
            )));
        }
        // An IPv6 router may be known by its link-local address alone.
        let is_link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if subnet.is_nobodys(gateway) || (is_v4 && !cidr.contains(gateway)) {
            return Err(invalid(format!(
                "Gateway is not valid on subnet: {gateway} on {cidr}"
            )));
        }
        if !is_v4 && !cidr.contains(gateway) && !is_link_local {
            return Err(invalid(format!(
                "Gateway is not valid on subnet: {gateway} on {cidr}"
            )));
        }
    }
    check_modes(subnet)?;
    for (at, pool) in subnet.pools.iter().enumerate() {
        if pool.first.is_ipv4() != pool.last.is_ipv4()
            || pool.first.is_ipv4() != is_v4
            || pool.last < pool.first
        {
            return Err(Refusal::PoolInvalid(*pool).into());
        }
        let is_inside = cidr.contains(pool.first) && cidr.contains(pool.last);
        if !is_inside || subnet.is_nobodys(pool.first) || subnet.is_nobodys(pool.last) {
            return Err(Refusal::PoolOutside { pool: *pool, cidr }.into());
        }
        if let Some(other) = subnet.pools[..at].iter().find(|other| other.overlaps(pool)) {
            return Err(Refusal::PoolsOverlap {
                pool: *pool,
                other: *other,
                cidr,
            }
            .into());
        }
        if let Some(gateway) = subnet.gateway.filter(|gateway| pool.contains(*gateway)) {
            return Err(Refusal::GatewayInPool {
                gateway,
                pool: *pool,
            }
            .into());
        }
    }
    if subnet.dns_servers.len() > MAX_DNS_SERVERS {
        return Err(invalid(format!(
            "dns_nameservers exceeds quota {MAX_DNS_SERVERS}"
        )));
    }
    if subnet.routes.len() > MAX_ROUTES {
        return Err(invalid(format!("host_routes exceeds quota {MAX_ROUTES}")));
    }
    if let Some(route) = subnet.routes.iter().find(|route| {
        route.next_hop.is_ipv4() != is_v4 || route.destination.address().is_ipv4() != is_v4
    }) {
        return Err(invalid(format!(
            "the route to {} by {} is of another family than the subnet {cidr}",
            route.destination, route.next_hop
        )));
    }
    Ok(())
}

/// All of a range that can be given out, around its gateway.
fn pools_around(cidr: Cidr, gateway: Option<IpAddr>) -> Vec<AddressRange> {
    let is_v4 = cidr.address().is_ipv4();
    let (first, last) = (number(cidr.address()), number(cidr.last()));
    let longest = if is_v4 { 32 } else { 128 };
    let (first, last) = match longest - cidr.prefix() {
        0 | 1 => (first, last),
        _ if is_v4 => (first + 1, last - 1),
        _ => (first + 1, last),
    };
    let pool = |first: u128, last: u128| {
        (first <= last).then(|| AddressRange {
            first: address(first, is_v4),
            last: address(last, is_v4),
        })
    };
    match gateway.map(number) {
        Some(gateway) if (first..=last).contains(&gateway) => [
            gateway.checked_sub(1).and_then(|end| pool(first, end)),
            gateway.checked_add(1).and_then(|begin| pool(begin, last)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        _ => pool(first, last).into_iter().collect(),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The address of a number that came from one of the same family.
fn address(number: u128, is_v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if is_v4 => IpAddr::V4(number.into()),
        _ => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// The subnets of all networks that a caller may see.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<View> {
    let networks = network::list_all(cloud, caller);
    let views = networks.into_iter().flat_map(|network| {
        let subnets = network.spec.subnets.clone();
        subnets.into_iter().map(move |subnet| View {
            network: Arc::clone(&network),
            subnet,
        })
    });
    views.collect()
}

/// One subnet.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    list(cloud, caller)
        .into_iter()
        .find(|view| view.subnet.id == id)
        .ok_or_else(|| Refusal::SubnetNotFound(id).into())
}

/// Changes a subnet.
///
/// # Errors
/// As [`create`]; [`ErrorKind::Conflict`] for the gateway where a router has the old one.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: SubnetChange,
) -> Result<View, ActionError> {
    caller.may(
        policy::Action::UpdateSubnet,
        &Target::project(caller.project()),
    )?;
    let view = get(cloud, caller, id)?;
    let network = network::change_record(cloud, caller, view.network.meta.id, |network, _| {
        let is_nodes = network.spec.routing == Routing::Node;
        let subnets = &mut network.spec.subnets;
        let subnet = subnets.iter_mut().find(|subnet| subnet.id == id);
        let subnet = subnet.ok_or(Refusal::SubnetNotFound(id))?;
        if let Some(gateway) = change.gateway.filter(|gateway| *gateway != subnet.gateway) {
            if is_nodes {
                return Err(ActionError::new(
                    ErrorKind::Conflict,
                    format!("the gateway of subnet {id} is the node's and cannot be changed"),
                ));
            }
            refuse_gateway_in_use(cloud, subnet)?;
            subnet.gateway = gateway;
        }
        if let Some(pools) = &change.pools {
            subnet.pools.clone_from(pools);
        }
        apply_words(subnet, &change);
        check(subnet)?;
        subnet.generation += 1;
        subnet.updated_at = cloud.now();
        Ok(())
    })
    .await?;
    let subnet = network.spec.subnet(id).cloned();
    subnet
        .map(|subnet| View { network, subnet })
        .ok_or_else(|| Refusal::SubnetNotFound(id).into())
}

fn apply_words(subnet: &mut Subnet, change: &SubnetChange) {
    if let Some(name) = &change.name {
        subnet.name.clone_from(name);
    }
    if let Some(description) = &change.description {
        subnet.description.clone_from(description);
    }
    if let Some(tags) = &change.tags {
        subnet.tags.clone_from(tags);
    }
    if let Some(routes) = &change.routes {
        subnet.routes.clone_from(routes);
    }
    if let Some(servers) = &change.dns_servers {
        subnet.dns_servers.clone_from(servers);
    }
    if let Some(dhcp) = change.dhcp {
        subnet.dhcp = dhcp;
    }
}

/// A gateway that a router has stays.
fn refuse_gateway_in_use(cloud: &Cloud, subnet: &Subnet) -> Result<(), ActionError> {
    let Some(gateway) = subnet.gateway else {
        return Ok(());
    };
    let ports = cloud.store.list::<Port>();
    let holder = ports.iter().find(|(id, found)| {
        found.value.spec.device_owner == owner::ROUTER_INTERFACE
            && port::addresses(cloud, *id)
                .iter()
                .any(|fixed| fixed.subnet == subnet.id && fixed.address == gateway)
    });
    holder.map_or(Ok(()), |(port, _)| {
        Err(Refusal::GatewayInUse {
            gateway,
            port: *port,
        }
        .into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(cidr: &str) -> NewSubnet {
        NewSubnet {
            network: Id::random(),
            name: String::new(),
            description: String::new(),
            tags: BTreeSet::new(),
            cidr: cidr.parse().unwrap(),
            gateway: NewGateway::First,
            pools: None,
            routes: Vec::new(),
            dns_servers: Vec::new(),
            dhcp: true,
            ipv6_address_mode: None,
            ipv6_ra_mode: None,
        }
    }

    fn build(new: &NewSubnet) -> Result<Subnet, ActionError> {
        built(new, jiff::Timestamp::UNIX_EPOCH)
    }

    fn pools(new: &NewSubnet) -> Vec<String> {
        let subnet = build(new).unwrap();
        subnet.pools.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pools_leave_out_the_gateway_and_what_is_nobodys() {
        assert_eq!(pools(&new("10.0.0.0/24")), ["10.0.0.2-10.0.0.254"]);
        assert_eq!(
            pools(&new("fd00::/64")),
            ["fd00::2-fd00::ffff:ffff:ffff:ffff"]
        );
        let middle = NewSubnet {
            gateway: NewGateway::At("10.0.0.100".parse().unwrap()),
            ..new("10.0.0.0/24")
        };
        assert_eq!(
            pools(&middle),
            ["10.0.0.1-10.0.0.99", "10.0.0.101-10.0.0.254"]
        );
        let without = NewSubnet {
            gateway: NewGateway::Without,
            ..new("10.0.0.0/30")
        };
        assert_eq!(pools(&without), ["10.0.0.1-10.0.0.2"]);
        assert_eq!(pools(&new("10.0.0.0/31")), ["10.0.0.0-10.0.0.0"]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let range = |first: &str, last: &str| AddressRange {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
        };
        let with = |pools: Vec<AddressRange>| NewSubnet {
            pools: Some(pools),
            ..new("10.0.0.0/24")
        };
        let refusal = |new: &NewSubnet| build(new).unwrap_err().refusal.map(|refusal| *refusal);
        assert!(matches!(
            refusal(&with(vec![range("10.0.0.1", "10.0.0.9")])),
            Some(Refusal::GatewayInPool { .. })
        ));
        assert!(matches!(
            refusal(&with(vec![range("10.0.0.9", "10.0.1.9")])),
            Some(Refusal::PoolOutside { .. })
        ));
        assert!(matches!(
            refusal(&with(vec![range("10.0.0.9", "10.0.0.8")])),
            Some(Refusal::PoolInvalid(_))
        ));
        let two = vec![
            range("10.0.0.9", "10.0.0.20"),
            range("10.0.0.20", "10.0.0.30"),
        ];
        assert!(matches!(
            refusal(&with(two)),
            Some(Refusal::PoolsOverlap { .. })
        ));
        for gateway in ["10.0.1.1", "10.0.0.255", "10.0.0.0", "fd00::1"] {
            let wrong = NewSubnet {
                gateway: NewGateway::At(gateway.parse().unwrap()),
                ..new("10.0.0.0/24")
            };
            assert_eq!(
                build(&wrong).unwrap_err().kind,
                ErrorKind::Invalid,
                "{gateway}"
            );
        }
        for cidr in ["0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/24"] {
            assert!(build(&new(cidr)).is_err(), "{cidr}");
        }
    }
}
