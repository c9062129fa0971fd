//! Points in time as OpenStack writes them: `2026-11-21T05:20:00.000000Z`.

use jiff::Timestamp;

/// With microseconds, in UTC, as Keystone and Glance write it.
pub(crate) fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// With microseconds, in UTC, without saying so, as Cinder writes it.
pub(crate) fn zoneless(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}

/// With seconds, in UTC, as Neutron writes it.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_always_six_digits() {
        let at = Timestamp::from_microsecond(1_700_000_000_000_100).unwrap();
        assert_eq!(micros(at), "2023-11-14T22:13:20.000100Z");
    }
}
