//! Limits as files of cgroup version 2 (the kernel's `cgroup-v2` documentation; conversions of
//! version 1 values as in the OCI runtime specification and `crun`'s documentation).

use oci_spec::runtime::{LinuxBlockIo, LinuxResources};

use super::settings::{Settings, or_max};

/// The files and values for these limits, in the order they are to be written.
pub(super) fn settings(resources: &LinuxResources) -> Settings {
    let mut settings = Settings::default();
    if let Some(memory) = resources.memory() {
        // Swap first: it may be raised together with memory, and is separate from it here.
        settings.add_optional(
            "memory",
            "memory.swap.max",
            swap(memory.limit(), memory.swap()),
            "memory.swap",
        );
        let limit = memory.limit().filter(|limit| *limit != 0).map(or_max);
        settings.add("memory", "memory.max", limit, "memory.limit");
        let low = memory.reservation().filter(|low| *low != 0).map(or_max);
        settings.add("memory", "memory.low", low, "memory.reservation");
    }
    if let Some(cpu) = resources.cpu() {
        settings.add(
            "cpu",
            "cpu.weight",
            cpu.shares().filter(|shares| *shares > 0).map(weight),
            "cpu.shares",
        );
        settings.add(
            "cpu",
            "cpu.max",
            quota(cpu.quota(), cpu.period()),
            "cpu.quota",
        );
        settings.add("cpu", "cpu.max.burst", cpu.burst(), "cpu.burst");
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
        settings.add(
            "hugetlb",
            format!("hugetlb.{}.max", huge.page_size()),
            Some(huge.limit()),
            "hugepageLimits",
        );
    }
    settings
}

/// Version 1 counts memory and swap together; here swap is counted alone.
fn swap(memory: Option<i64>, both: Option<i64>) -> Option<String> {
    match (memory, both?) {
        (_, 0) => None,
        (_, both) if both < 0 => Some("max".to_owned()),
        (memory, both) => Some((both - memory.unwrap_or(0).max(0)).max(0).to_string()),
    }
}

/// Version 1 shares (2 to 262,144, default 1,024) as a weight (1 to 10,000, default 100), on the
/// curve through these three points that `runc` and `crun` draw since 2025.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is 1 to 10,000"
)]
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

fn quota(quota: Option<i64>, period: Option<u64>) -> Option<String> {
    let period = period.filter(|period| *period > 0);
    let quota = quota.filter(|quota| *quota != 0);
    if quota.is_none() && period.is_none() {
        return None;
    }
    let quota = quota.map_or_else(|| "max".to_owned(), or_max);
    Some(period.map_or_else(|| quota.clone(), |period| format!("{quota} {period}")))
}

/// A weight of block I/O (10 to 1,000) in the range of `io.weight` (1 to 10,000): the ends on the ends.
fn io_weight(weight: u16) -> u32 {
    1 + u32::from(weight.saturating_sub(10)) * 9_999 / 990
}

/// Weights go to BFQ where it is loaded, as it takes them as they are; else to the cost model.
fn block_io(settings: &mut Settings, block: &LinuxBlockIo) {
    let mut add = |device: &str, weight: Option<u16>, field| {
        let weight = weight.filter(|weight| *weight > 0);
        let raw = weight.map(|weight| format!("{device}{weight}"));
        let scaled = weight.map(|weight| format!("{device}{}", io_weight(weight)));
        let choices = [("io.bfq.weight", raw), ("io.weight", scaled)];
        settings.add_to_either("io", choices, field);
    };
    add("", block.weight(), "blockIO.weight");
    for device in block.weight_device().iter().flatten() {
        let name = format!("{}:{} ", device.major(), device.minor());
        add(&name, device.weight(), "blockIO.weightDevice");
    }
    let rates = [
        (
            "rbps",
            "blockIO.throttleReadBpsDevice",
            block.throttle_read_bps_device(),
        ),
        (
            "wbps",
            "blockIO.throttleWriteBpsDevice",
            block.throttle_write_bps_device(),
        ),
        (
            "riops",
            "blockIO.throttleReadIOPSDevice",
            block.throttle_read_iops_device(),
        ),
        (
            "wiops",
            "blockIO.throttleWriteIOPSDevice",
            block.throttle_write_iops_device(),
        ),
    ];
    for (key, field, devices) in rates {
        for device in devices.iter().flatten() {
            let rate = if device.rate() == 0 {
                "max".to_owned()
            } else {
                device.rate().to_string()
            };
            let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
            settings.add("io", "io.max", Some(value), field);
        }
    }
}

/// Controllers that a container's cgroup may need, to be enabled on the way down to it.
pub(super) const WANTED: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_their_least_default_and_most() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 100, 10_000]);
    }

    #[test]
    fn weights_of_block_io_fit_either_file() {
        assert_eq!([10, 505, 1000].map(io_weight), [1, 5_000, 10_000]);
        let resources = serde_json::json!({"blockIO": {
            "weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}]
        }});
        let resources: LinuxResources = serde_json::from_value(resources).unwrap();
        let written: Vec<_> = settings(&resources)
            .0
            .into_iter()
            .map(|setting| (setting.value, setting.otherwise.unwrap()))
            .collect();
        let expected = [("10", "1"), ("8:0 1000", "8:0 10000")]
            .map(|(raw, scaled)| (raw.to_owned(), ("io.weight", scaled.to_owned())));
        assert_eq!(written, expected);
    }

    #[test]
    fn swap_is_what_is_left_of_both() {
        assert_eq!(swap(Some(100), Some(250)).as_deref(), Some("150"));
        assert_eq!(swap(Some(100), Some(100)).as_deref(), Some("0"));
        assert_eq!(swap(Some(100), Some(-1)).as_deref(), Some("max"));
        assert_eq!(swap(Some(100), None), None);
    }

    #[test]
    fn a_period_alone_keeps_the_quota_unlimited() {
        assert_eq!(quota(None, Some(5000)).as_deref(), Some("max 5000"));
        assert_eq!(quota(Some(1000), None).as_deref(), Some("1000"));
        assert_eq!(quota(Some(-1), Some(5000)).as_deref(), Some("max 5000"));
    }
}
