//! The server over a real socket: hijacked connections, headers before bodies, clients that leave.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use edge::observe::{RequestId, observe};
use edge::server::{Listener, serve};
use edge::{body, hijack, metrics::Metrics};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// Echoes a hijacked connection, and says `bye` after the client closed its side.
async fn echo(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    hijack::hijack(
        &parts,
        "tcp",
        "application/raw",
        |mut connection| async move {
            let mut bytes = Vec::new();
            connection.read_to_end(&mut bytes).await.unwrap();
            connection.write_all(&bytes).await.unwrap();
            connection.write_all(b"bye").await.unwrap();
            connection.shutdown().await.unwrap();
        },
    )
    .map_or_else(
        |_| StatusCode::BAD_REQUEST.into_response(),
        IntoResponse::into_response,
    )
}

struct Running {
    directory: tempfile::TempDir,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(router: Router) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::unix(&directory.path().join("socket"), 0o660)
            .await
            .unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, shutdown.clone()));
        Self {
            directory,
            shutdown,
            task,
        }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.directory.path().join("socket"))
            .await
            .unwrap()
    }
}

async fn exchange(running: &Running, request: &str) -> String {
    let mut stream = running.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_upgraded_connection_goes_on_after_the_client_closed_its_side() {
    let running = Running::start(Router::new().route("/", post(echo))).await;
    let answer = exchange(
        &running,
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello ",
    )
    .await;
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
    assert!(head.to_lowercase().contains("upgrade: tcp"), "{head}");
    assert_eq!(rest, "hello bye");
}

#[tokio::test]
async fn a_connection_is_taken_over_without_an_upgrade_too() {
    let running = Running::start(Router::new().route("/", post(echo))).await;
    let answer = exchange(&running, "POST / HTTP/1.1\r\nHost: x\r\n\r\nhello ").await;
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 OK"), "{head}");
    assert!(!head.to_lowercase().contains("content-length"), "{head}");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(rest, "hello bye");
}

#[tokio::test]
async fn the_head_of_a_streamed_answer_comes_before_its_body() {
    let (holder, held) = tokio::sync::oneshot::channel();
    let holder = std::sync::Arc::new(std::sync::Mutex::new(Some(holder)));
    let router = Router::new().route(
        "/",
        get(move || {
            let (sender, body) = body::channel(1);
            holder.lock().unwrap().take().unwrap().send(sender).unwrap();
            std::future::ready(Response::new(body))
        }),
    );
    let running = Running::start(router).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 17];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK\r\n");
    // The client leaves: whoever fills the body learns it.
    drop(stream);
    let sender = held.await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), sender.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn requests_are_observed_and_shutdown_ends_the_server() {
    let metrics = Metrics::default();
    let router = Router::new().route(
        "/things/{id}",
        get(|request: Request| {
            std::future::ready(request.extensions().get::<RequestId>().unwrap().0.clone())
        }),
    );
    let running = Running::start(observe(router, metrics.clone())).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET /things/7 HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.contains("x-request-id: mine"), "{answer}");
    assert!(answer.ends_with("mine"), "{answer}");
    assert!(
        metrics
            .render()
            .contains(r#"route="/things/{id}",status="200"} 1"#)
    );
    running.shutdown.cancel();
    running.task.await.unwrap();
    assert!(
        UnixStream::connect(running.directory.path().join("socket"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_socket_in_use_is_not_taken_and_a_stale_one_is_replaced() {
    let running = Running::start(Router::new()).await;
    let path = running.directory.path().join("socket");
    assert!(Listener::unix(&path, 0o660).await.is_err());
    running.shutdown.cancel();
    running.task.await.unwrap();
    drop(Listener::unix(&path, 0o660).await.unwrap());
}
