//! Between roles and what clients read and write of them.

use actions::identity::role::Changes;
use model::ProjectId;
use model::role::Role;
use serde_json::{Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::Fields;
use crate::keystone::project::translate::options;

/// A role as clients read it.
pub(crate) fn role(at: &At, role: &Role) -> Value {
    let own = id::show(role.meta.id);
    let domain = Some(role.meta.project).filter(|owner| *owner != ProjectId::SYSTEM);
    let mut shown = role.spec.extra.clone();
    for (name, value) in [
        ("description", json!(role.spec.description)),
        ("domain_id", json!(domain.map(|domain| id::show(domain.0)))),
        ("id", json!(own)),
        ("name", json!(role.meta.name)),
        ("options", options(role.spec.immutable)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    linked(at, "roles", &own, shown)
}

/// What is to be of a role.
pub(super) fn changes(mut fields: Fields) -> Result<Changes, ApiError> {
    Ok(Changes {
        name: fields.name()?,
        description: fields.nullable("description")?,
        immutable: fields.immutable()?,
        extra: fields.rest(),
    })
}

/// A role as rules of implication show it.
fn short(at: &At, role: &Role) -> Value {
    let own = id::show(role.meta.id);
    json!({
        "id": own,
        "name": role.meta.name,
        "links": { "self": format!("{}/roles/{own}", crate::keystone::answer::root(at)) },
    })
}

/// A rule with one role that is implied.
pub(super) fn implication(at: &At, prior: &Role, implied: &Role) -> Value {
    json!({ "prior_role": short(at, prior), "implies": short(at, implied) })
}

/// A rule with every role that is implied.
pub(super) fn implications(at: &At, prior: &Role, implied: &[std::sync::Arc<Role>]) -> Value {
    let implied: Vec<Value> = implied.iter().map(|role| short(at, role)).collect();
    json!({ "prior_role": short(at, prior), "implies": implied })
}
