//! The terminal: bytes between a WebSocket and a server's console, until either ends.

use actions::nodes::{Input, Output};
use actions::server::console;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::front::Open;
use crate::nova::error::ApiError;

/// Bytes that are read at once.
const BUFFER: usize = 16 * 1024;

/// Opens the console that the token in the address is for.
pub(super) async fn open(open: Open, request: Request) -> Result<Response, ApiError> {
    let token = open.query.get("token").unwrap_or_default();
    let (_, output, input) = console::open(&open.cloud, token).await?;
    let (parts, _) = request.into_parts();
    let upgraded = edge::websocket::upgrade(&parts, move |socket| carry(socket, output, input));
    Ok(upgraded.unwrap_or_else(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, error.to_string()).into_response()
    }))
}

async fn carry(socket: DuplexStream, mut output: Output, input: Option<Input>) {
    let (mut from_client, mut to_client) = tokio::io::split(socket);
    let Some(mut input) = input else {
        return;
    };
    let mut buffer = vec![0; BUFFER];
    loop {
        tokio::select! {
            chunk = output.recv() => match chunk {
                Some((_, bytes)) if to_client.write_all(&bytes).await.is_ok() => {}
                _ => return,
            },
            read = from_client.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    if input.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
