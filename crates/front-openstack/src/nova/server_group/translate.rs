//! Between a group of servers and what clients read and write of it.

use actions::server_group::{NewServerGroup, members};
use model::server_group::{GroupPolicy, ServerGroup};
use serde_json::{Value, json};

use crate::front::At;
use crate::id;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, not_of, wrong};

const HARD: [&str; 2] = ["anti-affinity", "affinity"];
const ALL: [&str; 4] = [
    "anti-affinity",
    "affinity",
    "soft-anti-affinity",
    "soft-affinity",
];

/// A group as clients read it.
pub(super) fn shown(at: &At, group: &ServerGroup) -> Value {
    let policy = group.policy.as_str();
    let members = members(&at.cloud, group.meta.id);
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    let mut shown = json!({
        "id": group.meta.id.to_string(),
        "name": group.meta.name,
        "members": members,
    });
    if at.minor >= 64 {
        shown["policy"] = json!(policy);
        shown["rules"] = match group.most_per_node {
            Some(most) => json!({ "max_server_per_host": most }),
            None => json!({}),
        };
    } else {
        shown["policies"] = json!([policy]);
        shown["metadata"] = json!({});
    }
    if at.minor >= 13 {
        shown["project_id"] = json!(id::show(group.meta.project.0));
        shown["user_id"] = json!(id::show(group.user));
    }
    shown
}

/// The group to make: with one policy, in a list up to 2.63.
pub(super) fn new(at: &At, body: Value) -> Result<NewServerGroup, ApiError> {
    let mut fields = Fields::of(body, "server_group")?;
    let name = fields.name("name")?;
    let name = fields.required("name", name)?;
    let choices: &[&str] = if at.minor >= 15 { &ALL } else { &HARD };
    let (policy, most_per_node) = if at.minor >= 64 {
        let policy = fields.one_of("policy", choices)?;
        let policy = fields.required("policy", policy)?;
        (policy, rules(&mut fields)?)
    } else {
        let policies = fields.list("policies")?;
        let policies = fields.required("policies", policies)?;
        (only_policy(policies, choices)?, None)
    };
    fields.done()?;
    let policy = GroupPolicy::of(&policy)
        .ok_or_else(|| ApiError::invalid(format!("There is no policy {policy}")))?;
    Ok(NewServerGroup {
        name,
        policy,
        most_per_node,
    })
}

fn rules(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let Some(mut rules) = fields.object("rules")? else {
        return Ok(None);
    };
    let most = rules.integer("max_server_per_host", 1..=0x7FFF_FFFF_u32)?;
    rules.done().map(|()| most)
}

/// The one policy of a list.
fn only_policy(policies: Vec<Value>, choices: &[&str]) -> Result<String, ApiError> {
    let refuse = |message: &str| wrong("policies", &Value::from(policies.clone()), message);
    match policies.as_slice() {
        [Value::String(policy)] if choices.contains(&policy.as_str()) => Ok(policy.clone()),
        [Value::String(policy)] => Err(refuse(&format!(
            "'{policy}' is not one of ['{}']",
            choices.join("', '")
        ))),
        [other] => Err(not_of("0", other, &["string"])),
        [] => Err(refuse("[] should be non-empty")),
        _ => Err(refuse("Expected at most 1 item but found more")),
    }
}
