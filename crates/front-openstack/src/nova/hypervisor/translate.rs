//! From a node to a hypervisor as clients read it.

use actions::node::View;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::routes::id;
use crate::front::At;

/// What runs the servers.
const KIND: &str = "longshore";
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Our version as a number: 1.2.3 is 1002003.
fn version() -> u64 {
    let parts = env!("CARGO_PKG_VERSION").split('.');
    parts
        .filter_map(|part| part.parse::<u64>().ok())
        .fold(0, |number, part| number * 1_000 + part)
}

/// What a node has, and has promised to its servers: processors, and MiB of memory.
struct Figures {
    vcpus: u64,
    vcpus_used: u64,
    memory_mib: u64,
    memory_mib_used: u64,
    disk_gib: u64,
    running: usize,
}

impl Figures {
    fn of(view: &View) -> Self {
        let spec = &view.node.spec;
        Self {
            vcpus: spec.cpu_milli / 1_000,
            vcpus_used: view.promised_cpu_milli().div_ceil(1_000),
            memory_mib: spec.memory_bytes / MIB,
            memory_mib_used: view.promised_memory_bytes() / MIB,
            disk_gib: spec.disk_bytes / GIB,
            running: view.running,
        }
    }

    /// The figures by their names. Servers share the disk, so none of it is promised to one.
    fn shown(&self) -> Value {
        json!({
            "vcpus": self.vcpus,
            "vcpus_used": self.vcpus_used,
            "memory_mb": self.memory_mib,
            "memory_mb_used": self.memory_mib_used,
            "free_ram_mb": self.memory_mib.saturating_sub(self.memory_mib_used),
            "local_gb": self.disk_gib,
            "local_gb_used": 0,
            "free_disk_gb": self.disk_gib,
            "disk_available_least": self.disk_gib,
            "current_workload": 0,
            "running_vms": self.running,
        })
    }
}

/// A hypervisor, in few words or all.
pub(super) fn shown(at: &At, view: &View, is_detailed: bool, with_servers: bool) -> Value {
    let node = &view.node;
    let mut shown = json!({
        "id": id(at, node.meta.id, 0),
        "hypervisor_hostname": node.meta.name,
        "state": if view.is_up() { "up" } else { "down" },
        "status": if node.orders.cordoned { "disabled" } else { "enabled" },
    });
    if is_detailed {
        shown["hypervisor_type"] = json!(KIND);
        shown["hypervisor_version"] = json!(version());
        shown["host_ip"] = json!(host(&at.settings.url));
        shown["service"] = json!({
            "id": id(at, node.meta.id, 0),
            "host": node.meta.name,
            "disabled_reason": node.orders.reason,
        });
        if at.minor >= 88 {
            shown["uptime"] = json!(uptime(view));
        } else {
            merge(&mut shown, Figures::of(view).shown());
            let cpu = json!({ "arch": node.spec.architecture });
            shown["cpu_info"] = match at.minor {
                28.. => cpu,
                _ => json!(cpu.to_string()),
            };
        }
    }
    let servers: Vec<Value> = view
        .instances
        .iter()
        .map(|server| json!({ "name": server.meta.name, "uuid": server.meta.id.to_string() }))
        .collect();
    // Before 2.75 there is no empty list.
    if with_servers && (at.minor >= 75 || !servers.is_empty()) {
        shown["servers"] = json!(servers);
    }
    shown
}

/// All nodes together.
pub(super) fn statistics(nodes: &[View]) -> Value {
    let mut sums = json!({ "count": nodes.len() });
    for view in nodes {
        let Value::Object(figures) = Figures::of(view).shown() else {
            continue;
        };
        for (name, figure) in figures {
            let before = sums[&name].as_u64().unwrap_or(0);
            sums[name] = json!(before + figure.as_u64().unwrap_or(0));
        }
    }
    sums
}

/// How long a node has been up, in the words of uptime(1): ` 12:00:00 up 3 days, 1:02`.
pub(super) fn uptime(view: &View) -> Option<String> {
    let booted_at = view.node.spec.booted_at?;
    let now = Timestamp::now();
    let minutes = now.duration_since(booted_at).as_secs().max(0) / 60;
    let (days, hours, minutes) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let now = now.strftime("%H:%M:%S");
    Some(format!(" {now} up {days}{hours}:{minutes:02}"))
}

/// The address of a URL.
fn host(url: &str) -> &str {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_url() {
        assert_eq!(host("http://127.0.0.1:7070"), "127.0.0.1");
        assert_eq!(host("https://cloud.example:443/x"), "cloud.example");
    }
}
