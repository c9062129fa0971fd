//! By which address clients reach what is served.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context, Result};

/// How clients reach what is served.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    /// HTTPS is spoken.
    pub(crate) is_tls: bool,
    /// A name or an address.
    pub(crate) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl Url {
    /// Host and port, as names of images of the registry begin.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// By which address others reach what is served on `listen`: itself, or, where that is every
/// address, the one that this machine has towards the world.
pub(super) fn own_address(listen: IpAddr) -> Result<IpAddr> {
    if !listen.is_unspecified() {
        return Ok(listen);
    }
    // Documentation's addresses: connecting a datagram socket sends nothing.
    let (own, other): (SocketAddr, SocketAddr) = match listen {
        IpAddr::V4(any) => ((any, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into()),
        IpAddr::V6(any) => (
            (any, 0).into(),
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
        ),
    };
    let found = || {
        let socket = UdpSocket::bind(own)?;
        socket.connect(other)?;
        socket.local_addr()
    };
    let found = found().with_context(|| {
        format!("--listen {listen}: find this machine's address; name it by --public-host")
    })?;
    Ok(found.ip())
}
