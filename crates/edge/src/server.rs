//! Accepting connections and speaking HTTP/1.1 on them until told to stop.
//!
//! The binary binds and calls [`serve`]; tests call [`serve_connection`] on one end of a socket
//! pair. It does not route: that is the router's. A client that goes away ends the handler's
//! future, so that waiting and streaming stop with it.

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hijack::{Connection, Slot};
use crate::tls::Identity;

/// How long requests may still run once the server is told to stop.
const GRACE: Duration = Duration::from_secs(3);

/// How long a client that still sends after its answer is heard out, at most...
const LINGER: Duration = Duration::from_secs(10);
/// ...and how long it may be silent.
const SILENCE: Duration = Duration::from_millis(500);

/// How long a client may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long accepting pauses when the process is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A socket in the file system.
    Unix(UnixListener),
    /// A port.
    Tcp(TcpListener),
    /// A port where TLS is spoken.
    Tls(TcpListener, Identity),
}

/// Why a socket file could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("another process serves {}", .0.display())]
    Taken(PathBuf),
    /// A left-over socket file cannot be removed.
    #[error("removing the stale socket {}", .0.display())]
    Remove(PathBuf, #[source] io::Error),
    /// The socket cannot be made.
    #[error("binding {}", .0.display())]
    Bind(PathBuf, #[source] io::Error),
    /// Its permissions cannot be set.
    #[error("setting the permissions of {}", .0.display())]
    Permissions(PathBuf, #[source] io::Error),
}

impl Listener {
    /// Binds a socket file with these permission bits; replaces one that nobody serves any more.
    ///
    /// # Errors
    ///
    /// [`BindError`], with the path.
    pub async fn unix(path: &Path, mode: u32) -> Result<Self, BindError> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(BindError::Taken(path.to_owned()));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BindError::Remove(path.to_owned(), error));
            }
            Ok(()) | Err(_) => {}
        }
        let listener =
            UnixListener::bind(path).map_err(|error| BindError::Bind(path.to_owned(), error))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|error| BindError::Permissions(path.to_owned(), error))?;
        Ok(Self::Unix(listener))
    }
}

impl Listener {
    fn identity(&self) -> Option<Identity> {
        match self {
            Self::Unix(_) | Self::Tcp(_) => None,
            Self::Tls(_, identity) => Some(identity.clone()),
        }
    }
}

/// The connection inside TLS, where that is spoken. A client that takes its time is not waited for
/// by others.
async fn secured(stream: Box<dyn Io>, identity: Option<Identity>) -> io::Result<Box<dyn Io>> {
    match identity {
        None => Ok(stream),
        Some(identity) => tokio::time::timeout(HANDSHAKE, identity.accept(stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
    }
}

/// Serves `router` on `listener` until `shutdown`, then lets open requests end, for a few seconds.
///
/// Hijacked connections are not waited for.
pub async fn serve(listener: Listener, router: Router, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        match accepted {
            Ok(stream) => {
                let identity = listener.identity();
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    match secured(stream, identity).await {
                        Ok(stream) => serve_connection(stream, router, shutdown).await,
                        Err(error) => tracing::debug!(%error, "a client speaks no acceptable TLS"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait())
        .await
        .is_err()
    {
        tracing::debug!(open = connections.len(), "connections are cut off");
    }
}

async fn accept(listener: &Listener) -> io::Result<Box<dyn Io>> {
    match listener {
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok(Box::new(stream))
        }
        Listener::Tcp(listener) | Listener::Tls(listener, _) => {
            let (stream, _) = listener.accept().await?;
            // Small answers and keystrokes must not wait for more.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
    }
}

/// A connection's two ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Ends our side, then hears out a client that is still sending: closed at once, it would see its
/// write fail instead of the answer that refuses what it sends.
async fn linger(stream: &mut Box<dyn Io>) -> io::Result<()> {
    stream.shutdown().await?;
    let mut chunk = vec![0; 8 * 1024];
    let until = tokio::time::Instant::now() + LINGER;
    while let Ok(read) = tokio::time::timeout(SILENCE, stream.read(&mut chunk)).await {
        if read? == 0 || tokio::time::Instant::now() > until {
            break;
        }
    }
    Ok(())
}

/// Serves one connection until either side ends it, or a handler takes it over.
pub async fn serve_connection(stream: Box<dyn Io>, router: Router, shutdown: CancellationToken) {
    let slot = Slot::default();
    let service = {
        let slot = slot.clone();
        let router = TowerToHyperService::new(router);
        service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(slot.clone());
            Box::pin(router.call(request))
        })
    };
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut cancelled = pin!(shutdown.cancelled());
    let mut told = false;
    let served = poll_fn(|cx| {
        if !told && cancelled.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match connection.poll_without_shutdown(cx) {
            Poll::Ready(served) => Poll::Ready(served),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    match served {
        Ok(()) => {
            let parts = connection.into_parts();
            let mut stream = parts.io.into_inner();
            match slot.take() {
                Some(handler) => {
                    // A handler that is gone has no use for the connection: it closes.
                    drop(handler.send(Connection::new(parts.read_buf, stream)));
                }
                None => {
                    if let Err(error) = linger(&mut stream).await {
                        tracing::trace!(%error, "closing a connection");
                    }
                }
            }
        }
        Err(error) => tracing::debug!(%error, "a connection broke"),
    }
}
