//! Errors on standard error, and in the log that the caller reads them from.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;

/// How the log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Writes errors.
pub(super) struct Reporter {
    log: Option<PathBuf>,
    format: Format,
}

impl Reporter {
    pub(super) const fn new(log: Option<PathBuf>, format: Format) -> Self {
        Self { log, format }
    }

    /// Writes the error with its causes.
    #[expect(clippy::print_stderr, reason = "this is a command line")]
    pub(super) fn error(&self, error: &dyn Error) {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        eprintln!("{message}");
        let Some(path) = &self.log else { return };
        let now = jiff::Timestamp::now();
        let line = match self.format {
            Format::Json => {
                serde_json::json!({"level": "error", "msg": message, "time": now.to_string()})
                    .to_string()
            }
            Format::Text => format!("time=\"{now}\" level=error msg={message:?}"),
        };
        // The caller has it on standard error, too.
        let _written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut log| writeln!(log, "{line}"));
    }
}
