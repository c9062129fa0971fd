//! Somebody who reads a process's output now, through a pipe.
//!
//! What the pipe does not take waits here. How much may wait is [`super::streams`]' to say.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// The keeper's end.
#[derive(Debug)]
pub(super) struct Attachment {
    /// Unique among those of its process.
    pub(super) number: u32,
    pipe: OwnedFd,
    queue: VecDeque<u8>,
}

/// The reader has closed its end.
#[derive(Debug)]
pub(super) struct Gone;

impl Attachment {
    /// A new one, and the end for the reader. Neither end blocks.
    pub(super) fn new(number: u32) -> io::Result<(Self, OwnedFd)> {
        let (reader, pipe) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok((
            Self {
                number,
                pipe,
                queue: VecDeque::new(),
            },
            reader,
        ))
    }

    /// Goes on with what another program image had.
    pub(super) fn restore(number: u32, pipe: OwnedFd, waiting: Vec<u8>) -> Self {
        Self {
            number,
            pipe,
            queue: waiting.into(),
        }
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// A copy of what waits.
    pub(super) fn waiting_bytes(&self) -> Vec<u8> {
        self.queue.iter().copied().collect()
    }

    /// Sends a chunk of stream 1 or 2; what does not fit waits.
    pub(super) fn send(&mut self, stream: u8, chunk: &[u8]) -> Result<(), Gone> {
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes();
        let header = [stream, length[0], length[1], length[2], length[3]];
        let mut written = 0;
        if self.queue.is_empty() {
            match rustix::io::writev(&self.pipe, &[IoSlice::new(&header), IoSlice::new(chunk)]) {
                Ok(count) => written = count,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return Err(Gone),
            }
        }
        self.queue.extend(&header[written.min(header.len())..]);
        self.queue
            .extend(&chunk[written.saturating_sub(header.len())..]);
        Ok(())
    }

    /// Sends what waits, as far as the pipe takes it.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        while !self.queue.is_empty() {
            let (first, second) = self.queue.as_slices();
            match rustix::io::writev(&self.pipe, &[IoSlice::new(first), IoSlice::new(second)]) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(_) => return Err(Gone),
            }
        }
        self.queue = VecDeque::new();
        Ok(())
    }
}

impl AsFd for Attachment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
