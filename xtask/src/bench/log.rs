//! One chatty container's output into its json-file log.

use anyhow::{Result, ensure};

use super::pair::{Pair, milliseconds};
use super::table::Row;

/// Payload that the container writes, in lines of 128 bytes.
const MEGABYTES: u32 = 512;
const RUNS: usize = 3;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let line = "x".repeat(127);
    let script = format!("yes {line} | head -c {MEGABYTES}000000");
    let [longshore, dockerd] = pair.medians(RUNS, |daemon| {
        let docker = daemon.docker();
        docker
            .run(&["create", "--name", "chatty", "busybox", "sh", "-c", &script])
            .ok();
        let took = milliseconds(|| {
            docker.run(&["start", "chatty"]).ok();
            let ended = docker.run(&["wait", "chatty"]).ok();
            ensure!(ended == "0", "it ended with {ended}");
            Ok(())
        })?;
        docker.run(&["rm", "chatty"]).ok();
        Ok(f64::from(MEGABYTES) / (took / 1000.0))
    })?;
    Ok(vec![Row {
        what: "one chatty container's log into json-file".to_owned(),
        unit: "MB/s",
        longshore,
        dockerd: Some(dockerd),
        more_is_better: true,
        reach: ">= 200 MB/s",
    }])
}
