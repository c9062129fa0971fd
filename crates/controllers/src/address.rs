//! Which addresses instances and ports have, and which are free.
//!
//! An index in memory of what placements and allotments say, rebuilt from them at every start.
//! Gives the lowest free address, as dockerd does. Pure; the placement controller asks it and
//! writes the answer, one object at a time, so no address is given twice.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use model::Id;
use model::instance::{Attachment, Endpoint};
use model::network::{Network, Routing};
use model::port::{AllotmentRefusal, FixedAddress, WantedAddress};
use model::subnet::{AddressRange, Subnet};

/// All addresses that instances and ports have.
#[derive(Default)]
pub struct Addresses {
    networks: HashMap<Id, Taken>,
    held: HashMap<Id, Vec<Held>>,
}

/// An address that somebody has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The network.
    pub network: Id,
    /// The address.
    pub address: IpAddr,
}

/// The taken addresses of one network.
#[derive(Default)]
struct Taken {
    addresses: HashMap<IpAddr, Id>,
    /// By the first address of a pool: every address at a smaller offset is taken or never given out.
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
        /// The last range that was tried.
        range: String,
        /// The network's name.
        network: String,
    },
}

impl Addresses {
    /// Takes note of all addresses that somebody has, instead of those they had.
    pub fn hold(&mut self, holder: Id, all: Vec<Held>) {
        if self
            .held
            .get(&holder)
            .map(Vec::as_slice)
            .unwrap_or_default()
            == all
        {
            return;
        }
        self.release(holder);
        for held in &all {
            let taken = self.networks.entry(held.network).or_default();
            taken.addresses.insert(held.address, holder);
        }
        if !all.is_empty() {
            self.held.insert(holder, all);
        }
    }

    /// Takes note that somebody has no addresses any more.
    pub fn release(&mut self, holder: Id) {
        for held in self.held.remove(&holder).unwrap_or_default() {
            let Some(taken) = self.networks.get_mut(&held.network) else {
                continue;
            };
            // Somebody else's by now, where two had the same.
            if taken.addresses.get(&held.address) == Some(&holder) {
                taken.addresses.remove(&held.address);
                taken.lowest.clear();
            }
            if taken.addresses.is_empty() {
                self.networks.remove(&held.network);
            }
        }
    }

    /// Who has addresses.
    pub fn holders(&self) -> impl Iterator<Item = Id> + '_ {
        self.held.keys().copied()
    }

    /// Chooses the addresses of an instance on a network, one of each family that it has;
    /// [`Self::hold`] takes them.
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
        let mut endpoint = Endpoint {
            network: network.meta.id,
            id: Id::random(),
            port: false,
            ipv4: None,
            ipv6: None,
            more: Vec::new(),
            mac: String::new(),
        };
        let fixed = [
            (true, attachment.ipv4.map(IpAddr::V4)),
            (false, attachment.ipv6.map(IpAddr::V6)),
        ];
        for (is_v4, fixed) in fixed {
            match taken.choose_of_family(instance, network, is_v4, fixed)? {
                Some((IpAddr::V4(address), prefix)) => endpoint.ipv4 = Some((address, prefix)),
                Some((IpAddr::V6(address), prefix)) => endpoint.ipv6 = Some((address, prefix)),
                None => {}
            }
        }
        endpoint.mac = attachment
            .mac
            .clone()
            .unwrap_or_else(|| hardware_address(endpoint.ipv4.map(|(address, _)| address)));
        Ok(endpoint)
    }

    /// Chooses the addresses of a port; [`Self::hold`] takes them. What it has already it keeps.
    ///
    /// # Errors
    /// Fails where a wanted address cannot be had, or none is left.
    pub fn allot(
        &mut self,
        port: Id,
        network: &Network,
        wanted: &[WantedAddress],
    ) -> Result<Vec<FixedAddress>, AllotmentRefusal> {
        let mut had: Vec<Held> = self.held.get(&port).cloned().unwrap_or_default();
        had.retain(|held| {
            held.network == network.meta.id
                && wanted.iter().all(|one| one.address != Some(held.address))
        });
        let taken = self.networks.entry(network.meta.id).or_default();
        let mut chosen: Vec<FixedAddress> = Vec::with_capacity(wanted.len());
        for one in wanted {
            let subnet = network
                .spec
                .subnet(one.subnet)
                .ok_or(AllotmentRefusal::NoSubnet(one.subnet))?;
            let kept = had
                .iter()
                .position(|held| one.address.is_none() && subnet.cidr.contains(held.address))
                .map(|at| had.swap_remove(at).address);
            let address = match one.address.or(kept) {
                Some(address) => {
                    taken.check_fixed(port, network, subnet, address)?;
                    address
                }
                None => taken
                    .lowest_free(subnet, &chosen)
                    .ok_or(AllotmentRefusal::Exhausted(subnet.id))?,
            };
            if chosen.iter().any(|other| other.address == address) {
                return Err(AllotmentRefusal::InUse(address));
            }
            chosen.push(FixedAddress {
                subnet: subnet.id,
                address,
            });
        }
        Ok(chosen)
    }
}

impl Taken {
    /// An address of one family; `None` where the network has none of it.
    fn choose_of_family(
        &mut self,
        instance: Id,
        network: &Network,
        is_v4: bool,
        fixed: Option<IpAddr>,
    ) -> Result<Option<(IpAddr, u8)>, AddressError> {
        let name = || network.meta.name.clone();
        if let Some(address) = fixed {
            let subnet = network.spec.subnet_of(address);
            let subnet = subnet.ok_or_else(|| AddressError::Outside {
                address,
                network: name(),
            })?;
            let is_own = self
                .addresses
                .get(&address)
                .is_none_or(|holder| *holder == instance);
            if !is_own || is_never_given_out(subnet, address) {
                return Err(AddressError::InUse {
                    address,
                    network: name(),
                });
            }
            return Ok(Some((address, subnet.cidr.prefix())));
        }
        let mut full = None;
        let subnets = network.spec.subnets.iter();
        for subnet in subnets.filter(|subnet| subnet.cidr.address().is_ipv4() == is_v4) {
            if let Some(address) = self.lowest_free(subnet, &[]) {
                return Ok(Some((address, subnet.cidr.prefix())));
            }
            full = Some(AddressError::Exhausted {
                family: if is_v4 { "IPv4" } else { "IPv6" },
                range: subnet
                    .pools
                    .last()
                    .map_or_else(|| subnet.cidr.to_string(), range_in_words),
                network: name(),
            });
        }
        full.map_or(Ok(None), Err)
    }

    /// Whether a port may have an address that it, or its user, chose. A gateway's is had by
    /// whoever asks for it, a router mostly, unless the node has it.
    fn check_fixed(
        &self,
        port: Id,
        network: &Network,
        subnet: &Subnet,
        address: IpAddr,
    ) -> Result<(), AllotmentRefusal> {
        if !subnet.cidr.contains(address) || subnet.is_nobodys(address) {
            return Err(AllotmentRefusal::Outside(address));
        }
        let is_nodes = network.spec.routing == Routing::Node && is_never_given_out(subnet, address);
        let is_own = self
            .addresses
            .get(&address)
            .is_none_or(|holder| *holder == port);
        if is_own && !is_nodes {
            Ok(())
        } else {
            Err(AllotmentRefusal::InUse(address))
        }
    }

    /// The lowest address of a subnet's pools that nobody has.
    fn lowest_free(&mut self, subnet: &Subnet, chosen: &[FixedAddress]) -> Option<IpAddr> {
        let whole = [AddressRange::of(subnet.cidr)];
        let pools = if subnet.pools.is_empty() {
            &whole[..]
        } else {
            &subnet.pools
        };
        for pool in pools {
            let lowest = self.lowest.entry(pool.first).or_default();
            let is_taken = |address: &IpAddr| {
                self.addresses.contains_key(address) || is_never_given_out(subnet, *address)
            };
            while pool.nth(*lowest).is_some_and(|address| is_taken(&address)) {
                *lowest += 1;
            }
            let free = (*lowest..)
                .map_while(|offset| pool.nth(offset))
                .find(|address| {
                    !is_taken(address) && chosen.iter().all(|other| other.address != *address)
                });
            if free.is_some() {
                return free;
            }
        }
        None
    }
}

/// Whether an address of a range is the gateway's, reserved, or means the network itself.
fn is_never_given_out(subnet: &Subnet, address: IpAddr) -> bool {
    subnet.gateway == Some(address)
        || subnet.is_nobodys(address)
        || subnet
            .reserved
            .values()
            .any(|reserved| *reserved == address)
}

fn range_in_words(pool: &AddressRange) -> String {
    pool.as_cidr()
        .map_or_else(|| pool.to_string(), |cidr| cidr.to_string())
}

/// The addresses that an instance holds itself: those of its ports are the ports'.
pub fn held_by_instance(endpoints: &[Endpoint]) -> Vec<Held> {
    endpoints
        .iter()
        .filter(|endpoint| !endpoint.port)
        .flat_map(|endpoint| {
            endpoint.addresses().map(|(address, _)| Held {
                network: endpoint.network,
                address,
            })
        })
        .collect()
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
    use model::network::NetworkSpec;
    use model::{Meta, ProjectId};

    use super::*;

    fn network(subnets: &[(&str, &str, Option<&str>)]) -> Network {
        let subnets = subnets
            .iter()
            .map(|(cidr, gateway, pool)| {
                let gateway = Some(gateway.parse().unwrap());
                let now = Timestamp::UNIX_EPOCH;
                let mut subnet = Subnet::new(cidr.parse().unwrap(), gateway, now);
                subnet.pools = pool
                    .iter()
                    .map(|cidr: &&str| AddressRange::of(cidr.parse().unwrap()))
                    .collect();
                subnet
            })
            .collect();
        let spec = NetworkSpec {
            subnets,
            ..NetworkSpec::default()
        };
        Network {
            meta: Meta::new("net", ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            spec,
        }
    }

    fn attachment(network: &Network) -> Attachment {
        Attachment::new(network.meta.id)
    }

    fn take(addresses: &mut Addresses, network: &Network) -> Result<(Id, Endpoint), AddressError> {
        let instance = Id::random();
        let endpoint = addresses.choose(instance, network, &attachment(network))?;
        addresses.hold(instance, held_by_instance(std::slice::from_ref(&endpoint)));
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
        addresses.hold(holder, held_by_instance(&[endpoint]));
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
        addresses.hold(second, held_by_instance(std::slice::from_ref(&endpoint)));
        addresses.release(first);
        assert_eq!(v4(&take(&mut addresses, &net).unwrap().1), "10.0.0.3");
        assert_eq!(addresses.holders().count(), 2);
    }

    fn any_of(subnet: &Subnet) -> WantedAddress {
        WantedAddress {
            subnet: subnet.id,
            address: None,
        }
    }

    fn fixed(subnet: &Subnet, address: &str) -> WantedAddress {
        WantedAddress {
            subnet: subnet.id,
            address: Some(address.parse().unwrap()),
        }
    }

    fn allot(
        addresses: &mut Addresses,
        port: Id,
        network: &Network,
        wanted: &[WantedAddress],
    ) -> Result<Vec<String>, AllotmentRefusal> {
        let chosen = addresses.allot(port, network, wanted)?;
        let held = chosen.iter().map(|fixed| Held {
            network: network.meta.id,
            address: fixed.address,
        });
        addresses.hold(port, held.collect());
        Ok(chosen
            .iter()
            .map(|fixed| fixed.address.to_string())
            .collect())
    }

    #[test]
    fn ports_and_instances_share_one_range() {
        let net = network(&[("10.0.0.0/24", "10.0.0.1", None)]);
        let subnet = &net.spec.subnets[0];
        let mut addresses = Addresses::default();
        assert_eq!(v4(&take(&mut addresses, &net).unwrap().1), "10.0.0.2");
        let port = Id::random();
        let both = [any_of(subnet), any_of(subnet)];
        let given = allot(&mut addresses, port, &net, &both).unwrap();
        assert_eq!(given, ["10.0.0.3", "10.0.0.4"]);
        assert_eq!(v4(&take(&mut addresses, &net).unwrap().1), "10.0.0.5");
        // What it has it keeps.
        let given = allot(&mut addresses, port, &net, &[any_of(subnet)]).unwrap();
        assert_eq!(given.len(), 1);
        assert!(["10.0.0.3", "10.0.0.4"].contains(&given[0].as_str()));
        assert_eq!(
            allot(
                &mut addresses,
                Id::random(),
                &net,
                &[fixed(subnet, &given[0])]
            ),
            Err(AllotmentRefusal::InUse(given[0].parse().unwrap()))
        );
        addresses.release(port);
        let other = Id::random();
        assert!(allot(&mut addresses, other, &net, &[fixed(subnet, &given[0])]).is_ok());
    }

    #[test]
    fn a_port_may_ask_for_the_gateway_where_the_node_has_it_not() {
        let mut net = network(&[("10.0.0.0/24", "10.0.0.1", None)]);
        let mut addresses = Addresses::default();
        let wanted = [fixed(&net.spec.subnets[0], "10.0.0.1")];
        let refused = allot(&mut addresses, Id::random(), &net, &wanted);
        assert_eq!(
            refused,
            Err(AllotmentRefusal::InUse("10.0.0.1".parse().unwrap()))
        );
        net.spec.routing = Routing::Routers;
        assert!(allot(&mut addresses, Id::random(), &net, &wanted).is_ok());
        let wanted = [fixed(&net.spec.subnets[0], "10.0.0.255")];
        assert_eq!(
            allot(&mut addresses, Id::random(), &net, &wanted),
            Err(AllotmentRefusal::Outside("10.0.0.255".parse().unwrap()))
        );
    }

    #[test]
    fn several_pools_and_subnets_are_used_up_in_turn() {
        let mut net = network(&[
            ("10.0.0.0/24", "10.0.0.1", Some("10.0.0.8/31")),
            ("10.0.1.0/24", "10.0.1.1", Some("10.0.1.8/31")),
        ]);
        let pool = AddressRange::of("10.0.0.16/31".parse().unwrap());
        net.spec.subnets[0].pools.push(pool);
        let mut addresses = Addresses::default();
        let given: Vec<_> = (0..6)
            .map(|_| v4(&take(&mut addresses, &net).unwrap().1))
            .collect();
        assert_eq!(
            given,
            [
                "10.0.0.8",
                "10.0.0.9",
                "10.0.0.16",
                "10.0.0.17",
                "10.0.1.8",
                "10.0.1.9"
            ]
        );
        let wanted = [any_of(&net.spec.subnets[1])];
        assert_eq!(
            allot(&mut addresses, Id::random(), &net, &wanted),
            Err(AllotmentRefusal::Exhausted(net.spec.subnets[1].id))
        );
    }
}
