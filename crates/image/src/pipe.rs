//! Bytes between asynchronous streams and the threads that inflate, hash and write them.
//!
//! A few chunks are under way at most, so neither side runs ahead of the other.

use std::io::{self, BufRead, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::mpsc;

const CHUNK: usize = 256 << 10;
const UNDER_WAY: usize = 8;

/// A pipe in either direction; an empty chunk marks the end, so that a lost writer is not taken
/// for one.
fn channel() -> (
    mpsc::Sender<io::Result<Bytes>>,
    mpsc::Receiver<io::Result<Bytes>>,
) {
    mpsc::channel(UNDER_WAY)
}

/// A pipe from an asynchronous stream to a thread.
fn inward() -> (Feeder, BlockingReader) {
    let (sender, reader) = chunks_inward();
    (Feeder(sender), reader)
}

/// A pipe to a thread, for who has chunks already; the empty one is the end.
pub(crate) fn chunks_inward() -> (mpsc::Sender<io::Result<Bytes>>, BlockingReader) {
    let (sender, receiver) = channel();
    let reader = BlockingReader {
        receiver,
        chunk: Bytes::new(),
        ended: false,
    };
    (sender, reader)
}

/// A pipe from a thread to an asynchronous stream.
pub fn outward() -> (BlockingWriter, AsyncReader) {
    let (writer, receiver) = chunks_outward();
    let reader = AsyncReader {
        receiver,
        chunk: Bytes::new(),
        ended: false,
    };
    (writer, reader)
}

/// A pipe from a thread, for who takes chunks; the empty one is the end.
pub(crate) fn chunks_outward() -> (BlockingWriter, mpsc::Receiver<io::Result<Bytes>>) {
    let (sender, receiver) = channel();
    let writer = BlockingWriter {
        sender,
        chunk: BytesMut::new(),
    };
    (writer, receiver)
}

/// Lets `work` read `stream` on a thread of its own.
///
/// When the future is dropped before the stream has ended, `work` reads an error.
pub async fn feed_blocking<T: Send + 'static>(
    stream: impl AsyncRead + Unpin,
    work: impl FnOnce(BlockingReader) -> T + Send + 'static,
) -> T {
    let (feeder, reader) = inward();
    let working = tokio::task::spawn_blocking(move || work(reader));
    feeder.feed(stream).await;
    match working.await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Feeds a stream into the pipe.
struct Feeder(mpsc::Sender<io::Result<Bytes>>);

impl Feeder {
    /// Sends all of `stream`; ends early when the reader is gone.
    async fn feed(self, mut stream: impl AsyncRead + Unpin) {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        loop {
            let answer = stream.read_buf(&mut chunk).await;
            let is_end = matches!(answer, Ok(0) | Err(_));
            if is_end || chunk.capacity() - chunk.len() < CHUNK / 8 {
                let full = std::mem::replace(&mut chunk, BytesMut::with_capacity(CHUNK)).freeze();
                if !full.is_empty() && self.0.send(Ok(full)).await.is_err() {
                    return;
                }
            }
            if is_end {
                // A reader that has all it wants may be gone already.
                let _gone = self.0.send(answer.map(|_| Bytes::new())).await;
                return;
            }
        }
    }
}

/// The thread's end of an inward pipe.
pub struct BlockingReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
    ended: bool,
}

impl BlockingReader {
    /// The next chunk as it came; empty at the end.
    pub(crate) fn next_chunk(&mut self) -> io::Result<Bytes> {
        if self.chunk.is_empty() && !self.ended {
            self.chunk = match self.receiver.blocking_recv() {
                Some(chunk) => chunk?,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the sender is gone",
                    ));
                }
            };
            self.ended = self.chunk.is_empty();
        }
        Ok(std::mem::take(&mut self.chunk))
    }
}

/// Chunks as they came, up to the end or an error.
impl Iterator for BlockingReader {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_chunk() {
            Ok(chunk) => (!chunk.is_empty()).then_some(Ok(chunk)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Reads from what is buffered: `Read` for those that are `BufRead`.
pub(crate) fn read_buffered(reader: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let available = reader.fill_buf()?;
    let length = available.len().min(buffer.len());
    buffer[..length].copy_from_slice(&available[..length]);
    reader.consume(length);
    Ok(length)
}

impl BufRead for BlockingReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() {
            self.chunk = self.next_chunk()?;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount);
    }
}

impl Read for BlockingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

/// The thread's end of an outward pipe.
pub struct BlockingWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    chunk: BytesMut,
}

impl BlockingWriter {
    /// Ends the stream, well or with an error.
    pub fn finish(mut self, outcome: io::Result<()>) {
        let end = outcome.and_then(|()| self.flush()).map(|()| Bytes::new());
        // A reader that went away wants no end either.
        let _gone = self.sender.blocking_send(end);
    }
}

impl Write for BlockingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk =
            std::mem::replace(&mut self.chunk, BytesMut::with_capacity(CHUNK + CHUNK / 4)).freeze();
        self.sender
            .blocking_send(Ok(chunk))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The asynchronous end of an outward pipe.
pub struct AsyncReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
    ended: bool,
}

impl AsyncRead for AsyncReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() && !self.ended {
            self.chunk = match ready!(self.receiver.poll_recv(context)) {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Err(error));
                }
                None => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the writer is gone",
                    )));
                }
            };
            self.ended = self.chunk.is_empty();
        }
        let length = self.chunk.len().min(buffer.remaining());
        buffer.put_slice(&self.chunk.split_to(length));
        Poll::Ready(Ok(()))
    }
}
