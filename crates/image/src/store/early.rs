//! Flushes what is being written while more of it comes, so that the flush at the end, which
//! somebody waits for, finds little to do.
//!
//! An error of the disk is told once by the kernel, so one that is met here is [`Early::finish`]'s
//! to tell. Layers and uploads on their way in use this.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes after which what was written is flushed.
const EVERY_BYTES: u64 = 32 << 20;

/// Flushes on a thread of its own.
#[derive(Debug)]
pub(super) struct Early<'scope, E> {
    pending_bytes: u64,
    ticks: SyncSender<()>,
    thread: ScopedJoinHandle<'scope, Result<(), E>>,
}

impl<'scope, E: Send + 'scope> Early<'scope, E> {
    /// Begins; `flush` makes what was written so far last.
    pub(super) fn start(
        scope: &'scope Scope<'scope, '_>,
        flush: impl Fn() -> Result<(), E> + Send + 'scope,
    ) -> Self {
        let (ticks, due) = sync_channel(1);
        Self {
            pending_bytes: 0,
            ticks,
            thread: scope.spawn(move || due.iter().try_for_each(|()| flush())),
        }
    }

    /// So many bytes more were written.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.pending_bytes += bytes;
        if self.pending_bytes >= EVERY_BYTES {
            self.pending_bytes = 0;
            // Where one is due already, that one will do.
            _ = self.ticks.try_send(());
        }
    }

    /// Ends; what was written last is the caller's to flush.
    pub(super) fn finish(self) -> Result<(), E> {
        drop(self.ticks);
        match self.thread.join() {
            Ok(flushed) => flushed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
