//! From what projects used to what clients read of it.

use actions::usage::{Period, ServerUse};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::ProjectId;
use serde_json::{Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::{id, time};

/// The period that a client asks for, as far as it is over by now.
pub(super) fn period(at: &At) -> Result<Period, ApiError> {
    let now = Timestamp::now();
    let moment = |name: &str| match at.query.get(name).filter(|text| !text.is_empty()) {
        None => Ok(now),
        Some(text) => moment(text),
    };
    let asked = Period {
        start: moment("start")?,
        end: moment("end")?,
    };
    if asked.start >= asked.end {
        return Err(ApiError::invalid(
            "Invalid start time. The start time cannot occur after the end time.",
        ));
    }
    Ok(Period {
        end: asked.end.min(now),
        ..asked
    })
}

/// A moment without a zone, which is in UTC.
fn moment(text: &str) -> Result<Timestamp, ApiError> {
    let wrong = || {
        ApiError::invalid(format!(
            "Invalid datetime string: Datetime is in invalid format: {text}"
        ))
    };
    let has_time = text.contains(['T', ' ']);
    let civil: DateTime = text.parse().map_err(|_| wrong())?;
    let zoned = TimeZone::UTC.to_timestamp(civil);
    zoned.ok().filter(|_| has_time).ok_or_else(wrong)
}

fn naive(at: Timestamp) -> String {
    time::micros(at).trim_end_matches('Z').to_owned()
}

/// What a project used by these servers.
pub(super) fn shown<'a>(
    project: ProjectId,
    servers: impl Iterator<Item = &'a ServerUse> + Clone,
    period: Period,
    is_detailed: bool,
) -> Value {
    let total = |size: fn(&ServerUse) -> u32| -> f64 {
        let used = servers.clone();
        used.map(|server| f64::from(size(server)) * server.hours(period))
            .sum()
    };
    let mut shown = json!({
        "tenant_id": id::show(project.0),
        "start": naive(period.start),
        "stop": naive(period.end),
        "total_hours": total(|_| 1),
        "total_vcpus_usage": total(|server| server.flavor.vcpus),
        "total_memory_mb_usage": total(|server| server.flavor.ram_mib),
        "total_local_gb_usage": total(disk_gib),
    });
    if is_detailed {
        let servers = servers.map(|server| of_server(project, server, period));
        shown["server_usages"] = servers.collect();
    }
    shown
}

fn disk_gib(server: &ServerUse) -> u32 {
    let flavor = &server.flavor;
    flavor.disk_gib.saturating_add(flavor.ephemeral_gib)
}

fn of_server(project: ProjectId, server: &ServerUse, period: Period) -> Value {
    let flavor = &server.flavor;
    let until = server.ended_at.unwrap_or_else(Timestamp::now);
    json!({
        "instance_id": server.id.to_string(),
        "name": server.name,
        "tenant_id": id::show(project.0),
        "flavor": flavor.name,
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.ram_mib,
        "local_gb": disk_gib(server),
        "hours": server.hours(period),
        "started_at": naive(server.launched_at),
        "ended_at": server.ended_at.map(naive),
        "state": server.state.map_or("terminated", actions::server::State::as_str),
        "uptime": until.duration_since(server.launched_at).as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc() {
        for text in ["2026-11-21T12:00:00", "2026-11-21 12:00:00.000000"] {
            assert_eq!(naive(moment(text).unwrap()), "2026-11-21T12:00:00.000000");
        }
        for text in ["2026-11-21", "yesterday", "2026-13-01T00:00:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
