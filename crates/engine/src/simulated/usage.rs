//! What simulated instances use: made-up numbers that hold together, and the programs that run.

use model::Id;
use model::instance::Failure;
use model::stream::{InterfaceStats, Processes, Stats};

use super::World;
use super::process::container;

/// Memory of the simulated node.
const NODE_MEMORY_BYTES: u64 = 8 << 30;

impl World {
    pub(super) fn stats(&self, id: Id) -> Result<Stats, Failure> {
        let mut state = self.state();
        let limit = container(&state.body(id)?.instance)?.resources.memory_bytes;
        let (current, _) = state.running(id)?;
        let up = self.now().duration_since(current.started.at);
        let up_ns = u64::try_from(up.as_nanos()).unwrap_or_default();
        let interfaces = (0..current.started.endpoints.len())
            .map(|n| (format!("eth{n}"), InterfaceStats::default()));
        Ok(Stats {
            at: self.now(),
            cpu_total_ns: up_ns / 100,
            cpu_user_ns: up_ns / 100,
            cpu_system_ns: up_ns.saturating_mul(2),
            cpus_online: 2,
            memory_usage_bytes: 1 << 20,
            memory_limit_bytes: limit.unwrap_or(NODE_MEMORY_BYTES),
            pids_current: 1,
            networks: interfaces.collect(),
            cgroup_version: 2,
            ..Stats::default()
        })
    }

    pub(super) fn processes(&self, id: Id) -> Result<Processes, Failure> {
        let mut state = self.state();
        let args = container(&state.body(id)?.instance)?.args.join(" ");
        let first = (state.running(id)?.0.started.pid, args);
        let execs = state
            .execs
            .values()
            .filter(|exec| exec.instance == id && exec.status.running);
        let all = std::iter::once(first)
            .chain(execs.map(|exec| (exec.status.pid, exec.status.spec.args.join(" "))));
        let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
            .map(str::to_owned)
            .to_vec();
        let rows = all.map(|(pid, args)| {
            [
                "root",
                &pid.to_string(),
                "1",
                "0",
                "00:00",
                "?",
                "00:00:00",
                &args,
            ]
            .map(str::to_owned)
            .to_vec()
        });
        Ok(Processes {
            titles,
            rows: rows.collect(),
        })
    }
}
