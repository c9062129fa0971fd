//! Limits, weights and devices: dockerd's checks in dockerd's words, then the model. Pure.
//!
//! Source: moby, `daemon/daemon_unix.go`, `verifyPlatformContainerResources`.

use model::container::Device;
use model::resources::{DeviceRate, Resources, Ulimit};

use super::Host;
use crate::container::wire;
use crate::error::ApiError;

const MIN_MEMORY_BYTES: i64 = 6 * 1024 * 1024;

/// Names that `setrlimit` knows.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Checks what is wrong on any host, and mends what dockerd mends silently or with a warning.
pub(crate) fn check(
    resources: &mut wire::Resources,
    host: &Host,
    is_update: bool,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    check_memory(resources, host, is_update, warnings)?;
    check_cpu(resources, host, warnings)?;
    check_io_weights(resources, host, warnings)?;
    if resources.io_maximum_bandwidth != 0 {
        return Err(ApiError::invalid(
            "invalid option: QoS maximum bandwidth configuration is not supported on linux",
        ));
    }
    if resources.io_maximum_iops != 0 {
        return Err(ApiError::invalid(
            "invalid option: QoS maximum IOPs configuration is not supported on linux",
        ));
    }
    if resources
        .device_requests
        .as_ref()
        .is_some_and(|requests| !requests.is_empty())
    {
        return Err(ApiError::invalid(
            "HostConfig.DeviceRequests: could not select device driver: this daemon has none (no GPU support)",
        ));
    }
    if resources.cpu_count != 0 {
        return Err(ApiError::invalid(
            "HostConfig.CpuCount: it is not supported on linux; use NanoCpus",
        ));
    }
    for ulimit in resources.ulimits.iter().flatten() {
        check_ulimit(ulimit)?;
    }
    for device in resources.devices.iter().flatten() {
        check_device(device)?;
    }
    for rule in resources.device_cgroup_rules.iter().flatten() {
        if !is_device_rule(rule) {
            return Err(ApiError::invalid(format!(
                "invalid device cgroup rule format: '{rule}'"
            )));
        }
    }
    // Both 0 and any negative number mean no limit.
    resources.pids_limit = resources.pids_limit.filter(|limit| *limit > 0 || is_update);
    Ok(())
}

fn check_memory(
    resources: &mut wire::Resources,
    host: &Host,
    is_update: bool,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    // The client sends -1 for no setting.
    resources.memory_swappiness = resources
        .memory_swappiness
        .filter(|swappiness| *swappiness != -1);
    let memory = resources.memory;
    if memory != 0 && memory < MIN_MEMORY_BYTES {
        return Err(ApiError::invalid("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && resources.memory_swap > 0 && resources.memory_swap < memory {
        return Err(ApiError::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if memory == 0 && resources.memory_swap > 0 && !is_update {
        return Err(ApiError::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if resources.memory_swap < -1 {
        return Err(ApiError::invalid(format!(
            "invalid memory swap limit: {}",
            resources.memory_swap
        )));
    }
    if let Some(swappiness) = resources.memory_swappiness {
        if !(0..=100).contains(&swappiness) {
            return Err(ApiError::invalid(format!(
                "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
            )));
        }
        if host.cgroup_version == 2 {
            warnings.push("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.".to_owned());
            resources.memory_swappiness = None;
        }
    }
    if resources.memory_reservation < 0
        || (1..MIN_MEMORY_BYTES).contains(&resources.memory_reservation)
    {
        return Err(ApiError::invalid(
            "Minimum memory reservation allowed is 6MB",
        ));
    }
    if memory > 0 && memory < resources.memory_reservation {
        return Err(ApiError::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    if resources.kernel_memory > 0 {
        warnings.push("Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.".to_owned());
        resources.kernel_memory = 0;
    }
    if resources.kernel_memory_tcp != 0 {
        return Err(ApiError::invalid(
            "HostConfig.KernelMemoryTCP: the kernel no longer limits this",
        ));
    }
    if host.cgroup_version == 2 {
        if resources.oom_kill_disable == Some(true) {
            warnings.push(
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned(),
            );
        }
        resources.oom_kill_disable = None;
    }
    if resources.oom_kill_disable == Some(true) && memory == 0 {
        warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned());
    }
    Ok(())
}

fn check_io_weights(
    resources: &mut wire::Resources,
    host: &Host,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    if !host.has_io_weights {
        if std::mem::take(&mut resources.blkio_weight) > 0 {
            warnings.push("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.".to_owned());
        }
        let devices = resources.blkio_weight_device.take();
        if devices.is_some_and(|devices| !devices.is_empty()) {
            warnings.push("Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.".to_owned());
        }
    }
    if resources.blkio_weight > 0 && !(10..=1000).contains(&resources.blkio_weight) {
        return Err(ApiError::invalid(
            "Range of blkio weight is from 10 to 1000",
        ));
    }
    Ok(())
}

fn check_cpu(
    resources: &mut wire::Resources,
    host: &Host,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    if resources.cpu_shares < 0 {
        return Err(ApiError::invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            resources.cpu_shares
        )));
    }
    if resources.nano_cpus > 0 && resources.cpu_period > 0 {
        return Err(ApiError::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    if resources.nano_cpus > 0 && resources.cpu_quota > 0 {
        return Err(ApiError::invalid(
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ));
    }
    let cpus = host.cpus;
    if resources.nano_cpus < 0 || resources.nano_cpus > i64::from(cpus) * 1_000_000_000 {
        return Err(ApiError::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if resources.cpu_period != 0 && !(1000..=1_000_000).contains(&resources.cpu_period) {
        return Err(ApiError::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if (1..1000).contains(&resources.cpu_quota) {
        return Err(ApiError::invalid(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)",
        ));
    }
    let (period, runtime) = (
        resources.cpu_realtime_period,
        resources.cpu_realtime_runtime,
    );
    if period != 0 && runtime != 0 && runtime > period {
        return Err(ApiError::invalid(
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ));
    }
    if resources.cpu_percent > 0 {
        warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
        resources.cpu_percent = 0;
    }
    check_set(&resources.cpuset_cpus, cpus, "cpuset cpus", "CPUs")?;
    check_set(&resources.cpuset_mems, 1, "cpuset mems", "memory nodes")
}

/// Checks a list of processors or memory nodes, such as `0-2,4`, of which there are `count`.
fn check_set(list: &str, count: u32, what: &str, plural: &str) -> Result<(), ApiError> {
    if list.is_empty() {
        return Ok(());
    }
    let last = list.split(',').try_fold(0, |last: u32, part| {
        let (first, end) = part.split_once('-').unwrap_or((part, part));
        let (first, end) = (
            first.trim().parse::<u32>().ok()?,
            end.trim().parse::<u32>().ok()?,
        );
        (first <= end).then_some(last.max(end))
    });
    let Some(last) = last else {
        return Err(ApiError::invalid(format!(
            "Invalid value {list} for {what}: invalid format: {list}"
        )));
    };
    if last >= count {
        let available = if count <= 1 {
            "0".to_owned()
        } else {
            format!("0-{}", count - 1)
        };
        return Err(ApiError::invalid(format!(
            "Requested {plural} are not available - requested {list}, available: {available}"
        )));
    }
    Ok(())
}

fn check_ulimit(ulimit: &wire::Ulimit) -> Result<(), ApiError> {
    if !ULIMITS.contains(&ulimit.name.as_str()) {
        return Err(ApiError::invalid(format!(
            "invalid ulimit type: {}",
            ulimit.name
        )));
    }
    if ulimit.hard != -1 && (ulimit.soft == -1 || ulimit.soft > ulimit.hard) {
        return Err(ApiError::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {} > {}",
            ulimit.soft, ulimit.hard
        )));
    }
    Ok(())
}

fn check_device(device: &wire::DeviceMapping) -> Result<(), ApiError> {
    if !device.path_on_host.starts_with('/') {
        return Err(ApiError::invalid(format!(
            "error gathering device information while adding custom device {:?}: no such file or directory",
            device.path_on_host
        )));
    }
    if !device
        .cgroup_permissions
        .bytes()
        .all(|letter| b"rwm".contains(&letter))
    {
        return Err(ApiError::invalid(format!(
            "invalid device permissions: {:?}",
            device.cgroup_permissions
        )));
    }
    Ok(())
}

fn is_device_rule(rule: &str) -> bool {
    let mut words = rule.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    let is_number = |text: &str| {
        text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(kind, "a" | "b" | "c")
        && numbers
            .split_once(':')
            .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
        && (1..=3).contains(&access.len())
        && access.bytes().all(|letter| b"rwm".contains(&letter))
}

/// The limits of an instance that another front end made.
impl From<&Resources> for wire::Resources {
    fn from(limits: &Resources) -> Self {
        let signed =
            |value: Option<u64>| i64::try_from(value.unwrap_or_default()).unwrap_or(i64::MAX);
        Self {
            memory: signed(limits.memory_bytes),
            memory_reservation: signed(limits.memory_reservation_bytes),
            memory_swap: limits.memory_swap_bytes.unwrap_or_default(),
            cpu_shares: signed(limits.cpu_shares),
            nano_cpus: signed(limits.nano_cpus),
            cpu_period: signed(limits.cpu_period_us),
            cpu_quota: limits.cpu_quota_us.unwrap_or_default(),
            pids_limit: limits.pids_limit,
            ..Self::default()
        }
    }
}

/// Limits as the model has them; zero is no limit.
pub(crate) fn to_model(resources: &wire::Resources) -> Resources {
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let text = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
    // Without a limit of its own, swap is limited to as much again as memory.
    let memory_swap_bytes = match (resources.memory, resources.memory_swap) {
        (memory, 0) if memory > 0 => Some(memory.saturating_mul(2)),
        (_, 0) => None,
        (_, swap) => Some(swap),
    };
    Resources {
        memory_bytes: positive(resources.memory),
        memory_reservation_bytes: positive(resources.memory_reservation),
        memory_swap_bytes,
        memory_swappiness: resources
            .memory_swappiness
            .and_then(|value| u8::try_from(value).ok()),
        oom_kill_disable: resources.oom_kill_disable.unwrap_or(false),
        cpu_shares: positive(resources.cpu_shares),
        nano_cpus: positive(resources.nano_cpus),
        cpu_period_us: positive(resources.cpu_period),
        cpu_quota_us: Some(resources.cpu_quota).filter(|quota| *quota != 0),
        cpu_realtime_period_us: positive(resources.cpu_realtime_period),
        cpu_realtime_runtime_us: Some(resources.cpu_realtime_runtime)
            .filter(|runtime| *runtime != 0),
        cpuset_cpus: text(&resources.cpuset_cpus),
        cpuset_mems: text(&resources.cpuset_mems),
        pids_limit: resources.pids_limit.filter(|limit| *limit > 0),
        blkio_weight: Some(resources.blkio_weight).filter(|weight| *weight > 0),
        blkio_weight_device: resources
            .blkio_weight_device
            .iter()
            .flatten()
            .map(|device| DeviceRate {
                path: device.path.clone(),
                rate: u64::from(device.weight),
            })
            .collect(),
        blkio_read_bps: rates(resources.blkio_device_read_bps.as_ref()),
        blkio_write_bps: rates(resources.blkio_device_write_bps.as_ref()),
        blkio_read_iops: rates(resources.blkio_device_read_iops.as_ref()),
        blkio_write_iops: rates(resources.blkio_device_write_iops.as_ref()),
        ulimits: resources
            .ulimits
            .iter()
            .flatten()
            .map(|ulimit| Ulimit {
                name: ulimit.name.clone(),
                soft: ulimit.soft,
                hard: ulimit.hard,
            })
            .collect(),
    }
}

fn rates(devices: Option<&Vec<wire::ThrottleDevice>>) -> Vec<DeviceRate> {
    devices
        .into_iter()
        .flatten()
        .map(|device| DeviceRate {
            path: device.path.clone(),
            rate: device.rate,
        })
        .collect()
}

/// Devices as the model has them.
pub(crate) fn devices(resources: &wire::Resources) -> Vec<Device> {
    let or = |text: &str, default: &str| {
        if text.is_empty() {
            default.to_owned()
        } else {
            text.to_owned()
        }
    };
    resources
        .devices
        .iter()
        .flatten()
        .map(|device| Device {
            host_path: device.path_on_host.clone(),
            container_path: or(&device.path_in_container, &device.path_on_host),
            permissions: or(&device.cgroup_permissions, "rwm"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        cpus: 2,
        cgroup_version: 1,
        has_io_weights: true,
    };

    fn refusal(resources: wire::Resources) -> String {
        let mut resources = resources;
        check(&mut resources, &HOST, false, &mut Vec::new())
            .unwrap_err()
            .message
    }

    #[test]
    fn weights_that_the_kernel_does_not_know_are_discarded_with_a_warning() {
        let host = Host {
            has_io_weights: false,
            ..HOST
        };
        let mut resources = wire::Resources {
            blkio_weight: 5,
            blkio_weight_device: Some(vec![wire::WeightDevice::default()]),
            ..wire::Resources::default()
        };
        let mut warnings = Vec::new();
        check(&mut resources, &host, false, &mut warnings).unwrap();
        assert_eq!(resources.blkio_weight, 0);
        assert!(resources.blkio_weight_device.is_none());
        let discarded = |warning: &&String| warning.contains("Block I/O weight");
        assert_eq!(warnings.iter().filter(discarded).count(), 2, "{warnings:?}");
    }

    #[test]
    fn wrong_limits_are_refused_in_dockerds_words() {
        let none = wire::Resources::default;
        for (resources, words) in [
            (
                wire::Resources {
                    memory: 1024,
                    ..none()
                },
                "Minimum memory limit allowed is 6MB",
            ),
            (
                wire::Resources {
                    memory: 1 << 30,
                    memory_swap: 1 << 29,
                    ..none()
                },
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                wire::Resources {
                    memory_swap: 1 << 29,
                    ..none()
                },
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                wire::Resources {
                    nano_cpus: 3_000_000_000,
                    ..none()
                },
                "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                wire::Resources {
                    cpuset_cpus: "0-7".to_owned(),
                    ..none()
                },
                "Requested CPUs are not available - requested 0-7, available: 0-1",
            ),
            (
                wire::Resources {
                    cpuset_cpus: "x".to_owned(),
                    ..none()
                },
                "Invalid value x for cpuset cpus: invalid format: x",
            ),
            (
                wire::Resources {
                    blkio_weight: 5,
                    ..none()
                },
                "Range of blkio weight is from 10 to 1000",
            ),
            (
                wire::Resources {
                    device_cgroup_rules: Some(vec!["z 1:3 r".to_owned()]),
                    ..none()
                },
                "invalid device cgroup rule format: 'z 1:3 r'",
            ),
            (
                wire::Resources {
                    memory_swappiness: Some(101),
                    ..none()
                },
                "Invalid value: 101, valid memory swappiness range is 0-100",
            ),
        ] {
            assert_eq!(refusal(resources), words);
        }
        let ulimit = wire::Ulimit {
            name: "nofile".to_owned(),
            soft: 20,
            hard: 10,
        };
        assert_eq!(
            refusal(wire::Resources {
                ulimits: Some(vec![ulimit]),
                ..none()
            }),
            "ulimit soft limit must be less than or equal to hard limit: 20 > 10"
        );
    }

    #[test]
    fn what_the_client_sends_for_nothing_is_nothing() {
        let mut resources = wire::Resources {
            memory_swappiness: Some(-1),
            pids_limit: Some(0),
            ..wire::Resources::default()
        };
        let mut warnings = Vec::new();
        check(&mut resources, &HOST, false, &mut warnings).unwrap();
        assert!(warnings.is_empty());
        assert_eq!(to_model(&resources), Resources::default());
    }

    #[test]
    fn swap_is_limited_with_memory() {
        let memory = wire::Resources {
            memory: 64 << 20,
            ..wire::Resources::default()
        };
        assert_eq!(to_model(&memory).memory_swap_bytes, Some(128 << 20));
        let unlimited = wire::Resources {
            memory_swap: -1,
            ..memory
        };
        assert_eq!(to_model(&unlimited).memory_swap_bytes, Some(-1));
    }
}
