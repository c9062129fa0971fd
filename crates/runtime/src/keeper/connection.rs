//! One client's connection, on the keeper's side.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::EventFlags;

use super::frame::{Frame, FrameError, Inbox, Outbox};
use super::poll::{Poll, Token};
use super::protocol::Notice;

/// Bytes that may wait before no more calls are taken of a client.
const BUSY_BYTES: usize = 1 << 20;
/// Bytes that may wait before a client that does not read is given up.
const MAX_WAITING_BYTES: usize = 128 << 20;

#[derive(Debug)]
pub(super) struct Connection {
    number: u32,
    pub(super) socket: OwnedFd,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    armed: EventFlags,
}

impl Connection {
    /// Takes a connected socket in.
    pub(super) fn new(
        number: u32,
        socket: OwnedFd,
        inbox: Inbox,
        outbox: Outbox,
        poll: &Poll,
    ) -> io::Result<Self> {
        let armed = EventFlags::IN;
        poll.add(&socket, Token::Client(number), armed)?;
        Ok(Self {
            number,
            socket,
            inbox,
            outbox,
            armed,
        })
    }

    /// Reads once. `Ok(false)` when there was nothing.
    pub(super) fn receive(&mut self) -> Result<bool, FrameError> {
        self.inbox.receive(self.socket.as_fd())
    }

    /// Adds a message.
    pub(super) fn push(&mut self, notice: &Notice, descriptors: Vec<OwnedFd>) {
        match serde_json::to_vec(notice) {
            Ok(body) => self.outbox.push(Frame { body, descriptors }),
            // Our own types: they have text keys only.
            Err(error) => tracing::error!(%error, "cannot write a message"),
        }
    }

    /// Sends what waits, as far as the client takes it.
    ///
    /// # Errors
    /// When the client is gone or hopelessly slow.
    pub(super) fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        self.outbox.flush(self.socket.as_fd())?;
        if self.outbox.len() > MAX_WAITING_BYTES {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, self.outbox.len() <= BUSY_BYTES);
        wanted.set(EventFlags::OUT, !self.outbox.is_empty());
        if wanted != self.armed {
            poll.modify(&self.socket, Token::Client(self.number), wanted)?;
            self.armed = wanted;
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
