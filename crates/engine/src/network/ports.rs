//! Published ports: taking them from the node, and the firewall elements that send them inside.
//!
//! A port is taken by binding a socket, so another program cannot have it while it is published,
//! and one that another program has is refused. The firewall sends packets on; where it cannot
//! (a client on `[::1]`, or on IPv6 to an instance without), the bound socket accepts and a task
//! copies the bytes. [`super::sandbox`] says which ports; this file knows no interfaces.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::instance::{BoundPort, Protocol, PublishedPort};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::error::NetworkError;
use super::firewall::Element;

/// The range the kernel takes ports from by itself, where it cannot be read.
const DEFAULT_RANGE: (u16, u16) = (32768, 60999);

/// A port of the node and where it leads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Published {
    /// The port of the node.
    pub(super) bound: BoundPort,
    /// Address of the instance; of the other family where only bytes can be copied.
    pub(super) target: IpAddr,
}

impl Published {
    /// Its element in the firewall; `None` where packets cannot be sent on.
    fn element(&self) -> Option<Element> {
        let BoundPort {
            protocol,
            container_port,
            host_ip,
            host_port,
        } = self.bound;
        let from = SocketAddr::new(host_ip, host_port);
        Element::publish(protocol, from, SocketAddr::new(self.target, container_port))
    }

    fn conflicts(&self, other: &BoundPort) -> bool {
        let ours = &self.bound;
        place(ours) == place(other)
            && ours.host_ip.is_ipv4() == other.host_ip.is_ipv4()
            && (ours.host_ip == other.host_ip
                || ours.host_ip.is_unspecified()
                || other.host_ip.is_unspecified())
    }
}

/// A port held for as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) published: Published,
    /// `None` after a restart where another program was faster.
    socket: Option<Socket>,
}

#[derive(Debug)]
enum Socket {
    /// It only keeps the port.
    Silent { _fd: OwnedFd },
    /// It has what the firewall cannot send on.
    Copying(Copying),
}

/// The task that copies bytes from where the firewall cannot send packets on.
#[derive(Debug)]
struct Copying {
    listener: Arc<TcpListener>,
    task: tokio::task::JoinHandle<()>,
    to: watch::Sender<SocketAddr>,
}

impl Drop for Copying {
    fn drop(&mut self) {
        // The task lets go of the socket a moment later; the port is free at once.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        self.task.abort();
    }
}

/// Where the instance is, and who it is in messages.
#[derive(Clone, Debug)]
pub(super) struct Target<'a> {
    /// Name of the instance.
    pub(super) name: &'a str,
    /// Identity of the endpoint.
    pub(super) endpoint: String,
    pub(super) ipv4: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
    /// Address of the node for ports that name none.
    pub(super) default_ip: Option<IpAddr>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By protocol and port of the node: on several addresses.
    ports: HashMap<(Protocol, u16), Vec<Published>>,
    /// Where the search for a free port goes on.
    next: u16,
}

impl Taken {
    fn insert(&mut self, published: Published) {
        let place = place(&published.bound);
        self.ports.entry(place).or_default().push(published);
    }

    fn remove<'a>(&mut self, held: impl IntoIterator<Item = &'a Held>) {
        for Held { published, .. } in held {
            let place = place(&published.bound);
            if let Some(there) = self.ports.get_mut(&place) {
                there.retain(|other| other != published);
                if there.is_empty() {
                    self.ports.remove(&place);
                }
            }
        }
    }

    fn has(&self, bound: &BoundPort) -> bool {
        let mut there = self.ports.get(&place(bound)).into_iter().flatten();
        there.any(|other| other.conflicts(bound))
    }
}

const fn place(bound: &BoundPort) -> (Protocol, u16) {
    (bound.protocol, bound.host_port)
}

/// Every port published by this daemon.
#[derive(Debug)]
pub(super) struct Ports {
    taken: Mutex<Taken>,
    runtime: tokio::runtime::Handle,
}

impl Ports {
    pub(super) fn new(runtime: tokio::runtime::Handle) -> Self {
        Self {
            taken: Mutex::default(),
            runtime,
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the ports of an instance, all or none.
    pub(super) fn take(
        &self,
        wanted: &[PublishedPort],
        target: &Target<'_>,
    ) -> Result<Vec<Held>, NetworkError> {
        let mut held = Vec::new();
        let mut taken = self.taken();
        for port in wanted {
            match self.take_one(&mut taken, port, target) {
                Ok(more) => held.extend(more),
                Err(error) => {
                    drop(taken);
                    self.give_back(&held);
                    return Err(error);
                }
            }
        }
        Ok(held)
    }

    /// The same port on each of its addresses, by the first of the range that all have free.
    fn take_one(
        &self,
        taken: &mut Taken,
        wanted: &PublishedPort,
        target: &Target<'_>,
    ) -> Result<Vec<Held>, NetworkError> {
        let places = places(wanted, target);
        let (first, last) = if wanted.host_port == 0 {
            automatic_range()
        } else {
            (wanted.host_port, wanted.host_port_end.max(wanted.host_port))
        };
        let count = u32::from(last - first) + 1;
        let offset = if wanted.host_port == 0 {
            u32::from(taken.next.saturating_sub(first))
        } else {
            0
        };
        let mut failure = None;
        for step in 0..count {
            let Ok(host_port) = u16::try_from(u32::from(first) + (offset + step) % count) else {
                continue;
            };
            let result: Result<Vec<Held>, NetworkError> = places
                .iter()
                .map(|(host_ip, inside)| {
                    let bound = BoundPort {
                        protocol: wanted.protocol,
                        container_port: wanted.container_port,
                        host_ip: *host_ip,
                        host_port,
                    };
                    self.bind(
                        taken,
                        Published {
                            bound,
                            target: *inside,
                        },
                        target,
                    )
                })
                .collect();
            match result {
                Ok(held) => {
                    for held in &held {
                        taken.insert(held.published.clone());
                    }
                    if wanted.host_port == 0 {
                        taken.next = host_port.checked_add(1).unwrap_or(first);
                    }
                    return Ok(held);
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if count == 1 => Err(error),
            _ => Err(NetworkError::PortsExhausted {
                endpoint: target.name.to_owned(),
                id: target.endpoint.clone(),
            }),
        }
    }

    fn bind(
        &self,
        taken: &Taken,
        published: Published,
        target: &Target<'_>,
    ) -> Result<Held, NetworkError> {
        let bound = &published.bound;
        if taken.has(bound) {
            return Err(NetworkError::PortAllocated {
                endpoint: target.name.to_owned(),
                id: target.endpoint.clone(),
                ip: bound.host_ip,
                port: bound.host_port,
            });
        }
        let socket = self
            .socket(&published)
            .map_err(|source| NetworkError::PortBind {
                endpoint: target.name.to_owned(),
                id: target.endpoint.clone(),
                bound: Box::new(bound.clone()),
                target: published.target,
                reason: reason(source),
            })?;
        Ok(Held {
            published,
            socket: Some(socket),
        })
    }

    fn socket(&self, published: &Published) -> rustix::io::Result<Socket> {
        let BoundPort {
            protocol,
            host_ip,
            host_port,
            container_port,
        } = published.bound;
        let (kind, transport) = match protocol {
            Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
            Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
            Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
        };
        let family = if host_ip.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let fd = rustix::net::socket_with(
            family,
            kind,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(transport),
        )?;
        if host_ip.is_ipv6() {
            rustix::net::sockopt::set_ipv6_v6only(&fd, true)?;
        }
        if protocol == Protocol::Tcp {
            // Connections that ended a minute ago do not hold the port; one that listens does.
            rustix::net::sockopt::set_socket_reuseaddr(&fd, true)?;
        }
        rustix::net::bind(fd.as_fd(), &SocketAddr::new(host_ip, host_port))?;
        if protocol != Protocol::Tcp {
            return Ok(Socket::Silent { _fd: fd });
        }
        if host_ip.is_ipv4() {
            rustix::net::listen(&fd, 0)?;
            return Ok(Socket::Silent { _fd: fd });
        }
        rustix::net::listen(&fd, 1024)?;
        let (to, target) = watch::channel(SocketAddr::new(published.target, container_port));
        let _guard = self.runtime.enter();
        let listener = TcpListener::from_std(fd.into()).map_err(|error| {
            rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
        })?;
        let listener = Arc::new(listener);
        let task = copy_connections(Arc::clone(&listener), target);
        Ok(Socket::Copying(Copying {
            listener,
            task: self.runtime.spawn(task),
            to,
        }))
    }

    /// Takes over ports after a restart. One that another program took meanwhile still leads
    /// inside, by the firewall.
    pub(super) fn adopt(&self, published: Vec<Published>) -> Vec<Held> {
        let mut taken = self.taken();
        published
            .into_iter()
            .map(|published| {
                let socket = self.socket(&published).map_err(|errno| {
                    tracing::warn!(port = published.bound.host_port, %errno, "published port is taken by another program");
                });
                taken.insert(published.clone());
                Held { published, socket: socket.ok() }
            })
            .collect()
    }

    /// Leads ports to another address of their instance. Those that cannot lead there are freed.
    pub(super) fn retarget(&self, held: Vec<Held>, target: &Target<'_>) -> Vec<Held> {
        let mut taken = self.taken();
        taken.remove(&held);
        let mut kept = Vec::new();
        for Held {
            mut published,
            socket,
        } in held
        {
            let bound = &published.bound;
            let Some(inside) = target.inside(bound.protocol, bound.host_ip) else {
                continue;
            };
            published.target = inside;
            if let Some(Socket::Copying(copying)) = &socket {
                copying
                    .to
                    .send_replace(SocketAddr::new(inside, bound.container_port));
            }
            taken.insert(published.clone());
            kept.push(Held { published, socket });
        }
        kept
    }

    /// Frees ports; their sockets close with `held`.
    pub(super) fn give_back(&self, held: &[Held]) {
        self.taken().remove(held);
    }
}

impl Target<'_> {
    /// Where a port on an address of the node leads.
    fn inside(&self, protocol: Protocol, host_ip: IpAddr) -> Option<IpAddr> {
        let v4 = self.ipv4.map(IpAddr::from);
        match (host_ip, self.ipv6) {
            (IpAddr::V4(_), _) => v4,
            (IpAddr::V6(_), Some(v6)) => Some(v6.into()),
            // Bytes can be copied between families for connections only.
            (IpAddr::V6(_), None) if protocol == Protocol::Tcp => v4,
            (IpAddr::V6(_), None) => None,
        }
    }
}

/// On which addresses of the node a port is published, and which address inside each leads to.
fn places(wanted: &PublishedPort, target: &Target<'_>) -> Vec<(IpAddr, IpAddr)> {
    let on = |ip| Some((ip, target.inside(wanted.protocol, ip)?));
    match wanted.host_ip.or(target.default_ip) {
        Some(ip) => on(ip).into_iter().collect(),
        None if node_has_ipv6() => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
            .into_iter()
            .filter_map(on)
            .collect(),
        None => on(Ipv4Addr::UNSPECIFIED.into()).into_iter().collect(),
    }
}

fn node_has_ipv6() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6")
        .is_ok_and(|text| text.trim() == "0")
}

fn automatic_range() -> (u16, u16) {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| {
            let mut numbers = text
                .split_whitespace()
                .map_while(|number| number.parse().ok());
            Some((numbers.next()?, numbers.next()?))
        })
        .filter(|(first, last)| first <= last)
        .unwrap_or(DEFAULT_RANGE)
}

/// The kernel's words as Docker's clients know them: without a capital and without the number.
fn reason(errno: rustix::io::Errno) -> String {
    match errno {
        rustix::io::Errno::ADDRINUSE => "address already in use".to_owned(),
        rustix::io::Errno::ADDRNOTAVAIL => "cannot assign requested address".to_owned(),
        rustix::io::Errno::ACCESS => "permission denied".to_owned(),
        rustix::io::Errno::PROTONOSUPPORT => "protocol not supported".to_owned(),
        other => other.to_string(),
    }
}

async fn copy_connections(listener: Arc<TcpListener>, target: watch::Receiver<SocketAddr>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((mut client, _)) => {
                    let to = *target.borrow();
                    connections.spawn(async move {
                        // A connection that cannot be made, or breaks, ends at the client too.
                        if let Ok(mut server) = tokio::net::TcpStream::connect(to).await {
                            drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                        }
                    });
                }
                // Out of descriptors, or a client that left at once: go on when there is room.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Every element that these ports add.
pub(super) fn elements<'a>(held: impl IntoIterator<Item = &'a Published>) -> Vec<Element> {
    let unique: BTreeSet<Element> = held.into_iter().filter_map(Published::element).collect();
    unique.into_iter().collect()
}
