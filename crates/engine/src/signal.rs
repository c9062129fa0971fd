//! Signals by name and number, as users write them: `SIGTERM`, `term`, `15`, `RTMIN+3`.
//!
//! Source: signal(7), "Standard signals" and "Real-time signals".

use rustix::process::Signal;

/// The first real-time signal that the C library leaves to programs.
const REAL_TIME_MIN: i32 = 34;
/// The last real-time signal.
const REAL_TIME_MAX: i32 = 64;

const NAMES: [(&str, Signal); 36] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("BUS", Signal::BUS),
    ("CHLD", Signal::CHILD),
    ("CLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("IO", Signal::IO),
    ("IOT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("POLL", Signal::IO),
    ("PROF", Signal::PROF),
    ("PWR", Signal::POWER),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STKFLT", Signal::STKFLT),
    ("STOP", Signal::STOP),
    ("SYS", Signal::SYS),
    ("TERM", Signal::TERM),
    ("TRAP", Signal::TRAP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("VTALRM", Signal::VTALARM),
    ("WINCH", Signal::WINCH),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("LOST", Signal::IO),
    ("UNUSED", Signal::SYS),
];

/// A text that names no signal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {text}")]
pub(crate) struct ParseSignalError {
    text: String,
}

/// The number of the signal that `text` names.
///
/// # Errors
/// When there is no such signal; number 0 is none.
pub(crate) fn parse(text: &str) -> Result<i32, ParseSignalError> {
    let unknown = || ParseSignalError {
        text: text.to_owned(),
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i32 = text.parse().map_err(|_too_long| unknown())?;
        return if (1..=REAL_TIME_MAX).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, signal)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(signal.as_raw());
    }
    real_time(name).ok_or_else(unknown)
}

fn real_time(name: &str) -> Option<i32> {
    let offset = |text: &str, sign: char| -> Option<i32> {
        if text.is_empty() {
            return Some(0);
        }
        let digits = text.strip_prefix(sign)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        REAL_TIME_MIN.checked_add(offset(rest, '+')?)?
    } else {
        REAL_TIME_MAX.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (REAL_TIME_MIN..=REAL_TIME_MAX)
        .contains(&number)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_real_time_signals_are_understood() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("15", 15),
            ("SIGKILL", 9),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("SIGSTKFLT", 16),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "0",
            "65",
            "SIGNOSUCH",
            "RTMIN-1",
            "RTMIN+31",
            "-9",
            "99999999999",
            "RTMIN++1",
        ] {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("invalid signal: {text}")
            );
        }
    }
}
