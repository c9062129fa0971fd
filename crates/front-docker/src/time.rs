//! Times as Go and Docker's clients write them. Pure.

use jiff::Timestamp;

use crate::error::ApiError;

/// What Go writes for no time at all.
pub(crate) const ZERO: &str = "0001-01-01T00:00:00Z";

/// A time with nanoseconds, or Go's zero.
pub(crate) fn rfc3339(at: Option<Timestamp>) -> String {
    at.map_or_else(|| ZERO.to_owned(), |at| at.to_string())
}

/// A time with all nine digits, so that columns of a log line up.
pub(crate) fn rfc3339_nine_digits(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// A time as clients send it: seconds since 1970, with nanoseconds behind a dot, or RFC 3339.
pub(crate) fn parse(text: &str) -> Result<Timestamp, ApiError> {
    let wrong = || {
        ApiError::invalid(format!(
            "parsing time {text:?}: it is neither seconds nor RFC 3339"
        ))
    };
    if text.contains('T') {
        return text.parse().map_err(|_| wrong());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds = digits.parse().map_err(|_| wrong())?;
    Timestamp::new(seconds, nanoseconds).map_err(|_| wrong())
}

/// How long, roughly, in words: `About a minute`.
///
/// Source: go-units, `HumanDuration`, whose words clients show.
pub(crate) fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, the rest is cut off.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_roughly() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (3 * 86_400, "3 days"),
            (21 * 86_400, "3 weeks"),
            (800 * 86_400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let at = parse("1700000000.5").unwrap();
        assert_eq!(at.to_string(), "2023-11-14T22:13:20.5Z");
        assert_eq!(parse("2023-11-14T22:13:20.5Z").unwrap(), at);
        assert_eq!(rfc3339_nine_digits(at), "2023-11-14T22:13:20.500000000Z");
        assert_eq!(rfc3339(None), ZERO);
        for text in ["", "x", "1.x", "10m"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
