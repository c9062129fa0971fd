//! Changes of interfaces, addresses, routes and neighbours, as messages of route netlink. Pure.
//!
//! A [`Batch`] is filled with changes in the order they are to be made, and sent by
//! [`super::netlink`] in one system call. [`super::bridge`] and [`super::sandbox`] decide which.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use model::subnet::Route;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::NetworkError;

/// Six bytes of hardware address.
pub(super) type Mac = [u8; 6];

/// Reads `02:42:ac:11:00:02`.
pub(super) fn parse_mac(text: &str) -> Result<Mac, NetworkError> {
    let mut mac = Mac::default();
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = parts
            .next()
            .filter(|part| part.len() == 2)
            .and_then(|part| u8::from_str_radix(part, 16).ok())
            .ok_or_else(|| NetworkError::Mac {
                mac: text.to_owned(),
            })?;
    }
    if parts.next().is_some() {
        return Err(NetworkError::Mac {
            mac: text.to_owned(),
        });
    }
    Ok(mac)
}

/// One change, with words for the error and errors that mean it was made before.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) attempt: &'static str,
    pub(super) subject: String,
    pub(super) tolerate: &'static [rustix::io::Errno],
}

/// Changes in the order they are to be made.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The messages, numbered from 0.
    pub(super) bytes: Vec<u8>,
    /// What each message is for.
    pub(super) steps: Vec<Step>,
}

/// What kind of port an instance's interface is on its bridge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    /// It reaches the bridge itself only, not other such ports.
    pub(super) isolated: bool,
    /// It may bear any hardware address, which the bridge learns.
    pub(super) open: bool,
    /// Frames may leave by the port they came by: what an instance sends to a published port of
    /// its own, where the node filters bridged traffic (`bridge-nf-call-iptables`).
    pub(super) hairpin: bool,
}

impl Batch {
    pub(super) fn push(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        attempt: &'static str,
        subject: impl Into<String>,
        tolerate: &'static [rustix::io::Errno],
    ) {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let start = self.bytes.len();
        self.bytes
            .resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut self.bytes[start..]);
        self.steps.push(Step {
            attempt,
            subject: subject.into(),
            tolerate,
        });
    }

    fn set_link(
        &mut self,
        index: u32,
        attributes: Vec<LinkAttribute>,
        attempt: &'static str,
        subject: &str,
    ) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = attributes;
        self.push(
            RouteNetlinkMessage::SetLink(message),
            0,
            attempt,
            subject,
            &[],
        );
    }

    /// Makes a bridge. One with the name already is an error.
    pub(super) fn add_bridge(&mut self, name: &str, mac: Mac, mtu: Option<u32>) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.push(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
            "make bridge",
            name,
            &[],
        );
    }

    /// Has a bridge hand what it forwards to the packet filter, or not.
    pub(super) fn set_filtered(&mut self, index: u32, name: &str, is_filtered: bool) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::NfCallIpTables(is_filtered),
                InfoBridge::NfCallIp6Tables(is_filtered),
            ])),
        ])];
        self.push(
            RouteNetlinkMessage::NewLink(message),
            0,
            "set the options of bridge",
            name,
            &[],
        );
    }

    /// Makes a pair of interfaces, both here.
    pub(super) fn add_pair(&mut self, name: &str, peer: &str) {
        self.add_veth_to(name, vec![LinkAttribute::IfName(peer.to_owned())]);
    }

    /// Makes a pair of interfaces: `name` here and `peer` in another namespace.
    pub(super) fn add_veth(&mut self, name: &str, peer: &str, netns: BorrowedFd<'_>) {
        let peer = LinkAttribute::IfName(peer.to_owned());
        self.add_veth_to(name, vec![peer, LinkAttribute::NetNsFd(netns.as_raw_fd())]);
    }

    fn add_veth_to(&mut self, name: &str, peer: Vec<LinkAttribute>) {
        let mut there = LinkMessage::default();
        there.attributes = peer;
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(there))),
            ]),
        ];
        self.push(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
            "make interface",
            name,
            &[],
        );
    }

    /// Marks an interface as ours.
    pub(super) fn set_alias(&mut self, index: u32, name: &str, alias: &str) {
        self.set_link(
            index,
            vec![LinkAttribute::IfAlias(alias.to_owned())],
            "mark interface",
            name,
        );
    }

    /// Sets the largest packet of an interface.
    pub(super) fn set_mtu(&mut self, index: u32, name: &str, mtu: u32) {
        self.set_link(index, vec![LinkAttribute::Mtu(mtu)], "set the mtu of", name);
    }

    /// Names an interface that is down and gives it an address and the largest packet.
    pub(super) fn dress(&mut self, index: u32, name: &str, mac: Mac, mtu: Option<u32>) {
        let mut attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
        ];
        attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.set_link(index, attributes, "name interface", name);
    }

    /// Gives an interface that is down another name.
    pub(super) fn rename(&mut self, index: u32, name: &str) {
        let attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.set_link(index, attributes, "name interface", name);
    }

    /// Puts an interface in a group, by which many are removed at once.
    pub(super) fn set_group(&mut self, index: u32, group: u32) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::Group(group)];
        self.push(
            RouteNetlinkMessage::SetLink(message),
            0,
            "mark interface",
            index.to_string(),
            &[rustix::io::Errno::NODEV],
        );
    }

    /// Brings an interface up.
    pub(super) fn up(&mut self, index: u32, name: &str) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.push(
            RouteNetlinkMessage::SetLink(message),
            0,
            "bring up interface",
            name,
            &[],
        );
    }

    /// Makes an interface a port of a bridge, and brings it up.
    ///
    /// A port answers only to hardware addresses that [`Batch::add_forwarding`] names: it learns
    /// none, and drops frames from any other (`IFLA_BRPORT_LOCKED`, Linux 5.18).
    pub(super) fn enslave(
        &mut self,
        index: u32,
        name: &str,
        bridge: u32,
        mtu: Option<u32>,
        port: Port,
    ) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![LinkAttribute::Controller(bridge)];
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.push(
            RouteNetlinkMessage::SetLink(message),
            0,
            "add to its bridge interface",
            name,
            &[],
        );
        self.set_port(index, name, port);
    }

    /// Sets what an interface may do as a port of its bridge.
    pub(super) fn set_port(&mut self, index: u32, name: &str, port: Port) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::Learning(port.open),
                InfoBridgePort::Locked(!port.open),
                InfoBridgePort::Isolated(port.isolated),
                InfoBridgePort::HairpinMode(port.hairpin),
            ])),
        ])];
        self.push(
            RouteNetlinkMessage::NewLink(message),
            0,
            "set the bridge port options of",
            name,
            &[],
        );
    }

    /// Says behind which port of its bridge a hardware address is.
    pub(super) fn add_forwarding(&mut self, index: u32, name: &str, mac: Mac) {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = index;
        message.header.state = NeighbourState::Noarp;
        message.header.flags = NeighbourFlags::Controller;
        message.attributes = vec![NeighbourAttribute::LinkLayerAddress(mac.to_vec())];
        self.push(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
            "note the hardware address of",
            name,
            &[],
        );
    }

    /// Says which hardware address an address on a link has, so that nobody else can claim it.
    pub(super) fn add_neighbour(&mut self, index: u32, address: IpAddr, mac: Mac) {
        let mut message = neighbour(index, address);
        message.header.state = NeighbourState::Permanent;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        self.push(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
            "note the neighbour",
            address.to_string(),
            &[],
        );
    }

    /// Forgets a neighbour.
    pub(super) fn delete_neighbour(&mut self, index: u32, address: IpAddr) {
        let message = neighbour(index, address);
        self.push(
            RouteNetlinkMessage::DelNeighbour(message),
            0,
            "forget the neighbour",
            address.to_string(),
            &[
                rustix::io::Errno::NOENT,
                rustix::io::Errno::NODEV,
                rustix::io::Errno::NXIO,
            ],
        );
    }

    /// Gives an interface an address, without asking the link whether somebody has it.
    pub(super) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix;
        message.header.scope = AddressScope::Universe;
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        match address {
            IpAddr::V4(v4) => {
                message.header.family = AddressFamily::Inet;
                let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                if prefix < 31 {
                    message
                        .attributes
                        .push(AddressAttribute::Broadcast((u32::from(v4) | host).into()));
                }
            }
            IpAddr::V6(_) => {
                message.header.family = AddressFamily::Inet6;
                message.header.flags = AddressHeaderFlags::Nodad;
                message
                    .attributes
                    .push(AddressAttribute::Flags(AddressFlags::Nodad));
            }
        }
        self.push(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_REPLACE,
            "add the address",
            address.to_string(),
            &[rustix::io::Errno::EXIST],
        );
    }

    /// Makes `gateway` the way out, through an interface.
    pub(super) fn add_default_route(&mut self, index: u32, gateway: IpAddr) {
        let mut message = RouteMessage::default();
        message.header.address_family = if gateway.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            RouteAttribute::Gateway(gateway.into()),
            RouteAttribute::Oif(index),
        ];
        self.push(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
            "add a default route by",
            gateway.to_string(),
            &[],
        );
    }

    /// Takes an address from an interface; none is fine.
    pub(super) fn delete_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix;
        message.header.family = family(address);
        message.attributes.push(AddressAttribute::Local(address));
        self.push(
            RouteNetlinkMessage::DelAddress(message),
            0,
            "remove the address",
            address.to_string(),
            &[rustix::io::Errno::ADDRNOTAVAIL],
        );
    }

    /// Leads a range to a neighbour.
    pub(super) fn add_route(&mut self, way: &Route, tolerate: &'static [rustix::io::Errno]) {
        self.push(
            RouteNetlinkMessage::NewRoute(route(way)),
            NLM_F_CREATE | NLM_F_REPLACE,
            "add a route to",
            way.destination.to_string(),
            tolerate,
        );
    }

    /// Forgets the way to a range; none is fine.
    pub(super) fn delete_route(&mut self, way: &Route) {
        self.push(
            RouteNetlinkMessage::DelRoute(route(way)),
            0,
            "remove the route to",
            way.destination.to_string(),
            &[rustix::io::Errno::SRCH],
        );
    }

    /// Removes an interface; one that is gone is fine.
    pub(super) fn delete_link(&mut self, name: &str) {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.push(
            RouteNetlinkMessage::DelLink(message),
            0,
            "remove interface",
            name,
            &[rustix::io::Errno::NODEV],
        );
    }

    /// Removes every interface of a group at once; none is fine.
    pub(super) fn delete_group(&mut self, group: u32) {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::Group(group)];
        self.push(
            RouteNetlinkMessage::DelLink(message),
            0,
            "remove the interfaces of group",
            group.to_string(),
            &[rustix::io::Errno::NODEV],
        );
    }
}

const fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn route(way: &Route) -> RouteMessage {
    let Route {
        destination,
        next_hop,
    } = *way;
    let mut message = RouteMessage::default();
    message.header.address_family = family(next_hop);
    message.header.destination_prefix_length = destination.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        RouteAttribute::Destination(destination.address().into()),
        RouteAttribute::Gateway(next_hop.into()),
    ];
    message
}

fn neighbour(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![NeighbourAttribute::Destination(address.into())];
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read_strictly() {
        assert_eq!(
            parse_mac("02:42:ac:11:00:02").unwrap(),
            [2, 0x42, 0xac, 0x11, 0, 2]
        );
        for text in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:00:02",
            "02-42-ac-11-00-02",
            "zz:42:ac:11:00:02",
        ] {
            assert!(parse_mac(text).is_err(), "{text}");
        }
    }
}
