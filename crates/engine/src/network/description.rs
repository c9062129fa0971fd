//! What is told of a sandbox: its interfaces and ports, and the text of its files.
//!
//! Reads only. [`super::Networks`] answers with it; [`super::files`] words the files.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::network::Routing;

use super::error::NetworkError;
use super::files;
use super::record::Record;
use super::sandbox::{Live, addresses};
use super::{Inner, Sandbox};

impl Inner {
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
