//! Where the time of a start goes inside our daemon, as it tells at `/metrics`.
//!
//! Means, since sums and counts are all that a histogram keeps exactly. How far this is from what
//! the kernel alone needs, the runtime's own bench `start` says.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use ::tests::daemon::Daemon;
use anyhow::{Context, Result};

use super::api_rate::whole_life;
use super::pair::{Pair, api};
use super::table::Row;

const STARTS: usize = 200;
/// What the phases are called by in the metrics.
const METRIC: &str = "longshore_container_start_seconds";

/// Seconds so far, and how often, of each phase.
type Phases = BTreeMap<String, (f64, f64)>;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let mut api = api(&pair.longshore);
    whole_life(&mut api)?;
    let before = read(&pair.longshore)?;
    for _ in 0..STARTS {
        whole_life(&mut api)?;
    }
    let after = read(&pair.longshore)?;
    let mut rows: Vec<Row> = after
        .iter()
        .filter_map(|(name, (sum, count))| {
            let (sum_before, count_before) = before.get(name).copied().unwrap_or_default();
            let times = count - count_before;
            (times > 0.0).then(|| Row {
                what: format!("a start's phase: {name} (mean)"),
                unit: "µs",
                longshore: (sum - sum_before) / times * 1e6,
                peer: None,
                more_is_better: false,
                reach: "",
            })
        })
        .collect();
    rows.sort_by(|one, other| other.longshore.total_cmp(&one.longshore));
    Ok(rows)
}

fn read(daemon: &Daemon) -> Result<Phases> {
    let mut connection = TcpStream::connect(daemon.listen()).context("connect to /metrics")?;
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(parse(&text))
}

/// Takes the sums and counts of all phases out of the text format of Prometheus.
fn parse(text: &str) -> Phases {
    let mut phases = Phases::new();
    for line in text.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let Some((kind, labels)) = series
            .strip_prefix(METRIC)
            .and_then(|rest| rest.split_once('{'))
        else {
            continue;
        };
        let name = labels
            .strip_prefix("phase=\"")
            .and_then(|rest| rest.strip_suffix("\"}"));
        if let (Some(name), Ok(value)) = (name, value.parse()) {
            let entry = phases.entry(name.to_owned()).or_default();
            match kind {
                "_sum" => entry.0 = value,
                "_count" => entry.1 = value,
                _ => {}
            }
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sums_and_counts_are_found() {
        let text = "# HELP longshore_container_start_seconds Time.\n\
            longshore_container_start_seconds_sum{phase=\"total\"} 0.5\n\
            longshore_container_start_seconds_count{phase=\"total\"} 10\n\
            longshore_container_start_seconds_bucket{le=\"0.1\",phase=\"total\"} 9\n\
            longshore_container_exits_total 3\n";
        let phases = parse(text);
        assert_eq!(phases.len(), 1);
        assert_eq!(phases["total"], (0.5, 10.0));
    }
}
