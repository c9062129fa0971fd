//! WebSockets as plain bytes both ways: what arrives in messages, and what is sent as binary ones.
//!
//! The handshake is answered here, the connection taken over by [`crate::hijack`], and the
//! framing is `tungstenite`'s. Front ends call [`upgrade`].
//!
//! Spec: RFC 6455.

use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, request::Parts};
use hyper::ext::ReasonPhrase;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::hijack::{Connection, HijackError, hijack};

/// Bytes that wait in each direction.
const BUFFER: usize = 64 * 1024;
/// The only version there is.
const VERSION: &str = "13";

/// Why a request does not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// It does not ask for one, or not for this version.
    #[error(
        "the request is no WebSocket handshake: it needs Upgrade: websocket, Sec-WebSocket-Version: {VERSION} and Sec-WebSocket-Key"
    )]
    Handshake,
    /// Its connection is somebody else's.
    #[error(transparent)]
    Hijack(#[from] HijackError),
}

/// Answers a handshake; `session` gets the bytes once the head is sent, and ends the socket by
/// dropping or shutting down its side.
///
/// # Errors
/// [`UpgradeError`].
pub fn upgrade<F, S>(request: &Parts, session: F) -> Result<Response, UpgradeError>
where
    F: FnOnce(DuplexStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let header = |name| request.headers.get(name);
    let is_websocket = header(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let accept = header(SEC_WEBSOCKET_KEY)
        .filter(|_| is_websocket && header(SEC_WEBSOCKET_VERSION).is_some_and(|v| v == VERSION))
        .map(|key| derive_accept_key(key.as_bytes()))
        .and_then(|accept| HeaderValue::from_str(&accept).ok())
        .ok_or(UpgradeError::Handshake)?;
    let mut response = hijack(request, "websocket", "", move |connection| async move {
        let (inner, outer) = tokio::io::duplex(BUFFER);
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        let ((), carried) = tokio::join!(session(outer), carry(socket, inner));
        if let Err(error) = carried {
            tracing::debug!(%error, "a WebSocket broke");
        }
    })?;
    response.extensions_mut().remove::<ReasonPhrase>();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Carries bytes until the session or the client ends.
async fn carry(
    mut socket: WebSocketStream<Connection>,
    session: DuplexStream,
) -> Result<(), tungstenite::Error> {
    let (mut from_session, mut to_session) = tokio::io::split(session);
    let mut buffer = vec![0; BUFFER];
    loop {
        tokio::select! {
            message = socket.next() => {
                let payload = match message {
                    Some(Ok(Message::Binary(payload))) => payload,
                    Some(Ok(Message::Text(text))) => text.into(),
                    // Pings are answered by the library.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Err(error)) => return Err(error),
                };
                if to_session.write_all(&payload).await.is_err() {
                    return socket.close(None).await;
                }
            }
            read = from_session.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return socket.close(None).await,
                Ok(count) => {
                    let message = Message::binary(buffer[..count].to_vec());
                    socket.send(message).await?;
                }
            },
        }
    }
}
