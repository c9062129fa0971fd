//! The text of `/etc/resolv.conf` and `/etc/hosts`, as Docker's users know them. Pure.
//!
//! With the embedded resolver an instance asks 127.0.0.11; without it, the node's servers, of
//! which those on loopback are left out because they answer nobody else
//! (<https://docs.docker.com/engine/network/#dns-services>).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use model::instance::Dns;

use super::record::Naming;

/// Where the embedded resolver listens, inside.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Servers for an instance whose node names none that it can reach.
const FALLBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
];

/// The parts of a `resolv.conf` (resolv.conf(5)).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Resolv {
    pub(super) servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolv {
    /// Reads one; unknown lines are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut resolv = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => resolv.servers.extend(words.next()),
                Some("search" | "domain") => resolv.search = words.collect(),
                Some("options") => resolv.options.extend(words),
                _ => {}
            }
        }
        resolv
    }

    /// With what an instance says of its own in place of the node's.
    pub(super) fn overridden(mut self, dns: &Dns) -> Self {
        if !dns.servers.is_empty() {
            self.servers.clone_from(&dns.servers);
        }
        match dns.search.as_slice() {
            [] => {}
            // A lone dot is Docker's way to say none.
            [dot] if dot == "." => self.search.clear(),
            search => self.search = search.to_vec(),
        }
        if !dns.options.is_empty() {
            self.options.clone_from(&dns.options);
        }
        self
    }

    /// Servers that can be asked from the node.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.servers
            .iter()
            .filter_map(|server| server.parse().ok())
            .collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        text
    }
}

/// For an instance that has the embedded resolver.
pub(super) fn resolv_with_resolver(node: &str, dns: &Dns) -> String {
    let mut resolv = Resolv::parse(node).overridden(dns);
    resolv.servers = vec![RESOLVER.to_string()];
    let is_dots = |option: &String| {
        option
            .strip_prefix("ndots:")
            .is_some_and(|dots| dots.parse::<u32>().is_ok())
    };
    if !resolv.options.iter().any(is_dots) {
        resolv
            .options
            .retain(|option| !option.starts_with("ndots:"));
        resolv.options.push("ndots:0".to_owned());
    }
    resolv.text()
}

/// For an instance in a namespace of its own that asks the node's servers.
pub(super) fn resolv_without_resolver(node: &str, dns: &Dns, ipv6: bool) -> String {
    let mut resolv = Resolv::parse(node).overridden(dns);
    if dns.servers.is_empty() {
        let reachable = |address: IpAddr| !address.is_loopback() && (address.is_ipv4() || ipv6);
        // A server with a zone, such as fe80::1%eth0, means something on the node only.
        resolv
            .servers
            .retain(|server| server.parse().is_ok_and(reachable));
        if resolv.servers.is_empty() {
            resolv.servers = FALLBACK.map(|address| address.to_string()).to_vec();
        }
    }
    resolv.text()
}

/// For an instance in the node's own network.
pub(super) fn resolv_of_node(node: &str, dns: &Dns) -> String {
    if *dns == Dns::default() {
        node.to_owned()
    } else {
        Resolv::parse(node).overridden(dns).text()
    }
}

/// `/etc/hosts`: loopback, what the user added, the instance itself, and those it is linked to.
///
/// `gateway` stands for `host-gateway` in the user's lines.
pub(super) fn hosts(
    naming: &Naming,
    own: &[IpAddr],
    linked: &[(IpAddr, String)],
    gateway: Option<IpAddr>,
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    add_extra_hosts(&mut text, naming, gateway);
    for (address, names) in linked {
        let _ = writeln!(text, "{address}\t{names}");
    }
    for address in own {
        if naming.domainname.is_empty() {
            let _ = writeln!(text, "{address}\t{}", naming.hostname);
        } else {
            let _ = writeln!(
                text,
                "{address}\t{0}.{1} {0}",
                naming.hostname, naming.domainname
            );
        }
    }
    text
}

/// For an instance in the node's own network: the node's file and what the user added.
pub(super) fn hosts_of_node(node: &str, naming: &Naming) -> String {
    let mut text = node.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    add_extra_hosts(&mut text, naming, Some(Ipv4Addr::LOCALHOST.into()));
    text
}

fn add_extra_hosts(text: &mut String, naming: &Naming, gateway: Option<IpAddr>) {
    for (name, address) in &naming.extra_hosts {
        if address == "host-gateway" {
            if let Some(gateway) = gateway {
                let _ = writeln!(text, "{gateway}\t{name}");
            }
        } else {
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\ndomain old\nsearch a.example b.example\noptions edns0 trust-ad\n";

    fn naming() -> Naming {
        Naming {
            name: "web".to_owned(),
            hostname: "host".to_owned(),
            domainname: String::new(),
            extra_hosts: vec![
                ("db".to_owned(), "10.9.9.9".to_owned()),
                ("node".to_owned(), "host-gateway".to_owned()),
            ],
            dns: Dns::default(),
        }
    }

    #[test]
    fn the_embedded_resolver_stands_in_for_every_server() {
        assert_eq!(
            resolv_with_resolver(NODE, &Dns::default()),
            "nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 trust-ad ndots:0\n"
        );
        let dns = Dns {
            options: vec!["ndots:2".to_owned()],
            search: vec![".".to_owned()],
            ..Dns::default()
        };
        assert_eq!(
            resolv_with_resolver(NODE, &dns),
            "nameserver 127.0.0.11\noptions ndots:2\n"
        );
        let dns = Dns {
            options: vec!["ndots:-1".to_owned()],
            ..Dns::default()
        };
        assert!(resolv_with_resolver("", &dns).ends_with("options ndots:0\n"));
    }

    #[test]
    fn without_it_servers_that_only_the_node_reaches_are_left_out() {
        assert_eq!(
            resolv_without_resolver(NODE, &Dns::default(), false),
            "nameserver 10.0.0.2\nsearch a.example b.example\noptions edns0 trust-ad\n"
        );
        assert_eq!(
            resolv_without_resolver("nameserver 127.0.0.53\n", &Dns::default(), false),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
        let dns = Dns {
            servers: vec!["127.0.0.1".to_owned()],
            ..Dns::default()
        };
        assert!(
            resolv_without_resolver(NODE, &dns, false).starts_with("nameserver 127.0.0.1\nsearch")
        );
    }

    #[test]
    fn hosts_name_the_instance_and_what_the_user_added() {
        let own = ["172.18.0.2".parse().unwrap()];
        let text = hosts(&naming(), &own, &[], Some("172.18.0.1".parse().unwrap()));
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\t"), "{text}");
        assert!(
            text.ends_with("10.9.9.9\tdb\n172.18.0.1\tnode\n172.18.0.2\thost\n"),
            "{text}"
        );
        let text = hosts(
            &Naming {
                domainname: "example.org".to_owned(),
                ..naming()
            },
            &own,
            &[],
            None,
        );
        assert!(
            text.ends_with("172.18.0.2\thost.example.org host\n"),
            "{text}"
        );
    }

    #[test]
    fn the_nodes_own_files_are_kept_word_for_word() {
        assert_eq!(resolv_of_node(NODE, &Dns::default()), NODE);
        assert_eq!(
            hosts_of_node("127.0.0.1 me", &naming()),
            "127.0.0.1 me\n10.9.9.9\tdb\n127.0.0.1\tnode\n"
        );
    }
}
