//! Between projects, domains and what clients read and write of them.

use std::collections::BTreeSet;

use actions::identity::project::{Changes, NewProject};
use model::project::Project;
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, LONGEST_PROJECT_NAME};

/// Tags of one project, at most.
const MOST_TAGS: usize = 80;
/// Characters of the longest tag.
const LONGEST_TAG: usize = 255;

/// A project as clients read it.
pub(crate) fn project(at: &At, project: &Project) -> Value {
    let spec = &project.spec;
    let mut shown = fields(project);
    shown.insert("is_domain".to_owned(), json!(spec.is_domain));
    let domain = (!spec.is_domain).then(|| id::show(project.domain()));
    shown.insert("domain_id".to_owned(), json!(domain));
    shown.insert("parent_id".to_owned(), json!(spec.parent.map(id::show)));
    linked(at, "projects", &id::show(project.meta.id), shown)
}

/// A domain as clients read it.
pub(crate) fn domain(at: &At, domain: &Project) -> Value {
    linked(at, "domains", &id::show(domain.meta.id), fields(domain))
}

fn fields(project: &Project) -> Map<String, Value> {
    let spec = &project.spec;
    let mut shown = spec.extra.clone();
    for (name, value) in [
        ("description", json!(spec.description)),
        ("enabled", json!(spec.enabled)),
        ("id", json!(id::show(project.meta.id))),
        ("name", json!(project.meta.name)),
        ("options", options(spec.immutable)),
        ("tags", json!(spec.tags)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    shown
}

/// The options of what may be immutable.
pub(crate) fn options(immutable: Option<bool>) -> Value {
    match immutable {
        Some(immutable) => json!({ "immutable": immutable }),
        None => json!({}),
    }
}

/// A project to make.
pub(super) fn new_project(body: Value) -> Result<NewProject, ApiError> {
    let mut fields = Fields::of(body, "project")?;
    let is_domain = fields.switch("is_domain")?.unwrap_or(false);
    let domain = fields.id("domain_id", "domain")?.flatten();
    let parent = fields.id("parent_id", "project")?.flatten();
    Ok(NewProject {
        changes: changes(fields)?,
        is_domain,
        domain,
        parent,
        id: None,
    })
}

/// A domain to make.
pub(super) fn new_domain(body: Value) -> Result<NewProject, ApiError> {
    let mut fields = Fields::of(body, "domain")?;
    let chosen = fields.text("explicit_domain_id")?;
    let chosen = chosen.map(|text| {
        id::parse(&text).ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid input for field 'explicit_domain_id': '{text}' is not a UUID"
            ))
        })
    });
    Ok(NewProject {
        id: chosen.transpose()?,
        changes: changes(fields)?,
        is_domain: true,
        domain: None,
        parent: None,
    })
}

/// What is to be of a project.
pub(super) fn project_changes(body: Value, own: &Project) -> Result<Changes, ApiError> {
    let mut fields = Fields::of(body, "project")?;
    fields.same_id(&id::show(own.meta.id))?;
    if let Some(is_domain) = fields.switch("is_domain")?
        && is_domain != own.spec.is_domain
    {
        return Err(ApiError::invalid("Update of `is_domain` is not allowed."));
    }
    if let Some(parent) = fields.id("parent_id", "project")?
        && parent != own.spec.parent
    {
        return Err(ApiError::invalid("Update of `parent_id` is not allowed."));
    }
    if let Some(domain) = fields.id("domain_id", "domain")?
        && domain != Some(own.meta.project.0)
        && !own.spec.is_domain
    {
        return Err(ApiError::invalid("Cannot change Domain ID"));
    }
    changes(fields)
}

/// What is to be of a domain.
pub(super) fn domain_changes(body: Value, own: &str) -> Result<Changes, ApiError> {
    let mut fields = Fields::of(body, "domain")?;
    fields.same_id(own)?;
    changes(fields)
}

fn changes(mut fields: Fields) -> Result<Changes, ApiError> {
    let tags = fields.texts("tags")?.map(tags).transpose()?;
    Ok(Changes {
        name: fields.name_within(LONGEST_PROJECT_NAME)?,
        description: fields
            .nullable("description")?
            .map(Option::unwrap_or_default),
        enabled: fields.switch("enabled")?,
        tags,
        immutable: fields.immutable()?,
        extra: fields.rest(),
    })
}

/// Tags that may be.
pub(super) fn tags(tags: Vec<String>) -> Result<BTreeSet<String>, ApiError> {
    if tags.len() > MOST_TAGS {
        return Err(ApiError::invalid(format!(
            "Invalid input for field 'tags': {tags:?} is too long"
        )));
    }
    let count = tags.len();
    let unique: BTreeSet<String> = tags.into_iter().map(tag).collect::<Result<_, _>>()?;
    if unique.len() != count {
        return Err(ApiError::invalid(
            "Invalid input for field 'tags': it has non-unique elements",
        ));
    }
    Ok(unique)
}

/// A tag that may be.
pub(super) fn tag(tag: String) -> Result<String, ApiError> {
    if tag.is_empty() || tag.chars().count() > LONGEST_TAG || tag.contains(['/', ',']) {
        return Err(ApiError::invalid(format!(
            "Invalid input for field 'tags': '{tag}' does not match '^[^,/]*$', or is too long"
        )));
    }
    Ok(tag)
}
