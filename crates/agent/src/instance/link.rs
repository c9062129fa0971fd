//! What a linked instance is told of the others: the environment variables of links on a network
//! without names of its own. Names are the network's part, see `engine::network`.
//!
//! Source: moby, `daemon/links`; the variables as dockerd 20.10 sets them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::Id;
use model::instance::{
    Attachment, Failure, FailureKind, Instance, InstanceStatus, Protocol, RestartPolicy,
};
use model::network::Network;
use store::Store;

use super::not_found;
use crate::adoption::is_up;

/// Variables of the image that a link does not pass on: they say where the other finds things.
const OWN_VARIABLES: [&str; 2] = ["HOME", "PATH"];

/// An exposed port: number and protocol.
type ExposedPort = (u16, Protocol);

/// A link on a network without names of its own.
struct Link<'a> {
    network: Id,
    /// The other's name.
    name: &'a str,
    /// The instance's name for it.
    alias: &'a str,
}

fn links<'a>(store: &Store, instance: &'a Instance) -> impl Iterator<Item = Link<'a>> {
    let on_its_own = |attachment: &&Attachment| {
        let network = store.get::<Network>(attachment.network);
        network.is_some_and(|network| !network.value.spec.dns)
    };
    let attachments = instance.spec.attachments.iter().filter(on_its_own);
    attachments.flat_map(|attachment| {
        let names = attachment.links.iter();
        names.map(|(name, alias)| Link {
            network: attachment.network,
            name,
            alias,
        })
    })
}

impl Link<'_> {
    fn other(&self, store: &Store, instance: &Instance) -> Option<Arc<Instance>> {
        let found = store.by_name::<Instance>(instance.meta.project, self.name)?;
        Some(found.value)
    }

    /// Where the other is, if it runs.
    fn address(&self, store: &Store, other: &Instance) -> Option<IpAddr> {
        let status = store.get::<InstanceStatus>(other.meta.id)?.value;
        let mut endpoints = status.endpoints.iter().filter(|_| is_up(&status));
        let shared = endpoints.find(|endpoint| endpoint.network == self.network)?;
        shared.addresses().next().map(|(address, _)| address)
    }
}

/// Whether somebody it is linked to does not run, and will do so without anybody's asking: as after
/// a start of the machine, when all are started at once.
pub(super) fn is_awaited(store: &Store, instance: &Instance) -> bool {
    links(store, instance).any(|link| {
        link.other(store, instance).is_some_and(|other| {
            let status = store.get::<InstanceStatus>(other.meta.id);
            let comes_back = matches!(
                other.spec.restart,
                RestartPolicy::Always | RestartPolicy::UnlessStopped
            );
            other.spec.run.started
                && comes_back
                && status
                    .is_some_and(|status| !is_up(&status.value) && status.value.error.is_none())
        })
    })
}

/// Variables that tell an instance of those that it is linked to.
///
/// # Errors
/// Somebody it is linked to is not there, or does not run.
pub(super) fn variables(store: &Store, instance: &Instance) -> Result<Vec<String>, Failure> {
    let mut variables = Vec::new();
    for link in links(store, instance) {
        let Link { name, alias, .. } = link;
        let other = link
            .other(store, instance)
            .ok_or_else(|| not_found(format!("Could not get container for {name}")))?;
        let address = link.address(store, &other).ok_or_else(|| Failure {
            kind: FailureKind::Internal,
            message: format!(
                "Cannot link to a non running container: /{name} AS /{}/{alias}",
                instance.meta.name
            ),
        })?;
        let Some(container) = other.spec.containers.first() else {
            continue;
        };
        let prefix = alias.to_uppercase().replace('-', "_");
        variables.extend(of_ports(&prefix, address, &container.exposed_ports));
        variables.push(format!("{prefix}_NAME=/{}/{alias}", instance.meta.name));
        variables.extend(of_environment(&prefix, &container.env));
    }
    Ok(variables)
}

/// How its ports are reached: the lowest by the bare name, each by its number, and a run of
/// neighbours also by its two ends, under the name of its first.
fn of_ports(prefix: &str, address: IpAddr, ports: &BTreeSet<ExposedPort>) -> Vec<String> {
    let url =
        |(number, protocol): ExposedPort| format!("{}://{address}:{number}", protocol.as_str());
    let name = |(number, protocol): ExposedPort| {
        format!(
            "{prefix}_PORT_{number}_{}",
            protocol.as_str().to_uppercase()
        )
    };
    let mut variables = Vec::new();
    if let Some(first) = ports.first() {
        variables.push(format!("{prefix}_PORT={}", url(*first)));
    }
    let mut sorted: Vec<ExposedPort> = ports.iter().copied().collect();
    sorted.sort_by_key(|(number, protocol)| (*protocol, *number));
    for run in sorted.chunk_by(|one, next| one.0.checked_add(1) == Some(next.0) && one.1 == next.1)
    {
        let [first, .., last] = *run else { continue };
        // Two neighbours are no range.
        if run.len() < 3 {
            continue;
        }
        let name = name(first);
        variables.extend([
            format!("{name}_START={}", url(first)),
            format!("{name}_ADDR={address}"),
            format!("{name}_PROTO={}", first.1.as_str()),
            format!("{name}_PORT_START={}", first.0),
            format!("{name}_END={}", url(last)),
            format!("{name}_PORT_END={}", last.0),
        ]);
    }
    for port in sorted {
        let name = name(port);
        variables.extend([
            format!("{name}={}", url(port)),
            format!("{name}_ADDR={address}"),
            format!("{name}_PORT={}", port.0),
            format!("{name}_PROTO={}", port.1.as_str()),
        ]);
    }
    variables
}

fn of_environment<'a>(prefix: &str, env: &'a [String]) -> impl Iterator<Item = String> + use<'a> {
    let prefix = prefix.to_owned();
    env.iter().filter_map(move |entry| {
        let (name, value) = entry.split_once('=')?;
        (!OWN_VARIABLES.contains(&name)).then(|| format!("{prefix}_ENV_{name}={value}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ports_are_a_range_and_each_is_named() {
        let ports = [
            (81, Protocol::Tcp),
            (80, Protocol::Tcp),
            (82, Protocol::Tcp),
        ];
        let ports = ports.into_iter().chain([(53, Protocol::Udp)]).collect();
        let variables = of_ports("DB", IpAddr::from([10, 0, 0, 2]), &ports);
        assert_eq!(
            variables[..7],
            [
                "DB_PORT=udp://10.0.0.2:53",
                "DB_PORT_80_TCP_START=tcp://10.0.0.2:80",
                "DB_PORT_80_TCP_ADDR=10.0.0.2",
                "DB_PORT_80_TCP_PROTO=tcp",
                "DB_PORT_80_TCP_PORT_START=80",
                "DB_PORT_80_TCP_END=tcp://10.0.0.2:82",
                "DB_PORT_80_TCP_PORT_END=82",
            ]
        );
        assert_eq!(variables.len(), 7 + 4 * 4);
        assert_eq!(variables.last().unwrap(), "DB_PORT_53_UDP_PROTO=udp");
    }
}
