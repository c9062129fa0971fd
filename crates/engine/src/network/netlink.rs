//! Route netlink: a socket by which the kernel is asked and told about interfaces.
//!
//! [`Socket::run`] sends a [`Batch`] of changes in one system call; the kernel works through it in
//! order and answers each. A socket belongs to the network namespace of the thread that opened it,
//! for good, so a change inside a namespace needs no thread to move there. Calls block for as long
//! as the kernel holds its lock: they belong on a blocking thread. No names, no policy: that is
//! [`super::bridge`] and [`super::sandbox`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily as SocketFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::change::Batch;
use super::error::NetworkError;

/// What is known of an interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// Whose it is, where one of our daemons made it.
    pub(super) alias: Option<String>,
    pub(super) is_bridge: bool,
    /// Index of the bridge it is a port of.
    pub(super) bridge: Option<u32>,
}

/// A route netlink socket in one network namespace.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// Sequence number of the first message of the next batch.
    next: u32,
}

impl Socket {
    /// Opens one in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        // No protocol is NETLINK_ROUTE, which is 0.
        let fd = rustix::net::socket_with(
            SocketFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self { fd, next: 1 })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendto(self.fd.as_fd(), bytes, SendFlags::empty(), &kernel)
        })?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::WriteZero))
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (length, _) = rustix::io::retry_on_intr(|| {
            rustix::net::recv(self.fd.as_fd(), &mut *buffer, RecvFlags::empty())
        })?;
        Ok(length)
    }

    /// Makes the changes of a batch. All are tried; the first that failed is answered.
    pub(super) fn run(&mut self, mut batch: Batch) -> Result<(), NetworkError> {
        let Some(first) = batch.steps.first() else {
            return Ok(());
        };
        let broken = |source: io::Error| NetworkError::Link {
            attempt: first.attempt,
            subject: first.subject.clone(),
            source,
        };
        let count = u32::try_from(batch.steps.len()).unwrap_or(u32::MAX);
        let base = self.next;
        self.next = self.next.wrapping_add(count);
        renumber(&mut batch.bytes, base);
        self.send(&batch.bytes).map_err(broken)?;
        let mut failed = None;
        let mut answered = 0;
        let mut buffer = vec![0; 16 * 1024];
        while answered < count {
            let length = self.receive(&mut buffer).map_err(broken)?;
            for message in messages(&buffer[..length]) {
                let (header, payload) = message.map_err(broken)?.into_parts();
                let step = header.sequence_number.wrapping_sub(base);
                let NetlinkPayload::Error(error) = payload else {
                    continue;
                };
                if step >= count {
                    continue;
                }
                answered += 1;
                let Some(code) = error.code else { continue };
                let step = &batch.steps[usize::try_from(step).unwrap_or(0)];
                let errno = rustix::io::Errno::from_raw_os_error(-code.get());
                if failed.is_none() && !step.tolerate.contains(&errno) {
                    failed = Some(NetworkError::Link {
                        attempt: step.attempt,
                        subject: step.subject.clone(),
                        source: errno.into(),
                    });
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Waits until interfaces carry packets.
    ///
    /// An interface that came up does so once the kernel's link watch has run, some time later;
    /// a packet sent before is lost, and sent again after a second. Looking at it runs the watch
    /// at once (`rtnl_getlink`, Linux 6.8; before, this does nothing).
    pub(super) fn settle(&mut self, indices: &[u32]) -> Result<(), NetworkError> {
        let failed = |source| NetworkError::Link {
            attempt: "look at",
            subject: "interfaces".to_owned(),
            source,
        };
        let base = self.next;
        let mut batch = Batch::default();
        for index in indices {
            let mut message = LinkMessage::default();
            message.header.index = *index;
            batch.push(RouteNetlinkMessage::GetLink(message), 0, "look at", "", &[]);
        }
        let count = u32::try_from(indices.len()).unwrap_or(u32::MAX);
        self.next = self.next.wrapping_add(count);
        renumber(&mut batch.bytes, base);
        self.send(&batch.bytes).map_err(failed)?;
        let mut buffer = vec![0; 16 * 1024];
        let mut answered = 0;
        // Each is answered by an acknowledgement, after what there is to say.
        while answered < count {
            let length = self.receive(&mut buffer).map_err(failed)?;
            for message in messages(&buffer[..length]) {
                let (header, payload) = message.map_err(failed)?.into_parts();
                let is_ours = header.sequence_number.wrapping_sub(base) < count;
                if is_ours && matches!(payload, NetlinkPayload::Error(_)) {
                    answered += 1;
                }
            }
        }
        Ok(())
    }

    /// The interface with a name.
    pub(super) fn link(&mut self, name: &str) -> Result<Option<Link>, NetworkError> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        match self.query(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(links) => Ok(links.into_iter().next()),
            Err(source)
                if source.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(source) => Err(NetworkError::Link {
                attempt: "look up interface",
                subject: name.to_owned(),
                source,
            }),
        }
    }

    /// The interface with a name, which must be there.
    pub(super) fn found(&mut self, name: &str) -> Result<Link, NetworkError> {
        self.link(name)?.ok_or_else(|| NetworkError::Link {
            attempt: "find interface",
            subject: name.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Every interface of the namespace.
    pub(super) fn links(&mut self) -> Result<Vec<Link>, NetworkError> {
        self.query(
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            NLM_F_DUMP,
        )
        .map_err(|source| NetworkError::Link {
            attempt: "list",
            subject: "interfaces".to_owned(),
            source,
        })
    }

    fn query(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<Link>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.next;
        self.next = self.next.wrapping_add(1);
        let sequence = header.sequence_number;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.send(&bytes)?;
        let mut links = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = self.receive(&mut buffer)?;
            for message in messages(&buffer[..length]) {
                let (header, payload) = message?.into_parts();
                if header.sequence_number != sequence {
                    continue;
                }
                match payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                        links.push(link_of(link));
                        if flags == 0 {
                            return Ok(links);
                        }
                    }
                    NetlinkPayload::Error(error) => {
                        return match error.code {
                            Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
                            None => Ok(links),
                        };
                    }
                    NetlinkPayload::Done(_) => return Ok(links),
                    _ => {}
                }
            }
        }
    }
}

fn link_of(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Controller(bridge) => link.bridge = Some(bridge),
            LinkAttribute::LinkInfo(infos) => {
                link.is_bridge = infos
                    .iter()
                    .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Bridge)));
            }
            _ => {}
        }
    }
    link
}

/// Adds `base` to the sequence number of every message (`struct nlmsghdr`, netlink(7)).
fn renumber(bytes: &mut [u8], base: u32) {
    let mut rest = bytes;
    while let Some((header, _)) = rest.split_first_chunk_mut::<16>() {
        let [l0, l1, l2, l3, _, _, _, _, sequence @ .., _, _, _, _] = header;
        let length = u32::from_ne_bytes([*l0, *l1, *l2, *l3]);
        *sequence = u32::from_ne_bytes(*sequence)
            .wrapping_add(base)
            .to_ne_bytes();
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .next_multiple_of(4);
        rest = rest.get_mut(length..).unwrap_or_default();
    }
}

/// The messages of a datagram.
fn messages(bytes: &[u8]) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?);
        let length = usize::try_from(length)
            .ok()
            .filter(|length| (16..=rest.len()).contains(length))?;
        let (message, _) = rest.split_at(length);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(
            NetlinkMessage::deserialize(message)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        )
    })
}
