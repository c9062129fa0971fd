//! The rules of the packet filter: one nftables table, whose rules stand still and whose sets move.
//!
//! Everything a network or a published port adds is an [`Element`] of a set or map, so a packet's
//! cost does not grow with their number and an instance without published ports costs no call.
//! Rules are given to the `nft` program, and published ports to the kernel by [`super::nftables`],
//! each time in one transaction: either all of it holds, or nothing. The
//! table is named by the daemon's prefix; no other table is read or changed. Which elements there
//! are is decided by [`super::bridge`] and [`super::ports`].

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use model::instance::Protocol;

use super::error::NetworkError;
use super::nftables::{Data, Family, Place, Transaction};

/// The sets and maps of the table, with their declarations.
const SETS: [(Set, &str); 13] = [
    (Set::Bridges, "set bridges { type ifname;"),
    (Set::Inside, "set inside { type ifname . ifname;"),
    (Set::Internal, "set internal { type ifname;"),
    (Set::Closed, "set closed { type ifname;"),
    (Set::External, "set external { type ifname;"),
    (
        Set::Own4,
        "set own4 { type ipv4_addr . ifname; flags interval;",
    ),
    (
        Set::Own6,
        "set own6 { type ipv6_addr . ifname; flags interval;",
    ),
    (
        Set::Masquerade4,
        "set masquerade4 { type ipv4_addr; flags interval;",
    ),
    (
        Set::Masquerade6,
        "set masquerade6 { type ipv6_addr; flags interval;",
    ),
    (
        Set::Publish4,
        "map publish4 { type inet_proto . inet_service : ipv4_addr . inet_service;",
    ),
    (
        Set::Publish4At,
        "map publish4_at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;",
    ),
    (
        Set::Publish6,
        "map publish6 { type inet_proto . inet_service : ipv6_addr . inet_service;",
    ),
    (
        Set::Publish6At,
        "map publish6_at { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service;",
    ),
];

/// The rules.
///
/// - `guard` drops what an instance may not send: to or from the node's loopback addresses
///   (`route_localnet` is on for our bridges, CVE-2020-8558), or with a source that is not its
///   network's; link-local addresses speak to each other only.
/// - `between` keeps networks apart, and lets in from outside only what was published or asked for.
/// - `deliver` lets nothing reach the node from a bridge on which it has no part.
/// - `arrive` and `local` send published ports on, for others and for programs of the node.
/// - `keep` says of what is bridged where the node has no part that its source stays: another
///   program's rule that hides a range behind the node (dockerd's, say) would be asked, too, as the
///   kernel shows bridged packets to every table.
/// - `leave` hides instances behind the node, and also a node's program that uses 127.0.0.1, or an
///   instance that reaches another of its own network by a published port, so that answers return.
const CHAINS: &str = r"
    chain guard {
        type filter hook prerouting priority raw; policy accept;
        iifname != @bridges accept
        ip daddr 127.0.0.0/8 drop
        iifname @closed accept
        ip saddr 169.254.0.0/16 ip daddr 169.254.0.0/16 accept
        meta nfproto ipv4 ip saddr . iifname != @own4 drop
        ip6 saddr fe80::/10 accept
        ip6 saddr :: accept
        meta nfproto ipv6 ip6 saddr . iifname != @own6 drop
    }
    chain between {
        type filter hook forward priority filter; policy accept;
        iifname . oifname @inside accept
        iifname @internal drop
        oifname @internal drop
        iifname @closed drop
        oifname @external accept
        oifname @bridges ct state established,related accept
        oifname @bridges ct status dnat accept
        oifname @bridges drop
    }
    chain deliver {
        type filter hook input priority filter; policy accept;
        iifname @closed drop
    }
    chain arrive {
        type nat hook prerouting priority dstnat; policy accept;
        iifname @closed accept
        fib daddr type local jump publish
    }
    chain local {
        type nat hook output priority -100; policy accept;
        ip6 daddr ::1 return
        fib daddr type local jump publish
    }
    chain publish {
        dnat ip to ip daddr . meta l4proto . th dport map @publish4_at
        dnat ip to meta l4proto . th dport map @publish4
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish6_at
        dnat ip6 to meta l4proto . th dport map @publish6
    }
    chain keep {
        type nat hook postrouting priority srcnat - 1; policy accept;
        oifname @closed snat ip to ip saddr
        oifname @closed snat ip6 to ip6 saddr
    }
    chain leave {
        type nat hook postrouting priority srcnat; policy accept;
        oifname @closed accept
        oifname @bridges ip saddr 127.0.0.0/8 masquerade
        ip saddr . oifname @own4 ct status dnat masquerade
        ip saddr . oifname @own4 accept
        ip saddr @masquerade4 masquerade
        ip6 saddr . oifname @own6 ct status dnat masquerade
        ip6 saddr . oifname @own6 accept
        ip6 saddr @masquerade6 masquerade
    }
";

/// A set or map of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Set {
    /// Our bridges.
    Bridges,
    /// Pairs of bridges between which everything passes: a bridge and itself.
    Inside,
    /// Bridges without a way out.
    Internal,
    /// Bridges that routers carry packets out of: the node has no part in them.
    Closed,
    /// Bridges that anybody may send to by way of the node.
    External,
    /// Which addresses are behind which bridge.
    Own4,
    Own6,
    /// Sources that are hidden behind the node's address.
    Masquerade4,
    Masquerade6,
    /// Published on every address of the node.
    Publish4,
    /// Published on one address.
    Publish4At,
    Publish6,
    Publish6At,
}

impl Set {
    const fn name(self) -> &'static str {
        match self {
            Self::Bridges => "bridges",
            Self::Inside => "inside",
            Self::Internal => "internal",
            Self::Closed => "closed",
            Self::External => "external",
            Self::Own4 => "own4",
            Self::Own6 => "own6",
            Self::Masquerade4 => "masquerade4",
            Self::Masquerade6 => "masquerade6",
            Self::Publish4 => "publish4",
            Self::Publish4At => "publish4_at",
            Self::Publish6 => "publish6",
            Self::Publish6At => "publish6_at",
        }
    }
}

/// One element of a set or map.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Element {
    set: Set,
    /// As nft writes it.
    text: String,
    /// As the kernel has it, for elements that come and go with instances.
    binary: Option<Binary>,
}

/// Key and data, every part at a multiple of four bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Binary {
    key: Vec<u8>,
    data: Vec<u8>,
}

impl Element {
    /// An element in nft's language.
    pub(super) fn new(set: Set, text: impl Into<String>) -> Self {
        Self {
            set,
            text: text.into(),
            binary: None,
        }
    }

    /// Leads a port of the node to an address of the same family; `None` where they differ.
    /// An unspecified address is every address of the node.
    pub(super) fn publish(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Option<Self> {
        if from.is_ipv4() != to.is_ipv4() {
            return None;
        }
        let set = match (from.is_ipv4(), from.ip().is_unspecified()) {
            (true, true) => Set::Publish4,
            (true, false) => Set::Publish4At,
            (false, true) => Set::Publish6,
            (false, false) => Set::Publish6At,
        };
        let number: u8 = match protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        };
        let octets = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let port = |port: u16| [port.to_be_bytes(), [0; 2]].concat();
        let (mut text, mut key) = (String::new(), Vec::new());
        if !from.ip().is_unspecified() {
            let _ = write!(text, "{} . ", from.ip());
            key = octets(from.ip());
        }
        let _ = write!(
            text,
            "{} . {} : {} . {}",
            protocol.as_str(),
            from.port(),
            to.ip(),
            to.port()
        );
        key.extend([number, 0, 0, 0]);
        key.extend(port(from.port()));
        let data = [octets(to.ip()), port(to.port())].concat();
        Some(Self {
            set,
            text,
            binary: Some(Binary { key, data }),
        })
    }

    /// What nft deletes it by: a map's element by its key.
    fn key(&self) -> &str {
        self.text.split(" : ").next().unwrap_or(&self.text)
    }
}

/// The table of one daemon.
#[derive(Debug)]
pub(super) struct Firewall {
    table: String,
    elements: Mutex<BTreeSet<Element>>,
}

impl Firewall {
    /// Replaces the table by one with these elements, in one transaction.
    pub(super) fn open(
        table: &str,
        elements: impl IntoIterator<Item = Element>,
    ) -> Result<Self, NetworkError> {
        let elements = elements.into_iter().collect();
        run(&whole(table, &elements))?;
        Ok(Self {
            table: table.to_owned(),
            elements: Mutex::new(elements),
        })
    }

    /// Removes and adds elements, in one transaction; what is as wanted costs nothing.
    pub(super) fn change(&self, add: &[Element], remove: &[Element]) -> Result<(), NetworkError> {
        let mut elements = self.elements.lock().unwrap_or_else(PoisonError::into_inner);
        let remove: Vec<&Element> = remove
            .iter()
            .filter(|element| elements.contains(element))
            .collect();
        let add: Vec<&Element> = add
            .iter()
            .filter(|element| !elements.contains(element))
            .collect();
        if remove.is_empty() && add.is_empty() {
            return Ok(());
        }
        let changed =
            self.change_by_message(&add, &remove) || run(&self.script(&add, &remove)).is_ok();
        let (remove, add): (Vec<Element>, Vec<Element>) = (
            remove.into_iter().cloned().collect(),
            add.into_iter().cloned().collect(),
        );
        for element in &remove {
            elements.remove(element);
        }
        elements.extend(add.iter().cloned());
        // Somebody may have flushed the node's rules: then all of ours are made again.
        if !changed && let Err(error) = run(&whole(&self.table, &elements)) {
            elements.retain(|element| !add.contains(element));
            elements.extend(remove);
            return Err(error);
        }
        Ok(())
    }

    fn place(&self, set: Set) -> Place<'_> {
        Place {
            family: Family::Inet,
            table: &self.table,
            set: set.name(),
        }
    }

    /// Whether the kernel took the changes as messages.
    fn change_by_message(&self, add: &[&Element], remove: &[&Element]) -> bool {
        let mut transaction = Transaction::new();
        for element in remove {
            let Some(binary) = &element.binary else {
                return false;
            };
            transaction.delete_element(&self.place(element.set), &binary.key);
        }
        for element in add {
            let Some(binary) = &element.binary else {
                return false;
            };
            let data = Data::Value(binary.data.clone());
            transaction.add_element(&self.place(element.set), &binary.key, &data);
        }
        transaction.commit().is_ok()
    }

    fn script(&self, add: &[&Element], remove: &[&Element]) -> String {
        let mut script = String::new();
        for element in remove {
            let _ = writeln!(
                script,
                "delete element inet {} {} {{ {} }}",
                self.table,
                element.set.name(),
                element.key()
            );
        }
        for element in add {
            let _ = writeln!(
                script,
                "add element inet {} {} {{ {} }}",
                self.table,
                element.set.name(),
                element.text
            );
        }
        script
    }

    /// Removes the table.
    pub(super) fn remove(&self) -> Result<(), NetworkError> {
        run(&format!(
            "table inet {0}\ndelete table inet {0}\n",
            self.table
        ))
    }
}

fn whole(table: &str, elements: &BTreeSet<Element>) -> String {
    let mut script =
        format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    for (set, declaration) in SETS {
        let _ = write!(script, "    {declaration}");
        let mut members = elements
            .iter()
            .filter(|element| element.set == set)
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
    script.push_str(CHAINS);
    script.push_str("}\n");
    script
}

/// Gives rules to `nft`, in the network namespace of the calling thread.
pub(super) fn run(script: &str) -> Result<(), NetworkError> {
    let failed = |source| NetworkError::FirewallProgram { source };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(NetworkError::Firewall {
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    written.map_err(failed)
}
