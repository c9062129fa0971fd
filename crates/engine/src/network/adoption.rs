//! Taking over what an earlier daemon left on the node, and sweeping what belongs to nobody.
//!
//! Run once, when the networks are opened: records say what there should be, the kernel what there
//! is. A bridge that is gone is made again; a sandbox whose namespace or interfaces are gone is
//! forgotten; interfaces and namespaces of ours that no record names are removed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use model::Id;

use super::annex::{Annex, Seat};
use super::bridge::Bridge;
use super::error::{NetworkError, OpenError};
use super::firewall::Firewall;
use super::guard::{Guards, Plug};
use super::namespace::{self, Namespace};
use super::netlink::{self, Socket};
use super::pool::{self, Maker, Pool};
use super::ports::{self, Ports};
use super::reaper::{self, Reaper};
use super::record::{Record, Records};
use super::router;
use super::sandbox::{self, Live};
use super::{Asked, Inner, NetworkConfig, locked};

impl Inner {
    pub(super) fn open(
        config: NetworkConfig,
        runtime: tokio::runtime::Handle,
        asked: mpsc::Sender<Asked>,
    ) -> Result<Self, OpenError> {
        let NetworkConfig {
            data_dir,
            bridge_prefix: prefix,
            pool_size,
        } = config;
        let fits = (1..=7).contains(&prefix.len())
            && prefix.starts_with(|first: char| first.is_ascii_alphabetic())
            && prefix.chars().all(|c| c.is_ascii_alphanumeric());
        if !fits {
            return Err(OpenError::Prefix { prefix });
        }
        let run = data_dir.join("run");
        let directory = run.join("netns");
        namespace::prepare_directory(&directory)?;
        let data_dir = std::fs::canonicalize(&data_dir).map_err(|source| NetworkError::File {
            attempt: "find",
            path: data_dir,
            source,
        })?;
        let alias = format!("longshore {}", data_dir.display());
        let mut host = Socket::open().map_err(|source| NetworkError::Namespace {
            attempt: "talk to the node's",
            source,
        })?;
        let networks = Records::open(run.join("networks"))?;
        let sandboxes = Records::open(run.join("sandboxes"))?;
        refuse_others(&host.links()?, &prefix, &alias)?;
        pool::set_parameter("ipv4/ip_forward", "1")?;

        let bridges = adopt_bridges(&mut host, &networks, &prefix, &alias)?;
        let adopted = adopt_sandboxes(&sandboxes, &directory, &mut host)?;
        let router_records = Records::open(run.join("routers"))?;
        let routers = adopt_routers(&router_records, &directory)?;
        let kept = Kept {
            bridges: &bridges,
            sandboxes: &adopted,
            routers: &routers,
        };
        sweep(&mut host, &directory, &alias, &kept)?;

        let published = adopted
            .iter()
            .flat_map(|(record, _)| record.published.iter());
        let elements = bridges
            .values()
            .flat_map(Bridge::elements)
            .chain(ports::elements(published));
        let firewall = Firewall::open(&prefix, elements)?;
        let guards = Guards::open(
            &prefix,
            Records::open(run.join("firewalls"))?,
            Records::open(run.join("guards"))?,
        )?;
        guards.adopt(plugged(&adopted, &bridges), zones(&bridges))?;
        let maker = Maker {
            directory: directory.clone(),
            prefix: prefix.clone(),
            alias: alias.clone(),
        };
        let inner = Self {
            prefix,
            alias,
            directory,
            ports: Ports::new(runtime.clone()),
            runtime,
            host: Mutex::new(host),
            bridges: Mutex::new(bridges),
            seats: Mutex::default(),
            slots: Mutex::default(),
            names: Arc::default(),
            firewall,
            guards,
            pool: Pool::open(maker, pool_size)?,
            reaper: Reaper::open()?,
            networks,
            sandboxes,
            routers: Mutex::new(routers),
            router_records,
            asked,
        };
        for (mut record, namespace) in adopted {
            inner.seat_again(&mut record);
            let held = inner.ports.adopt(record.published.clone());
            for interface in &record.interfaces {
                inner.enter_names(&record, interface);
            }
            let id = record.instance;
            let mut live = Live {
                record,
                namespace,
                held,
                resolver: None,
                metadata: None,
            };
            if let Err(error) = inner.start_resolver(&mut live) {
                tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "no resolver after the restart");
            }
            if let Err(error) = inner.start_metadata(&mut live, true) {
                tracing::warn!(instance = %id, error = &error as &dyn std::error::Error, "no metadata after the restart");
            }
            inner.slots().insert(id, Arc::new(Mutex::new(Some(live))));
        }
        inner.pass_forwarding();
        Ok(inner)
    }
}

impl Inner {
    /// Counts in where the interfaces of a sandbox are.
    fn seat_again(&self, record: &mut Record) {
        let bridges = self.bridges();
        let mut seats = locked(&self.seats);
        for interface in &mut record.interfaces {
            let network = interface.endpoint.network;
            // Earlier daemons had no annexes, and no word for it.
            let first = || bridges.get(&network).map(Seat::first);
            interface.seat = interface.seat.or_else(first);
            if let Some(seat) = interface.seat {
                seats.take(network, seat);
            }
        }
    }
}

/// Refuses a prefix that the daemon of another data directory uses, if that still exists.
fn refuse_others(links: &[netlink::Link], prefix: &str, alias: &str) -> Result<(), OpenError> {
    for link in links.iter().filter(|link| link.name.starts_with(prefix)) {
        let Some(owner) = link.alias.as_deref().filter(|owner| *owner != alias) else {
            continue;
        };
        if let Some(owner) = owner.strip_prefix("longshore ")
            && std::path::Path::new(owner).exists()
        {
            return Err(OpenError::PrefixTaken {
                interface: link.name.clone(),
                owner: owner.to_owned(),
            });
        }
    }
    Ok(())
}

fn adopt_bridges(
    host: &mut Socket,
    networks: &Records,
    prefix: &str,
    alias: &str,
) -> Result<HashMap<Id, Bridge>, NetworkError> {
    let mut bridges = HashMap::new();
    for old in networks.load::<Bridge>()? {
        let id = old.network.meta.id;
        let made = Bridge::make(host, &old.network, prefix, alias)
            .and_then(|made| made.taking_over(&old, host, alias));
        match made {
            Ok(bridge) => {
                networks.put(id, &bridge)?;
                bridges.insert(id, bridge);
            }
            // It is tried again, and its user told, when it is needed.
            Err(error) => {
                tracing::warn!(network = %id, error = &error as &dyn std::error::Error, "bridge not taken over");
                networks.remove(id)?;
            }
        }
    }
    Ok(bridges)
}

/// The ports that adopted sandboxes plug into.
fn plugged(adopted: &[(Record, Namespace)], bridges: &HashMap<Id, Bridge>) -> BTreeMap<Id, Plug> {
    let interfaces = adopted.iter().flat_map(|(record, _)| &record.interfaces);
    interfaces
        .filter(|interface| interface.endpoint.port)
        .filter_map(|interface| {
            let bridge = bridges.get(&interface.endpoint.network)?;
            let plug = Plug {
                interface: interface.outer.clone(),
                bridge: bridge.name.clone(),
            };
            Some((interface.endpoint.id, plug))
        })
        .collect()
}

fn zones(bridges: &HashMap<Id, Bridge>) -> BTreeMap<String, u16> {
    bridges
        .values()
        .filter_map(|bridge| Some((bridge.name.clone(), bridge.zone?)))
        .collect()
}

fn adopt_sandboxes(
    sandboxes: &Records,
    directory: &std::path::Path,
    host: &mut Socket,
) -> Result<Vec<(Record, Namespace)>, NetworkError> {
    let links: HashSet<u32> = host.links()?.iter().map(|link| link.index).collect();
    let mut adopted = Vec::new();
    for record in sandboxes.load::<Record>()? {
        let whole = record
            .interfaces
            .iter()
            .all(|interface| links.contains(&interface.outer_index));
        match Namespace::adopt(sandbox::path(directory, &record)) {
            Some(namespace) if whole => adopted.push((record, namespace)),
            // The node was started anew, or the daemon ended in the middle of a removal.
            _ => sandboxes.remove(record.instance)?,
        }
    }
    Ok(adopted)
}

fn adopt_routers(
    records: &Records,
    directory: &std::path::Path,
) -> Result<HashMap<Id, router::Live>, NetworkError> {
    let mut routers = HashMap::new();
    for record in records.load::<router::Record>()? {
        let id = record.plan.id;
        match Namespace::adopt(directory.join(&record.netns)) {
            Some(namespace) => {
                routers.insert(id, router::Live { record, namespace });
            }
            // The node was started anew: the agent asks for it again.
            None => records.remove(id)?,
        }
    }
    Ok(routers)
}

/// What an earlier daemon left and this one goes on with.
struct Kept<'a> {
    bridges: &'a HashMap<Id, Bridge>,
    sandboxes: &'a [(Record, Namespace)],
    routers: &'a HashMap<Id, router::Live>,
}

/// Removes interfaces and namespaces of ours that belong to no bridge, sandbox or router.
fn sweep(
    host: &mut Socket,
    directory: &std::path::Path,
    alias: &str,
    kept: &Kept<'_>,
) -> Result<(), NetworkError> {
    let Kept {
        bridges,
        sandboxes,
        routers,
    } = kept;
    let kept: HashSet<u32> = bridges
        .values()
        .flat_map(|bridge| {
            let annexes = bridge.annexes.iter();
            annexes.flat_map(Annex::indices).chain([bridge.index])
        })
        .chain(sandboxes.iter().flat_map(|(record, _)| {
            record
                .interfaces
                .iter()
                .map(|interface| interface.outer_index)
        }))
        .chain(routers.values().flat_map(|live| {
            let legs = live.record.legs.iter();
            legs.map(|leg| leg.outer_index)
        }))
        .collect();
    let unowned: Vec<u32> = host
        .links()?
        .into_iter()
        .filter(|link| link.alias.as_deref() == Some(alias) && !kept.contains(&link.index))
        .map(|link| link.index)
        .collect();
    reaper::remove_interfaces(&unowned)?;
    let listed = |source| NetworkError::File {
        attempt: "list",
        path: directory.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(directory).map_err(listed)? {
        let path = entry.map_err(listed)?.path();
        let is_kept = sandboxes
            .iter()
            .any(|(_, namespace)| namespace.path == path)
            || routers.values().any(|live| live.namespace.path == path);
        if !is_kept {
            Namespace::release(&path)?;
        }
    }
    Ok(())
}
