//! nf_tables by netlink: the few changes that are made for single instances.
//!
//! The `nft` program costs several milliseconds a call; these messages cost the kernel's part of
//! it. Only what an instance's start needs is here: elements of maps, and the rules that lead to
//! its resolver. Everything else is [`super::firewall`]'s, in nft's language. The shapes are those
//! of linux/netfilter/nf_tables.h and linux/netfilter/nfnetlink.h; numbers are big-endian.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
/// `NLMSG_ERROR`, also the type of acknowledgements.
const ERROR: u16 = 2;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const NEW_ELEMENT: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM << 8 | 14;
/// `NFPROTO_INET`, `NFPROTO_IPV4` and `NFPROTO_BRIDGE`.
const INET: u8 = 1;
const IPV4: u8 = 2;
const BRIDGE: u8 = 7;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Length of `struct nlmsghdr` and of `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERAL: usize = 4;

/// Attributes, in the making.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    fn nested(self, kind: u16, inner: Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    /// One of a list (`NFTA_LIST_ELEM`).
    fn item(self, inner: Self) -> Self {
        self.nested(1, inner)
    }

    /// A value in a register or a map (`NFTA_DATA_VALUE`).
    fn value(bytes: &[u8]) -> Self {
        Self::default().bytes(1, bytes)
    }

    /// An expression of a rule (`NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`).
    fn expression(self, name: &str, data: Self) -> Self {
        self.item(Self::default().text(1, name).nested(2, data))
    }
}

/// Where an element is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) family: Family,
    pub(super) table: &'a str,
    /// The set or map.
    pub(super) set: &'a str,
}

/// The family of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// Frames on a bridge.
    Bridge,
}

/// What a map has for a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Data {
    /// Nothing: it is a set.
    None,
    /// A value, every part at a multiple of four bytes.
    Value(Vec<u8>),
    /// A chain to go through.
    Jump(String),
}

/// Changes that are made together or not at all.
pub(super) struct Transaction {
    bytes: Vec<u8>,
    messages: u32,
}

impl Transaction {
    pub(super) fn new() -> Self {
        let mut transaction = Self {
            bytes: Vec::new(),
            messages: 0,
        };
        transaction.message(BATCH_BEGIN, 0, 0, SUBSYSTEM, &Attributes::default());
        transaction
    }

    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        attributes: &Attributes,
    ) {
        let length = HEADER + GENERAL + attributes.0.len();
        self.bytes
            .extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.messages.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(&attributes.0);
        self.messages += 1;
    }

    /// Adds an element to a set or map.
    pub(super) fn add_element(&mut self, place: &Place<'_>, key: &[u8], data: &Data) {
        let element = Attributes::default().nested(1, Attributes::value(key));
        let element = match data {
            Data::None => element,
            Data::Value(bytes) => element.nested(2, Attributes::value(bytes)),
            Data::Jump(chain) => {
                // NFTA_DATA_VERDICT with NFTA_VERDICT_CODE and NFTA_VERDICT_CHAIN.
                const JUMP: i32 = -3;
                let verdict = Attributes::default()
                    .number(1, JUMP.cast_unsigned())
                    .text(2, chain);
                element.nested(2, Attributes::default().nested(2, verdict))
            }
        };
        self.element(NEW_ELEMENT, CREATE, place, element);
    }

    /// Removes an element from a set or map.
    pub(super) fn delete_element(&mut self, place: &Place<'_>, key: &[u8]) {
        let element = Attributes::default().nested(1, Attributes::value(key));
        self.element(DELETE_ELEMENT, 0, place, element);
    }

    fn element(&mut self, kind: u16, flags: u16, place: &Place<'_>, element: Attributes) {
        let attributes = Attributes::default()
            .text(1, place.table)
            .text(2, place.set)
            .nested(3, Attributes::default().item(element));
        let family = match place.family {
            Family::Inet => INET,
            Family::Bridge => BRIDGE,
        };
        self.message(kind, flags | ACKNOWLEDGE, family, 0, &attributes);
    }

    /// Makes a table for IPv4 with one chain that translates what programs here send.
    pub(super) fn add_output_translation(&mut self, table: &str, chain: &str) {
        const LOCAL_OUT: u32 = 3;
        const PRIORITY: i32 = -100;
        self.message(
            NEW_TABLE,
            CREATE | ACKNOWLEDGE,
            IPV4,
            0,
            &Attributes::default().text(1, table),
        );
        let hook = Attributes::default()
            .number(1, LOCAL_OUT)
            .number(2, PRIORITY.cast_unsigned());
        let attributes = Attributes::default()
            .text(1, table)
            .text(3, chain)
            .nested(4, hook)
            .text(7, "nat");
        self.message(NEW_CHAIN, CREATE | ACKNOWLEDGE, IPV4, 0, &attributes);
    }

    /// Leads one port of an address to another port of it.
    ///
    /// In nft's language: `ip daddr ADDRESS meta l4proto PROTOCOL th dport FROM dnat to ADDRESS:TO`.
    pub(super) fn add_port_change(
        &mut self,
        table: &str,
        chain: &str,
        address: Ipv4Addr,
        protocol: u8,
        from: u16,
        to: u16,
    ) {
        /// Registers of 16 bytes each.
        const ONE: u32 = 1;
        const TWO: u32 = 2;
        /// Where a packet is read from: `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        let payload = |base, offset, length| {
            Attributes::default()
                .number(1, ONE)
                .number(2, base)
                .number(3, offset)
                .number(4, length)
        };
        let equals = |value: &[u8]| {
            Attributes::default()
                .number(1, ONE)
                .number(2, 0)
                .nested(3, Attributes::value(value))
        };
        let load = |register, value: &[u8]| {
            Attributes::default()
                .number(1, register)
                .nested(2, Attributes::value(value))
        };
        /// `NFT_META_L4PROTO`.
        const L4PROTO: u32 = 16;
        let expressions = Attributes::default()
            .expression("payload", payload(NETWORK, 16, 4))
            .expression("cmp", equals(&address.octets()))
            .expression(
                "meta",
                Attributes::default().number(1, ONE).number(2, L4PROTO),
            )
            .expression("cmp", equals(&[protocol]))
            .expression("payload", payload(TRANSPORT, 2, 2))
            .expression("cmp", equals(&from.to_be_bytes()))
            .expression("immediate", load(ONE, &address.octets()))
            .expression("immediate", load(TWO, &to.to_be_bytes()))
            .expression(
                "nat",
                // Destination (1), IPv4 (2), address and port from the registers.
                Attributes::default()
                    .number(1, 1)
                    .number(2, 2)
                    .number(3, ONE)
                    .number(5, TWO),
            );
        let attributes = Attributes::default()
            .text(1, table)
            .text(2, chain)
            .nested(4, expressions);
        self.message(NEW_RULE, CREATE | ACKNOWLEDGE, IPV4, 0, &attributes);
    }

    /// Makes the changes, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// What the kernel said of the first message that it refused; nothing was changed.
    pub(super) fn commit(mut self) -> Result<(), Errno> {
        let expected = self.messages - 1;
        self.message(BATCH_END, 0, 0, SUBSYSTEM, &Attributes::default());
        let socket = socket()?;
        rustix::net::sendto(
            &socket,
            &self.bytes,
            SendFlags::empty(),
            &SocketAddrNetlink::new(0, 0),
        )?;
        let mut buffer = vec![0; 16 * 1024];
        let mut answered = 0;
        while answered < expected {
            let (length, _) = rustix::io::retry_on_intr(|| {
                rustix::net::recv(socket.as_fd(), buffer.as_mut_slice(), RecvFlags::empty())
            })?;
            let mut rest = &buffer[..length];
            while let Some((length, error)) = answer(rest) {
                if let Some(errno) = error {
                    return Err(errno);
                }
                answered += 1;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

fn socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )
}

/// Length of the first message of `bytes`, and the error it tells of.
fn answer(bytes: &[u8]) -> Option<(usize, Option<Errno>)> {
    let [l0, l1, l2, l3, k0, k1, ..] = *bytes else {
        return None;
    };
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
    let message = bytes
        .get(..length)
        .filter(|message| message.len() >= HEADER + 4)?;
    let code: [u8; 4] = message.get(HEADER..HEADER + 4)?.try_into().ok()?;
    let is_error = u16::from_ne_bytes([k0, k1]) == ERROR;
    let error = match i32::from_ne_bytes(code) {
        0 => None,
        code => is_error.then(|| Errno::from_raw_os_error(-code)),
    };
    Some((length, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_say_their_own_length() {
        let attributes = Attributes::default().text(1, "ls").number(2, 0x0102_0304);
        let mut expected = Vec::new();
        expected.extend(7_u16.to_ne_bytes());
        expected.extend(1_u16.to_ne_bytes());
        expected.extend(*b"ls\0\0");
        expected.extend(8_u16.to_ne_bytes());
        expected.extend(2_u16.to_ne_bytes());
        expected.extend([1, 2, 3, 4]);
        assert_eq!(attributes.0, expected);
    }

    #[test]
    fn an_answer_tells_its_error() {
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend((-Errno::EXIST.raw_os_error()).to_ne_bytes());
        bytes.resize(36, 0);
        assert_eq!(answer(&bytes), Some((36, Some(Errno::EXIST))));
        assert_eq!(answer(&bytes[..20]), None);
    }
}
