//! `docker run --rm busybox true`, with the real client on the default network.

use anyhow::{Result, ensure};

use super::pair::{Pair, milliseconds};
use super::table::Row;

const RUNS: usize = 15;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let [longshore, dockerd] = pair.medians(RUNS, |daemon| {
        let docker = daemon.docker();
        milliseconds(|| {
            let answer = docker.run(&["run", "--rm", "busybox", "true"]);
            ensure!(answer.code == 0, "docker run failed: {}", answer.stderr);
            Ok(())
        })
    })?;
    let [client, _] = pair.medians(RUNS, |daemon| {
        let docker = daemon.docker();
        milliseconds(|| {
            let answer = docker.run(&["container", "ls", "--quiet"]);
            ensure!(answer.code == 0, "docker ps failed: {}", answer.stderr);
            Ok(())
        })
    })?;
    Ok(vec![
        Row {
            what: "docker run --rm busybox true, by the client".to_owned(),
            unit: "ms",
            longshore,
            peer: Some(dockerd),
            more_is_better: false,
            reach: ">= 8x",
        },
        Row {
            what: "of this the client alone (docker ps)".to_owned(),
            unit: "ms",
            longshore: client,
            peer: None,
            more_is_better: false,
            reach: "",
        },
    ])
}
