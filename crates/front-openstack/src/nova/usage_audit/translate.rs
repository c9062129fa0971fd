//! What clients read of audits that no node has made.

use jiff::ToSpan;
use jiff::civil::DateTime;
use serde_json::{Value, json};

use crate::nova::error::ApiError;

/// The moment that a client names, in UTC.
pub(super) fn moment(text: &str) -> Result<DateTime, ApiError> {
    DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text)
        .map_err(|_| ApiError::invalid(format!("Invalid timestamp for date {text}")))
}

/// When the last month began and ended that was over by then.
fn month_before(moment: DateTime) -> (DateTime, DateTime) {
    let first = moment
        .date()
        .first_of_month()
        .to_datetime(jiff::civil::Time::midnight());
    let end = if first < moment {
        first
    } else {
        first.saturating_sub(1.month())
    };
    (end.saturating_sub(1.month()), end)
}

/// The audits of these nodes in the month before.
pub(super) fn shown(nodes: &[String], moment: DateTime) -> Value {
    let (begin, end) = month_before(moment);
    let written = |moment: DateTime| moment.strftime("%Y-%m-%d %H:%M:%S").to_string();
    json!({
        "period_beginning": written(begin),
        "period_ending": written(end),
        "num_hosts": nodes.len(),
        "num_hosts_done": 0,
        "num_hosts_running": 0,
        "num_hosts_not_run": nodes.len(),
        "hosts_not_run": nodes,
        "total_instances": 0,
        "total_errors": 0,
        "overall_status": format!("0 of {} hosts done. 0 errors.", nodes.len()),
        "log": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_is_over() {
        for (text, begin, end) in [
            (
                "2026-11-22 10:13:03",
                "2026-10-01 00:00:00",
                "2026-11-01 00:00:00",
            ),
            (
                "2026-01-01 00:00:00.5",
                "2025-12-01 00:00:00",
                "2026-01-01 00:00:00",
            ),
            (
                "2026-01-01 00:00:00",
                "2025-11-01 00:00:00",
                "2025-12-01 00:00:00",
            ),
        ] {
            let said = shown(&["one".to_owned()], moment(text).unwrap());
            assert_eq!(said["period_beginning"], begin, "{text}");
            assert_eq!(said["period_ending"], end, "{text}");
        }
        for text in ["invalid_time", "2026-11-22", "2026-13-01 00:00:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
