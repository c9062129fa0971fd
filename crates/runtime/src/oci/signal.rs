//! `kill`: a signal for a container's first process, or for all.

use std::os::fd::AsFd as _;
use std::path::Path;

use clap::Args;
use rustix::io::Errno;

use super::OciError;
use super::record::{Record, Status};
use crate::sys::signals::send;

/// Arguments of `kill`.
#[derive(Args, Clone, Debug)]
pub(super) struct Kill {
    /// Send it to all processes of the container.
    #[arg(long, short)]
    all: bool,
    /// Name of the container.
    id: String,
    /// The signal, by name or number.
    #[arg(default_value = "TERM")]
    signal: String,
}

impl Kill {
    /// Sends it.
    pub(super) fn carry_out(&self, root: &Path) -> Result<(), OciError> {
        let signal = number(&self.signal).ok_or_else(|| OciError::Signal(self.signal.clone()))?;
        let record = Record::load(root, &self.id)?;
        if self.all {
            return Ok(record.cgroup()?.kill(signal)?);
        }
        let state = record.status(root)?;
        let gone = || OciError::NotRunning {
            operation: "kill",
            state,
        };
        if state == Status::Stopped {
            return Err(gone());
        }
        let process = record.pidfd().ok_or_else(gone)?;
        match send(process.as_fd(), signal) {
            Err(Errno::SRCH) => Err(gone()),
            answer => answer.map_err(OciError::host("send the signal")),
        }
    }
}

/// Names of signal(7) that are the same on every architecture we run on.
const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The number of a signal: `9`, `KILL`, `SIGKILL`, `RTMIN+3`.
fn number(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse() {
        return (1..=libc::SIGRTMAX()).contains(&number).then_some(number);
    }
    let word = word.to_ascii_uppercase();
    let name = word.strip_prefix("SIG").unwrap_or(&word);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset: i32 = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+')?.parse().ok()?
        };
        return Some(libc::SIGRTMIN() + offset).filter(|number| *number <= libc::SIGRTMAX());
    }
    NAMES
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(["9", "KILL", "sigkill"].map(number), [Some(9); 3]);
        assert_eq!(number("RTMIN+2"), Some(libc::SIGRTMIN() + 2));
        assert_eq!(["0", "65", "NOSUCH", ""].map(number), [None; 4]);
    }
}
