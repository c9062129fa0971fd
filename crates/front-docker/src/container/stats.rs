//! `GET /containers/{name}/stats` and `/top`: samples of what a container uses and runs.

use std::collections::BTreeMap;
use std::time::Duration;

use actions::{ActionError, ErrorKind, stream};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use model::Id;
use model::stream::{BlkioEntry, InterfaceStats, Stats};
use serde::Serialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::lookup::{about, find};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::id::docker_id;
use crate::time::rfc3339;

/// Between two samples; clients compute shares from it.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
struct Sample {
    name: String,
    id: String,
    read: String,
    preread: String,
    pids_stats: Pids,
    blkio_stats: Blkio,
    num_procs: u32,
    storage_stats: BTreeMap<(), ()>,
    cpu_stats: Cpu,
    precpu_stats: Cpu,
    memory_stats: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<BTreeMap<String, InterfaceStats>>,
}

#[derive(Debug, Default, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_none")]
    current: u64,
    #[serde(skip_serializing_if = "is_none")]
    limit: u64,
}

#[derive(Debug, Default, Serialize)]
struct Blkio {
    io_service_bytes_recursive: Option<Vec<BlkioSample>>,
    io_serviced_recursive: Option<Vec<BlkioSample>>,
    io_queue_recursive: Option<Vec<BlkioSample>>,
    io_service_time_recursive: Option<Vec<BlkioSample>>,
    io_wait_time_recursive: Option<Vec<BlkioSample>>,
    io_merged_recursive: Option<Vec<BlkioSample>>,
    io_time_recursive: Option<Vec<BlkioSample>>,
    sectors_recursive: Option<Vec<BlkioSample>>,
}

#[derive(Debug, Serialize)]
struct BlkioSample {
    major: u64,
    minor: u64,
    op: String,
    value: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Cpu {
    cpu_usage: CpuUsage,
    #[serde(skip_serializing_if = "is_none")]
    system_cpu_usage: u64,
    #[serde(skip_serializing_if = "is_none_cpus")]
    online_cpus: u32,
    throttling_data: Throttling,
}

#[derive(Clone, Debug, Default, Serialize)]
struct CpuUsage {
    total_usage: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_usage: Vec<u64>,
    usage_in_kernelmode: u64,
    usage_in_usermode: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Throttling {
    periods: u64,
    throttled_periods: u64,
    throttled_time: u64,
}

#[derive(Debug, Default, Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "is_none")]
    usage: u64,
    #[serde(skip_serializing_if = "is_none")]
    max_usage: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stats: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_none")]
    failcnt: u64,
    #[serde(skip_serializing_if = "is_none")]
    limit: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_none(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_none_cpus(value: &u32) -> bool {
    *value == 0
}

impl Sample {
    /// A sample, or, of a container that does not run, nothing but its name.
    fn new(id: Id, name: &str, stats: Option<Stats>, before: &mut Option<(String, Cpu)>) -> Self {
        let stats = stats.map(|stats| (rfc3339(Some(stats.at)), stats));
        let (read, stats) = stats.map_or_else(
            || (rfc3339(None), None),
            |(read, stats)| (read, Some(stats)),
        );
        let cpu = stats.as_ref().map(Cpu::of).unwrap_or_default();
        let (preread, precpu_stats) = match before.take() {
            Some(before) => before,
            None => (rfc3339(None), Cpu::default()),
        };
        *before = Some((read.clone(), cpu.clone()));
        let mut sample = Self {
            name: format!("/{name}"),
            id: docker_id(id),
            read,
            preread,
            pids_stats: Pids::default(),
            blkio_stats: Blkio::default(),
            num_procs: 0,
            storage_stats: BTreeMap::new(),
            cpu_stats: cpu,
            precpu_stats,
            memory_stats: Memory::default(),
            networks: None,
        };
        if let Some(stats) = stats {
            sample.pids_stats = Pids {
                current: stats.pids_current,
                limit: stats.pids_limit,
            };
            sample.blkio_stats.io_service_bytes_recursive = Some(blkio(stats.blkio_bytes));
            sample.blkio_stats.io_serviced_recursive =
                Some(blkio(stats.blkio_operations)).filter(|operations| !operations.is_empty());
            sample.memory_stats = Memory {
                usage: stats.memory_usage_bytes,
                max_usage: stats.memory_max_usage_bytes,
                stats: stats.memory_stat,
                failcnt: stats.memory_failcnt,
                limit: stats.memory_limit_bytes,
            };
            sample.networks = Some(stats.networks).filter(|networks| !networks.is_empty());
        }
        sample
    }
}

impl Cpu {
    fn of(stats: &Stats) -> Self {
        Self {
            cpu_usage: CpuUsage {
                total_usage: stats.cpu_total_ns,
                percpu_usage: stats.cpu_percpu_ns.clone(),
                usage_in_kernelmode: stats.cpu_kernel_ns,
                usage_in_usermode: stats.cpu_user_ns,
            },
            system_cpu_usage: stats.cpu_system_ns,
            online_cpus: stats.cpus_online,
            throttling_data: Throttling {
                periods: stats.cpu_periods,
                throttled_periods: stats.cpu_throttled_periods,
                throttled_time: stats.cpu_throttled_ns,
            },
        }
    }
}

fn blkio(entries: Vec<BlkioEntry>) -> Vec<BlkioSample> {
    entries
        .into_iter()
        .map(
            |BlkioEntry {
                 major,
                 minor,
                 operation,
                 value,
             }| BlkioSample {
                major,
                minor,
                op: operation,
                value,
            },
        )
        .collect()
}

pub(crate) async fn stats(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let view = find(&at, &name)?;
    let (id, name) = (view.instance.meta.id, view.instance.meta.name.clone());
    let streams = at.form.is_true_or("stream", true);
    let one_shot = at.version.has(41) && at.form.is_true("one-shot");
    if streams && one_shot {
        return Err(ApiError::invalid(
            "cannot have stream=true and one-shot=true",
        ));
    }
    let mut before = None;
    if streams {
        return Ok(follow(at, id, name));
    }
    if !view.is_up() {
        return Ok(axum::Json(Sample::new(id, &name, None, &mut before)).into_response());
    }
    let mut stats = sample(&at, id).await?;
    if !one_shot {
        // Shares of the processor are differences: one sample alone shows none.
        Sample::new(id, &name, stats, &mut before);
        tokio::time::sleep(PERIOD).await;
        stats = sample(&at, id).await?;
    }
    Ok(axum::Json(Sample::new(id, &name, stats, &mut before)).into_response())
}

/// A sample, or nothing where it does not run just now.
async fn sample(at: &At, id: Id) -> Result<Option<Stats>, ApiError> {
    match stream::stats(&at.cloud, &at.caller, id).await {
        Ok(stats) => Ok(Some(stats)),
        Err(ActionError {
            kind: ErrorKind::Conflict,
            ..
        }) => Ok(None),
        Err(error) => Err(about(id, error)),
    }
}

/// A sample a second until the client leaves or the container is gone.
fn follow(at: At, id: Id, name: String) -> Response {
    let (sender, body) = edge::body::channel(1);
    tokio::spawn(async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = ticks.tick() => {}
            }
            let Ok(stats) = sample(&at, id).await else {
                return;
            };
            let sample = Sample::new(id, &name, stats, &mut before);
            let Ok(mut line) = serde_json::to_vec(&sample) else {
                return;
            };
            line.push(b'\n');
            if sender.send(Bytes::from(line)).await.is_err() {
                return;
            }
        }
    });
    json_lines(body)
}

/// An answer of one JSON document after the other.
pub(crate) fn json_lines(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

pub(crate) async fn top(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let args = at.form.non_empty("ps_args").unwrap_or("-ef");
    let args: Vec<String> = args.split(' ').map(ToOwned::to_owned).collect();
    let view = find(&at, &name)?;
    let id = view.instance.meta.id;
    let processes = stream::processes(&at.cloud, &at.caller, id, &args)
        .await
        .map_err(|error| about(id, error))?;
    Ok(
        axum::Json(json!({ "Titles": processes.titles, "Processes": processes.rows }))
            .into_response(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_carries_the_one_before() {
        let id = Id::from_bytes([1; 16]);
        let at = |second, cpu_total_ns| Stats {
            at: jiff::Timestamp::from_second(second).unwrap(),
            cpu_total_ns,
            ..Stats::default()
        };
        let mut before = None;
        let first = Sample::new(id, "web", Some(at(10, 5)), &mut before);
        assert_eq!(
            (
                first.preread.as_str(),
                first.precpu_stats.cpu_usage.total_usage
            ),
            (crate::time::ZERO, 0)
        );
        let second = Sample::new(id, "web", Some(at(11, 9)), &mut before);
        assert_eq!(second.preread, first.read);
        assert_eq!(second.precpu_stats.cpu_usage.total_usage, 5);
        assert_eq!(second.cpu_stats.cpu_usage.total_usage, 9);
    }
}
