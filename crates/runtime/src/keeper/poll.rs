//! What the keeper waits for, by `epoll`.
//!
//! Level-triggered, so that work may be left for the next turn; few events a turn, which the
//! kernel hands out in turn.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

/// What an event is about. Numbers are never used twice, so that a late event finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A client wants to connect.
    Listener,
    /// Somebody asks the keeper to terminate.
    Terminations,
    /// A client says something, or can be told something.
    Client(u32),
    /// A process ended.
    Exit(u32),
    /// A container is short of memory.
    Oom(u32),
    /// A starting process reports.
    Status(u32),
    /// A process wrote to its standard output (0) or standard error (1), or its terminal takes input.
    Output(u32, u8),
    /// Input for a terminal.
    Pump(u32),
    /// An attachment takes output, or its peer is gone.
    Attachment(u32, u32),
}

/// Sub-numbers fit below this.
pub(super) const MAX_SUB: u32 = (1 << 24) - 1;

impl Token {
    fn pack(self) -> u64 {
        let (kind, number, sub): (u64, u32, u32) = match self {
            Self::Listener => (0, 0, 0),
            Self::Terminations => (1, 0, 0),
            Self::Client(number) => (2, number, 0),
            Self::Exit(number) => (3, number, 0),
            Self::Status(number) => (4, number, 0),
            Self::Oom(number) => (8, number, 0),
            Self::Output(number, index) => (5, number, index.into()),
            Self::Pump(number) => (6, number, 0),
            Self::Attachment(number, sub) => (7, number, sub & MAX_SUB),
        };
        kind << 56 | u64::from(number) << 24 | u64::from(sub)
    }

    fn unpack(packed: u64) -> Self {
        let [kind, a, b, c, d, e, f, g] = packed.to_be_bytes();
        let number = u32::from_be_bytes([a, b, c, d]);
        match kind {
            0 => Self::Listener,
            1 => Self::Terminations,
            2 => Self::Client(number),
            3 => Self::Exit(number),
            4 => Self::Status(number),
            5 => Self::Output(number, g),
            6 => Self::Pump(number),
            8 => Self::Oom(number),
            _ => Self::Attachment(number, u32::from_be_bytes([0, e, f, g])),
        }
    }
}

/// A set of descriptors to wait for.
#[derive(Debug)]
pub(super) struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
        })
    }

    /// Begins to wait for a descriptor. Errors and hang-ups are always told.
    pub(super) fn add(
        &self,
        descriptor: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            descriptor,
            EventData::new_u64(token.pack()),
            flags,
        )?)
    }

    /// Waits for something else of a descriptor.
    pub(super) fn modify(
        &self,
        descriptor: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            descriptor,
            EventData::new_u64(token.pack()),
            flags,
        )?)
    }

    /// Waits no more; to be called before a descriptor is closed. Closing alone is not enough: a
    /// child has a copy until it executes its program, and meanwhile a hang-up would be told again
    /// and again of something that nobody can remove any more.
    pub(super) fn remove(&self, descriptor: impl AsFd) {
        // It may not be in the set.
        _ = epoll::delete(&self.epoll, descriptor);
    }

    /// What happened, at most `most` events.
    pub(super) fn ready(&self, most: usize) -> io::Result<Vec<(Token, EventFlags)>> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut space = Vec::<Event>::with_capacity(most);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut space),
            Some(&now),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(space
            .iter()
            .map(|event| (Token::unpack(event.data.u64()), event.flags))
            .collect())
    }
}

impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for token in [
            Token::Listener,
            Token::Terminations,
            Token::Client(u32::MAX),
            Token::Exit(7),
            Token::Status(0),
            Token::Oom(9),
            Token::Output(u32::MAX, 1),
            Token::Pump(3),
            Token::Attachment(u32::MAX, MAX_SUB),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
