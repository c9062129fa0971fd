//! One chatty container's output into its json-file log.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};

use super::pair::{Pair, milliseconds};
use super::table::Row;

/// Bytes of a line, with its end.
const LINE_BYTES: usize = 128;
/// A file of so many bytes is written to standard output...
const FILE_BYTES: usize = 16_000_000;
/// ...so many times. A program that makes lines up would be slower than what is measured.
const COPIES: usize = 16;
const RUNS: usize = 3;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let mut file = tempfile::NamedTempFile::new()?;
    let line = "x".repeat(LINE_BYTES - 1) + "\n";
    file.write_all(line.repeat(FILE_BYTES / LINE_BYTES).as_bytes())?;
    let path = file.path().to_str().context("a path that is text")?;
    let mount = format!("{path}:/lines:ro");
    let write = format!("cat{}", " /lines".repeat(COPIES));
    let [longshore, dockerd] = pair.medians(RUNS, |daemon| {
        let docker = daemon.docker();
        docker
            .run(&[
                "create", "--name", "chatty", "-v", &mount, "busybox", "sh", "-c", &write,
            ])
            .ok();
        let took = milliseconds(|| {
            docker.run(&["start", "chatty"]).ok();
            let ended = docker.run(&["wait", "chatty"]).ok();
            ensure!(ended == "0", "it ended with {ended}");
            Ok(())
        })?;
        docker.run(&["rm", "chatty"]).ok();
        Ok((FILE_BYTES * COPIES) as f64 / 1e6 / (took / 1000.0))
    })?;
    Ok(vec![Row {
        what: "one chatty container's log into json-file".to_owned(),
        unit: "MB/s",
        longshore,
        peer: Some(dockerd),
        more_is_better: true,
        reach: ">= 200 MB/s",
    }])
}
