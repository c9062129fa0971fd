//! Which addresses instances have, and which are free.
//!
//! An index in memory of what placements say, rebuilt from them at every start. Gives the lowest
//! free address, as dockerd does. Pure; the placement controller asks it and writes the answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Id;
use model::instance::{Attachment, Endpoint};
use model::network::{Cidr, Network, Subnet};

/// All addresses that instances have.
#[derive(Default)]
pub struct Addresses {
    networks: HashMap<Id, Taken>,
    held: HashMap<Id, Vec<Endpoint>>,
}

/// The taken addresses of one network.
#[derive(Default)]
struct Taken {
    addresses: HashMap<IpAddr, Id>,
    /// By range: every address at a smaller offset is taken or never given out.
    lowest: BTreeMap<IpAddr, u128>,
}

/// Why an instance cannot have an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another instance, the gateway or a reservation has it.
    #[error("Address already in use: {address} on network {network}")]
    InUse {
        /// The address.
        address: IpAddr,
        /// The network's name.
        network: String,
    },
    /// It lies in no range of the network.
    #[error("no configured subnet of network {network} contains the address {address}")]
    Outside {
        /// The address.
        address: IpAddr,
        /// The network's name.
        network: String,
    },
    /// Every address is taken.
    #[error("no available {family} addresses on network {network}: all of {range} are taken")]
    Exhausted {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Where addresses are taken from.
        range: Cidr,
        /// The network's name.
        network: String,
    },
}

impl Addresses {
    /// Takes note of all addresses that an instance has, instead of those it had.
    pub fn hold(&mut self, instance: Id, endpoints: &[Endpoint]) {
        if self
            .held
            .get(&instance)
            .map(Vec::as_slice)
            .unwrap_or_default()
            == endpoints
        {
            return;
        }
        self.release(instance);
        for endpoint in endpoints {
            let taken = self.networks.entry(endpoint.network).or_default();
            for address in addresses(endpoint) {
                taken.addresses.insert(address, instance);
            }
        }
        if !endpoints.is_empty() {
            self.held.insert(instance, endpoints.to_vec());
        }
    }

    /// Takes note that an instance has no addresses any more.
    pub fn release(&mut self, instance: Id) {
        for endpoint in self.held.remove(&instance).unwrap_or_default() {
            let Some(taken) = self.networks.get_mut(&endpoint.network) else {
                continue;
            };
            for address in addresses(&endpoint) {
                // Somebody else's by now, where two had the same.
                if taken.addresses.get(&address) == Some(&instance) {
                    taken.addresses.remove(&address);
                    taken.lowest.clear();
                }
            }
            if taken.addresses.is_empty() {
                self.networks.remove(&endpoint.network);
            }
        }
    }

    /// Instances that have addresses.
    pub fn holders(&self) -> impl Iterator<Item = Id> + '_ {
        self.held.keys().copied()
    }

    /// Chooses the addresses of an instance on a network; [`Self::hold`] takes them.
    ///
    /// # Errors
    /// Fails where a fixed address cannot be had, or none is left.
    pub fn choose(
        &mut self,
        instance: Id,
        network: &Network,
        attachment: &Attachment,
    ) -> Result<Endpoint, AddressError> {
        let taken = self.networks.entry(network.meta.id).or_default();
        let (mut ipv4, mut ipv6) = (None, None);
        for subnet in &network.spec.subnets {
            let fixed = match subnet.cidr.address() {
                IpAddr::V4(_) => attachment.ipv4.map(IpAddr::V4),
                IpAddr::V6(_) => attachment.ipv6.map(IpAddr::V6),
            };
            if fixed.is_some_and(|fixed| !subnet.cidr.contains(fixed)) {
                continue;
            }
            match taken.choose(instance, network, subnet, fixed)? {
                IpAddr::V4(address) => ipv4 = ipv4.or(Some((address, subnet.cidr.prefix()))),
                IpAddr::V6(address) => ipv6 = ipv6.or(Some((address, subnet.cidr.prefix()))),
            }
        }
        let unmet = [
            attachment.ipv4.filter(|_| ipv4.is_none()).map(IpAddr::V4),
            attachment.ipv6.filter(|_| ipv6.is_none()).map(IpAddr::V6),
        ];
        if let Some(address) = unmet.into_iter().flatten().next() {
            return Err(AddressError::Outside {
                address,
                network: network.meta.name.clone(),
            });
        }
        let mac = attachment
            .mac
            .clone()
            .unwrap_or_else(|| hardware_address(ipv4.map(|(address, _)| address)));
        Ok(Endpoint {
            network: network.meta.id,
            id: Id::random(),
            ipv4,
            ipv6,
            mac,
        })
    }
}

impl Taken {
    fn choose(
        &mut self,
        instance: Id,
        network: &Network,
        subnet: &Subnet,
        fixed: Option<IpAddr>,
    ) -> Result<IpAddr, AddressError> {
        let never = never_given_out(subnet);
        if let Some(address) = fixed {
            let is_own = self
                .addresses
                .get(&address)
                .is_none_or(|holder| *holder == instance);
            return if is_own && !never.contains(&address) {
                Ok(address)
            } else {
                Err(AddressError::InUse {
                    address,
                    network: network.meta.name.clone(),
                })
            };
        }
        let range = subnet.allocation.unwrap_or(subnet.cidr);
        let lowest = self.lowest.entry(range.address()).or_default();
        while let Some(address) = range.nth(*lowest) {
            if !self.addresses.contains_key(&address) && !never.contains(&address) {
                return Ok(address);
            }
            *lowest += 1;
        }
        Err(AddressError::Exhausted {
            family: if range.address().is_ipv4() {
                "IPv4"
            } else {
                "IPv6"
            },
            range,
            network: network.meta.name.clone(),
        })
    }
}

/// Addresses of a range that no instance gets: the gateway's, the reserved ones, and those that
/// mean the network itself.
fn never_given_out(subnet: &Subnet) -> HashSet<IpAddr> {
    let mut never: HashSet<IpAddr> = subnet.reserved.values().copied().collect();
    never.insert(subnet.gateway);
    match subnet.cidr.address() {
        // RFC 3021: with a prefix of 31 there is neither a network's nor a broadcast address.
        IpAddr::V4(first) if subnet.cidr.prefix() < 31 => {
            let last = u32::from(first) | (u32::MAX >> subnet.cidr.prefix());
            never.extend([IpAddr::V4(first), IpAddr::V4(Ipv4Addr::from(last))]);
        }
        IpAddr::V4(_) => {}
        // RFC 4291, section 2.6.1: the subnet's routers answer to the first address.
        IpAddr::V6(first) => {
            never.insert(IpAddr::V6(first));
        }
    }
    never
}

fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let v4 = endpoint
        .ipv4
        .map(|(address, _): (Ipv4Addr, u8)| IpAddr::V4(address));
    let v6 = endpoint
        .ipv6
        .map(|(address, _): (Ipv6Addr, u8)| IpAddr::V6(address));
    v4.into_iter().chain(v6)
}

/// A locally administered address: with IPv4 it follows from that address, so that neighbours who
/// remember who had the address before are right; otherwise it is random.
fn hardware_address(ipv4: Option<Ipv4Addr>) -> String {
    let [a, b, c, d] = ipv4.map_or_else(
        || {
            let random = Id::random();
            let bytes = random.as_bytes();
            [bytes[0], bytes[1], bytes[2], bytes[3]]
        },
        |address| address.octets(),
    );
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::network::{Driver, NetworkSpec};
    use model::{Meta, ProjectId};

    use super::*;

    fn network(subnets: &[(&str, &str, Option<&str>)]) -> Network {
        let subnets = subnets
            .iter()
            .map(|(cidr, gateway, allocation)| Subnet {
                cidr: cidr.parse().unwrap(),
                gateway: gateway.parse().unwrap(),
                allocation: allocation.map(|cidr| cidr.parse().unwrap()),
                reserved: BTreeMap::new(),
            })
            .collect();
        let spec = NetworkSpec {
            driver: Driver::Bridge,
            subnets,
            internal: false,
            dns: true,
            inter_instance: true,
            masquerade: true,
            mtu: None,
            bridge_name: None,
            host_binding: None,
            predefined: false,
            origin: BTreeMap::new(),
        };
        Network {
            meta: Meta::new("net", ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            spec,
        }
    }

    fn attachment(network: &Network) -> Attachment {
        Attachment {
            network: network.meta.id,
            aliases: Vec::new(),
            links: Vec::new(),
            ipv4: None,
            ipv6: None,
            mac: None,
            gateway_priority: 0,
        }
    }

    fn take(addresses: &mut Addresses, network: &Network) -> Result<(Id, Endpoint), AddressError> {
        let instance = Id::random();
        let endpoint = addresses.choose(instance, network, &attachment(network))?;
        addresses.hold(instance, std::slice::from_ref(&endpoint));
        Ok((instance, endpoint))
    }

    fn v4(endpoint: &Endpoint) -> String {
        endpoint.ipv4.unwrap().0.to_string()
    }

    #[test]
    fn the_lowest_free_address_is_next() {
        let net = network(&[("172.17.0.0/16", "172.17.0.1", None)]);
        let mut addresses = Addresses::default();
        let (first, endpoint) = take(&mut addresses, &net).unwrap();
        assert_eq!(endpoint.ipv4, Some((Ipv4Addr::new(172, 17, 0, 2), 16)));
        assert_eq!(endpoint.mac, "02:42:ac:11:00:02");
        assert_eq!(v4(&take(&mut addresses, &net).unwrap().1), "172.17.0.3");
        addresses.release(first);
        assert_eq!(v4(&take(&mut addresses, &net).unwrap().1), "172.17.0.2");
        assert_eq!(v4(&take(&mut addresses, &net).unwrap().1), "172.17.0.4");
    }

    #[test]
    fn a_small_range_gives_all_it_has_and_no_more() {
        let mut net = network(&[("10.0.0.0/29", "10.0.0.1", None)]);
        net.spec.subnets[0]
            .reserved
            .insert("router".into(), "10.0.0.4".parse().unwrap());
        let mut addresses = Addresses::default();
        let given: Vec<_> = (0..4)
            .map(|_| v4(&take(&mut addresses, &net).unwrap().1))
            .collect();
        assert_eq!(given, ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]);
        assert!(matches!(
            take(&mut addresses, &net),
            Err(AddressError::Exhausted { family: "IPv4", .. })
        ));
    }

    #[test]
    fn addresses_come_from_the_allocation_range() {
        let net = network(&[("10.0.0.0/16", "10.0.0.1", Some("10.0.5.0/30"))]);
        let mut addresses = Addresses::default();
        let given: Vec<_> = (0..4)
            .map(|_| v4(&take(&mut addresses, &net).unwrap().1))
            .collect();
        assert_eq!(given, ["10.0.5.0", "10.0.5.1", "10.0.5.2", "10.0.5.3"]);
        assert!(take(&mut addresses, &net).is_err());
        // A fixed one may lie outside it.
        let mut wish = attachment(&net);
        wish.ipv4 = Some(Ipv4Addr::new(10, 0, 9, 9));
        assert_eq!(
            v4(&addresses.choose(Id::random(), &net, &wish).unwrap()),
            "10.0.9.9"
        );
    }

    #[test]
    fn fixed_addresses_are_kept_or_refused() {
        let net = network(&[("10.0.0.0/24", "10.0.0.1", None)]);
        let mut addresses = Addresses::default();
        let mut wish = attachment(&net);
        wish.ipv4 = Some(Ipv4Addr::new(10, 0, 0, 9));
        wish.mac = Some("02:aa:bb:cc:dd:ee".into());
        let holder = Id::random();
        let endpoint = addresses.choose(holder, &net, &wish).unwrap();
        assert_eq!(endpoint.mac, "02:aa:bb:cc:dd:ee");
        addresses.hold(holder, &[endpoint]);
        assert!(addresses.choose(holder, &net, &wish).is_ok(), "its own");
        for (address, other) in [
            ("10.0.0.9", Id::random()),
            ("10.0.0.1", holder),
            ("10.0.0.255", holder),
        ] {
            wish.ipv4 = Some(address.parse().unwrap());
            let refused = addresses.choose(other, &net, &wish).unwrap_err();
            assert!(matches!(refused, AddressError::InUse { .. }), "{address}");
        }
        wish.ipv4 = Some(Ipv4Addr::new(192, 168, 0, 1));
        assert!(matches!(
            addresses.choose(holder, &net, &wish),
            Err(AddressError::Outside { .. })
        ));
    }

    #[test]
    fn both_families_at_once() {
        let net = network(&[
            ("10.0.0.0/24", "10.0.0.1", None),
            ("fd00::/64", "fd00::1", None),
        ]);
        let (_, endpoint) = take(&mut Addresses::default(), &net).unwrap();
        assert_eq!(endpoint.ipv4, Some((Ipv4Addr::new(10, 0, 0, 2), 24)));
        assert_eq!(endpoint.ipv6, Some(("fd00::2".parse().unwrap(), 64)));
    }

    #[test]
    fn what_is_held_twice_is_released_by_its_holder_only() {
        let net = network(&[("10.0.0.0/24", "10.0.0.1", None)]);
        let mut addresses = Addresses::default();
        let (first, endpoint) = take(&mut addresses, &net).unwrap();
        let second = Id::random();
        addresses.hold(second, std::slice::from_ref(&endpoint));
        addresses.release(first);
        assert_eq!(v4(&take(&mut addresses, &net).unwrap().1), "10.0.0.3");
        assert_eq!(addresses.holders().count(), 2);
    }
}
