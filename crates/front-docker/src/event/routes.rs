//! `GET /events`: what happened and what happens, until a time or until the client leaves.

use actions::{event, network};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use jiff::Timestamp;
use model::event::Event;
use tokio::sync::broadcast::error::RecvError;

use super::translate::{FILTERS, Message, from_model};
use crate::container::json_lines;
use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::At;
use crate::network::driver_word;
use crate::router::Route;
use crate::time;

/// Events that wait for a slow client.
const WAITING: usize = 64;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("/events", "SystemEvents", get(events))]
}

async fn events(at: At) -> Result<Response, ApiError> {
    let bound = |name: &str| match at.form.get(name) {
        "" | "0" => Ok(None),
        text => time::parse(text).map(Some),
    };
    let (since, until) = (bound("since")?, bound("until")?);
    if let (Some(since_at), Some(until_at)) = (since, until)
        && until_at < since_at
    {
        return Err(ApiError::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            at.form.get("since"),
            at.form.get("until")
        )));
    }
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let (past, mut live) = event::subscribe(&at.cloud, &at.caller)?;
    let (sender, body) = edge::body::channel(WAITING);
    tokio::spawn(async move {
        // Past events are told only to those who ask for them.
        let is_past = |event: &Event| {
            (since.is_some() || until.is_some())
                && since.is_none_or(|since| event.at >= since)
                && until.is_none_or(|until| event.at <= until)
        };
        for event in past.iter().filter(|event| is_past(event)) {
            if let Some(line) = line(&at, &filters, event)
                && sender.send(line).await.is_err()
            {
                return;
            }
        }
        let deadline = until.map(|until| until.duration_since(Timestamp::now()));
        let end = async {
            match deadline {
                Some(left) => tokio::time::sleep(left.try_into().unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        loop {
            let event = tokio::select! {
                () = &mut end => return,
                () = sender.closed() => return,
                event = live.recv() => event,
            };
            match event {
                Ok(event) => {
                    if let Some(line) = line(&at, &filters, &event)
                        && sender.send(line).await.is_err()
                    {
                        return;
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a client reads events too slowly");
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
    Ok(json_lines(body))
}

/// One event as a line, where the filters let it pass.
fn line(at: &At, filters: &Filters, event: &Event) -> Option<Bytes> {
    let message: Message = from_model(event, |id| {
        let network = network::get(&at.cloud, &at.caller, id).ok()?;
        Some((network.meta.name.clone(), driver_word(network.spec.driver)))
    });
    if !message.passes(filters) {
        return None;
    }
    let mut line = serde_json::to_vec(&message).ok()?;
    line.push(b'\n');
    Some(Bytes::from(line))
}
