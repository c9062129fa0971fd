//! Between a security group and what clients read and write of it.

use actions::Caller;
use actions::firewall::{FirewallChange, NewFirewall};
use model::firewall::Firewall;
use serde_json::{Value, json};

use super::routes::NOUN;
use crate::front::At;
use crate::neutron::answer::{Object, common, with};
use crate::neutron::error::ApiError;
use crate::neutron::fields::Fields;
use crate::neutron::rule;

/// A security group as clients read it.
pub(super) fn shown(firewall: &Firewall) -> Object {
    let spec = &firewall.spec;
    let rules: Vec<Object> = spec
        .rules
        .iter()
        .map(|one| rule::translate::shown(firewall, one))
        .collect();
    with(
        common(&firewall.meta, &spec.description, &spec.tags),
        [
            ("security_group_rules", json!(rules)),
            ("shared", json!(spec.shared)),
        ],
    )
}

/// The security group to make, and who makes it.
pub(super) fn new(at: &At, body: Value) -> Result<(Caller, NewFirewall), ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    let caller = fields.caller(at)?;
    fields.only("stateful", &[json!(true)])?;
    let new = NewFirewall {
        name: fields.text("name")?.unwrap_or_default(),
        description: fields.text("description")?.unwrap_or_default(),
        tags: fields.tags()?.unwrap_or_default(),
    };
    fields.done()?;
    Ok((caller, new))
}

/// What to change of a security group.
pub(super) fn change(body: Value) -> Result<FirewallChange, ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    fields.only("stateful", &[json!(true)])?;
    let change = FirewallChange {
        name: fields.text("name")?,
        description: fields.text("description")?,
        tags: None,
    };
    fields.done().map(|()| change)
}
