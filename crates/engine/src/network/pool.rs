//! Network namespaces held ready: loopback up, one pair of interfaces inside, nobody's yet.
//!
//! Making one costs the kernel a millisecond or more, taking one out of the pool nothing. A thread
//! refills the pool after a pause, so that it does not fight the start it was emptied by for the
//! kernel's lock. [`super::attach`] takes them; what is taken never returns.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::change::Batch;
use super::error::NetworkError;
use super::namespace::Namespace;
use super::netlink::Socket;

/// What the interface inside is called, until something else is asked for.
pub(super) const INTERFACE: &str = "eth0";

/// How long the pool is left alone after something was taken, unless it runs low.
const PAUSE: Duration = Duration::from_millis(20);

/// A namespace nobody uses yet.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) namespace: Namespace,
    /// Talks to the kernel inside.
    pub(super) socket: Socket,
    /// The end of the pair on the node.
    pub(super) outer: Outer,
    /// Index of the end inside, which is named [`INTERFACE`] and down.
    pub(super) inner_index: u32,
}

/// The end of a pair of interfaces that is on the node.
#[derive(Clone, Debug)]
pub(super) struct Outer {
    pub(super) name: String,
    pub(super) index: u32,
}

/// What a namespace is made with.
#[derive(Debug)]
pub(super) struct Maker {
    /// Where namespaces are mounted.
    pub(super) directory: PathBuf,
    /// Begins the names of interfaces.
    pub(super) prefix: String,
    /// Marks interfaces as ours.
    pub(super) alias: String,
}

impl Maker {
    /// A name for an interface on the node: 28 random bits keep it apart from all others.
    pub(super) fn outer_name(&self) -> String {
        format!("{}v{:07x}", self.prefix, rand::random::<u32>() >> 4)
    }

    /// Makes a pair of interfaces: one on the node, `inner` inside, down. Answers both indices.
    pub(super) fn pair(
        &self,
        host: &mut Socket,
        namespace: &Namespace,
        socket: &mut Socket,
        inner: &str,
    ) -> Result<(Outer, u32), NetworkError> {
        use std::os::fd::AsFd as _;
        let name = self.outer_name();
        let mut batch = Batch::default();
        batch.add_veth(&name, inner, namespace.fd.as_fd());
        host.run(batch)?;
        let index = host.found(&name)?.index;
        let mut batch = Batch::default();
        batch.set_alias(index, &name, &self.alias);
        host.run(batch)?;
        // A bridge's port speaks to nobody itself. Its own addresses and routes would be looked
        // through whenever an interface comes or goes.
        set_parameter(&format!("ipv6/conf/{name}/disable_ipv6"), "1")?;
        let inner_index = socket.found(inner)?.index;
        Ok((Outer { name, index }, inner_index))
    }

    /// Makes one namespace with one pair of interfaces.
    pub(super) fn make(&self) -> Result<Ready, NetworkError> {
        let path = self
            .directory
            .join(format!("{:016x}", rand::random::<u64>()));
        let (namespace, mut socket) = Namespace::make(path, || {
            // Interfaces get IPv6 only with an IPv6 address, and tell neighbours when they come up.
            for (file, value) in [
                ("ipv6/conf/default/disable_ipv6", "1"),
                ("ipv4/conf/default/arp_notify", "1"),
            ] {
                set_parameter(file, value)?;
            }
            Socket::open().map_err(|source| NetworkError::Namespace {
                attempt: "talk to",
                source,
            })
        })?;
        let made = Socket::open()
            .map_err(|source| NetworkError::Namespace {
                attempt: "talk to the node's",
                source,
            })
            .and_then(|mut host| self.pair(&mut host, &namespace, &mut socket, INTERFACE));
        match made {
            Ok((outer, inner_index)) => Ok(Ready {
                namespace,
                socket,
                outer,
                inner_index,
            }),
            Err(error) => {
                Namespace::release(&namespace.path)?;
                Err(error)
            }
        }
    }
}

/// Sets a network parameter of the calling thread's namespace; one the kernel lacks is left.
pub(super) fn set_parameter(file: &str, value: &str) -> Result<(), NetworkError> {
    let path = Path::new("/proc/sys/net").join(file);
    match fs::write(&path, value) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(NetworkError::File {
            attempt: "write",
            path,
            source,
        }),
        _ => Ok(()),
    }
}

#[derive(Debug, Default)]
struct Shelf {
    ready: Vec<Ready>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    maker: Maker,
    size: usize,
    shelf: Mutex<Shelf>,
    changed: Condvar,
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refill(&self) {
        let mut shelf = self.shelf();
        loop {
            while !shelf.closed && shelf.ready.len() >= self.size {
                shelf = self
                    .changed
                    .wait(shelf)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            while !shelf.closed && shelf.ready.len() > self.size / 2 {
                let (guard, waited) = self
                    .changed
                    .wait_timeout(shelf, PAUSE)
                    .unwrap_or_else(PoisonError::into_inner);
                shelf = guard;
                if waited.timed_out() {
                    break;
                }
            }
            while !shelf.closed && shelf.ready.len() < self.size {
                drop(shelf);
                let made = self.maker.make();
                shelf = self.shelf();
                match made {
                    Ok(ready) if !shelf.closed => shelf.ready.push(ready),
                    Ok(ready) => drop(Namespace::release(&ready.namespace.path)),
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "no network namespace made ahead"
                        );
                        // The next take makes its own, and tells its caller why it cannot.
                        shelf = self
                            .changed
                            .wait(shelf)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
            if shelf.closed {
                return;
            }
        }
    }
}

/// The pool.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Pool {
    /// Starts to fill a pool of `size`.
    pub(super) fn open(maker: Maker, size: usize) -> Result<Self, NetworkError> {
        let shared = Arc::new(Shared {
            maker,
            size,
            shelf: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = std::thread::Builder::new()
            .name("netns-pool".to_owned())
            .stack_size(256 * 1024)
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.refill()
            })
            .map_err(|source| NetworkError::Namespace {
                attempt: "start a thread for",
                source,
            })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// A namespace, ready or made now.
    pub(super) fn take(&self) -> Result<Ready, NetworkError> {
        let ready = self.shared.shelf().ready.pop();
        self.shared.changed.notify_one();
        ready.map_or_else(|| self.shared.maker.make(), Ok)
    }

    /// What namespaces are made with.
    pub(super) fn maker(&self) -> &Maker {
        &self.shared.maker
    }

    /// Stops refilling and releases what is ready.
    pub(super) fn close(&self) -> Result<(), NetworkError> {
        let ready = {
            let mut shelf = self.shared.shelf();
            shelf.closed = true;
            std::mem::take(&mut shelf.ready)
        };
        self.shared.changed.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A thread that panicked has nothing left to stop.
            drop(thread.join());
        }
        ready
            .iter()
            .try_for_each(|ready| Namespace::release(&ready.namespace.path))
    }
}
