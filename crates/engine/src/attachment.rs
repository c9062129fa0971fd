//! Streams of a process between the keeper's descriptors and the channels of [`crate::Engine`].
//!
//! The keeper hands out one pipe with pieces of output in order, each with its stream and length,
//! and one pipe or terminal for input. Nothing is buffered here beyond one piece, so a reader that
//! does not read holds up the pipe, and the keeper decides what that means.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use model::stream::Stream;
use runtime::keeper::{Attached, Client, ProcessKey};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWrite, Interest};
use tokio::sync::mpsc;

use crate::{Input, Output};

/// Pieces that may wait for the reader; each is at most [`READ_BYTES`].
const PIECES_WAITING: usize = 16;
/// Bytes asked for in one read: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// One byte for the stream and four for the length.
const HEAD_BYTES: usize = 5;

/// Whether the process's input ends with the attachment whose client is gone.
pub(crate) type EndsInput = Box<dyn Fn() -> bool + Send + Sync>;

/// Channels for these descriptors. After the last piece, the output ends when `end` is done.
///
/// # Errors
/// When the descriptors cannot be waited for.
pub(crate) fn channels(
    attached: Attached,
    keeper: &Client,
    key: &ProcessKey,
    ends_input: EndsInput,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<(Output, Option<Input>)> {
    let (sender, output) = mpsc::channel(PIECES_WAITING);
    if let Some(descriptor) = attached.output {
        let descriptor = registered(descriptor, Interest::READABLE)?;
        tokio::spawn(async move {
            pass_on(descriptor, &sender).await;
            tokio::select! {
                () = end => {}
                () = sender.closed() => {}
            }
        });
    }
    let input = match attached.stdin {
        None => None,
        Some(descriptor) => Some(Box::new(ProcessInput {
            descriptor: Some(registered(descriptor, Interest::WRITABLE)?),
            keeper: keeper.clone(),
            key: key.clone(),
            ends_input,
        }) as Input),
    };
    Ok((output, input))
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that may close the descriptor while it is registered, and OwnedFd does not"
)]
fn registered(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// Reads pieces until the pipe ends or nobody listens.
async fn pass_on(descriptor: AsyncFd<OwnedFd>, sender: &mpsc::Sender<(Stream, Bytes)>) {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(piece) = take_piece(&mut buffer) {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
        let read = descriptor.async_io(Interest::READABLE, |descriptor| {
            let filled = buffer.len();
            buffer.resize(filled + READ_BYTES, 0);
            let read = rustix::io::read(descriptor, &mut buffer[filled..]);
            buffer.truncate(filled + read.unwrap_or(0));
            Ok(read?)
        });
        tokio::select! {
            read = read => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            () = sender.closed() => return,
        }
    }
}

/// The next whole piece; a piece longer than the pipe is passed on in parts.
fn take_piece(buffer: &mut BytesMut) -> Option<(Stream, Bytes)> {
    let head = buffer.get(..HEAD_BYTES)?;
    let stream = if head[0] == 2 {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if buffer.len() < HEAD_BYTES + length {
        return None;
    }
    buffer.advance(HEAD_BYTES);
    Some((stream, buffer.split_to(length).freeze()))
}

/// Standard input of a process. Shutting it down ends the process's input, also of one that is yet
/// to start; dropping it detaches, and ends the input where that is wanted.
struct ProcessInput {
    descriptor: Option<AsyncFd<OwnedFd>>,
    keeper: Client,
    key: ProcessKey,
    ends_input: EndsInput,
}

impl ProcessInput {
    fn close(&mut self, ends_input: bool) {
        let Some(descriptor) = self.descriptor.take() else {
            return;
        };
        drop(descriptor);
        if ends_input {
            let (keeper, key) = (self.keeper.clone(), self.key.clone());
            // A process that has ended meanwhile has no input left to end.
            tokio::spawn(async move { drop(keeper.close_stdin(&key).await) });
        }
    }
}

impl Drop for ProcessInput {
    fn drop(&mut self) {
        let ends_input = (self.ends_input)();
        self.close(ends_input);
    }
}

impl AsyncWrite for ProcessInput {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(descriptor) = &mut self.descriptor else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        loop {
            let mut guard = ready!(descriptor.poll_write_ready(context))?;
            if let Ok(written) =
                guard.try_io(|descriptor| Ok(rustix::io::write(descriptor, bytes)?))
            {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close(true);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_whole_and_in_order() {
        let mut buffer = BytesMut::from(&b"\x01\0\0\0\x02hi\x02\0\0\0\x03e"[..]);
        assert_eq!(
            take_piece(&mut buffer),
            Some((Stream::Stdout, Bytes::from_static(b"hi")))
        );
        assert_eq!(take_piece(&mut buffer), None);
        buffer.extend_from_slice(b"rr\x01\0\0\0\0");
        assert_eq!(
            take_piece(&mut buffer),
            Some((Stream::Stderr, Bytes::from_static(b"err")))
        );
        assert_eq!(
            take_piece(&mut buffer),
            Some((Stream::Stdout, Bytes::new()))
        );
    }

    #[tokio::test]
    async fn output_ends_with_the_pipe() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let descriptor = registered(reader, Interest::READABLE).unwrap();
        let (sender, mut output) = mpsc::channel(1);
        tokio::spawn(async move { pass_on(descriptor, &sender).await });
        rustix::io::write(&writer, b"\x01\0\0\0\x01a").unwrap();
        assert_eq!(
            output.recv().await,
            Some((Stream::Stdout, Bytes::from_static(b"a")))
        );
        drop(writer);
        assert_eq!(output.recv().await, None);
    }
}
