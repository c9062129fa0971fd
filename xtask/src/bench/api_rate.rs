//! Start, exit and remove over the API, eight at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::api::Api;
use tests::daemon::{Daemon, Kind};

use super::pair::{Pair, api};
use super::table::{Row, median};

const AT_ONCE: usize = 8;
const RUNS: usize = 3;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let [longshore, dockerd] = pair.medians(RUNS, |daemon| {
        rate(
            daemon,
            if daemon.kind() == Kind::Longshore {
                400
            } else {
                40
            },
        )
    })?;
    let mut single = Vec::new();
    for daemon in pair.both() {
        let mut api = api(daemon);
        let mut values = Vec::new();
        for _ in 0..20 {
            let start = Instant::now();
            whole_life(&mut api)?;
            values.push(super::pair::as_milliseconds(start.elapsed()));
        }
        single.push(median(values));
    }
    let [one, peer_one] = [single[0], single[1]];
    Ok(vec![
        Row {
            what: "create, start, exit, remove over the API, 8 at once".to_owned(),
            unit: "per second",
            longshore,
            peer: Some(dockerd),
            more_is_better: true,
            reach: ">= 150 a second",
        },
        Row {
            what: "create, start, exit, remove over the API, one by one".to_owned(),
            unit: "ms",
            longshore: one,
            peer: Some(peer_one),
            more_is_better: false,
            reach: "",
        },
    ])
}

fn rate(daemon: &Daemon, total: usize) -> Result<f64> {
    let left = AtomicUsize::new(total);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut api = api(daemon);
                    while left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                            left.checked_sub(1)
                        })
                        .is_ok()
                    {
                        whole_life(&mut api)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))?
        })
    })?;
    Ok(total as f64 / start.elapsed().as_secs_f64())
}

/// Creates a container, starts it, waits for its end and removes it.
pub(super) fn whole_life(api: &mut Api) -> Result<()> {
    let made = api.expect(
        "POST",
        "/v1.41/containers/create",
        Some(&json!({"Image": "busybox", "Cmd": ["true"]})),
    )?;
    let id = made.json()?["Id"].as_str().context("no Id")?.to_owned();
    api.expect("POST", &format!("/v1.41/containers/{id}/start"), None)?;
    let waited = api
        .expect("POST", &format!("/v1.41/containers/{id}/wait"), None)?
        .json()?;
    ensure!(waited["StatusCode"] == 0, "it ended with {waited}");
    api.expect("DELETE", &format!("/v1.41/containers/{id}"), None)?;
    Ok(())
}
