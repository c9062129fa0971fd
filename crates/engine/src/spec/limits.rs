//! Limits and weights of a container, from the model's quantities to the specification's.

use std::io;
use std::os::unix::fs::MetadataExt;

use model::resources::{DeviceRate, Resources, Ulimit};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources,
    LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

/// Less does not run anything useful. Source: moby, `daemon/daemon_unix.go`, `linuxMinMemory`.
const MIN_MEMORY_BYTES: u64 = 6 << 20;
/// Scheduling period for limits given in processors, in microseconds.
const NANO_CPUS_PERIOD_US: u64 = 100_000;

/// Why limits cannot be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitError {
    #[error("Minimum memory limit allowed is 6MB")]
    MemoryTooSmall,
    #[error("Minimum memory reservation allowed is 6MB")]
    ReservationTooSmall,
    #[error("Minimum memory limit can not be less than memory reservation limit, see usage")]
    ReservationAboveLimit,
    #[error("Minimum memoryswap limit should be larger than memory limit, see usage")]
    SwapBelowMemory,
    #[error("You should always set the Memory limit when using Memoryswap limit, see usage")]
    SwapWithoutMemory,
    #[error("Invalid value: {value}, valid memory swappiness range is 0-100")]
    Swappiness { value: u8 },
    #[error("Conflicting options: Nano CPUs and CPU {other} cannot both be set")]
    NanoCpusConflict { other: &'static str },
    #[error("range of CPUs is from 0.01 to {online}.00, as there are only {online} CPUs available")]
    NanoCpusRange { online: u32 },
    #[error("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")]
    CpuPeriod,
    #[error("CPU cfs quota can not be less than 1ms (i.e. 1000)")]
    CpuQuota,
    #[error("Range of blkio weight is from 10 to 1000")]
    BlkioWeight,
    #[error("look at block device {path}")]
    BlockDevice { path: String, source: io::Error },
    #[error("invalid ulimit type: {name}")]
    UlimitName { name: String },
    #[error("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")]
    UlimitOrder { soft: i64, hard: i64 },
}

/// Refuses limits that make no sense together, in dockerd's words.
pub(crate) fn check(limits: &Resources, online_cpus: u32) -> Result<(), LimitError> {
    let memory = limits.memory_bytes.filter(|bytes| *bytes > 0);
    let reservation = limits.memory_reservation_bytes.filter(|bytes| *bytes > 0);
    let swap = limits
        .memory_swap_bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| *bytes > 0);
    if memory.is_some_and(|bytes| bytes < MIN_MEMORY_BYTES) {
        return Err(LimitError::MemoryTooSmall);
    }
    if let Some(swap) = swap {
        match memory {
            None => return Err(LimitError::SwapWithoutMemory),
            Some(memory) if swap < memory => return Err(LimitError::SwapBelowMemory),
            Some(_) => {}
        }
    }
    if reservation.is_some_and(|bytes| bytes < MIN_MEMORY_BYTES) {
        return Err(LimitError::ReservationTooSmall);
    }
    if memory
        .zip(reservation)
        .is_some_and(|(memory, reservation)| memory < reservation)
    {
        return Err(LimitError::ReservationAboveLimit);
    }
    if let Some(value) = limits.memory_swappiness.filter(|value| *value > 100) {
        return Err(LimitError::Swappiness { value });
    }
    if let Some(nano_cpus) = limits.nano_cpus.filter(|nano_cpus| *nano_cpus > 0) {
        if limits.cpu_period_us.is_some_and(|period| period > 0) {
            return Err(LimitError::NanoCpusConflict { other: "Period" });
        }
        if limits.cpu_quota_us.is_some_and(|quota| quota > 0) {
            return Err(LimitError::NanoCpusConflict { other: "Quota" });
        }
        if nano_cpus > u64::from(online_cpus) * 1_000_000_000 {
            return Err(LimitError::NanoCpusRange {
                online: online_cpus,
            });
        }
    }
    if limits
        .cpu_period_us
        .is_some_and(|period| period != 0 && !(1_000..=1_000_000).contains(&period))
    {
        return Err(LimitError::CpuPeriod);
    }
    if limits
        .cpu_quota_us
        .is_some_and(|quota| (1..1_000).contains(&quota))
    {
        return Err(LimitError::CpuQuota);
    }
    if limits
        .blkio_weight
        .is_some_and(|weight| weight != 0 && !(10..=1_000).contains(&weight))
    {
        return Err(LimitError::BlkioWeight);
    }
    Ok(())
}

/// The same limits as the specification has them, without devices. Zero is "not set" throughout.
pub(crate) fn resources(limits: &Resources) -> Result<LinuxResources, LimitError> {
    let mut resources = LinuxResources::default();
    resources
        .set_memory(memory(limits))
        .set_cpu(cpu(limits))
        .set_pids(limits.pids_limit.map(|limit| {
            let mut pids = LinuxPids::default();
            pids.set_limit(if limit <= 0 { -1 } else { limit });
            pids
        }))
        .set_block_io(block_io(limits)?);
    Ok(resources)
}

fn memory(limits: &Resources) -> Option<LinuxMemory> {
    let bytes = |limit: Option<u64>| {
        limit
            .filter(|bytes| *bytes > 0)
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
    };
    let limit = bytes(limits.memory_bytes);
    // A limit without a word on swap allows as much swap again, as dockerd has it.
    let swap = match limits.memory_swap_bytes.filter(|swap| *swap != 0) {
        Some(swap) => Some(swap),
        None => limit.map(|limit| limit.saturating_mul(2)),
    };
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(limit)
        .set_reservation(bytes(limits.memory_reservation_bytes))
        .set_swap(swap)
        .set_swappiness(limits.memory_swappiness.map(u64::from))
        .set_disable_oom_killer(limits.oom_kill_disable.then_some(true));
    (memory != LinuxMemory::default()).then_some(memory)
}

fn cpu(limits: &Resources) -> Option<LinuxCpu> {
    let text = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(limits.cpu_shares.filter(|shares| *shares > 0))
        .set_period(limits.cpu_period_us.filter(|period| *period > 0))
        .set_quota(limits.cpu_quota_us.filter(|quota| *quota != 0))
        .set_realtime_period(limits.cpu_realtime_period_us.filter(|period| *period > 0))
        .set_realtime_runtime(
            limits
                .cpu_realtime_runtime_us
                .filter(|runtime| *runtime != 0),
        )
        .set_cpus(text(&limits.cpuset_cpus))
        .set_mems(text(&limits.cpuset_mems));
    if let Some(nano_cpus) = limits.nano_cpus.filter(|nano_cpus| *nano_cpus > 0) {
        let quota = u128::from(nano_cpus) * u128::from(NANO_CPUS_PERIOD_US) / 1_000_000_000;
        cpu.set_period(Some(NANO_CPUS_PERIOD_US))
            .set_quota(i64::try_from(quota).ok());
    }
    (cpu != LinuxCpu::default()).then_some(cpu)
}

fn block_io(limits: &Resources) -> Result<Option<LinuxBlockIo>, LimitError> {
    let weights = limits
        .blkio_weight_device
        .iter()
        .map(weight)
        .collect::<Result<Vec<_>, _>>()?;
    let throttles =
        |rates: &[DeviceRate]| rates.iter().map(throttle).collect::<Result<Vec<_>, _>>();
    let mut block_io = LinuxBlockIoBuilder::default()
        .weight_device(weights)
        .throttle_read_bps_device(throttles(&limits.blkio_read_bps)?)
        .throttle_write_bps_device(throttles(&limits.blkio_write_bps)?)
        .throttle_read_iops_device(throttles(&limits.blkio_read_iops)?)
        .throttle_write_iops_device(throttles(&limits.blkio_write_iops)?)
        .build()
        .unwrap_or_default();
    block_io.set_weight(limits.blkio_weight.filter(|weight| *weight > 0));
    let nothing = limits.blkio_weight.is_none_or(|weight| weight == 0)
        && limits.blkio_weight_device.is_empty()
        && [
            &limits.blkio_read_bps,
            &limits.blkio_write_bps,
            &limits.blkio_read_iops,
            &limits.blkio_write_iops,
        ]
        .iter()
        .all(|rates| rates.is_empty());
    Ok((!nothing).then_some(block_io))
}

fn weight(rate: &DeviceRate) -> Result<LinuxWeightDevice, LimitError> {
    let (major, minor) = numbers(rate)?;
    let weight = u16::try_from(rate.rate)
        .ok()
        .filter(|weight| (10..=1_000).contains(weight));
    let weight = weight.ok_or(LimitError::BlkioWeight)?;
    Ok(LinuxWeightDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .weight(weight)
        .build()
        .unwrap_or_default())
}

fn throttle(rate: &DeviceRate) -> Result<LinuxThrottleDevice, LimitError> {
    let (major, minor) = numbers(rate)?;
    Ok(LinuxThrottleDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .rate(rate.rate)
        .build()
        .unwrap_or_default())
}

fn numbers(rate: &DeviceRate) -> Result<(i64, i64), LimitError> {
    let metadata = std::fs::metadata(&rate.path).map_err(|source| LimitError::BlockDevice {
        path: rate.path.clone(),
        source,
    })?;
    let device = metadata.rdev();
    Ok((
        i64::from(rustix::fs::major(device)),
        i64::from(rustix::fs::minor(device)),
    ))
}

/// Limits of the process itself; `-1` is unlimited.
pub(crate) fn ulimits(limits: &[Ulimit]) -> Result<Vec<PosixRlimit>, LimitError> {
    limits.iter().map(ulimit).collect()
}

fn ulimit(limit: &Ulimit) -> Result<PosixRlimit, LimitError> {
    let kind = match limit.name.as_str() {
        "as" => PosixRlimitType::RlimitAs,
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => {
            return Err(LimitError::UlimitName {
                name: limit.name.clone(),
            });
        }
    };
    // A negative number is "unlimited", which the kernel writes as the largest one.
    let value = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    let (soft, hard) = (value(limit.soft), value(limit.hard));
    if soft > hard {
        return Err(LimitError::UlimitOrder {
            soft: limit.soft,
            hard: limit.hard,
        });
    }
    Ok(PosixRlimitBuilder::default()
        .typ(kind)
        .soft(soft)
        .hard(hard)
        .build()
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_contradict_each_other_are_refused_in_dockerds_words() {
        let words = |limits: Resources| check(&limits, 2).unwrap_err().to_string();
        let memory = |bytes| Resources {
            memory_bytes: Some(bytes),
            ..Resources::default()
        };
        assert_eq!(words(memory(4096)), "Minimum memory limit allowed is 6MB");
        assert!(
            words(Resources {
                memory_swap_bytes: Some(7 << 20),
                ..memory(8 << 20)
            })
            .starts_with("Minimum memoryswap")
        );
        assert!(
            words(Resources {
                nano_cpus: Some(3_000_000_000),
                ..Resources::default()
            })
            .contains("only 2 CPUs")
        );
        assert!(
            words(Resources {
                cpu_quota_us: Some(10),
                ..Resources::default()
            })
            .contains("1ms")
        );
        assert!(
            check(
                &Resources {
                    memory_swap_bytes: Some(-1),
                    ..memory(8 << 20)
                },
                2
            )
            .is_ok()
        );
    }

    #[test]
    fn a_memory_limit_doubles_as_the_swap_limit() {
        let resources = resources(&Resources {
            memory_bytes: Some(8 << 20),
            ..Resources::default()
        })
        .unwrap();
        let memory = resources.memory().unwrap();
        assert_eq!(
            (memory.limit(), memory.swap()),
            (Some(8 << 20), Some(16 << 20))
        );
        assert!(resources.cpu().is_none() && resources.block_io().is_none());
    }

    #[test]
    fn processors_become_a_quota() {
        let limits = Resources {
            nano_cpus: Some(1_500_000_000),
            ..Resources::default()
        };
        let resources = resources(&limits).unwrap();
        let cpu = resources.cpu().as_ref().unwrap();
        assert_eq!((cpu.period(), cpu.quota()), (Some(100_000), Some(150_000)));
    }

    #[test]
    fn unlimited_is_the_largest_number_and_order_is_checked() {
        let limit = |soft, hard| Ulimit {
            name: "nofile".into(),
            soft,
            hard,
        };
        assert_eq!(ulimits(&[limit(5, -1)]).unwrap()[0].hard(), u64::MAX);
        assert!(matches!(
            ulimits(&[limit(-1, 5)]),
            Err(LimitError::UlimitOrder { .. })
        ));
        let unknown = Ulimit {
            name: "files".into(),
            soft: 1,
            hard: 1,
        };
        assert_eq!(
            ulimits(&[unknown]).unwrap_err().to_string(),
            "invalid ulimit type: files"
        );
    }
}
