//! The start path: real containers, and what they find inside.
//!
//! Most tests are tables: a change to the specification, a script, and what the script says.

mod cgroup;
mod devices;
mod files;
mod init;
mod namespaces;
mod privileges;
mod users;

use runtime::launch::Launch;
use serde_json::{Value, json};

use crate::keeper::run;
use crate::scene::Scene;

/// A container, and what it says.
struct Case {
    /// Of what is tested; also the container's.
    name: &'static str,
    /// Changes to the specification, as for [`change`].
    spec: Value,
    script: &'static str,
    says: &'static str,
}

/// Runs each, one after another, and compares.
async fn check<const N: usize>(cases: [Case; N]) {
    check_in(&Scene::new().await, cases).await;
}

async fn check_in<const N: usize>(scene: &Scene, cases: [Case; N]) {
    for case in cases {
        let mut launch = scene.launch(case.name, case.script);
        change(&mut launch, case.spec);
        assert_eq!(said(scene, &mut launch).await, case.says, "{}", case.name);
    }
}

/// Runs it, and answers what it wrote to both of its outputs.
async fn said(scene: &Scene, launch: &mut Launch) -> String {
    join_outputs(launch);
    run(&scene.client, launch).await;
    scene.log_text(&launch.id)
}

/// Its error output goes where its output goes, so that both come in their order.
fn join_outputs(launch: &mut Launch) {
    let process = launch.spec.process_mut().as_mut().unwrap();
    let mut args = process.args().clone().unwrap();
    args[2].insert_str(0, "exec 2>&1; ");
    process.set_args(Some(args));
}

/// Changes the specification as a merge patch does (RFC 7396), but that a key with a `+` at its
/// end adds to the list of that name.
fn change(launch: &mut Launch, changes: Value) {
    let mut spec = serde_json::to_value(&launch.spec).unwrap();
    merge(&mut spec, changes);
    launch.spec = serde_json::from_value(spec).unwrap();
}

fn merge(into: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else {
        *into = changes;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, change) in changes {
        match key.strip_suffix('+') {
            Some(key) => match &mut into[key] {
                Value::Array(list) => list.extend_from_slice(change.as_array().unwrap()),
                missing => *missing = change,
            },
            None if change.is_null() => drop(into.as_object_mut().unwrap().remove(&key)),
            None => merge(&mut into[key], change),
        }
    }
}

/// A mount of a file system that needs no source.
fn mount(to: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": to, "type": kind, "source": kind, "options": options })
}

/// A bind mount.
fn bind(from: &std::path::Path, to: &str, options: &[&str]) -> Value {
    let mut options = options.to_vec();
    options.push("rbind");
    json!({ "destination": to, "type": "bind", "source": from, "options": options })
}
