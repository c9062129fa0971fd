//! Taking a connection over from HTTP: raw bytes both ways after the response's head.
//!
//! A request with `Upgrade` is answered by 101. One without gets a head that promises nothing about
//! what follows (HTTP/1.0, no length), and then the same bytes: clients older than the upgrade do
//! that. Handlers of front ends call [`hijack`]; [`crate::server`] hands the connection over.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::server::Io;

/// Where a handler says that it wants the connection. One a connection.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<oneshot::Sender<Connection>>>>);

impl Slot {
    pub(crate) fn take(&self) -> Option<oneshot::Sender<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, sender: oneshot::Sender<Connection>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }
}

/// The connection cannot be taken over: it is not one that [`crate::server`] serves.
#[derive(Debug, thiserror::Error)]
#[error("the connection of this request cannot be taken over")]
pub struct HijackError;

/// A connection after HTTP. Shutting it down ends our side only; the other may go on.
pub struct Connection {
    /// Bytes that arrived together with the request's head.
    early: Bytes,
    stream: Box<dyn Io>,
}

impl Connection {
    pub(crate) fn new(early: Bytes, stream: Box<dyn Io>) -> Self {
        Self { early, stream }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("early", &self.early.len())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = this.early.len().min(buf.remaining());
        buf.put_slice(&this.early[..count]);
        this.early.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Answers a request by taking its connection over; `session` runs once the head is sent.
///
/// With an `Upgrade` header the answer is `101 UPGRADED` to `protocol`, otherwise `200 OK`.
///
/// # Errors
///
/// [`HijackError`] when the request did not come through [`crate::server`].
pub fn hijack<F, S>(
    request: &http::request::Parts,
    protocol: &'static str,
    content_type: &'static str,
    session: F,
) -> Result<Response, HijackError>
where
    F: FnOnce(Connection) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let slot = request.extensions.get::<Slot>().ok_or(HijackError)?;
    let (sender, receiver) = oneshot::channel();
    slot.put(sender);
    tokio::spawn(async move {
        // Without an answer the client left before the head was sent.
        if let Ok(connection) = receiver.await {
            session(connection).await;
        }
    });
    // A body of unknown length: an empty one would be announced as such.
    let mut response = Response::new(Body::from_stream(futures_util::stream::empty::<
        io::Result<Bytes>,
    >()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if request.headers.contains_key(UPGRADE) {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response
            .headers_mut()
            .insert(UPGRADE, HeaderValue::from_static(protocol));
        response
            .extensions_mut()
            .insert(ReasonPhrase::from_static(b"UPGRADED"));
    } else {
        *response.version_mut() = Version::HTTP_10;
    }
    Ok(response)
}
