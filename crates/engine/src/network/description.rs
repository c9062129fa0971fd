//! What is told of a sandbox: its interfaces and ports, the text of its files, and what its
//! resolver answers for.
//!
//! Reads only. [`super::Networks`] answers with it; [`super::files`] words the files.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::network::Routing;

use super::bridge::Bridge;
use super::error::NetworkError;
use super::files;
use super::record::Record;
use super::resolver::{Scope, ScopeNetwork};
use super::sandbox::{Live, addresses};
use super::{Inner, Sandbox};

impl Inner {
    /// What an instance's resolver answers for.
    pub(super) fn scope(&self, record: &Record) -> Scope {
        let bridges = self.bridges();
        let of = |network| bridges.get(&network).map(|bridge: &Bridge| &bridge.network);
        let networks = record
            .interfaces
            .iter()
            .filter_map(|interface| {
                let network = of(interface.endpoint.network).filter(|network| network.spec.dns)?;
                Some(ScopeNetwork {
                    id: network.meta.id,
                    name: network.meta.name.clone(),
                    links: interface
                        .links
                        .iter()
                        .map(|(other, alias)| (alias.to_ascii_lowercase(), other.clone()))
                        .collect(),
                })
            })
            .collect();
        let leads_out = record.interfaces.iter().any(|interface| {
            of(interface.endpoint.network).is_some_and(|network| !network.spec.internal)
        });
        let mut servers: Vec<IpAddr> = record
            .naming
            .dns
            .servers
            .iter()
            .filter_map(|server| server.parse().ok())
            .collect();
        if servers.is_empty() {
            let interfaces = record.interfaces.iter();
            let networks = interfaces.filter_map(|interface| of(interface.endpoint.network));
            let subnets = networks.flat_map(|network| &network.spec.subnets);
            servers.extend(subnets.flat_map(|subnet| subnet.dns_servers.clone()));
        }
        Scope {
            networks,
            servers,
            leads_out,
        }
    }

    /// What the caller needs to know of a sandbox.
    pub(super) fn describe(&self, live: &Live) -> Result<Sandbox, NetworkError> {
        let netns = duplicate(live.namespace.fd.as_fd())?;
        let record = &live.record;
        let node = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let has_ipv6 = record
            .interfaces
            .iter()
            .any(|interface| interface.endpoint.ipv6.is_some());
        let resolv_conf = if live.resolver.is_some() {
            files::resolv_with_resolver(&node, &record.naming.dns)
        } else {
            files::resolv_without_resolver(&node, &record.naming.dns, has_ipv6)
        };
        Ok(Sandbox {
            netns,
            netns_path: live.namespace.path.clone(),
            endpoints: record
                .interfaces
                .iter()
                .map(|interface| interface.endpoint.clone())
                .collect(),
            ports: record
                .published
                .iter()
                .map(|published| published.bound.clone())
                .collect(),
            resolv_conf,
            hosts: self.hosts(record),
        })
    }

    /// What `/etc/hosts` holds.
    pub(super) fn hosts(&self, record: &Record) -> String {
        let own: Vec<IpAddr> = record
            .interfaces
            .iter()
            .flat_map(|interface| addresses(&interface.endpoint))
            .collect();
        let mut linked = Vec::new();
        for interface in &record.interfaces {
            let Some(bridge) = self.bridge(interface.endpoint.network) else {
                continue;
            };
            // A network with names answers for links itself.
            if bridge.network.spec.dns {
                continue;
            }
            let names = self.names();
            for (other, alias) in &interface.links {
                for address in names
                    .addresses(interface.endpoint.network, other)
                    .unwrap_or_default()
                {
                    let shown = if alias == other {
                        alias.clone()
                    } else {
                        format!("{alias} {other}")
                    };
                    linked.push((address, shown));
                }
            }
        }
        files::hosts(&record.naming, &own, &linked, self.host_gateway())
    }

    /// The node, as an instance sees it: its address on the default network, or on any.
    fn host_gateway(&self) -> Option<IpAddr> {
        let bridges = self.bridges();
        let any = bridges
            .values()
            .find(|bridge| bridge.network.spec.predefined && !bridge.network.spec.external)
            .or_else(|| {
                bridges
                    .values()
                    .find(|bridge| bridge.network.spec.routing == Routing::Node)
            });
        any?.network.spec.gateway(true)
    }
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, NetworkError> {
    rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(|errno| NetworkError::Namespace {
        attempt: "keep open",
        source: errno.into(),
    })
}
