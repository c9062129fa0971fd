//! Limits as files of cgroup version 1 (the kernel's `cgroup-v1` documentation).

use oci_spec::runtime::{LinuxBlockIo, LinuxResources};

use super::settings::{Settings, or_max};

/// The files and values for these limits, in the order they are to be written.
pub(super) fn settings(resources: &LinuxResources) -> Settings {
    let mut settings = Settings::default();
    if let Some(memory) = resources.memory() {
        let limit = memory.limit();
        settings.add("memory", "memory.limit_in_bytes", limit, "memory.limit");
        // Dropped where the kernel does not count swap, as Docker does with a warning.
        settings.add_optional(
            "memory",
            "memory.memsw.limit_in_bytes",
            memory.swap(),
            "memory.swap",
        );
        settings.add(
            "memory",
            "memory.soft_limit_in_bytes",
            memory.reservation(),
            "memory.reservation",
        );
        settings.add(
            "memory",
            "memory.kmem.tcp.limit_in_bytes",
            memory.kernel_tcp(),
            "memory.kernelTCP",
        );
        settings.add(
            "memory",
            "memory.swappiness",
            memory.swappiness(),
            "memory.swappiness",
        );
        let disable = memory.disable_oom_killer().filter(|disable| *disable);
        settings.add(
            "memory",
            "memory.oom_control",
            disable.map(u8::from),
            "memory.disableOOMKiller",
        );
    }
    if let Some(cpu) = resources.cpu() {
        settings.add(
            "cpu",
            "cpu.shares",
            cpu.shares().filter(|shares| *shares > 0),
            "cpu.shares",
        );
        settings.add(
            "cpu",
            "cpu.cfs_period_us",
            cpu.period().filter(|period| *period > 0),
            "cpu.period",
        );
        settings.add(
            "cpu",
            "cpu.cfs_quota_us",
            cpu.quota().filter(|quota| *quota != 0),
            "cpu.quota",
        );
        settings.add("cpu", "cpu.cfs_burst_us", cpu.burst(), "cpu.burst");
        settings.add(
            "cpu",
            "cpu.rt_period_us",
            cpu.realtime_period().filter(|period| *period > 0),
            "cpu.realtimePeriod",
        );
        let runtime = cpu.realtime_runtime().filter(|runtime| *runtime != 0);
        settings.add("cpu", "cpu.rt_runtime_us", runtime, "cpu.realtimeRuntime");
        settings.add("cpu", "cpu.idle", cpu.idle(), "cpu.idle");
        settings.add(
            "cpuset",
            "cpuset.cpus",
            cpu.cpus().as_ref().filter(|list| !list.is_empty()),
            "cpu.cpus",
        );
        settings.add(
            "cpuset",
            "cpuset.mems",
            cpu.mems().as_ref().filter(|list| !list.is_empty()),
            "cpu.mems",
        );
    }
    if let Some(pids) = resources.pids() {
        settings.add("pids", "pids.max", Some(or_max(pids.limit())), "pids.limit");
    }
    if let Some(block) = resources.block_io() {
        block_io(&mut settings, block);
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.limit_in_bytes", huge.page_size());
        settings.add("hugetlb", file, Some(huge.limit()), "hugepageLimits");
    }
    if let Some(network) = resources.network() {
        settings.add(
            "net_cls",
            "net_cls.classid",
            network.class_id().filter(|class| *class > 0),
            "network.classID",
        );
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            settings.add(
                "net_prio",
                "net_prio.ifpriomap",
                Some(value),
                "network.priorities",
            );
        }
    }
    settings
}

/// Weights are BFQ's: the scheduler that had `blkio.weight` left the kernel in 5.0.
fn block_io(settings: &mut Settings, block: &LinuxBlockIo) {
    settings.add(
        "blkio",
        "blkio.bfq.weight",
        block.weight().filter(|weight| *weight > 0),
        "blockIO.weight",
    );
    let leaf = block.leaf_weight().filter(|weight| *weight > 0);
    settings.add("blkio", "blkio.leaf_weight", leaf, "blockIO.leafWeight");
    for device in block.weight_device().iter().flatten() {
        let weight = device
            .weight()
            .map(|weight| format!("{}:{} {weight}", device.major(), device.minor()));
        settings.add(
            "blkio",
            "blkio.bfq.weight_device",
            weight,
            "blockIO.weightDevice",
        );
    }
    let rates = [
        (
            "blkio.throttle.read_bps_device",
            "blockIO.throttleReadBpsDevice",
            block.throttle_read_bps_device(),
        ),
        (
            "blkio.throttle.write_bps_device",
            "blockIO.throttleWriteBpsDevice",
            block.throttle_write_bps_device(),
        ),
        (
            "blkio.throttle.read_iops_device",
            "blockIO.throttleReadIOPSDevice",
            block.throttle_read_iops_device(),
        ),
        (
            "blkio.throttle.write_iops_device",
            "blockIO.throttleWriteIOPSDevice",
            block.throttle_write_iops_device(),
        ),
    ];
    for (file, field, devices) in rates {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            settings.add("blkio", file, Some(value), field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::settings::Setting;

    fn of(json: serde_json::Value) -> Vec<(String, String)> {
        let resources: LinuxResources = serde_json::from_value(json).unwrap();
        settings(&resources)
            .0
            .into_iter()
            .map(|Setting { file, value, .. }| (file, value))
            .collect()
    }

    fn pair(file: &str, value: &str) -> (String, String) {
        (file.to_owned(), value.to_owned())
    }

    #[test]
    fn limits_become_files() {
        let files = of(serde_json::json!({
            "memory": {"limit": 1048576, "swap": -1},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
            "pids": {"limit": 0},
            "blockIO": {
                "weight": 200, "weightDevice": [{"major": 8, "minor": 0, "weight": 300}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 100}]
            }
        }));
        assert_eq!(
            files,
            [
                pair("memory.limit_in_bytes", "1048576"),
                pair("memory.memsw.limit_in_bytes", "-1"),
                pair("cpu.shares", "512"),
                pair("cpu.cfs_period_us", "100000"),
                pair("cpu.cfs_quota_us", "50000"),
                pair("cpuset.cpus", "0"),
                pair("pids.max", "max"),
                pair("blkio.bfq.weight", "200"),
                pair("blkio.bfq.weight_device", "8:0 300"),
                pair("blkio.throttle.read_bps_device", "8:0 100"),
            ]
        );
    }

    #[test]
    fn zero_leaves_the_kernels_default() {
        assert!(
            of(serde_json::json!({"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""}}))
                .is_empty()
        );
    }
}
