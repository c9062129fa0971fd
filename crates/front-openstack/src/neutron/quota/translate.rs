//! Between quotas and what clients read and write of them.

use std::collections::BTreeMap;

use actions::quota::{Figure, MOST, Service, UNLIMITED, resources};
use model::quota::Resource;
use serde_json::{Map, Value, json};

use crate::neutron::error::ApiError;
use crate::neutron::fields::{Fields, wrong};

/// Each resource of the network with what `of` says of it.
fn shown(of: impl Fn(Resource) -> Option<Value>) -> Value {
    let shown: Map<String, Value> = resources(Service::Network)
        .filter_map(|(resource, name)| Some((name.to_owned(), of(resource)?)))
        .collect();
    Value::Object(shown)
}

/// How much there may be.
pub(super) fn limits(figures: &BTreeMap<Resource, Figure>) -> Value {
    shown(|resource| figures.get(&resource).map(|figure| json!(figure.limit)))
}

/// As [`limits`].
pub(super) fn plain(limits: &BTreeMap<Resource, i64>) -> Value {
    shown(|resource| limits.get(&resource).map(|limit| json!(limit)))
}

/// How much there may be, and how much there is. Nothing is ever reserved.
pub(super) fn details(figures: &BTreeMap<Resource, Figure>) -> Value {
    shown(|resource| {
        let Figure { limit, used } = figures.get(&resource)?;
        Some(json!({ "limit": limit, "used": used, "reserved": 0 }))
    })
}

/// The limits to set, and whether they may be below what is used.
pub(super) fn change(body: Value) -> Result<(BTreeMap<Resource, i64>, bool), ApiError> {
    let mut fields = Fields::of(body, "quota")?;
    let forced = fields.switch("force")?.unwrap_or(false);
    // Usage is always checked, unless that is forced.
    fields.switch("check_limit")?;
    let mut limits = BTreeMap::new();
    for (resource, name) in resources(Service::Network) {
        let Some(limit) = fields.number::<i64>(name)? else {
            continue;
        };
        if !(UNLIMITED..=MOST).contains(&limit) {
            return Err(wrong(name, &json!(limit), "in the range -1 to 2147483647"));
        }
        limits.insert(resource, limit);
    }
    fields.done().map(|()| (limits, forced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_neutrons_names() {
        let body = json!({ "quota": { "network": 3, "port": "-1", "force": true } });
        let (limits, forced) = change(body).unwrap();
        let expected = BTreeMap::from([(Resource::Networks, 3), (Resource::Ports, -1)]);
        assert_eq!((limits, forced), (expected, true));
        for wrong in [
            json!({ "network": -2 }),
            json!({ "cores": 1 }),
            json!({ "port": "x" }),
        ] {
            assert!(change(json!({ "quota": wrong })).is_err(), "{wrong}");
        }
    }
}
