//! Between groups and what clients read and write of them.

use actions::identity::group::Changes;
use model::group::Group;
use serde_json::{Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::Fields;

/// A group as clients read it.
pub(crate) fn group(at: &At, group: &Group) -> Value {
    let own = id::show(group.meta.id);
    let mut shown = group.spec.extra.clone();
    for (name, value) in [
        ("description", json!(group.spec.description)),
        ("domain_id", json!(id::show(group.meta.project.0))),
        ("id", json!(own)),
        ("name", json!(group.meta.name)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    linked(at, "groups", &own, shown)
}

/// What is to be of a group.
pub(super) fn changes(mut fields: Fields) -> Result<Changes, ApiError> {
    Ok(Changes {
        name: fields.name()?,
        description: fields
            .nullable("description")?
            .map(Option::unwrap_or_default),
        extra: fields.rest(),
    })
}
