//! How long to wait before something is tried again. Pure.

use std::time::Duration;

/// The longest wait that is chosen here.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait that a registry may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// The wait after failure number `failures` (the first is 1): twice as long each time, and by chance
/// up to half as long, so that many that failed together do not come back together. What the
/// registry asks for counts more.
///
/// `chance` is from 0 up to 1.
pub(crate) fn wait(
    first: Duration,
    failures: u32,
    asked: Option<Duration>,
    chance: f64,
) -> Duration {
    if let Some(asked) = asked {
        return asked.min(LONGEST_ASKED);
    }
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(1.0 - chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_differ_and_end() {
        let first = Duration::from_millis(500);
        let waits: Vec<u128> = (1..9)
            .map(|failures| wait(first, failures, None, 0.0).as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(wait(first, 1, None, 1.0).as_millis(), 250);
        assert_eq!(wait(first, u32::MAX, None, 0.0), LONGEST);
    }

    #[test]
    fn a_registry_may_ask_for_a_wait_but_not_for_an_hour() {
        let asked = |seconds| wait(Duration::ZERO, 1, Some(Duration::from_secs(seconds)), 0.5);
        assert_eq!(asked(7).as_secs(), 7);
        assert_eq!(asked(3600), LONGEST_ASKED);
    }
}
