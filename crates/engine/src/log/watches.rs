//! Wakes whoever follows a log when something is written to it.
//!
//! One inotify descriptor for the whole engine, since a user may have 128 only; one watch for each
//! directory followed, given back with the last follower. It sees rotations too, because it looks
//! at the directory. Where the kernel refuses a watch, the follower looks from time to time.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Space for the events of one read.
const EVENT_BYTES: usize = 4096;

/// Between two looks at a log that cannot be watched.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Every directory that is watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    shared: Arc<Mutex<Option<Shared>>>,
}

#[derive(Debug)]
struct Shared {
    inotify: Arc<Inotify>,
    /// Ends with the engine.
    _reader: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Inotify {
    fd: AsyncFd<OwnedFd>,
    /// By watch descriptor.
    directories: Mutex<HashMap<i32, watch::Sender<u64>>>,
}

/// The watch on one directory.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None` when the kernel refused.
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    inotify: Arc<Inotify>,
    descriptor: i32,
    /// There until this is dropped.
    changes: Option<watch::Receiver<u64>>,
}

impl Watches {
    /// Watches a directory from now on.
    pub(super) fn watch(&self, directory: &Path) -> Watch {
        match self
            .inotify()
            .and_then(|inotify| Watched::new(inotify, directory))
        {
            Ok(watched) => Watch {
                watched: Some(watched),
            },
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "cannot watch a log, looking at it from time to time");
                Watch { watched: None }
            }
        }
    }

    fn inotify(&self) -> io::Result<Arc<Inotify>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = &*shared {
            return Ok(Arc::clone(&shared.inotify));
        }
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd keeps its number, and the other constructor is unsafe"
        )]
        let fd = AsyncFd::new(fd)?;
        let inotify = Arc::new(Inotify {
            fd,
            directories: Mutex::default(),
        });
        let reader = Arc::clone(&inotify);
        let task = tokio::spawn(async move {
            if let Err(error) = reader.pass_events_on().await {
                tracing::error!(%error, "cannot read inotify events, followed logs stand still");
            }
        });
        *shared = Some(Shared {
            inotify: Arc::clone(&inotify),
            _reader: AbortOnDropHandle::new(task),
        });
        Ok(inotify)
    }
}

impl Inotify {
    async fn pass_events_on(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        loop {
            let mut ready = self.fd.readable().await?;
            let mut events = inotify::Reader::new(self.fd.get_ref(), &mut buffer);
            loop {
                match events.next() {
                    Ok(event) => self.wake(event.wd(), event.events()),
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            ready.clear_ready();
        }
    }

    fn wake(&self, descriptor: i32, events: ReadFlags) {
        let directories = self.directories();
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            directories
                .values()
                .for_each(|sender| sender.send_modify(|version| *version += 1));
        } else if let Some(sender) = directories.get(&descriptor) {
            sender.send_modify(|version| *version += 1);
        }
    }

    fn directories(&self) -> MutexGuard<'_, HashMap<i32, watch::Sender<u64>>> {
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn new(inotify: Arc<Inotify>, directory: &Path) -> io::Result<Self> {
        let mut directories = inotify.directories();
        let wanted =
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        // A directory that is watched already answers the same descriptor.
        let descriptor = inotify::add_watch(inotify.fd.get_ref(), directory, wanted)?;
        let changes = directories
            .entry(descriptor)
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        drop(directories);
        Ok(Self {
            inotify,
            descriptor,
            changes: Some(changes),
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.changes = None;
        let mut directories = self.inotify.directories();
        if directories
            .get(&self.descriptor)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            directories.remove(&self.descriptor);
            // The watch has gone already when the directory has.
            _ = inotify::remove_watch(self.inotify.fd.get_ref(), self.descriptor);
        }
    }
}

impl Watch {
    /// Takes note of what was written until now.
    pub(super) fn mark_seen(&mut self) {
        if let Some(changes) = self
            .watched
            .as_mut()
            .and_then(|watched| watched.changes.as_mut())
        {
            changes.mark_unchanged();
        }
    }

    /// Waits until something was written since the last note.
    pub(super) async fn changed(&mut self) {
        match self
            .watched
            .as_mut()
            .and_then(|watched| watched.changes.as_mut())
        {
            Some(changes) => {
                if changes.changed().await.is_err() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn followers_of_one_directory_share_a_watch_and_give_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let watches = Watches::default();
        let mut first = watches.watch(dir.path());
        let mut second = watches.watch(dir.path());
        let inotify = watches.inotify().unwrap();
        assert_eq!(inotify.directories().len(), 1);
        std::fs::write(dir.path().join("file"), "x").unwrap();
        first.changed().await;
        second.changed().await;
        drop(first);
        assert_eq!(inotify.directories().len(), 1);
        drop(second);
        assert_eq!(inotify.directories().len(), 0);
    }

    #[tokio::test]
    async fn what_cannot_be_watched_is_looked_at_from_time_to_time() {
        let mut watch = Watches::default().watch(Path::new("/nonexistent"));
        assert!(watch.watched.is_none());
        watch.mark_seen();
        watch.changed().await;
    }
}
