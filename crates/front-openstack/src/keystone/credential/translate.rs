//! Between credentials and what clients read and write of them.

use actions::identity::credential::Changes;
use model::credential::Credential;
use serde_json::{Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::Fields;

/// A credential as clients read it.
pub(super) fn credential(at: &At, credential: &Credential) -> Value {
    let own = id::show(credential.meta.id);
    let spec = &credential.spec;
    let mut shown = spec.extra.clone();
    for (name, value) in [
        ("blob", json!(spec.blob)),
        ("id", json!(own)),
        ("project_id", json!(spec.project.map(id::show))),
        ("type", json!(spec.kind)),
        ("user_id", json!(id::show(spec.user))),
    ] {
        shown.insert(name.to_owned(), value);
    }
    linked(at, "credentials", &own, shown)
}

/// What is to be of a credential.
pub(super) fn changes(mut fields: Fields) -> Result<Changes, ApiError> {
    Ok(Changes {
        user: fields.id("user_id", "user")?.flatten(),
        project: fields.id("project_id", "project")?,
        kind: fields.word("type")?,
        blob: fields.text("blob")?,
        extra: fields.rest(),
    })
}
