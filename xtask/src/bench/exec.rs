//! `docker exec CONTAINER true`, by the client and at the API.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::pair::{Pair, api, milliseconds};
use super::table::Row;

const RUNS: usize = 20;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    for daemon in pair.both() {
        daemon
            .docker()
            .run(&[
                "run",
                "-d",
                "--name",
                "exec-bench",
                "busybox",
                "sleep",
                "100000",
            ])
            .ok();
    }
    let [client, peer_client] = pair.medians(RUNS, |daemon| {
        let docker = daemon.docker();
        milliseconds(|| {
            let answer = docker.run(&["exec", "exec-bench", "true"]);
            ensure!(answer.code == 0, "docker exec failed: {}", answer.stderr);
            Ok(())
        })
    })?;
    let [direct, peer_direct] = pair.medians(RUNS, |daemon| {
        let mut api = api(daemon);
        milliseconds(|| {
            let made = api.expect(
                "POST",
                "/v1.41/containers/exec-bench/exec",
                Some(&json!({"Cmd": ["true"], "AttachStdout": true, "AttachStderr": true})),
            )?;
            let id = made.json()?["Id"].as_str().context("no Id")?.to_owned();
            // Answers at the end of the output, when the process has ended.
            api.expect("POST", &format!("/v1.41/exec/{id}/start"), Some(&json!({})))?;
            Ok(())
        })
    })?;
    for daemon in pair.both() {
        daemon.docker().run(&["rm", "-f", "exec-bench"]).ok();
    }
    Ok(vec![
        Row {
            what: "docker exec CONTAINER true, by the client".to_owned(),
            unit: "ms",
            longshore: client,
            peer: Some(peer_client),
            more_is_better: false,
            reach: ">= 2.5x",
        },
        Row {
            what: "exec true at the API".to_owned(),
            unit: "ms",
            longshore: direct,
            peer: Some(peer_direct),
            more_is_better: false,
            reach: ">= 8x",
        },
    ])
}
