//! `POST /containers/prune`: removes what does not run.

use actions::instance::{self, RemoveOptions};
use actions::{ErrorKind, stream};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::lookup::about;
use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::At;
use crate::id::docker_id;
use crate::time;

const FILTERS: [&str; 3] = ["label", "label!", "until"];

pub(crate) async fn prune(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let until = until(&filters)?;
    let (mut deleted, mut space) = (Vec::new(), 0);
    for view in instance::list(&at.cloud, &at.caller) {
        let meta = &view.instance.meta;
        if view.is_up()
            || view.is_restarting()
            || !is_wanted(&filters, until, meta.created_at, &meta.labels)
        {
            continue;
        }
        let size = stream::writable_size(&at.cloud, &at.caller, meta.id)
            .await
            .unwrap_or(0);
        let options = RemoveOptions {
            force: false,
            volumes: false,
        };
        match instance::remove(&at.cloud, &at.caller, meta.id, options).await {
            Ok(()) => {
                space += size;
                deleted.push(docker_id(meta.id));
            }
            // Somebody else started or removed it meanwhile.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {}
            Err(error) => return Err(about(meta.id, error)),
        }
    }
    Ok(
        axum::Json(json!({ "ContainersDeleted": deleted, "SpaceReclaimed": space }))
            .into_response(),
    )
}

/// Whether `label`, `label!` and `until` let an object go.
pub(crate) fn is_wanted(
    filters: &Filters,
    until: Option<Timestamp>,
    created_at: Timestamp,
    labels: &std::collections::BTreeMap<String, String>,
) -> bool {
    let spared = filters.has("label!") && filters.matches_labels("label!", labels);
    filters.matches_labels("label", labels)
        && !spared
        && until.is_none_or(|until| created_at <= until)
}

/// The time that `until` names: a point in time, or how long ago (`10m`, `1h30m`).
pub(crate) fn until(filters: &Filters) -> Result<Option<Timestamp>, ApiError> {
    let mut values = filters.values("until");
    let Some(text) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::invalid("more than one until filter specified"));
    }
    moment(text)
}

/// The earliest time that `until` names, which may be given several times.
pub(crate) fn earliest_until(filters: &Filters) -> Result<Option<Timestamp>, ApiError> {
    let moments: Result<Vec<_>, _> = filters.values("until").map(moment).collect();
    Ok(moments?.into_iter().flatten().min())
}

/// A point in time, or how long ago; `None` is before all time.
fn moment(text: &str) -> Result<Option<Timestamp>, ApiError> {
    if let Ok(at) = time::parse(text) {
        return Ok(Some(at));
    }
    let ago = duration(text)
        .ok_or_else(|| ApiError::invalid(format!("invalid filter 'until=[{text}]'")))?;
    Ok(Timestamp::now().checked_sub(ago).ok())
}

/// A duration as Go writes it: `1h30m`.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut total = SignedDuration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len()
            - rest
                .trim_start_matches(|letter: char| letter.is_ascii_digit())
                .len();
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.len()
            - rest
                .trim_start_matches(|letter: char| letter.is_ascii_alphabetic())
                .len();
        let seconds = match &rest[..unit] {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        total += SignedDuration::from_secs(number.checked_mul(seconds)?);
        rest = &rest[unit..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1h30m"), Some(SignedDuration::from_secs(5400)));
        for text in ["x", "10", "1d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
