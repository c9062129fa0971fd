//! Between quotas and what clients read and write of them.

use std::collections::BTreeMap;

use actions::quota::{MOST, Service, UNLIMITED, resources};
use model::quota::Resource;
use serde_json::{Map, Value};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;

/// What the network service has counted since Nova has no networks of its own: told up to 2.35, and
/// without end.
const ELSEWHERE: [&str; 4] = [
    "fixed_ips",
    "floating_ips",
    "security_group_rules",
    "security_groups",
];

/// The resources that a microversion tells, with their names.
fn told(at: &At) -> impl Iterator<Item = (Resource, &'static str)> {
    let tells_injected = at.minor <= 56;
    resources(Service::Compute).filter(move |(resource, _)| {
        tells_injected
            || !matches!(
                resource,
                Resource::InjectedFiles | Resource::InjectedFileBytes | Resource::InjectedFilePath
            )
    })
}

/// A quota set, with what `of` says of each figure; `elsewhere` is said of what others count.
pub(super) fn shown<F>(
    at: &At,
    figures: &BTreeMap<Resource, F>,
    of: impl Fn(&F) -> Value,
    elsewhere: Value,
) -> Value {
    let told = told(at)
        .filter_map(|(resource, name)| Some((name.to_owned(), of(figures.get(&resource)?))));
    let mut shown: Map<String, Value> = told.collect();
    if at.minor <= 35 {
        shown.extend(ELSEWHERE.map(|name| (name.to_owned(), elsewhere.clone())));
    }
    Value::Object(shown)
}

/// The quota set of a class: groups of servers are told from 2.50 on only, and what others count up to
/// 2.49.
pub(super) fn class(at: &At, limits: &BTreeMap<Resource, i64>) -> Value {
    let told = told(at)
        .filter(|(resource, _)| at.minor >= 50 || !is_of_groups(*resource))
        .filter_map(|(resource, name)| {
            Some((name.to_owned(), Value::from(*limits.get(&resource)?)))
        });
    let mut shown: Map<String, Value> = told.collect();
    if at.minor <= 49 {
        shown.extend(ELSEWHERE.map(|name| (name.to_owned(), Value::from(UNLIMITED))));
    }
    Value::Object(shown)
}

const fn is_of_groups(resource: Resource) -> bool {
    matches!(
        resource,
        Resource::ServerGroups | Resource::ServerGroupMembers
    )
}

/// The limits to set, and whether they may be below what is used.
pub(super) fn change(at: &At, body: Value) -> Result<(BTreeMap<Resource, i64>, bool), ApiError> {
    let mut fields = Fields::of(body, "quota_set")?;
    let forced = fields.switch("force")?.unwrap_or(false);
    let limits = limits(at, &mut fields, |_| true)?;
    if at.minor <= 35 {
        refuse_elsewhere(&mut fields)?;
    }
    if at.query.has("user_id") {
        return Err(ApiError::invalid(
            "Invalid input for query parameters user_id. Single users have no quotas of their own: \
             set the project's",
        ));
    }
    fields.done().map(|()| (limits, forced))
}

/// The limits of a class to set.
pub(super) fn class_change(at: &At, body: Value) -> Result<BTreeMap<Resource, i64>, ApiError> {
    let mut fields = Fields::of(body, "quota_class_set")?;
    let limits = limits(at, &mut fields, |resource| {
        at.minor >= 50 || !is_of_groups(resource)
    })?;
    if at.minor <= 49 {
        refuse_elsewhere(&mut fields)?;
    }
    fields.done().map(|()| limits)
}

fn limits(
    at: &At,
    fields: &mut Fields,
    is_settable: impl Fn(Resource) -> bool,
) -> Result<BTreeMap<Resource, i64>, ApiError> {
    let mut limits = BTreeMap::new();
    for (resource, name) in told(at).filter(|(resource, _)| is_settable(*resource)) {
        if let Some(limit) = fields.integer(name, UNLIMITED..=MOST)? {
            limits.insert(resource, limit);
        }
    }
    Ok(limits)
}

/// What the network service counts is without end here; to say so again is fine.
fn refuse_elsewhere(fields: &mut Fields) -> Result<(), ApiError> {
    for name in ELSEWHERE {
        if let Some(limit) = fields.integer(name, UNLIMITED..=MOST)?
            && limit != UNLIMITED
        {
            return Err(ApiError::invalid(format!(
                "Invalid input for field/attribute {name}. Value: {limit}. The network service \
                 counts it: set its quota there"
            )));
        }
    }
    Ok(())
}
