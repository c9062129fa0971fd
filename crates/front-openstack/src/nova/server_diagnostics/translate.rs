//! Diagnostics as clients read them.

use actions::Cloud;
use actions::server::{State, View};
use jiff::Timestamp;
use model::stream::Stats;
use serde_json::{Map, Value, json};

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// As every hypervisor shows them.
pub(super) fn alike(cloud: &Cloud, view: &View, stats: &Stats) -> Value {
    let places = view.places(cloud);
    let networks: Vec<Value> = places
        .iter()
        .zip(stats.networks.values())
        .map(|(place, counters)| {
            json!({
                "mac_address": place.port.spec.mac,
                "rx_octets": counters.rx_bytes,
                "rx_packets": counters.rx_packets,
                "rx_errors": counters.rx_errors,
                "rx_drop": counters.rx_dropped,
                "rx_rate": null,
                "tx_octets": counters.tx_bytes,
                "tx_packets": counters.tx_packets,
                "tx_errors": counters.tx_errors,
                "tx_drop": counters.tx_dropped,
                "tx_rate": null,
            })
        })
        .collect();
    let started = view
        .instance
        .as_ref()
        .and_then(|view| view.status.started_at);
    let uptime = started.map(|at| Timestamp::now().as_second() - at.as_second());
    json!({
        "state": if view.state() == State::Paused { "paused" } else { "running" },
        "driver": "longshore",
        "hypervisor": "longshore",
        "hypervisor_os": "linux",
        "uptime": uptime,
        "config_drive": view.server.spec.config_drive,
        "num_cpus": view.server.spec.flavor.vcpus,
        "num_nics": networks.len(),
        "num_disks": 0,
        "memory_details": {
            "maximum": stats.memory_limit_bytes / MIB,
            "used": stats.memory_usage_bytes / MIB,
        },
        "cpu_details": [{ "id": 0, "time": stats.cpu_total_ns, "utilisation": null }],
        "nic_details": networks,
        "disk_details": [],
    })
}

/// Counters by name, as before they were alike.
pub(super) fn plain(stats: &Stats) -> Value {
    let mut shown = Map::new();
    let mut add = |name: String, number: u64| {
        shown.insert(name, json!(number));
    };
    add("cpu0_time".to_owned(), stats.cpu_total_ns);
    add("memory".to_owned(), stats.memory_limit_bytes / 1024);
    add("memory-actual".to_owned(), stats.memory_usage_bytes / 1024);
    for (name, counters) in &stats.networks {
        add(format!("{name}_rx"), counters.rx_bytes);
        add(format!("{name}_rx_packets"), counters.rx_packets);
        add(format!("{name}_rx_errors"), counters.rx_errors);
        add(format!("{name}_rx_drop"), counters.rx_dropped);
        add(format!("{name}_tx"), counters.tx_bytes);
        add(format!("{name}_tx_packets"), counters.tx_packets);
        add(format!("{name}_tx_errors"), counters.tx_errors);
        add(format!("{name}_tx_drop"), counters.tx_dropped);
    }
    Value::Object(shown)
}
