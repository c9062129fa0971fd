//! From a node to what a host has, and who uses it.

use std::collections::BTreeMap;

use actions::node::View;
use serde_json::{Value, json};

use crate::id;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What an update may say.
const SWITCH: [&str; 6] = [
    "enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE",
];

/// What there is, what is promised to servers, and to those of each project. Servers share the disk, so
/// none of it is promised to one.
pub(super) fn resources(view: &View) -> Vec<Value> {
    let name = &view.node.meta.name;
    let row = |project: &str, cpu_milli: u64, memory_bytes: u64, disk_bytes: u64| {
        json!({
            "host": name,
            "project": project,
            "cpu": cpu_milli.div_ceil(1_000),
            "memory_mb": memory_bytes / MIB,
            "disk_gb": disk_bytes / GIB,
        })
    };
    let (spec, cpu, memory) = (
        &view.node.spec,
        view.promised_cpu_milli(),
        view.promised_memory_bytes(),
    );
    let mut rows = vec![
        row(
            "(total)",
            spec.cpu_milli,
            spec.memory_bytes,
            spec.disk_bytes,
        ),
        row("(used_now)", cpu, memory, 0),
        row("(used_max)", cpu, memory, 0),
    ];
    let mut projects: BTreeMap<_, View> = BTreeMap::new();
    for instance in &view.instances {
        let of_it = projects
            .entry(instance.meta.project)
            .or_insert_with(|| View {
                instances: Vec::new(),
                ..view.clone()
            });
        of_it.instances.push(instance.clone());
    }
    rows.extend(projects.iter().map(|(project, of_it)| {
        let (cpu, memory) = (of_it.promised_cpu_milli(), of_it.promised_memory_bytes());
        row(&id::show(project.0), cpu, memory, 0)
    }));
    rows
}

/// Refuses an update that cannot be.
pub(super) fn check_update(body: Value) -> Result<(), ApiError> {
    let mut fields = Fields::document(body)?;
    let status = fields.one_of("status", &SWITCH)?;
    let maintenance = fields.one_of("maintenance_mode", &SWITCH)?;
    if status.is_none() && maintenance.is_none() {
        return Err(fields.complain("{} is not valid under any of the given schemas"));
    }
    fields.done()
}
