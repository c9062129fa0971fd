//! From an assignment to what clients read of it.

use actions::identity::assignment::Listed;
use model::Id;
use model::assignment::{Actor, Target};
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::root;

/// An assignment as clients read it, with names where they ask for them.
pub(super) fn listed(at: &At, one: &Listed, names: bool) -> Value {
    let grant = &one.grant;
    let mut shown = Map::new();
    let role = id::show(grant.role);
    let (actor_path, actor) = match grant.actor {
        Actor::User(user) => (format!("users/{}", id::show(user)), ("user", user)),
        Actor::Group(group) => (format!("groups/{}", id::show(group)), ("group", group)),
    };
    shown.insert(actor.0.to_owned(), named(at, actor.0, actor.1, names));
    shown.insert("role".to_owned(), named(at, "role", grant.role, names));
    let mut scope = Map::new();
    let place_path = match grant.target {
        Target::Project(project) => {
            scope.insert("project".to_owned(), named(at, "project", project, names));
            format!("projects/{}", id::show(project))
        }
        Target::Domain(domain) => {
            scope.insert("domain".to_owned(), named(at, "domain", domain, names));
            format!("domains/{}", id::show(domain))
        }
        Target::System => {
            scope.insert("system".to_owned(), json!({ "all": true }));
            "system".to_owned()
        }
    };
    let from = one.from.map(|from| match from {
        Target::Project(project) => format!("projects/{}", id::show(project)),
        Target::Domain(domain) => format!("domains/{}", id::show(domain)),
        Target::System => "system".to_owned(),
    });
    if grant.inherited || from.is_some() {
        scope.insert("OS-INHERIT:inherited_to".to_owned(), json!("projects"));
    }
    shown.insert("scope".to_owned(), Value::Object(scope));
    // Where it comes from, as a client could take it back.
    let said_role = id::show(one.implied_by.unwrap_or(grant.role));
    let said_by = one
        .through
        .map_or(actor_path, |group| format!("groups/{}", id::show(group)));
    let assignment = match (
        from.or_else(|| grant.inherited.then(|| place_path.clone())),
        &place_path,
    ) {
        (Some(from), _) => {
            format!("OS-INHERIT/{from}/{said_by}/roles/{said_role}/inherited_to_projects")
        }
        (None, place) => format!("{place}/{said_by}/roles/{said_role}"),
    };
    let mut links = json!({ "assignment": format!("{}/{assignment}", root(at)) });
    if let (Some(group), Actor::User(user)) = (one.through, grant.actor) {
        links["membership"] = json!(format!(
            "{}/groups/{}/users/{}",
            root(at),
            id::show(group),
            id::show(user)
        ));
    }
    if one.implied_by.is_some() {
        links["prior_role"] = json!(format!(
            "{}/prior_role/{said_role}/implies/{role}",
            root(at)
        ));
    }
    shown.insert("links".to_owned(), links);
    Value::Object(shown)
}

/// What has this identity, with its name and domain where they are asked for.
fn named(at: &At, noun: &str, own: Id, names: bool) -> Value {
    let mut shown = json!({ "id": id::show(own) });
    if names && let Some((name, domain)) = at.cloud.name_of(noun, own) {
        shown["name"] = json!(name);
        if let Some((domain, domain_name)) = domain {
            shown["domain"] = json!({ "id": id::show(domain), "name": domain_name });
        }
    }
    shown
}
