//! `longshore down`: ends the daemon, its containers and its keeper, and leaves nothing of them on
//! this machine but their files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::host::{Host, HostConfig};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open};

use crate::lock::Lock;

/// How long the daemon may take to end its open requests.
const DAEMON_ENDS_WITHIN: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// Ends everything; a data directory in which nothing runs is fine.
pub(crate) fn run(data_dir: &Path) -> Result<()> {
    if !data_dir.exists() {
        return Ok(());
    }
    end_daemon(data_dir)?;
    // Held until the end, so that no daemon starts meanwhile.
    let _lock = Lock::take(data_dir)?;
    let Some(bridge_prefix) = crate::up::recorded_bridge_prefix(data_dir)? else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Takes over whatever there is, so that all of it is known and can be ended.
        let config = HostConfig {
            data_dir: data_dir.to_owned(),
            keeper_program: std::env::current_exe().context("find our own program")?,
            bridge_prefix,
            network_pool: 0,
            images: image::Store::open(&data_dir.join("images")).context("open the image store")?,
        };
        let host = Host::open(config).await.context("take over what runs")?;
        host.shut_down().await.context("end what runs")
    })
}

fn end_daemon(data_dir: &Path) -> Result<()> {
    let Some(pid) = Lock::holder(data_dir)? else {
        return Ok(());
    };
    let number = pid.as_raw_nonzero();
    let stop = || format!("stop the daemon, process {number}");
    let process = pidfd_open(pid, PidfdFlags::empty()).with_context(stop)?;
    kill_process(pid, Signal::TERM).with_context(stop)?;
    // Its end, not the lock's: it has the image store open a moment longer.
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    if poll(&mut ended, Some(&DAEMON_ENDS_WITHIN)).with_context(stop)? == 0 {
        bail!("the daemon, process {number}, does not end; its log may say why");
    }
    Ok(())
}
