//! The texts of the two tables, in nft's language. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use model::Id;
use model::firewall::{Direction, Family as AddressFamily, Firewall, Remote, Rule};

use super::element::{Element, members};
use crate::network::nftables::Family;

/// Sets of the table that sees frames.
const BRIDGE_SETS: [(&str, &str); 8] = [
    ("secure", "set secure { type ifname;"),
    ("shut", "set shut { type ifname;"),
    ("own_mac", "set own_mac { type ifname . ether_addr;"),
    ("own4", "set own4 { type ifname . ether_addr . ipv4_addr;"),
    ("own6", "set own6 { type ifname . ether_addr . ipv6_addr;"),
    (
        "own_nd",
        "set own_nd { typeof iifname . ether saddr . @th,64,128;",
    ),
    (
        "wide4",
        "set wide4 { type ifname . ether_addr . ipv4_addr; flags interval;",
    ),
    (
        "wide6",
        "set wide6 { type ifname . ether_addr . ipv6_addr; flags interval;",
    ),
];

/// Chains of the table that sees frames: a port sends from its own addresses, tells neighbours of
/// no others, and plays neither router nor DHCP server.
const BRIDGE_CHAINS: &str = r"
    chain leave {
        type filter hook prerouting priority 0; policy accept;
        iifname @shut drop
        iifname @secure jump own
    }
    chain arrive {
        type filter hook postrouting priority 0; policy accept;
        oifname @shut drop
    }
    chain own {
        iifname . ether saddr != @own_mac drop
        ether type arp goto own_arp
        ether type ip goto own_ip
        ether type ip6 goto own_ip6
        drop
    }
    chain own_arp {
        arp htype != 1 drop
        arp ptype != ip drop
        arp operation request arp saddr ip 0.0.0.0 accept
        iifname . arp saddr ether . arp saddr ip @own4 accept
        iifname . arp saddr ether . arp saddr ip @wide4 accept
        drop
    }
    chain own_ip {
        udp sport 67 udp dport 68 drop
        iifname . ether saddr . ip saddr @own4 accept
        iifname . ether saddr . ip saddr @wide4 accept
        drop
    }
    chain own_ip6 {
        icmpv6 type nd-router-advert drop
        icmpv6 type nd-redirect drop
        udp sport 547 udp dport 546 drop
        icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @own_nd drop
        iifname . ether saddr . ip6 saddr @own6 accept
        iifname . ether saddr . ip6 saddr @wide6 accept
        ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } accept
        drop
    }
";

/// Sets and maps of the table that holds the firewalls.
const INET_SETS: [(&str, &str); 5] = [
    ("bridges", "set bridges { type ifname;"),
    ("from4", "map from4 { type ifname . ipv4_addr : verdict;"),
    ("from6", "map from6 { type ifname . ipv6_addr : verdict;"),
    ("to4", "map to4 { type ifname . ipv4_addr : verdict;"),
    ("to6", "map to6 { type ifname . ipv6_addr : verdict;"),
];

/// Chains of the table that holds the firewalls. What leaves a port and passes its firewalls goes
/// on to `enter`, where those of whom it reaches decide. Neighbour discovery always passes.
const INET_CHAINS: &str = r"
    chain pass {
        type filter hook forward priority 10; policy accept;
        goto both
    }
    chain to_node {
        type filter hook input priority 10; policy accept;
        goto both
    }
    chain from_node {
        type filter hook output priority 10; policy accept;
        goto both
    }
    chain both {
        ct state established,related accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, nd-router-solicit } accept
        icmpv6 type { mld-listener-query, mld-listener-report, mld2-listener-report } accept
        iifname . ip saddr vmap @from4
        iifname . ip6 saddr vmap @from6
        goto enter
    }
    chain enter {
        oifname @bridges meta pkttype { broadcast, multicast } drop
        oifname . ip daddr vmap @to4
        oifname . ip6 daddr vmap @to6
        accept
    }
";

/// Removes both tables.
pub(super) fn without(table: &str) -> String {
    let mut script = String::new();
    for family in ["bridge", "inet"] {
        let _ = writeln!(
            script,
            "table {family} {table}\ndelete table {family} {table}"
        );
    }
    script
}

/// Replaces both tables.
pub(super) fn whole(
    table: &str,
    firewalls: &BTreeMap<Id, &Firewall>,
    profiles: &BTreeMap<Vec<Id>, usize>,
    zones: &BTreeMap<String, u16>,
    elements: &BTreeSet<Element>,
) -> String {
    let mut script = without(table);
    let _ = writeln!(script, "table bridge {table} {{");
    for (set, declaration) in BRIDGE_SETS {
        declare(&mut script, set, declaration, Family::Bridge, elements);
    }
    script.push_str(BRIDGE_CHAINS);
    let _ = writeln!(script, "}}\ntable inet {table} {{");
    for (set, declaration) in INET_SETS {
        declare(&mut script, set, declaration, Family::Inet, elements);
    }
    for id in firewalls.keys() {
        for (is_v4, kind) in [(true, "ipv4_addr"), (false, "ipv6_addr")] {
            let set = members(*id, is_v4);
            let declaration = format!("set {set} {{ type {kind};");
            declare(&mut script, &set, &declaration, Family::Inet, elements);
        }
    }
    zoned(&mut script, zones);
    script.push_str(INET_CHAINS);
    for firewall in firewalls.values() {
        chains_of(&mut script, firewall, firewalls);
    }
    for (list, number) in profiles {
        for (direction, letter) in [("out", 'o'), ("in", 'i')] {
            let _ = writeln!(script, "    chain {direction}_{number} {{");
            for id in list.iter().filter(|id| firewalls.contains_key(id)) {
                let _ = writeln!(script, "        jump {letter}_{}", id.simple());
            }
            script.push_str("        drop\n    }\n");
        }
    }
    script.push_str("}\n");
    script
}

fn declare(
    script: &mut String,
    set: &str,
    declaration: &str,
    family: Family,
    elements: &BTreeSet<Element>,
) {
    let _ = write!(script, "    {declaration}");
    let mut members = elements
        .iter()
        .filter(|element| element.family == family && element.set == set)
        .peekable();
    if members.peek().is_some() {
        script.push_str(" elements = { ");
        for member in members {
            let _ = write!(script, "{}, ", member.text);
        }
        script.push('}');
    }
    script.push_str(" }\n");
}

/// Connections of each bridge are told apart, whatever their addresses.
fn zoned(script: &mut String, zones: &BTreeMap<String, u16>) {
    if zones.is_empty() {
        return;
    }
    script.push_str("    map zones { typeof iifname : ct zone; elements = { ");
    for (bridge, zone) in zones {
        let _ = write!(script, "\"{bridge}\" : {zone}, ");
    }
    script.push_str(
        "} }
    chain zone_of {
        type filter hook prerouting priority raw; policy accept;
        ct zone set iifname map @zones
    }
",
    );
}

fn chains_of(script: &mut String, firewall: &Firewall, firewalls: &BTreeMap<Id, &Firewall>) {
    for (direction, letter) in [(Direction::Out, 'o'), (Direction::In, 'i')] {
        let _ = writeln!(
            script,
            "    chain {letter}_{} {{",
            firewall.meta.id.simple()
        );
        let rules = firewall.spec.rules.iter();
        for rule in rules.filter(|rule| rule.direction == direction) {
            if let Some(text) = rule_text(rule, firewalls) {
                let _ = writeln!(script, "        {text}");
            }
        }
        script.push_str("    }\n");
    }
}

/// A rule in nft's language; `None` for one whose other end does not exist, which lets nothing pass.
fn rule_text(rule: &Rule, firewalls: &BTreeMap<Id, &Firewall>) -> Option<String> {
    let is_v4 = rule.family == AddressFamily::Ipv4;
    let mut text = format!("meta nfproto {}", if is_v4 { "ipv4" } else { "ipv6" });
    let ip = if is_v4 { "ip" } else { "ip6" };
    let side = match rule.direction {
        Direction::In => "saddr",
        Direction::Out => "daddr",
    };
    match rule.remote {
        Remote::Any => {}
        Remote::Prefix(cidr) => {
            let _ = write!(text, " {ip} {side} {cidr}");
        }
        Remote::Firewall(id) => {
            firewalls.get(&id)?;
            let _ = write!(text, " {ip} {side} @{}", members(id, is_v4));
        }
    }
    if let Some(number) = rule.protocol_number() {
        if rule.is_icmp() {
            let icmp = if is_v4 { "icmp" } else { "icmpv6" };
            match (rule.port_min, rule.port_max) {
                (Some(kind), Some(code)) => {
                    let _ = write!(text, " {icmp} type {kind} {icmp} code {code}");
                }
                (Some(kind), None) => {
                    let _ = write!(text, " {icmp} type {kind}");
                }
                (None, _) => {
                    let _ = write!(text, " meta l4proto {number}");
                }
            }
        } else {
            let _ = write!(text, " meta l4proto {number}");
            if let (Some(min), Some(max)) = (rule.port_min, rule.port_max) {
                let _ = write!(text, " th dport {min}-{max}");
            }
        }
    }
    text.push_str(match rule.direction {
        Direction::In => " accept",
        Direction::Out => " goto enter",
    });
    Some(text)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::firewall::FirewallSpec;
    use model::{Meta, ProjectId};

    use super::*;

    fn text(direction: Direction, change: impl FnOnce(&mut Rule)) -> String {
        let mut rule = Rule::new(
            direction,
            AddressFamily::Ipv4,
            Remote::Any,
            Timestamp::UNIX_EPOCH,
        );
        change(&mut rule);
        rule_text(&rule, &BTreeMap::new()).unwrap_or_default()
    }

    #[test]
    fn rules_are_worded() {
        assert_eq!(text(Direction::In, |_| {}), "meta nfproto ipv4 accept");
        assert_eq!(text(Direction::Out, |_| {}), "meta nfproto ipv4 goto enter");
        assert_eq!(
            text(Direction::In, |rule| {
                rule.protocol = Some("tcp".to_owned());
                (rule.port_min, rule.port_max) = (Some(22), Some(80));
                rule.remote = Remote::Prefix("10.0.0.0/8".parse().unwrap());
            }),
            "meta nfproto ipv4 ip saddr 10.0.0.0/8 meta l4proto 6 th dport 22-80 accept"
        );
        assert_eq!(
            text(Direction::In, |rule| {
                rule.protocol = Some("icmp".to_owned());
                rule.port_min = Some(8);
            }),
            "meta nfproto ipv4 icmp type 8 accept"
        );
        assert_eq!(
            text(Direction::In, |rule| rule.remote =
                Remote::Firewall(Id::random())),
            ""
        );
    }

    #[test]
    fn a_firewall_refers_to_its_own_members() {
        let meta = Meta::new("default", ProjectId::ADMIN, Timestamp::UNIX_EPOCH);
        let id = meta.id;
        let rule = Rule::new(
            Direction::In,
            AddressFamily::Ipv6,
            Remote::Firewall(id),
            Timestamp::UNIX_EPOCH,
        );
        let spec = FirewallSpec {
            description: String::new(),
            default: true,
            shared: false,
            rules: vec![rule],
            tags: BTreeSet::new(),
        };
        let firewall = Firewall { meta, spec };
        let firewalls = BTreeMap::from([(id, &firewall)]);
        let profiles = BTreeMap::from([(vec![id, Id::random()], 0)]);
        let zones = BTreeMap::from([("tb1".to_owned(), 7)]);
        let script = whole("t", &firewalls, &profiles, &zones, &BTreeSet::new());
        let expected = format!("ip6 saddr @m6_{} accept", id.simple());
        assert!(script.contains(&expected), "{script}");
        assert_eq!(script.matches("        jump i_").count(), 1, "{script}");
        assert!(script.contains("\"tb1\" : 7"), "{script}");
    }
}
