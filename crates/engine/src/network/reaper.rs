//! Takes apart what sandboxes gave up, off everyone's path.
//!
//! Removing an interface waits for every processor (several milliseconds), so interfaces of many
//! sandboxes are put in one group and removed at once; then their namespaces are unmounted.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::change::Batch;
use super::error::NetworkError;
use super::namespace::Namespace;
use super::netlink::Socket;

/// How long is waited for more, before what there is is taken apart.
const GATHER: Duration = Duration::from_millis(10);

/// What a sandbox leaves behind.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Indices of interfaces on the node.
    pub(super) interfaces: Vec<u32>,
    /// Where its namespace is mounted.
    pub(super) namespace: Option<PathBuf>,
}

/// The thread that takes them apart.
#[derive(Debug)]
pub(super) struct Reaper {
    sender: Mutex<Option<Sender<Remains>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Reaper {
    /// Starts the thread.
    pub(super) fn open() -> Result<Self, NetworkError> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("netns-reaper".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || reap(&receiver))
            .map_err(|source| NetworkError::Namespace {
                attempt: "start a thread for",
                source,
            })?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands over; after [`Reaper::close`] it is taken apart at once.
    pub(super) fn hand_over(&self, remains: Remains) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match &*sender {
            Some(sender) => sender.send(remains).err().map(|error| error.0),
            None => Some(remains),
        };
        if let Some(remains) = refused {
            take_apart(&[remains]);
        }
    }

    /// Finishes what was handed over and ends the thread.
    pub(super) fn close(&self) {
        drop(
            self.sender
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A thread that panicked has nothing left to finish.
            drop(thread.join());
        }
    }
}

fn reap(receiver: &Receiver<Remains>) {
    while let Ok(first) = receiver.recv() {
        let mut all = vec![first];
        std::thread::sleep(GATHER);
        all.extend(receiver.try_iter());
        take_apart(&all);
    }
}

fn take_apart(all: &[Remains]) {
    let interfaces: Vec<u32> = all
        .iter()
        .flat_map(|remains| remains.interfaces.iter().copied())
        .collect();
    if let Err(error) = remove_interfaces(&interfaces) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "interfaces are left behind"
        );
    }
    for path in all.iter().filter_map(|remains| remains.namespace.as_ref()) {
        if let Err(error) = Namespace::release(path) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a network namespace is left behind"
            );
        }
    }
}

/// Removes interfaces of the node, all at once.
pub(super) fn remove_interfaces(indices: &[u32]) -> Result<(), NetworkError> {
    if indices.is_empty() {
        return Ok(());
    }
    let mut host = Socket::open().map_err(|source| NetworkError::Namespace {
        attempt: "talk to the node's",
        source,
    })?;
    // A group of their own: nobody numbers groups at random in this range.
    let group = rand::random::<u32>() | 0x8000_0000;
    // Bounded messages, so that a thousand fit in the socket's buffer.
    for indices in indices.chunks(100) {
        let mut batch = Batch::default();
        for index in indices {
            batch.set_group(*index, group);
        }
        host.run(batch)?;
    }
    let mut batch = Batch::default();
    batch.delete_group(group);
    host.run(batch)
}
