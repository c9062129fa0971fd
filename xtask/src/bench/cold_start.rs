//! From executing the daemon to its first answer, and how much memory it holds when it is idle.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::daemon::{Daemon, Kind};

use super::density::resident_kilobytes;
use super::pair::as_milliseconds;
use super::table::{Row, median};

const RUNS: usize = 5;
/// After this time both daemons have given back what only their first start needs.
const SETTLING: Duration = Duration::from_secs(8);

pub(super) fn measure(binary: &Path) -> Result<Vec<Row>> {
    let (mut ours, mut peers, mut memory, mut peer_memory) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = Instant::now();
        let daemon = Daemon::start_with(binary)?;
        ours.push(as_milliseconds(start.elapsed()));
        std::thread::sleep(SETTLING);
        memory.push(resident_kilobytes(&daemon)? / 1024.0);
        drop(daemon);
        let start = Instant::now();
        let daemon = Daemon::start_kind(Kind::Dockerd).context("start dockerd")?;
        peers.push(as_milliseconds(start.elapsed()));
        std::thread::sleep(SETTLING);
        peer_memory.push(resident_kilobytes(&daemon)? / 1024.0);
    }
    Ok(vec![
        Row {
            what: "cold start to ready, empty data directory".to_owned(),
            unit: "ms",
            longshore: median(ours),
            peer: Some(median(peers)),
            more_is_better: false,
            reach: "<= 500 ms",
        },
        Row {
            what: "resident memory, idle, daemon and keeper (dockerd and containerd)".to_owned(),
            unit: "MiB",
            longshore: median(memory),
            peer: Some(median(peer_memory)),
            more_is_better: false,
            reach: "<= 50 MiB",
        },
    ])
}
