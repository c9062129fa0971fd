//! Room on a network for more interfaces than one bridge takes: annexes, further bridges that a pair
//! of interfaces joins to the first.
//!
//! The node's addresses, routes and rules stay with the first bridge; an annex only forwards. Not for
//! networks whose interfaces are guarded or kept apart: what those are told is about one bridge.

use std::collections::HashMap;

use model::Id;
use serde::{Deserialize, Serialize};

use super::bridge::{self, Bridge};
use super::change::{Batch, Port};
use super::error::NetworkError;
use super::netlink::Socket;
use super::pool::set_parameter;
use super::record::Interface;
use super::{Inner, locked};

/// Instances' interfaces on one bridge. It takes [`bridge::PORT_LIMIT`]: what is left is for annexes,
/// for others' interfaces, and for those that are being removed.
const SEATS: usize = 768;

/// A port of a bridge that leads to more than one hardware address.
const TRUNK: Port = Port {
    isolated: false,
    open: true,
    hairpin: false,
};

/// A further bridge of a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Annex {
    bridge: Link,
    /// On the first bridge.
    near: Link,
    /// On this one.
    far: Link,
}

/// An interface of the node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Link {
    name: String,
    /// In this boot of the node.
    index: u32,
}

/// Where an interface is plugged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Seat {
    /// 0 the first bridge, then its annexes.
    number: usize,
    /// Index of that bridge's interface.
    pub(super) bridge: u32,
}

impl Seat {
    /// On the first bridge.
    pub(super) const fn first(bridge: &Bridge) -> Self {
        Self {
            number: 0,
            bridge: bridge.index,
        }
    }
}

/// How many interfaces are on each bridge of each network.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: HashMap<(Id, usize), usize>,
}

impl Seats {
    /// Counts an interface in.
    pub(super) fn take(&mut self, network: Id, seat: Seat) {
        *self.taken.entry((network, seat.number)).or_default() += 1;
    }

    fn give_back(&mut self, network: Id, seat: Seat) {
        if let Some(count) = self.taken.get_mut(&(network, seat.number)) {
            *count = count.saturating_sub(1);
        }
    }

    fn has_room(&self, network: Id, number: usize) -> bool {
        let taken = self.taken.get(&(network, number));
        taken.is_none_or(|taken| *taken < SEATS)
    }
}

/// Whether a network's bridge may have annexes.
const fn grows(bridge: &Bridge) -> bool {
    let network = &bridge.network;
    network.spec.inter_instance && !bridge::is_filtered(network)
}

impl Annex {
    /// Makes what is missing of an annex, and joins it to its bridge.
    fn make(
        names: [&str; 3],
        to: &Bridge,
        host: &mut Socket,
        alias: &str,
    ) -> Result<Self, NetworkError> {
        let [name, near, far] = names;
        let mtu = to.network.spec.mtu;
        let mut batch = Batch::default();
        if host.link(name)?.is_none() {
            let [a, b, c, d, e] = rand::random();
            batch.add_bridge(name, [0x02, a, b, c, d, e], mtu);
        }
        if host.link(near)?.is_none() {
            batch.add_pair(near, far);
        }
        host.run(batch)?;
        let mut links = Vec::with_capacity(names.len());
        let mut batch = Batch::default();
        for name in names {
            let index = host.found(name)?.index;
            batch.set_alias(index, name, alias);
            // Nobody speaks to the node there.
            set_parameter(&format!("ipv6/conf/{name}/disable_ipv6"), "1")?;
            links.push(Link {
                name: name.to_owned(),
                index,
            });
        }
        let [bridge, near, far] = <[Link; 3]>::try_from(links).unwrap_or_else(|_| unreachable!());
        batch.up(bridge.index, &bridge.name);
        batch.enslave(near.index, &near.name, to.index, mtu, TRUNK);
        batch.enslave(far.index, &far.name, bridge.index, mtu, TRUNK);
        host.run(batch)?;
        Ok(Self { bridge, near, far })
    }

    /// Name of the bridge.
    pub(super) fn name(&self) -> &str {
        &self.bridge.name
    }

    /// Its interfaces on the node.
    pub(super) fn indices(&self) -> [u32; 3] {
        [self.bridge.index, self.near.index, self.far.index]
    }

    /// Removes it, and with one end of the pair the other.
    pub(super) fn remove(&self, batch: &mut Batch) {
        batch.delete_link(&self.near.name);
        batch.delete_link(&self.bridge.name);
    }

    /// As it was, or made anew where somebody has removed it.
    pub(super) fn mended(
        &self,
        to: &Bridge,
        host: &mut Socket,
        alias: &str,
    ) -> Result<Self, NetworkError> {
        let names = [&self.bridge, &self.near, &self.far].map(|link| link.name.as_str());
        Self::make(names, to, host, alias)
    }
}

impl Inner {
    /// Finds an interface a bridge that has room, and makes one where none has.
    pub(super) fn seat(
        &self,
        interface: &mut Interface,
        bridge: &Bridge,
    ) -> Result<(), NetworkError> {
        let network = bridge.network.meta.id;
        let mut seats = locked(&self.seats);
        let mut seat = Seat::first(bridge);
        if grows(bridge) && !seats.has_room(network, seat.number) {
            // Others may have made some since.
            let known = self.bridge(network);
            let annexes = known.map(|known| known.annexes).unwrap_or_default();
            let numbers = 1..=annexes.len();
            let free = numbers
                .zip(&annexes)
                .find(|(number, _)| seats.has_room(network, *number));
            seat = match free {
                Some((number, annex)) => Seat {
                    number,
                    bridge: annex.bridge.index,
                },
                None => Seat {
                    number: annexes.len() + 1,
                    bridge: self.extend(network)?,
                },
            };
        }
        seats.take(network, seat);
        interface.seat = Some(seat);
        Ok(())
    }

    /// Gives back an interface's place, where it has one.
    pub(super) fn leave_seat(&self, interface: &Interface) {
        if let Some(seat) = interface.seat {
            locked(&self.seats).give_back(interface.endpoint.network, seat);
        }
    }

    /// Makes an annex, and answers its index.
    fn extend(&self, network: Id) -> Result<u32, NetworkError> {
        let mut bridges = self.bridges();
        let bridge = bridges
            .get_mut(&network)
            .ok_or(NetworkError::UnknownNetwork { network })?;
        let name = format!("{}x{:07x}", self.prefix, rand::random::<u32>() >> 4);
        let maker = self.pool.maker();
        let (near, far) = (maker.outer_name(), maker.outer_name());
        let mut host = self.host();
        let made = Annex::make([&name, &near, &far], bridge, &mut host, &self.alias);
        let annex = made.inspect_err(|_| {
            let mut batch = Batch::default();
            batch.delete_link(&near);
            batch.delete_link(&name);
            if let Err(error) = host.run(batch) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an annex is left behind"
                );
            }
        })?;
        drop(host);
        let index = annex.bridge.index;
        bridge.annexes.push(annex);
        self.firewall.change(&bridge.elements(), &[])?;
        self.networks.put(network, bridge)?;
        Ok(index)
    }
}
