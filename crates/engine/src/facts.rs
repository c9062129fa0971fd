//! What only an engine knows of its machine: control groups, address ranges in use, what it lacks.
//!
//! The binary adds them to the node's record.

use std::net::{IpAddr, Ipv4Addr};

use model::network::Cidr;

use crate::spec::capability;

/// Which cgroup hierarchy limits are set in: 1 or 2.
#[must_use]
pub fn cgroup_version() -> u8 {
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        2
    } else {
        1
    }
}

/// Whether containers can have weights of block I/O; where that cannot be found out, they cannot.
#[must_use]
pub fn has_io_weights() -> bool {
    runtime::cgroup::Cgroup::host_has_io_weights().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot tell whether the kernel has weights of block I/O");
        false
    })
}

/// Capabilities that root does not have on this machine, by kernel name.
#[must_use]
pub fn missing_capabilities() -> Vec<String> {
    let own = capability::of_this_host();
    let missing = capability::ALL
        .iter()
        .copied()
        .filter(|capability| !own.contains(capability));
    missing.map(capability::name).collect()
}

/// IPv4 ranges to which this machine has a route by an interface that is not ours.
///
/// Source: the kernel's `/proc/net/route`: interface, destination and mask in hexadecimal, in the
/// byte order of the machine.
#[must_use]
pub fn occupied_ranges(bridge_prefix: &str) -> Vec<Cidr> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    ranges(&routes, bridge_prefix)
}

fn ranges(routes: &str, bridge_prefix: &str) -> Vec<Cidr> {
    let hexadecimal = |text: &str| u32::from_str_radix(text, 16).ok();
    routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let interface = columns.first()?;
            let destination = hexadecimal(columns.get(1)?)?;
            let mask = hexadecimal(columns.get(7)?)?;
            if interface.starts_with(bridge_prefix) || mask == 0 {
                return None;
            }
            let address = Ipv4Addr::from(destination.to_ne_bytes());
            let prefix = u8::try_from(mask.count_ones()).ok()?;
            Cidr::new(IpAddr::V4(address), prefix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_of_others_are_told() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     ls0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let found: Vec<String> = ranges(table, "ls")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["172.17.0.0/16"]);
    }
}
