//! Why a network operation failed.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use model::Id;
use model::instance::{BoundPort, FailureKind};

/// Why networks could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The prefix does not fit in an interface's name.
    #[error("bridge prefix {prefix:?} must be 1 to 7 letters or digits, the first a letter")]
    Prefix {
        /// As configured.
        prefix: String,
    },
    /// Another daemon uses the prefix.
    #[error(
        "interface {interface} belongs to the daemon of {owner}; choose another --bridge-prefix"
    )]
    PrefixTaken {
        /// The interface found.
        interface: String,
        /// The other daemon's data directory.
        owner: String,
    },
    /// A step failed.
    #[error(transparent)]
    Step(#[from] NetworkError),
}

/// Why an operation on a network or a sandbox failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A file could not be read, written, mounted or removed.
    #[error("cannot {attempt} {path}", path = path.display())]
    File {
        /// The verb.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The kernel refused a change of an interface, an address or a route.
    #[error("cannot {attempt} {subject}")]
    Link {
        /// What was tried.
        attempt: &'static str,
        /// The interface or address.
        subject: String,
        /// The cause.
        source: io::Error,
    },
    /// A network namespace could not be made or entered.
    #[error("cannot {attempt} a network namespace")]
    Namespace {
        /// The verb.
        attempt: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The firewall program could not be run.
    #[error("cannot run nft (Debian package nftables)")]
    FirewallProgram {
        /// The cause.
        source: io::Error,
    },
    /// The firewall program refused the rules.
    #[error("nft refused the firewall rules: {message}")]
    Firewall {
        /// What it printed.
        message: String,
    },
    /// The kernel cannot filter what bridges forward.
    #[error("cannot load the kernel module br_netfilter, which security groups need")]
    BridgeFilter {
        /// The cause.
        source: io::Error,
    },
    /// An endpoint plugs into a port of which nothing was said.
    #[error("port {port} is not known on this node")]
    UnknownPort {
        /// The port.
        port: Id,
    },
    /// An endpoint names a network that was not given.
    #[error("network {network} is not known on this node")]
    UnknownNetwork {
        /// The network.
        network: Id,
    },
    /// The instance has no sandbox.
    #[error("instance {instance} has no network sandbox")]
    NoSandbox {
        /// The instance.
        instance: Id,
    },
    /// A bridge's name is taken by an interface that is no bridge.
    #[error("interface {name} exists and is not a bridge")]
    NotABridge {
        /// The interface.
        name: String,
    },
    /// A name is not one an interface can have.
    #[error("{name:?} is not a name for an interface: 1 to 15 characters without slash or space")]
    InterfaceName {
        /// The name asked for.
        name: String,
    },
    /// Another interface of the sandbox has the name that was asked for.
    #[error("error renaming interface to {name:?}: file exists")]
    InterfaceTaken {
        /// The name.
        name: String,
    },
    /// A hardware address cannot be read.
    #[error("{mac:?} is not a hardware address such as 02:42:ac:11:00:02")]
    Mac {
        /// As given.
        mac: String,
    },
    /// The bridge has no room; the kernel's limit.
    #[error("bridge {bridge} has {limit} instances, the most a Linux bridge can hold")]
    BridgeFull {
        /// The bridge.
        bridge: String,
        /// The kernel's limit.
        limit: usize,
    },
    /// One of our own instances has the port.
    #[error(
        "driver failed programming external connectivity on endpoint {endpoint} ({id}): Bind for {ip}:{port} failed: port is already allocated"
    )]
    PortAllocated {
        /// Name of the instance.
        endpoint: String,
        /// Identity of the endpoint.
        id: String,
        /// Address of the node.
        ip: IpAddr,
        /// Port of the node.
        port: u16,
    },
    /// Another program has the port, or it cannot be had.
    #[error(
        "driver failed programming external connectivity on endpoint {endpoint} ({id}): failed to bind host port for {ip}:{port}:{target}:{inside}/{protocol}: {reason}",
        ip = bound.host_ip, port = bound.host_port, inside = bound.container_port, protocol = bound.protocol.as_str()
    )]
    PortBind {
        /// Name of the instance.
        endpoint: String,
        /// Identity of the endpoint.
        id: String,
        /// What was to be bound.
        bound: Box<BoundPort>,
        /// Where it was to lead.
        target: IpAddr,
        /// What the kernel said, as Docker words it.
        reason: String,
    },
    /// No port of a range is free.
    #[error(
        "driver failed programming external connectivity on endpoint {endpoint} ({id}): all ports are allocated"
    )]
    PortsExhausted {
        /// Name of the instance.
        endpoint: String,
        /// Identity of the endpoint.
        id: String,
    },
}

impl NetworkError {
    /// What class of failure this is, for whoever asked for the start.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::PortAllocated { .. } | Self::PortBind { .. } | Self::PortsExhausted { .. } => {
                FailureKind::Conflict
            }
            Self::UnknownNetwork { .. } | Self::UnknownPort { .. } | Self::NoSandbox { .. } => {
                FailureKind::NotFound
            }
            Self::NotABridge { .. }
            | Self::InterfaceName { .. }
            | Self::InterfaceTaken { .. }
            | Self::Mac { .. } => FailureKind::Invalid,
            Self::BridgeFull { .. } => FailureKind::NoCapacity,
            Self::File { .. }
            | Self::Link { .. }
            | Self::Namespace { .. }
            | Self::BridgeFilter { .. }
            | Self::FirewallProgram { .. }
            | Self::Firewall { .. } => FailureKind::Internal,
        }
    }
}
