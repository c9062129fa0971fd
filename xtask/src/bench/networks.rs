//! Many of everything that a network has: published ports, networks, containers on one of them.
//!
//! The peer is asked for a tenth, and what is shown is for each: a port costs it two processes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tests::api::Api;
use tests::daemon::{Daemon, Kind};

use super::density::{remove_all, resident_kilobytes};
use super::pair::{Pair, api, as_milliseconds};
use super::table::{Row, median};

const PORTS: u16 = 1000;
const FIRST_PORT: u16 = 30_000;
const NETWORKS: usize = 200;
/// More than one bridge of the kernel takes.
const MEMBERS: usize = 1100;
const PEER_SHARE: usize = 10;
/// Starts that are measured on a network with so many members.
const STARTS: usize = 21;
/// Until what only the work itself needed is given back.
const SETTLING: Duration = Duration::from_secs(3);

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (measure, whats) in [
        (
            ports as fn(&Daemon, usize) -> Result<[f64; 2]>,
            [
                format!(
                    "a published port, of a range of {PORTS} (dockerd {})",
                    usize::from(PORTS) / PEER_SHARE
                ),
                "memory for it".to_owned(),
            ],
        ),
        (
            networks,
            [
                format!(
                    "a network with a container, of {NETWORKS} (dockerd {})",
                    NETWORKS / PEER_SHARE
                ),
                "memory for both".to_owned(),
            ],
        ),
        (
            members,
            [
                format!(
                    "a start on a network that has {MEMBERS} containers (dockerd {})",
                    MEMBERS / PEER_SHARE
                ),
                "memory for each of these".to_owned(),
            ],
        ),
    ] {
        let mut measured = Vec::new();
        for daemon in pair.both() {
            let share = if daemon.kind() == Kind::Longshore {
                1
            } else {
                PEER_SHARE
            };
            measured.push(measure(daemon, share)?);
            remove_all(daemon)?;
        }
        let [took, memory] = whats;
        for (at, (what, unit)) in [(took, "ms"), (memory, "KiB")].into_iter().enumerate() {
            rows.push(Row {
                what,
                unit,
                longshore: measured[0][at],
                peer: Some(measured[1][at]),
                more_is_better: false,
                reach: "",
            });
        }
    }
    Ok(rows)
}

/// Milliseconds and KiB that `work` takes for each of `count`.
fn each(
    daemon: &Daemon,
    count: usize,
    work: impl FnOnce(&mut Api) -> Result<()>,
) -> Result<[f64; 2]> {
    let before = resident_kilobytes(daemon)?;
    let start = Instant::now();
    work(&mut api(daemon))?;
    let took = as_milliseconds(start.elapsed());
    std::thread::sleep(SETTLING);
    let memory = resident_kilobytes(daemon)? - before;
    Ok([took / count as f64, memory / count as f64])
}

fn ports(daemon: &Daemon, share: usize) -> Result<[f64; 2]> {
    let count = usize::from(PORTS) / share;
    let mut bindings = Map::new();
    for port in (FIRST_PORT..).take(count) {
        let bound = json!([{ "HostPort": port.to_string() }]);
        bindings.insert(format!("{port}/tcp"), bound);
    }
    let host = json!({ "PortBindings": bindings });
    each(daemon, count, |api| start(api, &host).map(drop))
}

fn networks(daemon: &Daemon, share: usize) -> Result<[f64; 2]> {
    let count = NETWORKS / share;
    let name = |number| format!("many-{number}");
    let measured = each(daemon, count, |api| {
        for number in 0..count {
            make(api, &name(number), &format!("10.83.{number}.0/24"))?;
            start(api, &json!({ "NetworkMode": name(number) }))?;
        }
        Ok(())
    })?;
    remove_all(daemon)?;
    for number in 0..count {
        remove(&mut api(daemon), &name(number))?;
    }
    Ok(measured)
}

fn members(daemon: &Daemon, share: usize) -> Result<[f64; 2]> {
    let count = MEMBERS / share;
    make(&mut api(daemon), "wide", "10.84.0.0/16")?;
    let host = json!({ "NetworkMode": "wide" });
    let [_, memory] = each(daemon, count, |api| {
        (0..count).try_for_each(|_| start(api, &host).map(drop))
    })?;
    let mut api = api(daemon);
    let mut values = Vec::new();
    for _ in 0..STARTS {
        let id = create(&mut api, &host)?;
        let begin = Instant::now();
        api.expect("POST", &format!("/v1.41/containers/{id}/start"), None)?;
        values.push(as_milliseconds(begin.elapsed()));
        api.expect("DELETE", &format!("/v1.41/containers/{id}?force=1"), None)?;
    }
    remove_all(daemon)?;
    remove(&mut api, "wide")?;
    Ok([median(values), memory])
}

fn make(api: &mut Api, name: &str, subnet: &str) -> Result<()> {
    let new = json!({ "Name": name, "IPAM": { "Config": [{ "Subnet": subnet }] } });
    api.expect("POST", "/v1.41/networks/create", Some(&new))?;
    Ok(())
}

fn remove(api: &mut Api, name: &str) -> Result<()> {
    api.expect("DELETE", &format!("/v1.41/networks/{name}"), None)?;
    Ok(())
}

fn create(api: &mut Api, host: &Value) -> Result<String> {
    let exposed = host["PortBindings"].as_object();
    let exposed = exposed.into_iter().flatten();
    let exposed: Map<_, _> = exposed.map(|(port, _)| (port.clone(), json!({}))).collect();
    let new = json!({
        "Image": "busybox", "Cmd": ["sleep", "100000"], "ExposedPorts": exposed, "HostConfig": host,
    });
    let made = api.expect("POST", "/v1.41/containers/create", Some(&new))?;
    Ok(made.json()?["Id"].as_str().context("no Id")?.to_owned())
}

fn start(api: &mut Api, host: &Value) -> Result<String> {
    let id = create(api, host)?;
    api.expect("POST", &format!("/v1.41/containers/{id}/start"), None)?;
    Ok(id)
}
