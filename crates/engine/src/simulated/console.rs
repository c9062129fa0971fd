//! Standard streams of a simulated process: fans output out to attachments, gathers input.
//!
//! A console exists before its process does, so that an attachment made early misses nothing.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use model::instance::Instance;
use model::stream::{ExecSpec, Stream};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::{Input, Output};

/// Pieces of output that wait for one slow attachment before the program has to wait.
const PIECES_WAITING: usize = 256;

/// What is written to a standard input.
#[derive(Debug)]
pub(super) enum Feed {
    Bytes(Bytes),
    End,
}

/// Standard streams of one process.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) tty: bool,
    has_stdin: bool,
    /// The input ends when the first attachment leaves.
    stdin_once: bool,
    outputs: Mutex<Vec<mpsc::Sender<(Stream, Bytes)>>>,
    stdin: mpsc::Sender<Feed>,
    reader: Mutex<Option<mpsc::Receiver<Feed>>>,
}

impl Console {
    pub(super) fn of_instance(instance: &Instance) -> Self {
        instance.spec.containers.first().map_or_else(
            || Self::new(false, false, false),
            |container| Self::new(container.tty, container.open_stdin, container.stdin_once),
        )
    }

    pub(super) fn of_exec(spec: &ExecSpec) -> Self {
        Self::new(spec.tty, spec.stdin, true)
    }

    fn new(tty: bool, has_stdin: bool, stdin_once: bool) -> Self {
        let (stdin, reader) = mpsc::channel(16);
        Self {
            tty,
            has_stdin,
            stdin_once,
            outputs: Mutex::default(),
            stdin,
            reader: Mutex::new(has_stdin.then_some(reader)),
        }
    }

    /// The reading end of the input, once; `None` is an input at its end.
    pub(super) fn take_stdin(&self) -> Option<mpsc::Receiver<Feed>> {
        self.reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A new attachment. Without `output` its output is at its end from the start.
    pub(super) fn attach(&self, stdin: bool, output: bool) -> (Output, Option<Input>) {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        if output {
            self.outputs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sender);
        }
        let input = (stdin && self.has_stdin).then(|| {
            Box::new(StdinWriter {
                feed: PollSender::new(self.stdin.clone()),
                once: self.stdin_once,
            }) as Input
        });
        (receiver, input)
    }

    /// Writes to every attachment, waiting for slow ones and forgetting those that left.
    pub(super) async fn write(&self, stream: Stream, bytes: Bytes) {
        let outputs = self
            .outputs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for output in outputs {
            // It left; it is taken out below.
            drop(output.send((stream, bytes.clone())).await);
        }
        self.outputs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|output| !output.is_closed());
    }

    /// Ends every attachment's output.
    pub(super) fn close(&self) {
        self.outputs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

struct StdinWriter {
    feed: PollSender<Feed>,
    once: bool,
}

impl AsyncWrite for StdinWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.feed.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let sent = self
            .feed
            .send_item(Feed::Bytes(Bytes::copy_from_slice(buf)));
        Poll::Ready(
            sent.map(|()| buf.len())
                .map_err(|_| io::ErrorKind::BrokenPipe.into()),
        )
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A process that has ended reads no more: its input is closed as wished.
        if ready!(self.feed.poll_reserve(cx)).is_ok() {
            drop(self.feed.send_item(Feed::End));
        }
        self.feed.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for StdinWriter {
    fn drop(&mut self) {
        let Some(feed) = self.feed.get_ref().filter(|_| self.once).cloned() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let _task = runtime.spawn(async move { feed.send(Feed::End).await });
        }
    }
}
