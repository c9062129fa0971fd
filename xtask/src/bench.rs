//! `cargo xtask bench`: measures side by side with dockerd and Keystone, in one run on one machine.
//!
//! Each subject is a file that answers rows. Runs of the two daemons alternate and the median
//! counts, since machines are shared and noisy. The table goes to standard output, and to a file
//! as JSON where one is named.

mod api_rate;
mod cold_start;
mod density;
mod exec;
mod idle_registry;
mod image_load;
mod image_pull;
mod keystone;
mod log;
mod networks;
mod pair;
mod phases;
mod rebuild;
mod registry;
mod run_client;
mod server;
mod table;
mod token;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::{install, step};
use pair::Pair;
use table::{Row, Table};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Measure only subjects whose name contains one of these.
    subjects: Vec<String>,
    /// Write the rows to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Idle containers to hold for the density rows.
    #[arg(long, default_value_t = 1000)]
    containers: usize,
    /// Measure this program instead of building it.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When a daemon does not do what it is asked.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::clients()?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => step::build_binary(true)?,
    };
    let mut rows = Vec::new();
    let subjects = &options.subjects;
    let is_wanted = |name: &str| {
        subjects.is_empty()
            || subjects
                .iter()
                .any(|subject| name.contains(subject.as_str()))
    };
    let load = table::load();
    if is_wanted("cold_start") {
        rows.extend(cold_start::measure(&binary)?);
    }
    let pair = Pair::start(&binary)?;
    type Subject = (&'static str, fn(&Pair) -> Result<Vec<Row>>);
    let measures: [Subject; 9] = [
        ("run_client", run_client::measure),
        ("api_rate", api_rate::measure),
        ("exec", exec::measure),
        ("log", log::measure),
        ("image_load", image_load::measure),
        ("rebuild", rebuild::measure),
        ("image_pull", image_pull::measure),
        ("phases", phases::measure),
        ("networks", networks::measure),
    ];
    for (name, measure) in measures {
        if is_wanted(name) {
            step::show(name);
            rows.extend(measure(&pair)?);
        }
    }
    if is_wanted("density") {
        step::show("density");
        rows.extend(density::measure(&pair, options.containers)?);
    }
    drop(pair);
    if is_wanted("token") {
        step::show("token");
        rows.extend(token::measure(&binary)?);
    }
    if is_wanted("server") {
        step::show("server");
        rows.extend(server::measure(&binary)?);
    }
    if is_wanted("registry") {
        step::show("registry");
        rows.extend(registry::measure(&binary)?);
    }
    let table = Table {
        command: format!("cargo xtask bench {}", subjects.join(" "))
            .trim_end()
            .to_owned(),
        processors: std::thread::available_parallelism()?.get(),
        load: [load, table::load()],
        rows,
    };
    table.print();
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&table)?)?;
    }
    if is_wanted("start") {
        // The engine against the bare kernel, without daemon and client: the runtime's own bench.
        step::run(&mut step::cargo(&[
            "bench",
            "--package",
            "runtime",
            "--bench",
            "start",
        ]))?;
    }
    Ok(())
}
