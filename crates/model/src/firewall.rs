//! A firewall: rules of what may reach the ports it holds for, and what they may reach.
//!
//! Nothing passes that no rule of any of a port's firewalls lets pass; answers to what passed do.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::{Id, Meta};
use crate::network::Cidr;

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Firewall {
    /// Identity and ownership. Names need not be unique, except that a project has one default.
    pub meta: Meta,
    /// What it is.
    pub spec: FirewallSpec,
}

/// What a firewall is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FirewallSpec {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// It holds for the project's ports that name none.
    #[serde(default)]
    pub default: bool,
    /// Every project may use it.
    #[serde(default)]
    pub shared: bool,
    /// What may pass.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
}

/// Something that may pass.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Its identity, among all rules of all firewalls.
    pub id: Id,
    /// Which way.
    pub direction: Direction,
    /// Of which family.
    pub family: Family,
    /// Which protocol, by name or number as a user gave it; `None` is any.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Lowest port, or ICMP type; `None` is any.
    #[serde(default)]
    pub port_min: Option<u16>,
    /// Highest port, or ICMP code; `None` is any.
    #[serde(default)]
    pub port_max: Option<u16>,
    /// From or to whom.
    #[serde(default)]
    pub remote: Remote,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which way a packet goes, seen from the port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To it.
    In,
    /// From it.
    Out,
}

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// The other end of what may pass.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remote {
    /// Anyone.
    #[default]
    Any,
    /// Addresses of a range.
    Prefix(Cidr),
    /// The ports that a firewall holds for.
    Firewall(Id),
}

/// Names of protocols and their numbers (IANA, Assigned Internet Protocol Numbers).
const PROTOCOLS: [(&str, u8); 23] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6-encap", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ospf", 89),
    ("pgm", 113),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];

/// Numbers of protocols that have ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// The number of a protocol by its name or number; `None` where there is none.
#[must_use]
pub fn protocol_number(text: &str) -> Option<u8> {
    let known = PROTOCOLS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map_or_else(|| text.parse().ok(), |(_, number)| Some(*number))
}

impl Rule {
    /// A rule that lets everything of a family pass.
    #[must_use]
    pub fn new(direction: Direction, family: Family, remote: Remote, now: Timestamp) -> Self {
        Self {
            id: Id::random(),
            direction,
            family,
            protocol: None,
            port_min: None,
            port_max: None,
            remote,
            description: String::new(),
            tags: BTreeSet::new(),
            created_at: now,
        }
    }

    /// The number of its protocol; `None` is any. ICMP of an IPv6 rule is ICMPv6, and the number 0
    /// is any.
    #[must_use]
    pub fn protocol_number(&self) -> Option<u8> {
        let number = protocol_number(self.protocol.as_deref()?)?;
        match (number, self.family) {
            (0, _) => None,
            (1, Family::Ipv6) => Some(58),
            _ => Some(number),
        }
    }

    /// Whether its protocol has ports.
    #[must_use]
    pub fn has_ports(&self) -> bool {
        self.protocol_number()
            .is_some_and(|number| WITH_PORTS.contains(&number))
    }

    /// Whether its protocol is ICMP, of either family.
    #[must_use]
    pub fn is_icmp(&self) -> bool {
        matches!(self.protocol_number(), Some(1 | 58))
    }

    /// Whether two let the same pass.
    #[must_use]
    pub fn means_the_same(&self, other: &Self) -> bool {
        self.direction == other.direction
            && self.family == other.family
            && self.protocol_number() == other.protocol_number()
            && self.port_min == other.port_min
            && self.port_max == other.port_max
            && self.remote == other.remote
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(protocol: &str, family: Family) -> Rule {
        Rule {
            protocol: Some(protocol.to_owned()),
            ..Rule::new(Direction::In, family, Remote::Any, Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn protocols_are_known_by_name_and_by_number() {
        for (text, number) in [
            ("tcp", 6),
            ("TCP", 6),
            ("17", 17),
            ("ipv6-icmp", 58),
            ("0", 0),
        ] {
            assert_eq!(protocol_number(text), Some(number), "{text}");
        }
        for text in ["", "tcpp", "256", "-1", "6.0"] {
            assert_eq!(protocol_number(text), None, "{text}");
        }
    }

    #[test]
    fn icmp_is_that_of_the_family() {
        assert_eq!(rule("icmp", Family::Ipv6).protocol_number(), Some(58));
        assert_eq!(rule("icmp", Family::Ipv4).protocol_number(), Some(1));
        assert_eq!(rule("0", Family::Ipv4).protocol_number(), None);
        assert!(rule("icmp", Family::Ipv6).means_the_same(&rule("58", Family::Ipv6)));
        assert!(!rule("tcp", Family::Ipv4).means_the_same(&rule("udp", Family::Ipv4)));
    }
}
