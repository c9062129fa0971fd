//! Long operations that tell how far they are: a stream of JSON documents, which may end with an
//! error, unless that comes first.
//!
//! Spec: Docker Engine API 1.51, `ImageCreate`, `ImagePush`; the documents are `JSONMessage`s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actions::ActionError;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::container::json_lines;
use crate::error::ApiError;

/// Where an operation tells how far it is.
#[derive(Clone)]
pub(crate) struct Lines {
    sender: mpsc::UnboundedSender<Bytes>,
    /// Something was told.
    begun: Arc<AtomicBool>,
}

impl Lines {
    /// A document. Whoever left reads no more.
    pub(crate) fn send(&self, document: &Value) {
        self.begun.store(true, Ordering::Relaxed);
        drop(self.sender.send(line_of(document)));
    }

    /// What goes on with the thing of this name.
    pub(crate) fn status_of(&self, id: &str, status: &str) {
        self.send(&json!({ "status": status, "progressDetail": {}, "id": id }));
    }

    /// How much of it there is, in bytes.
    pub(crate) fn progress_of(&self, id: &str, status: &str, current: u64, total: u64) {
        self.send(&json!({
            "status": status,
            "progressDetail": { "current": current, "total": total },
            "progress": bar(current, total),
            "id": id,
        }));
    }

    /// A line that is about nothing in particular.
    pub(crate) fn status(&self, status: &str) {
        self.send(&json!({ "status": status }));
    }
}

/// Runs an operation that tells how far it is, until it ends or the client leaves.
///
/// One that fails before it has told anything is answered with the error's status.
pub(crate) async fn told<F>(work: impl FnOnce(Lines) -> F) -> Result<Response, ApiError>
where
    F: Future<Output = Result<(), ActionError>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let begun = Arc::new(AtomicBool::new(false));
    let work = work(Lines {
        sender: sender.clone(),
        begun: Arc::clone(&begun),
    });
    let (refuse, refused) = oneshot::channel();
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = sender.closed() => {
                tracing::debug!("a client left before the end");
                return;
            }
        };
        match outcome {
            Ok(()) => {}
            Err(error) if begun.load(Ordering::Relaxed) => {
                drop(sender.send(line_of(&failure(&error.message))));
            }
            Err(error) => drop(refuse.send(error)),
        }
    });
    match receiver.recv().await {
        Some(first) => Ok(json_lines(edge::body::follow(first, receiver))),
        None => match refused.await {
            Ok(error) => Err(error.into()),
            Err(_) => Ok(json_lines(Body::empty())),
        },
    }
}

/// The document that ends a stream which failed.
pub(crate) fn failure(message: &str) -> Value {
    json!({ "errorDetail": { "message": message }, "error": message })
}

/// A document on a line of its own.
pub(crate) fn line_of(document: &Value) -> Bytes {
    Bytes::from(format!("{document}\r\n"))
}

/// What clients print that do not draw: `[====>    ]  1.5MB/20MB`.
fn bar(current: u64, total: u64) -> String {
    const WIDTH: usize = 50;
    if total == 0 || current > total {
        return format!("{:>8}", human_size(current));
    }
    let part = u128::from(current) * WIDTH as u128 / u128::from(total);
    let done = usize::try_from(part).unwrap_or(WIDTH);
    format!(
        "[{}>{}] {:>8}/{}",
        "=".repeat(done),
        " ".repeat(WIDTH - done),
        human_size(current),
        human_size(total)
    )
}

/// Bytes in units of a thousand, with four digits: `1.234MB`.
fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1000 {
        rest = whole % 1000;
        whole /= 1000;
        unit += 1;
    }
    let digits = match whole {
        0..=9 => 3,
        10..=99 => 2,
        _ => 1,
    };
    let fraction = &format!("{rest:03}")[..digits];
    let number = format!("{whole}.{fraction}");
    let number = number.trim_end_matches('0').trim_end_matches('.');
    format!("{number}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use actions::ErrorKind;

    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        assert_eq!(
            bar(500, 1000),
            "[=========================>                         ]     500B/1kB"
        );
        assert_eq!(bar(0, 1), format!("[>{}]       0B/1B", " ".repeat(50)));
        assert_eq!(bar(2, 1), "      2B");
        for (bytes, size) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1_234_567, "1.234MB"),
            (120_500_000, "120.5MB"),
            (u64::MAX, "18.44EB"),
        ] {
            assert_eq!(human_size(bytes), size);
        }
    }

    #[tokio::test]
    async fn an_error_that_comes_first_has_its_status() {
        let error = || ActionError::new(ErrorKind::NotFound, "not there");
        let refused = told(|_| async move { Err(error()) }).await.unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.message.as_str()),
            (404, "not there")
        );
        let begun = told(|lines| async move {
            lines.status("begun");
            Err(error())
        });
        let body = begun.await.unwrap().into_body();
        let text = edge::body::read(body, 1000).await.unwrap();
        assert_eq!(
            text,
            "{\"status\":\"begun\"}\r\n{\"error\":\"not there\",\"errorDetail\":{\"message\":\"not there\"}}\r\n"
        );
    }
}
