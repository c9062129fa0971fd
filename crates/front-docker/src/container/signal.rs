//! Signals by name or number. Pure.

/// Signals of Linux by name without `SIG`, beside the real-time ones.
const NAMES: [&str; 33] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
];

/// Whether the kernel knows a signal of this name (`TERM`, `SIGTERM`, `rtmin+3`) or number.
pub(crate) fn is_known(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if NAMES.contains(&name) || matches!(name, "XFSZ" | "RTMIN" | "RTMAX") {
        return true;
    }
    let offset = |prefix| {
        name.strip_prefix(prefix)
            .and_then(|offset: &str| offset.parse::<u8>().ok())
    };
    offset("RTMIN+").is_some_and(|offset| (1..=15).contains(&offset))
        || offset("RTMAX-").is_some_and(|offset| (1..=14).contains(&offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_known() {
        for text in [
            "TERM",
            "SIGTERM",
            "sigusr1",
            "9",
            "64",
            "RTMIN+15",
            "SIGRTMAX-1",
            "XFSZ",
        ] {
            assert!(is_known(text), "{text}");
        }
        for text in ["", "0", "65", "-1", "FOO", "RTMIN+16", "SIG"] {
            assert!(!is_known(text), "{text}");
        }
    }
}
