//! Who is called what on which network: the resolver's directory. Pure data.
//!
//! Sandboxes enter their names when they attach and leave with them; [`super::resolver`] asks.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use model::Id;

/// Names of the instances on one network.
#[derive(Debug, Default)]
struct Zone {
    /// Lower-case name to the instances that have it.
    names: HashMap<String, Vec<Id>>,
    members: HashMap<Id, Member>,
}

/// An instance on a network.
#[derive(Debug)]
struct Member {
    addresses: Vec<IpAddr>,
    /// As they were entered; the first is its own.
    names: Vec<String>,
}

/// Names on every network.
#[derive(Debug, Default)]
pub(super) struct Names {
    zones: BTreeMap<Id, Zone>,
}

impl Names {
    /// Enters an instance on a network. The first of `names` is its own, for reverse look-up.
    pub(super) fn enter(
        &mut self,
        network: Id,
        instance: Id,
        names: &[String],
        addresses: Vec<IpAddr>,
    ) {
        self.leave(network, instance);
        let zone = self.zones.entry(network).or_default();
        for name in names {
            let holders = zone.names.entry(name.to_ascii_lowercase()).or_default();
            if !holders.contains(&instance) {
                holders.push(instance);
            }
        }
        let names = names.to_vec();
        zone.members.insert(instance, Member { addresses, names });
    }

    /// Takes an instance from a network.
    pub(super) fn leave(&mut self, network: Id, instance: Id) {
        let Some(zone) = self.zones.get_mut(&network) else {
            return;
        };
        let Some(member) = zone.members.remove(&instance) else {
            return;
        };
        for name in member.names {
            let name = name.to_ascii_lowercase();
            if let Some(holders) = zone.names.get_mut(&name) {
                holders.retain(|holder| *holder != instance);
                if holders.is_empty() {
                    zone.names.remove(&name);
                }
            }
        }
        if zone.members.is_empty() {
            self.zones.remove(&network);
        }
    }

    /// Addresses of everyone with a name on a network; `None` where nobody has it.
    pub(super) fn addresses(&self, network: Id, name: &str) -> Option<Vec<IpAddr>> {
        let zone = self.zones.get(&network)?;
        let holders = zone.names.get(&name.to_ascii_lowercase())?;
        Some(
            holders
                .iter()
                .filter_map(|holder| zone.members.get(holder))
                .flat_map(|member| member.addresses.clone())
                .collect(),
        )
    }

    /// The name of whoever has an address on a network.
    pub(super) fn name(&self, network: Id, address: IpAddr) -> Option<&str> {
        let zone = self.zones.get(&network)?;
        zone.members
            .values()
            .find(|member| member.addresses.contains(&address))
            .and_then(|member| Some(member.names.first()?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_alias_answers_everyone_and_ends_with_the_last() {
        let (network, a, b) = (Id::random(), Id::random(), Id::random());
        let (one, two): (IpAddr, IpAddr) =
            ("10.0.0.2".parse().unwrap(), "10.0.0.3".parse().unwrap());
        let mut names = Names::default();
        names.enter(network, a, &["one".to_owned(), "Web".to_owned()], vec![one]);
        names.enter(network, b, &["two".to_owned(), "web".to_owned()], vec![two]);
        assert_eq!(names.addresses(network, "WEB"), Some(vec![one, two]));
        assert_eq!(names.name(network, two), Some("two"));
        assert_eq!(names.addresses(Id::random(), "web"), None);
        names.leave(network, a);
        assert_eq!(names.addresses(network, "web"), Some(vec![two]));
        assert_eq!(names.addresses(network, "one"), None);
        names.leave(network, b);
        assert!(names.zones.is_empty());
    }
}
