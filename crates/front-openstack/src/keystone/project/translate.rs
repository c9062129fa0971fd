//! From a project to what clients read of it.

use model::project::Project;
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::id;

/// A project as clients read it.
pub(super) fn project(at: &At, project: &Project) -> Value {
    let spec = &project.spec;
    let own = id::show(project.meta.id);
    let mut shown = spec.extra.clone();
    let domain = (!spec.is_domain).then(|| id::show(project.domain()));
    let mut options = Map::new();
    if let Some(immutable) = spec.immutable {
        options.insert("immutable".to_owned(), json!(immutable));
    }
    for (name, value) in [
        ("description", json!(spec.description)),
        ("domain_id", json!(domain)),
        ("enabled", json!(spec.enabled)),
        ("id", json!(own)),
        ("is_domain", json!(spec.is_domain)),
        ("name", json!(project.meta.name)),
        ("options", json!(options)),
        ("parent_id", json!(spec.parent.map(id::show))),
        ("tags", json!(spec.tags)),
        (
            "links",
            json!({ "self": format!("{}/identity/v3/projects/{own}", at.settings.url) }),
        ),
    ] {
        shown.insert(name.to_owned(), value);
    }
    Value::Object(shown)
}
