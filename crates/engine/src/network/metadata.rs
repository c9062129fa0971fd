//! Where an instance asks about itself: 169.254.169.254 inside its sandbox.
//!
//! As with the resolver the socket is opened inside the sandbox's namespace, on a port of its own
//! to which rules inside lead port 80; so a program inside may listen on port 80 itself. Whoever
//! connects is inside that sandbox, which says who it is: no address is looked at, so equal
//! addresses of two tenants are two instances, and no packet leaves the sandbox that a firewall
//! could drop or a neighbour could send. What is answered is not known here: connections are
//! handed on. [`super::sandbox`] starts one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use model::Id;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::change::Batch;
use super::error::NetworkError;
use super::namespace;
use super::netlink::Socket;
use super::nftables::Transaction;

/// The address that cloud-init knows.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Where is listened, inside; see [`super::resolver`].
const PORT: u16 = 30080;
/// Index of the loopback interface in every network namespace.
const LOOPBACK: u32 = 1;
/// The most connections of one sandbox.
const CONNECTIONS: usize = 16;
/// The most connections of all sandboxes that wait to be served.
pub(super) const WAITING: usize = 256;

/// An instance that asks about itself.
#[derive(Debug)]
pub struct Asked {
    /// Who asks.
    pub instance: Id,
    /// HTTP/1.1.
    pub stream: TcpStream,
    /// Held for as long as the connection is served.
    pub permit: OwnedSemaphorePermit,
}

/// A place to ask; it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Metadata {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Metadata {
    /// Listens inside `netns`; the address and the rules are made unless they stand.
    pub(super) fn start(
        netns: BorrowedFd<'_>,
        instance: Id,
        asked: &mpsc::Sender<Asked>,
        runtime: &Handle,
        rules_stand: bool,
    ) -> Result<Self, NetworkError> {
        let failed = |source| NetworkError::Namespace {
            attempt: "listen for questions about the instance in",
            source,
        };
        let listener = namespace::within(netns, || {
            if !rules_stand {
                let mut batch = Batch::default();
                batch.add_address(LOOPBACK, IpAddr::V4(ADDRESS), 32);
                Socket::open().map_err(failed)?.run(batch)?;
                lead()?;
            }
            let listener =
                std::net::TcpListener::bind(SocketAddr::from((ADDRESS, PORT))).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(listener)
        })?;
        let _guard = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let task = runtime.spawn(hand_on(listener, instance, asked.clone()));
        Ok(Self { task })
    }
}

/// Leads port 80 here, in the network namespace of the calling thread.
fn lead() -> Result<(), NetworkError> {
    const TABLE: &str = "longshore_metadata";
    const CHAIN: &str = "local";
    const TCP: u8 = 6;
    let mut transaction = Transaction::new();
    transaction.add_output_translation(TABLE, CHAIN);
    transaction.add_port_change(TABLE, CHAIN, ADDRESS, TCP, 80, PORT);
    transaction
        .commit()
        .map_err(|errno| NetworkError::Namespace {
            attempt: "lead questions about the instance in",
            source: errno.into(),
        })
}

async fn hand_on(listener: TcpListener, instance: Id, asked: mpsc::Sender<Asked>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed, so there always is one in the end.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let asked = asked.send(Asked {
                    instance,
                    stream,
                    permit,
                });
                // Without anybody to answer the connection closes.
                if asked.await.is_err() {
                    return;
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
