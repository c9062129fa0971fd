//! HTTP/2 on a connection that was taken over from HTTP/1.1, on either side of it: as its server, or as
//! the client of whoever asked for that.
//!
//! Front ends call it with what [`crate::hijack`] gave them. What is said over it is theirs.

use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::{client, server};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use crate::hijack::Connection;

/// How often a peer that says nothing is asked whether it is there...
const ASKED_EVERY: Duration = Duration::from_secs(15);
/// ...and how long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves `router` until the client leaves; its requests end then.
pub async fn serve(connection: Connection, router: Router) {
    let service = TowerToHyperService::new(router);
    let served = server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(ASKED_EVERY)
        .keep_alive_timeout(PATIENCE)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of HTTP/2 broke");
    }
}

/// Sends requests over one connection; copies share it.
#[derive(Debug)]
pub struct Channel<B>(SendRequest<B>);

impl<B> Clone for Channel<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Becomes the client of a connection, or of what stands for one; answers what sends over it, and
/// what carries that on: it ends with the connection.
///
/// # Errors
/// When the other side does not speak HTTP/2.
pub async fn connect<B, C>(
    connection: C,
) -> hyper::Result<(Channel<B>, impl Future<Output = ()> + Send)>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, carrier) = client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(ASKED_EVERY)
        .keep_alive_timeout(PATIENCE)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(connection))
        .await?;
    let carry = async {
        if let Err(error) = carrier.await {
            tracing::debug!(%error, "a connection of HTTP/2 broke");
        }
    };
    Ok((Channel(sender), carry))
}

impl<B: Body + Send + 'static> Service<Request<B>> for Channel<B> {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
