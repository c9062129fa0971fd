//! Guards: what may pass to and from each port, and that a port sends as itself only.
//!
//! Two tables, named by the daemon's prefix. One, of the bridge family, drops at the port what
//! bears another's addresses. The other, of the inet family, holds the firewalls: bridges of
//! guarded networks hand their traffic to it (`nf_call_iptables`), each in a conntrack zone of its
//! own, because two may use the same addresses. Both are on the node, where no privilege inside an
//! instance reaches. A port that comes or goes, or changes its addresses, moves elements of sets
//! by [`super::nftables`]; what changes rules replaces both tables, in one transaction.
//! [`super::sandbox`] and the agent's wishes call it; [`rules`] has the texts.

mod element;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Id;
use model::firewall::{Firewall, Remote};
use model::port::AddressPair;
use serde::{Deserialize, Serialize};

use self::element::Element;
use super::error::NetworkError;
use super::firewall;
use super::nftables::Transaction;
use super::record::Records;
use crate::NetworkPart;

/// What a port may send and receive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Guard {
    /// The port.
    pub port: Id,
    /// Its hardware address.
    pub mac: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Further sources that it may send from.
    pub pairs: Vec<AddressPair>,
    /// Firewalls hold, and it may send as itself only; otherwise all passes.
    pub secure: bool,
    /// Something may pass at all.
    pub up: bool,
    /// The firewalls.
    pub firewalls: Vec<Id>,
}

/// Where a port is plugged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plug {
    /// The interface on the node.
    pub(super) interface: String,
    /// The bridge.
    pub(super) bridge: String,
}

/// The guards of all ports of this node.
#[derive(Debug)]
pub(super) struct Guards {
    /// The tables' name.
    table: String,
    firewalls: Records,
    guards: Records,
    state: Mutex<State>,
}

/// What is known, and what of it the kernel has.
#[derive(Debug, Default)]
struct State {
    firewalls: BTreeMap<Id, Firewall>,
    guards: BTreeMap<Id, Guard>,
    plugged: BTreeMap<Id, Plug>,
    /// Conntrack zones by bridge.
    zones: BTreeMap<String, u16>,
    /// The kernel's rules; `None` without tables.
    shown: Option<Shown>,
}

/// What the kernel has.
#[derive(Debug)]
struct Shown {
    /// Lists of firewalls that ports have, each with chains of its own.
    profiles: BTreeMap<Vec<Id>, usize>,
    firewalls: BTreeSet<Id>,
    elements: BTreeSet<Element>,
}

impl State {
    /// The firewalls of the ports that are plugged in, and those that their rules name.
    fn used(&self) -> BTreeMap<Id, &Firewall> {
        let guards = self.plugged.keys().filter_map(|port| self.guards.get(port));
        let own: BTreeSet<Id> = guards.flat_map(|guard| guard.firewalls.clone()).collect();
        let known = own.iter().filter_map(|id| self.firewalls.get(id));
        let named = known.flat_map(|firewall| {
            firewall
                .spec
                .rules
                .iter()
                .filter_map(|rule| match rule.remote {
                    Remote::Firewall(id) => Some(id),
                    Remote::Any | Remote::Prefix(_) => None,
                })
        });
        let all: BTreeSet<Id> = own.iter().copied().chain(named).collect();
        all.into_iter()
            .filter_map(|id| Some((id, self.firewalls.get(&id)?)))
            .collect()
    }
}

impl Guards {
    /// Reads what an earlier daemon knew; [`Self::adopt`] says what is plugged in.
    pub(super) fn open(
        prefix: &str,
        firewalls: Records,
        guards: Records,
    ) -> Result<Self, NetworkError> {
        let state = State {
            firewalls: firewalls
                .load::<Firewall>()?
                .into_iter()
                .map(|firewall| (firewall.meta.id, firewall))
                .collect(),
            guards: guards
                .load::<Guard>()?
                .into_iter()
                .map(|guard| (guard.port, guard))
                .collect(),
            ..State::default()
        };
        Ok(Self {
            table: format!("{prefix}_guard"),
            firewalls,
            guards,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what is plugged in, and replaces the tables by ones that say so.
    pub(super) fn adopt(
        &self,
        plugged: BTreeMap<Id, Plug>,
        zones: BTreeMap<String, u16>,
    ) -> Result<(), NetworkError> {
        let mut state = self.state();
        state.plugged = plugged;
        state.zones = zones;
        self.replace(&mut state)
    }

    /// The firewalls and ports that are known.
    pub(super) fn parts(&self) -> Vec<(NetworkPart, Id)> {
        let state = self.state();
        let firewalls = state.firewalls.keys();
        let ports = state.guards.keys();
        firewalls
            .map(|id| (NetworkPart::Firewall, *id))
            .chain(ports.map(|id| (NetworkPart::Port, *id)))
            .collect()
    }

    /// What is known of a port.
    pub(super) fn guard(&self, port: Id) -> Option<Guard> {
        self.state().guards.get(&port).cloned()
    }

    /// Makes a firewall, or changes its rules; for every port at once.
    pub(super) fn set_firewall(&self, firewall: &Firewall) -> Result<(), NetworkError> {
        let mut state = self.state();
        let id = firewall.meta.id;
        let known = state.firewalls.get(&id);
        if known.is_some_and(|known| known.spec.rules == firewall.spec.rules) {
            return Ok(());
        }
        let before = state.firewalls.insert(id, firewall.clone());
        let replaced = if state.used().contains_key(&id) {
            self.replace(&mut state)
        } else {
            Ok(())
        };
        if let Err(error) = replaced {
            match before {
                Some(before) => state.firewalls.insert(id, before),
                None => state.firewalls.remove(&id),
            };
            return Err(error);
        }
        self.firewalls.put(id, firewall)
    }

    /// Forgets a firewall. Ports that have it lose what it let pass.
    pub(super) fn remove_firewall(&self, id: Id) -> Result<(), NetworkError> {
        let mut state = self.state();
        let is_used = state.used().contains_key(&id);
        state.firewalls.remove(&id);
        if is_used {
            self.replace(&mut state)?;
        }
        self.firewalls.remove(id)
    }

    /// Says what a port may; where it is plugged in, at once.
    pub(super) fn set(&self, guard: &Guard) -> Result<Option<Plug>, NetworkError> {
        let mut state = self.state();
        let plug = state.plugged.get(&guard.port).cloned();
        if state.guards.get(&guard.port) == Some(guard) {
            return Ok(plug);
        }
        self.guards.put(guard.port, guard)?;
        let before = state.guards.insert(guard.port, guard.clone());
        if plug.is_some()
            && let Err(error) = self.show(&mut state)
        {
            if let Some(before) = before {
                state.guards.insert(guard.port, before);
            }
            return Err(error);
        }
        Ok(plug)
    }

    /// Forgets a port.
    pub(super) fn remove(&self, port: Id) -> Result<(), NetworkError> {
        let mut state = self.state();
        state.guards.remove(&port);
        self.show(&mut state)?;
        self.guards.remove(port)
    }

    /// Guards a port from now on at its place. To be called before anything can pass there.
    pub(super) fn plug(&self, port: Id, plug: Plug) -> Result<(), NetworkError> {
        let mut state = self.state();
        state.plugged.insert(port, plug);
        let shown = self.show(&mut state);
        if shown.is_err() {
            state.plugged.remove(&port);
        }
        shown
    }

    /// Guards a port no more: nothing is there.
    pub(super) fn unplug(&self, port: Id) -> Result<(), NetworkError> {
        let mut state = self.state();
        if state.plugged.remove(&port).is_none() {
            return Ok(());
        }
        self.show(&mut state)
    }

    /// Gives a bridge a conntrack zone of its own, or takes it away.
    pub(super) fn set_zone(&self, bridge: &str, zone: Option<u16>) -> Result<(), NetworkError> {
        let mut state = self.state();
        if state.zones.get(bridge).copied() == zone {
            return Ok(());
        }
        match zone {
            Some(zone) => state.zones.insert(bridge.to_owned(), zone),
            None => state.zones.remove(bridge),
        };
        if state.shown.is_some() {
            self.replace(&mut state)?;
        }
        Ok(())
    }

    /// The lowest conntrack zone that no bridge has.
    pub(super) fn free_zone(&self) -> u16 {
        let state = self.state();
        let taken: BTreeSet<u16> = state.zones.values().copied().collect();
        (1..u16::MAX)
            .find(|zone| !taken.contains(zone))
            .unwrap_or(u16::MAX)
    }

    /// Removes both tables.
    pub(super) fn close(&self) -> Result<(), NetworkError> {
        self.state().shown = None;
        firewall::run(&rules::without(&self.table))
    }

    /// Has the kernel show what is known: by messages where only elements differ.
    fn show(&self, state: &mut State) -> Result<(), NetworkError> {
        let Some(shown) = &mut state.shown else {
            return self.replace(state);
        };
        let mut wanted = BTreeSet::new();
        for (port, plug) in &state.plugged {
            let Some(guard) = state.guards.get(port) else {
                continue;
            };
            let profile = shown.profiles.get(&guard.firewalls).copied();
            if profile.is_none() && guard.secure {
                return self.replace(state);
            }
            wanted.extend(element::of_port(guard, plug, profile.unwrap_or_default()));
        }
        wanted.retain(|element| element.is_declared(&shown.firewalls));
        let mut transaction = Transaction::new();
        for element in shown.elements.difference(&wanted) {
            element.delete(&mut transaction, &self.table);
        }
        for element in wanted.difference(&shown.elements) {
            element.add(&mut transaction, &self.table);
        }
        let is_interval_moved = shown
            .elements
            .symmetric_difference(&wanted)
            .any(Element::is_interval);
        // Somebody may have flushed the node's rules: then all of ours are made again.
        if is_interval_moved || transaction.commit().is_err() {
            return self.replace(state);
        }
        shown.elements = wanted;
        Ok(())
    }

    /// Replaces both tables by ones that say what is known; none where nothing is plugged in.
    fn replace(&self, state: &mut State) -> Result<(), NetworkError> {
        if state.plugged.is_empty() {
            if state.shown.take().is_some() {
                firewall::run(&rules::without(&self.table))?;
            }
            return Ok(());
        }
        let mut profiles = BTreeMap::new();
        let guards = || {
            let plugged = state.plugged.iter();
            plugged.filter_map(|(port, plug)| Some((state.guards.get(port)?, plug)))
        };
        for (guard, _) in guards().filter(|(guard, _)| guard.secure) {
            let next = profiles.len();
            profiles.entry(guard.firewalls.clone()).or_insert(next);
        }
        let mut elements = BTreeSet::new();
        for (guard, plug) in guards() {
            let profile = profiles.get(&guard.firewalls).copied();
            elements.extend(element::of_port(guard, plug, profile.unwrap_or_default()));
        }
        let used = state.used();
        let firewalls: BTreeSet<Id> = used.keys().copied().collect();
        elements.retain(|element| element.is_declared(&firewalls));
        let script = rules::whole(&self.table, &used, &profiles, &state.zones, &elements);
        firewall::run(&script)?;
        state.shown = Some(Shown {
            profiles,
            firewalls,
            elements,
        });
        Ok(())
    }
}
