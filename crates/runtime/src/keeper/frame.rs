//! Messages with descriptors over a stream socket, without blocking.
//!
//! A frame is a header of 8 bytes (length of the body, number of descriptors: both `u32`, big
//! endian) and the body. Descriptors go with the first byte of their frame; the kernel never joins
//! bytes across them, so they arrive in the order of the frames that announce them. Both ends of
//! the keeper's socket use this, one by epoll, one by tokio.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Longest body that is taken. A start with a large seccomp filter has some hundred
/// kilobytes, a list of thousands of processes with long notes some megabytes.
pub(super) const MAX_BODY_BYTES: usize = 64 << 20;
/// Most descriptors with one frame.
const MAX_DESCRIPTORS: usize = 4;
const HEADER_BYTES: usize = 8;
/// Bytes taken by one [`Inbox::receive`].
const CHUNK_BYTES: usize = 64 << 10;

/// Why a peer cannot be understood any more; its connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// It ended the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// A header is out of bounds.
    #[error("a frame of {bytes} bytes with {descriptors} descriptors is out of bounds")]
    OutOfBounds { bytes: usize, descriptors: usize },
    /// It announced descriptors that did not come, or sent too many.
    #[error("descriptors are missing")]
    DescriptorsMissing,
    /// The kernel refused.
    #[error("read from the socket")]
    Read(#[source] io::Error),
    /// The kernel refused, or the peer does not read.
    #[error("write to the socket")]
    Write(#[source] io::Error),
}

/// One message.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// JSON.
    pub(super) body: Vec<u8>,
    /// What travels beside it.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// What has been read and not yet taken.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    /// Goes on with bytes that another program image had read ([`super::upgrade`]).
    pub(super) fn with_bytes(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            descriptors: VecDeque::new(),
        }
    }

    /// Bytes read and not yet taken; `None` when descriptors came with them, which cannot be told
    /// to another program image.
    pub(super) fn pending(&self) -> Option<&[u8]> {
        self.descriptors.is_empty().then_some(&self.bytes)
    }

    /// Reads once. `Ok(false)` when there is nothing to read now.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<bool, FrameError> {
        let old = self.bytes.len();
        self.bytes.resize(old + CHUNK_BYTES, 0);
        let received = self.receive_at(socket, old);
        self.bytes.truncate(old + *received.as_ref().unwrap_or(&0));
        match received {
            Ok(0) => Err(FrameError::Closed),
            Ok(_) => Ok(true),
            Err(FrameError::Read(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn receive_at(&mut self, socket: BorrowedFd<'_>, at: usize) -> Result<usize, FrameError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut self.bytes[at..])];
        let result = recvmsg(
            socket,
            &mut buffers,
            &mut control,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        )
        .map_err(|error| FrameError::Read(error.into()))?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if result.flags.contains(ReturnFlags::CTRUNC) {
            return Err(FrameError::DescriptorsMissing);
        }
        Ok(result.bytes)
    }

    /// Takes the next whole frame, if it is there.
    pub(super) fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [a, b, c, d, e, f, g, h] = *header;
        let bytes = u32::from_be_bytes([a, b, c, d]) as usize;
        let descriptors = u32::from_be_bytes([e, f, g, h]) as usize;
        if bytes > MAX_BODY_BYTES || descriptors > MAX_DESCRIPTORS {
            return Err(FrameError::OutOfBounds { bytes, descriptors });
        }
        if self.bytes.len() < HEADER_BYTES + bytes {
            return Ok(None);
        }
        if self.descriptors.len() < descriptors {
            return Err(FrameError::DescriptorsMissing);
        }
        let body = self.bytes[HEADER_BYTES..HEADER_BYTES + bytes].to_vec();
        self.bytes.drain(..HEADER_BYTES + bytes);
        if self.bytes.is_empty() {
            // An idle connection holds no memory.
            self.bytes = Vec::new();
        }
        Ok(Some(Frame {
            body,
            descriptors: self.descriptors.drain(..descriptors).collect(),
        }))
    }
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that are written.
    written: usize,
    bytes: usize,
}

impl Outbox {
    /// Goes on with bytes that another program image had not yet written.
    pub(super) fn with_bytes(bytes: Vec<u8>) -> Self {
        let mut outbox = Self::default();
        if !bytes.is_empty() {
            outbox.bytes = bytes.len();
            outbox.frames.push_back(Frame {
                body: bytes,
                descriptors: Vec::new(),
            });
        }
        outbox
    }

    /// Adds a message of at most 4 GiB.
    pub(super) fn push(&mut self, frame: Frame) {
        let length = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
        let descriptors = u32::try_from(frame.descriptors.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(HEADER_BYTES + frame.body.len());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&descriptors.to_be_bytes());
        body.extend_from_slice(&frame.body);
        self.bytes += body.len();
        self.frames.push_back(Frame {
            body,
            descriptors: frame.descriptors,
        });
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// All bytes that wait, in order; `None` when descriptors wait with them.
    pub(super) fn pending(&self) -> Option<Vec<u8>> {
        let mut all = Vec::with_capacity(self.bytes + self.written);
        for frame in &self.frames {
            if !frame.descriptors.is_empty() {
                return None;
            }
            all.extend_from_slice(&frame.body);
        }
        all.drain(..self.written);
        Some(all)
    }

    /// Writes what the socket takes. `Ok(true)` when nothing waits any more.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        while let Some(frame) = self.frames.front_mut() {
            match send(socket, &frame.body[self.written..], &frame.descriptors) {
                Ok(count) => {
                    // They went with the first byte.
                    frame.descriptors.clear();
                    self.written += count;
                    self.bytes -= count;
                    if self.written == frame.body.len() {
                        self.frames.pop_front();
                        self.written = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        flags,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    }

    #[test]
    fn a_large_frame_arrives_whole_with_its_descriptors() {
        let (ours, theirs) = pair();
        let file = tempfile();
        let mut outbox = Outbox::default();
        outbox.push(Frame {
            body: vec![b'a'; 1 << 20],
            descriptors: vec![file],
        });
        outbox.push(Frame {
            body: b"second".to_vec(),
            descriptors: vec![tempfile(), tempfile()],
        });
        let mut inbox = Inbox::default();
        let mut frames = Vec::new();
        while frames.len() < 2 {
            outbox.flush(ours.as_fd()).unwrap();
            inbox.receive(theirs.as_fd()).unwrap();
            while let Some(frame) = inbox.take().unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(
            (frames[0].body.len(), frames[0].descriptors.len()),
            (1 << 20, 1)
        );
        assert_eq!(
            (frames[1].body.as_slice(), frames[1].descriptors.len()),
            (b"second".as_slice(), 2)
        );
        assert!(outbox.is_empty());
    }

    #[test]
    fn nothing_to_read_is_no_error_and_an_end_is_one() {
        let (ours, theirs) = pair();
        let mut inbox = Inbox::default();
        assert!(!inbox.receive(theirs.as_fd()).unwrap());
        drop(ours);
        assert!(matches!(
            inbox.receive(theirs.as_fd()),
            Err(FrameError::Closed)
        ));
    }

    #[test]
    fn an_absurd_length_is_refused() {
        let mut inbox = Inbox::with_bytes(b"GET / HTTP/1.1\r\n".to_vec());
        assert!(matches!(inbox.take(), Err(FrameError::OutOfBounds { .. })));
    }

    #[test]
    fn descriptors_that_do_not_come_are_missed() {
        let mut inbox = Inbox::with_bytes(vec![0, 0, 0, 1, 0, 0, 0, 1, b'x']);
        assert!(matches!(inbox.take(), Err(FrameError::DescriptorsMissing)));
    }

    fn tempfile() -> OwnedFd {
        rustix::fs::memfd_create("frame", rustix::fs::MemfdFlags::CLOEXEC).unwrap()
    }
}
