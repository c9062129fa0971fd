//! Many idle containers: what each costs beside its own process, and how fast they are listed.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::daemon::{Daemon, Kind};

use super::pair::{Pair, api, as_milliseconds};
use super::table::{Row, median};

/// The peer is asked for a tenth: it starts eight a second, and each costs it the same.
const PEER_SHARE: usize = 10;
const LISTINGS: usize = 11;

pub(super) fn measure(pair: &Pair, containers: usize) -> Result<Vec<Row>> {
    let mut per_container = Vec::new();
    let mut processes = Vec::new();
    let mut listing = Vec::new();
    for daemon in pair.both() {
        let count = if daemon.kind() == Kind::Longshore {
            containers
        } else {
            containers / PEER_SHARE
        };
        let before = resident_kilobytes(daemon)?;
        let processes_before = supervisors(daemon)?.len() as f64;
        start_idle(daemon, count)?;
        std::thread::sleep(std::time::Duration::from_secs(3));
        per_container.push((resident_kilobytes(daemon)? - before) / count as f64);
        processes.push(supervisors(daemon)?.len() as f64 - processes_before);
        listing.push(time_listing(daemon, count)?);
        remove_all(daemon)?;
    }
    let what = |text: &str| {
        format!(
            "{text} ({containers} idle containers; dockerd {})",
            containers / PEER_SHARE
        )
    };
    Ok(vec![
        Row {
            what: what("supervisor memory per container"),
            unit: "KiB",
            longshore: per_container[0],
            peer: Some(per_container[1]),
            more_is_better: false,
            reach: "<= 150 KiB",
        },
        Row {
            what: what("processes besides the containers' own"),
            unit: "",
            longshore: processes[0],
            peer: Some(processes[1]),
            more_is_better: false,
            reach: "0",
        },
        Row {
            what: what("list all at the API"),
            unit: "ms",
            longshore: listing[0],
            peer: Some(listing[1]),
            more_is_better: false,
            reach: "<= 50 ms",
        },
    ])
}

fn start_idle(daemon: &Daemon, count: usize) -> Result<()> {
    let mut api = api(daemon);
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "100000"]});
    for _ in 0..count {
        let made = api.expect("POST", "/v1.41/containers/create", Some(&body))?;
        let id = made.json()?["Id"].as_str().context("no Id")?.to_owned();
        api.expect("POST", &format!("/v1.41/containers/{id}/start"), None)?;
    }
    Ok(())
}

fn time_listing(daemon: &Daemon, count: usize) -> Result<f64> {
    let mut api = api(daemon);
    let mut values = Vec::new();
    for _ in 0..LISTINGS {
        let start = Instant::now();
        let listed = api.expect("GET", "/v1.41/containers/json?all=1", None)?;
        values.push(as_milliseconds(start.elapsed()));
        let found = listed.json()?.as_array().map_or(0, Vec::len);
        ensure!(
            found >= count,
            "{found} containers are listed instead of {count}"
        );
    }
    Ok(median(values))
}

pub(super) fn remove_all(daemon: &Daemon) -> Result<()> {
    let mut api = api(daemon);
    let listed = api
        .expect("GET", "/v1.41/containers/json?all=1", None)?
        .json()?;
    for container in listed.as_array().into_iter().flatten() {
        let id = container["Id"].as_str().context("no Id")?;
        api.expect("DELETE", &format!("/v1.41/containers/{id}?force=1"), None)?;
    }
    Ok(())
}

/// Processes that serve a daemon's containers without being in one: daemon, keeper, shims.
fn supervisors(daemon: &Daemon) -> Result<Vec<u32>> {
    let dir = daemon
        .scratch()
        .to_str()
        .context("a path that is text")?
        .to_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        // The peer has children that are called by ports only.
        let is_child = daemon
            .pid()
            .is_some_and(|daemon| parent(pid) == Some(daemon));
        if is_child || String::from_utf8_lossy(&line).contains(&dir) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: the state, and the parent.
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(1)?.parse().ok()
}

/// Memory of the supervisors, each page shared out among those that share it, in KiB.
pub(super) fn resident_kilobytes(daemon: &Daemon) -> Result<f64> {
    let mut total = 0.0;
    for pid in supervisors(daemon)? {
        let rollup =
            std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup
            .lines()
            .find(|line| line.starts_with("Pss:"))
            .unwrap_or_default();
        total += line
            .split_whitespace()
            .nth(1)
            .and_then(|value| value.parse::<f64>().ok())
            .unwrap_or(0.0);
    }
    Ok(total)
}
