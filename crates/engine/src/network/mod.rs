//! Networks of one host: bridges, pooled network namespaces, addresses, published ports, names.
//!
//! [`Networks`] makes a bridge per network and a sandbox (a network namespace with its interfaces,
//! its published ports and its resolver) per instance. The host's lifecycle code calls it; it
//! knows neither processes, nor the store, nor any API. Everything it makes on the host begins
//! with the daemon's prefix and carries the data directory as its alias, so that two daemons do
//! not mistake each other's; nothing else on the host is ever changed.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::time::Duration;

use model::Id;
use model::firewall::Firewall as FirewallSpec;
use model::instance::{BoundPort, Endpoint, Instance};
use model::network::Network;
use tokio::sync::mpsc;

use crate::NetworkPart;

mod adoption;
mod annex;
mod bridge;
mod change;
mod description;
mod error;
mod files;
mod firewall;
mod forwarding;
mod guard;
mod metadata;
mod names;
mod namespace;
mod netlink;
mod nftables;
mod pool;
mod ports;
mod reaper;
mod record;
mod resolver;
mod router;
mod sandbox;
mod shutdown;

pub use error::{NetworkError, OpenError};
pub use forwarding::Forwarding;
pub use guard::Guard;
pub use metadata::Asked;
pub use router::{LegPlan, RouterPlan};

use annex::Seats;
use bridge::Bridge;
use firewall::Firewall;
use guard::Guards;
use names::Names;
use netlink::Socket;
use pool::Pool;
use ports::Ports;
use reaper::Reaper;
use record::{Naming, Records};
use sandbox::Live;

/// Where the networks of a daemon live.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// The daemon's data directory; namespaces and records are kept in its `run/`.
    pub data_dir: PathBuf,
    /// What every bridge, interface and rule table is named by; at most 7 letters or digits.
    pub bridge_prefix: String,
    /// Network namespaces to hold ready.
    pub pool_size: usize,
}

/// The network side of one instance, while it runs.
#[derive(Debug)]
pub struct Sandbox {
    /// The network namespace.
    pub netns: OwnedFd,
    /// Where it is mounted.
    pub netns_path: PathBuf,
    /// Interfaces that exist now.
    pub endpoints: Vec<Endpoint>,
    /// Ports of the node in use now.
    pub ports: Vec<BoundPort>,
    /// What its `/etc/resolv.conf` holds.
    pub resolv_conf: String,
    /// What its `/etc/hosts` holds.
    pub hosts: String,
}

/// What `/etc/resolv.conf` and `/etc/hosts` hold for an instance in the node's own network.
#[derive(Clone, Debug)]
pub struct Files {
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// `/etc/hosts`.
    pub hosts: String,
}

/// Every network and sandbox of this daemon.
#[derive(Debug)]
pub struct Networks {
    inner: Arc<Inner>,
    questions: Mutex<Option<mpsc::Receiver<Asked>>>,
}

/// How often is looked whether dockerd came and closed the node's forwarding.
const FORWARDING_INTERVAL: Duration = Duration::from_secs(10);

/// A sandbox's place, and its lock.
type Slot = Arc<Mutex<Option<Live>>>;

#[derive(Debug)]
struct Inner {
    prefix: String,
    alias: String,
    /// Where namespaces are mounted.
    directory: PathBuf,
    runtime: tokio::runtime::Handle,
    host: Mutex<Socket>,
    bridges: Mutex<HashMap<Id, Bridge>>,
    seats: Mutex<Seats>,
    slots: Mutex<HashMap<Id, Slot>>,
    names: Arc<RwLock<Names>>,
    ports: Ports,
    firewall: Firewall,
    guards: Guards,
    pool: Pool,
    reaper: Reaper,
    /// Records of bridges.
    networks: Records,
    /// Records of sandboxes.
    sandboxes: Records,
    routers: Mutex<HashMap<Id, router::Live>>,
    router_records: Records,
    /// Where instances that ask about themselves are handed on.
    asked: mpsc::Sender<Asked>,
}

impl Networks {
    /// Takes over what an earlier daemon left: bridges and sandboxes go on, the rest is swept.
    ///
    /// # Errors
    ///
    /// A prefix that cannot be used, a node that cannot be changed, no `nft` program.
    pub async fn open(config: NetworkConfig) -> Result<Arc<Self>, OpenError> {
        let runtime = tokio::runtime::Handle::current();
        let (asked, questions) = mpsc::channel(metadata::WAITING);
        let inner = Arc::new(blocking(move || Inner::open(config, runtime, asked)).await?);
        tokio::spawn(watch_forwarding(Arc::downgrade(&inner)));
        Ok(Arc::new(Self {
            inner,
            questions: Mutex::new(Some(questions)),
        }))
    }

    /// Instances that ask about themselves, for whoever can answer; `None` the second time.
    #[must_use]
    pub fn questions(&self) -> Option<mpsc::Receiver<Asked>> {
        locked(&self.questions).take()
    }

    /// Makes a network's bridge and rules, unless they exist.
    ///
    /// # Errors
    ///
    /// The kernel or `nft` refused, or the bridge's name is taken by another kind of interface.
    pub async fn ensure(&self, network: &Network) -> Result<(), NetworkError> {
        let network = network.clone();
        self.run(move |inner| inner.ensure(&network).map(drop))
            .await
    }

    /// Removes a network's bridge and rules. One that does not exist is fine.
    ///
    /// # Errors
    ///
    /// The kernel or `nft` refused.
    pub async fn remove(&self, id: Id) -> Result<(), NetworkError> {
        self.run(move |inner| inner.remove(id)).await
    }

    /// Gives an instance a sandbox with one interface for each of `endpoints` (none: loopback
    /// only), its published ports and its names. `networks` holds every network they name.
    ///
    /// A sandbox it had before is detached. A failure leaves nothing.
    ///
    /// # Errors
    ///
    /// A port that is taken, a bridge that is full, a network that was not given, or the kernel or
    /// `nft` refused.
    pub async fn attach(
        &self,
        instance: &Instance,
        endpoints: &[Endpoint],
        networks: &[Network],
    ) -> Result<Sandbox, NetworkError> {
        let (instance, endpoints, networks) =
            (instance.clone(), endpoints.to_vec(), networks.to_vec());
        self.run(move |inner| {
            inner.with_slot(instance.meta.id, |slot| {
                if let Some(live) = slot.take() {
                    inner.detach(live);
                }
                let live = slot.insert(inner.attach(&instance, &endpoints, &networks)?);
                inner.describe(live)
            })
        })
        .await
    }

    /// Adds an interface to a sandbox in use. Answers the sandbox as it is now.
    ///
    /// # Errors
    ///
    /// As [`Networks::attach`], or the instance has no sandbox.
    pub async fn connect(
        &self,
        instance: &Instance,
        endpoint: &Endpoint,
        network: &Network,
    ) -> Result<Sandbox, NetworkError> {
        let (instance, endpoint, network) = (instance.clone(), endpoint.clone(), network.clone());
        self.run(move |inner| {
            inner.with_live(instance.meta.id, |live| {
                inner.connect(live, &instance, &endpoint, &network)?;
                inner.describe(live)
            })
        })
        .await
    }

    /// Takes an interface from a sandbox in use, by the identity of its endpoint. Answers the
    /// sandbox as it is now.
    ///
    /// # Errors
    ///
    /// The kernel or `nft` refused, or the instance has no sandbox.
    pub async fn disconnect(&self, instance: Id, endpoint: Id) -> Result<Sandbox, NetworkError> {
        self.run(move |inner| {
            inner.with_live(instance, |live| {
                inner.disconnect(live, endpoint)?;
                inner.describe(live)
            })
        })
        .await
    }

    /// Makes a firewall, or changes its rules; for every port at once.
    ///
    /// # Errors
    ///
    /// `nft` refused, or it cannot be written down.
    pub async fn set_firewall(&self, firewall: &FirewallSpec) -> Result<(), NetworkError> {
        let firewall = firewall.clone();
        self.run(move |inner| inner.guards.set_firewall(&firewall))
            .await
    }

    /// Forgets a firewall; ports that have it lose what it let pass. None is fine.
    ///
    /// # Errors
    ///
    /// `nft` refused.
    pub async fn remove_firewall(&self, id: Id) -> Result<(), NetworkError> {
        self.run(move |inner| inner.guards.remove_firewall(id))
            .await
    }

    /// Says what a port may send and receive; where something is plugged in, at once. Has to be
    /// said before anything plugs in.
    ///
    /// # Errors
    ///
    /// The kernel or `nft` refused; the port stays as it was.
    pub async fn guard(&self, guard: &Guard) -> Result<(), NetworkError> {
        let guard = guard.clone();
        self.run(move |inner| inner.guard(&guard)).await
    }

    /// Forgets a port into which nothing plugs any more; none is fine.
    ///
    /// # Errors
    ///
    /// `nft` refused.
    pub async fn unguard(&self, port: Id) -> Result<(), NetworkError> {
        self.run(move |inner| inner.guards.remove(port)).await
    }

    /// Makes a router, or makes it what it is to be now.
    ///
    /// # Errors
    ///
    /// The kernel or `nft` refused; it is tried again by the same call.
    pub async fn set_router(&self, plan: &RouterPlan) -> Result<(), NetworkError> {
        let plan = plan.clone();
        self.run(move |inner| inner.set_router(&plan)).await
    }

    /// Removes a router; none is fine.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub async fn remove_router(&self, id: Id) -> Result<(), NetworkError> {
        self.run(move |inner| inner.remove_router(id)).await
    }

    /// The firewalls, ports and routers that are known, for the sweep after a restart.
    #[must_use]
    pub fn parts(&self) -> Vec<(NetworkPart, Id)> {
        let mut parts = self.inner.guards.parts();
        let routers = self.inner.routers();
        parts.extend(routers.keys().map(|id| (NetworkPart::Router, *id)));
        parts
    }

    /// Frees the interfaces, ports, names and the namespace of an instance; none is fine.
    /// The slow part of the kernel's work happens later.
    pub async fn detach(&self, instance: Id) {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            inner.with_slot(instance, |slot| {
                if let Some(live) = slot.take() {
                    inner.detach(live);
                }
            });
        })
        .await;
    }

    /// Gives a running instance the name of its record, and its links; answers its sandbox, where it
    /// has one.
    ///
    /// # Errors
    ///
    /// The record cannot be written, or the process is out of descriptors.
    pub async fn rename(&self, instance: &Instance) -> Result<Option<Sandbox>, NetworkError> {
        let instance = instance.clone();
        self.run(move |inner| {
            inner.with_slot(instance.meta.id, |slot| {
                let Some(live) = slot else { return Ok(None) };
                inner.rename(live, &instance)?;
                inner.describe(live).map(Some)
            })
        })
        .await
    }

    /// Instances that have a sandbox, for the sweep after a restart: detach those that do not run.
    #[must_use]
    pub fn attached(&self) -> Vec<Id> {
        self.inner.slots().keys().copied().collect()
    }

    /// The sandbox of an instance as it is now; `None` where it has none.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors.
    pub async fn sandbox(&self, instance: Id) -> Result<Option<Sandbox>, NetworkError> {
        self.run(move |inner| {
            inner.with_slot(instance, |slot| {
                slot.as_ref().map(|live| inner.describe(live)).transpose()
            })
        })
        .await
    }

    /// Files for an instance in the node's own network.
    #[must_use]
    pub fn host_files(&self, instance: &Instance) -> Files {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let naming = Naming::of(instance);
        Files {
            resolv_conf: files::resolv_of_node(&read("/etc/resolv.conf"), &naming.dns),
            hosts: files::hosts_of_node(&read("/etc/hosts"), &naming),
        }
    }

    /// Removes every bridge, interface, namespace and rule of this daemon from the node.
    ///
    /// # Errors
    ///
    /// The first thing that could not be removed; the rest is.
    pub async fn shutdown(&self) -> Result<(), NetworkError> {
        self.run(Inner::shutdown).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }
}

/// Runs what blocks where it may. A panic there is one here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Looks whether dockerd came, for as long as there are networks.
async fn watch_forwarding(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(FORWARDING_INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        // A look at the interface is free; at the rules it is not.
        if std::path::Path::new("/sys/class/net/docker0").exists() {
            blocking(move || inner.pass_forwarding()).await;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn host(&self) -> MutexGuard<'_, Socket> {
        locked(&self.host)
    }

    fn bridges(&self) -> MutexGuard<'_, HashMap<Id, Bridge>> {
        locked(&self.bridges)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Id, Slot>> {
        locked(&self.slots)
    }

    fn routers(&self) -> MutexGuard<'_, HashMap<Id, router::Live>> {
        locked(&self.routers)
    }

    fn names(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn names_mut(&self) -> RwLockWriteGuard<'_, Names> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on an instance's place, alone.
    fn with_slot<T>(&self, instance: Id, work: impl FnOnce(&mut Option<Live>) -> T) -> T {
        loop {
            let slot = Arc::clone(self.slots().entry(instance).or_default());
            let mut live = locked(&slot);
            // Whoever had it before may have left it empty and taken it away.
            if !self
                .slots()
                .get(&instance)
                .is_some_and(|current| Arc::ptr_eq(current, &slot))
            {
                continue;
            }
            let result = work(&mut live);
            if live.is_none() {
                self.slots().remove(&instance);
            }
            return result;
        }
    }

    fn with_live<T>(
        &self,
        instance: Id,
        work: impl FnOnce(&mut Live) -> Result<T, NetworkError>,
    ) -> Result<T, NetworkError> {
        self.with_slot(instance, |slot| {
            slot.as_mut()
                .map_or(Err(NetworkError::NoSandbox { instance }), work)
        })
    }
}
