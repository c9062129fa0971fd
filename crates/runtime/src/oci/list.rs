//! `state`, `list` and `ps`: what containers there are, and their processes.

#![expect(clippy::print_stdout, reason = "this is a command line")]

use std::path::Path;

use clap::{Args, ValueEnum};

use super::OciError;
use super::record::{Record, RecordError};

/// Arguments of `list`.
#[derive(Args, Clone, Debug)]
pub(super) struct List {
    /// How they are printed.
    #[arg(long, short, default_value = "table")]
    format: Format,
    /// Print names only.
    #[arg(long, short)]
    quiet: bool,
}

/// Arguments of `ps`.
#[derive(Args, Clone, Debug)]
pub(super) struct Ps {
    /// How they are printed.
    #[arg(long, short, default_value = "table")]
    format: Format,
    /// Name of the container.
    id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Prints the state of a container (`runtime.md`, "Query State").
pub(super) fn state(root: &Path, id: &str) -> Result<(), OciError> {
    let record = Record::load(root, id)?;
    println!("{:#}", record.state(record.status(root)?));
    Ok(())
}

impl List {
    /// Prints them.
    pub(super) fn carry_out(&self, root: &Path) -> Result<(), OciError> {
        let mut states = Vec::new();
        for record in records(root)? {
            states.push(record.state(record.status(root)?));
        }
        if self.format == Format::Json {
            println!("{}", serde_json::Value::Array(states));
            return Ok(());
        }
        if !self.quiet {
            println!("ID\tPID\tSTATUS\tBUNDLE\tCREATED");
        }
        let text = |state: &serde_json::Value, field: &str| {
            state
                .get(field)
                .map(|value| value.to_string().trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        for state in &states {
            let fields = if self.quiet {
                &["id"][..]
            } else {
                &["id", "pid", "status", "bundle", "created"]
            };
            let row: Vec<String> = fields.iter().map(|field| text(state, field)).collect();
            println!("{}", row.join("\t"));
        }
        Ok(())
    }
}

impl Ps {
    /// Prints the ids of the processes.
    pub(super) fn carry_out(&self, root: &Path) -> Result<(), OciError> {
        let record = Record::load(root, &self.id)?;
        let processes = record.cgroup()?.processes()?;
        if self.format == Format::Json {
            println!("{}", serde_json::json!(processes));
        } else {
            println!("PID");
            for process in processes {
                println!("{process}");
            }
        }
        Ok(())
    }
}

fn records(root: &Path) -> Result<Vec<Record>, OciError> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        answer => answer.map_err(|source| OciError::Host {
            attempt: "read --root",
            source,
        })?,
    };
    let mut records = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| OciError::Host {
            attempt: "read --root",
            source,
        })?;
        match Record::load(root, &entry.file_name().to_string_lossy()) {
            Ok(record) => records.push(record),
            // Removed, or not yet written, in this moment.
            Err(RecordError::Missing(_) | RecordError::Name(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(records)
}
