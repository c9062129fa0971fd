//! Paths of projects and domains.

use actions::identity::project::{self, Changes};
use axum::Json as Answer;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use http::StatusCode;
use model::project::Project;
use serde_json::{Map, Value, json};

use super::translate;
use crate::front::At;
use crate::id;
use crate::keystone::Body;
use crate::keystone::answer::{self, fits, fits_switch};
use crate::keystone::error::ApiError;
use crate::keystone::fields::{Fields, parse};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/projects", "listProjects", get(list)),
        Route::new("/v3/projects", "createProject", post(create)),
        Route::new("/v3/projects/{project_id}", "showProject", get(show)),
        Route::new("/v3/projects/{project_id}", "updateProject", patch(update)),
        Route::new("/v3/projects/{project_id}", "deleteProject", delete(remove)),
        Route::new(
            "/v3/projects/{project_id}/tags",
            "listProjectTags",
            get(list_tags),
        ),
        Route::new(
            "/v3/projects/{project_id}/tags",
            "replaceProjectTags",
            put(set_tags),
        ),
        Route::new(
            "/v3/projects/{project_id}/tags",
            "deleteProjectTags",
            delete(remove_tags),
        ),
        Route::new(
            "/v3/projects/{project_id}/tags/{tag}",
            "showProjectTag",
            get(has_tag),
        ),
        Route::new(
            "/v3/projects/{project_id}/tags/{tag}",
            "addProjectTag",
            put(add_tag),
        ),
        Route::new(
            "/v3/projects/{project_id}/tags/{tag}",
            "deleteProjectTag",
            delete(remove_tag),
        ),
        Route::new("/v3/domains", "listDomains", get(list_domains)),
        Route::new("/v3/domains", "createDomain", post(create_domain)),
        Route::new("/v3/domains/{domain_id}", "showDomain", get(show_domain)),
        Route::new(
            "/v3/domains/{domain_id}",
            "updateDomain",
            patch(update_domain),
        ),
        Route::new(
            "/v3/domains/{domain_id}",
            "deleteDomain",
            delete(remove_domain),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let is_domain = at.query.switch("is_domain").unwrap_or(false);
    let wanted = |name: &str| at.query.get(name).map(id::parse);
    let (domain, parent) = (wanted("domain_id"), wanted("parent_id"));
    let found = project::list(&at.cloud, &at.caller, |project| {
        project.spec.is_domain == is_domain
            && domain.is_none_or(|domain| {
                domain == Some(project.meta.project.0) && !project.spec.is_domain
            })
            && parent.is_none_or(|parent| parent == project.spec.parent)
            && fits(&at, "name", &project.meta.name)
            && fits_switch(&at, "enabled", project.spec.enabled)
            && fits_tags(&at, project)
    })?;
    let shown = found.iter().map(|project| translate::project(&at, project));
    answer::list(&at, "projects", "projects", shown.collect())
}

/// Whether a project's tags fit the four filters on tags.
fn fits_tags(at: &At, project: &Project) -> bool {
    let holds = |name: &str, fits: &dyn Fn(&[&str]) -> bool| {
        at.query
            .get(name)
            .is_none_or(|wanted| fits(&wanted.split(',').collect::<Vec<_>>()))
    };
    let has = |tag: &&str| project.spec.tags.contains(*tag);
    holds("tags", &|tags| tags.iter().all(has))
        && holds("tags-any", &|tags| tags.iter().any(has))
        && holds("not-tags", &|tags| !tags.iter().all(has))
        && holds("not-tags-any", &|tags| !tags.iter().any(has))
}

async fn create(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let new = translate::new_project(body.0)?;
    let made = project::create(&at.cloud, &at.caller, new).await?;
    Ok(answer::made("project", translate::project(&at, &made)))
}

async fn show(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let id = parse("project", &text)?;
    let found = project::get(&at.cloud, &at.caller, id)?;
    let mut shown = translate::project(&at, &found);
    let wrapped = |projects: &[std::sync::Arc<Project>]| -> Value {
        projects
            .iter()
            .map(|project| json!({ "project": translate::project(&at, project) }))
            .collect()
    };
    if at.query.has("parents_as_list") {
        shown["parents"] = wrapped(&project::above(&at.cloud, &at.caller, id)?);
    }
    if at.query.has("subtree_as_list") {
        shown["subtree"] = wrapped(&project::below(&at.cloud, &at.caller, id)?);
    }
    if at.query.has("parents_as_ids") {
        let above = project::above(&at.cloud, &at.caller, id)?;
        shown["parents"] = above.iter().rev().fold(
            Value::Null,
            |inner, project| json!({ id::show(project.meta.id): inner }),
        );
    }
    if at.query.has("subtree_as_ids") {
        let below = project::below(&at.cloud, &at.caller, id)?;
        shown["subtree"] = tree(&below, id);
    }
    Ok(answer::one("project", shown))
}

/// The identities of what is below a project, each with those below it.
fn tree(below: &[std::sync::Arc<Project>], root: model::Id) -> Value {
    let children: Map<String, Value> = below
        .iter()
        .filter(|project| project.spec.parent == Some(root))
        .map(|project| (id::show(project.meta.id), tree(below, project.meta.id)))
        .collect();
    if children.is_empty() {
        Value::Null
    } else {
        Value::Object(children)
    }
}

async fn update(at: At, Path(text): Path<String>, body: Body<Value>) -> Result<Response, ApiError> {
    let id = parse("project", &text)?;
    let own = project::get(&at.cloud, &at.caller, id)?;
    let changes = translate::project_changes(body.0, &own)?;
    let changed = project::update(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one("project", translate::project(&at, &changed)))
}

async fn remove(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    project::delete(&at.cloud, &at.caller, parse("project", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_tags(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = project::get(&at.cloud, &at.caller, parse("project", &text)?)?;
    Ok(tags(&at, &found))
}

fn tags(at: &At, project: &Project) -> Response {
    let own = format!(
        "{}/projects/{}/tags",
        answer::root(at),
        id::show(project.meta.id)
    );
    let links = json!({ "next": null, "previous": null, "self": own });
    Answer(json!({ "tags": project.spec.tags, "links": links })).into_response()
}

async fn set_tags(
    at: At,
    Path(text): Path<String>,
    body: Body<Value>,
) -> Result<Response, ApiError> {
    let id = parse("project", &text)?;
    let mut fields = Fields::of(json!({ "tags": body.0 }), "tags")?;
    let wanted = fields
        .texts("tags")?
        .ok_or_else(|| crate::keystone::fields::missing("tags"))?;
    let changes = Changes {
        tags: Some(translate::tags(wanted)?),
        ..Changes::default()
    };
    let changed = project::update(&at.cloud, &at.caller, id, changes).await?;
    Ok(tags(&at, &changed))
}

async fn remove_tags(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    let changes = Changes {
        tags: Some(std::collections::BTreeSet::new()),
        ..Changes::default()
    };
    project::update(&at.cloud, &at.caller, parse("project", &text)?, changes).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn has_tag(
    at: At,
    Path((text, tag)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let found = project::get(&at.cloud, &at.caller, parse("project", &text)?)?;
    if found.spec.tags.contains(&tag) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found("project tag", &tag))
    }
}

async fn add_tag(at: At, Path((text, tag)): Path<(String, String)>) -> Result<Response, ApiError> {
    let id = parse("project", &text)?;
    let mut tags = project::get(&at.cloud, &at.caller, id)?.spec.tags.clone();
    tags.insert(translate::tag(tag.clone())?);
    let changes = Changes {
        tags: Some(translate::tags(tags.into_iter().collect())?),
        ..Changes::default()
    };
    project::update(&at.cloud, &at.caller, id, changes).await?;
    let own = format!("{}/projects/{text}/tags/{tag}", answer::root(&at));
    Ok((StatusCode::CREATED, [(http::header::LOCATION, own)]).into_response())
}

async fn remove_tag(
    at: At,
    Path((text, tag)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let id = parse("project", &text)?;
    let mut tags = project::get(&at.cloud, &at.caller, id)?.spec.tags.clone();
    if !tags.remove(&tag) {
        return Err(ApiError::not_found("project tag", &tag));
    }
    let changes = Changes {
        tags: Some(tags),
        ..Changes::default()
    };
    project::update(&at.cloud, &at.caller, id, changes).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_domains(at: At) -> Result<Response, ApiError> {
    let found = project::list_domains(&at.cloud, &at.caller, |domain| {
        fits(&at, "name", &domain.meta.name) && fits_switch(&at, "enabled", domain.spec.enabled)
    })?;
    let shown = found.iter().map(|domain| translate::domain(&at, domain));
    answer::list(&at, "domains", "domains", shown.collect())
}

async fn create_domain(at: At, body: Body<Value>) -> Result<Response, ApiError> {
    let new = translate::new_domain(body.0)?;
    let made = project::create(&at.cloud, &at.caller, new).await?;
    Ok(answer::made("domain", translate::domain(&at, &made)))
}

async fn show_domain(at: At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let found = project::get_domain(&at.cloud, &at.caller, parse("domain", &text)?)?;
    Ok(answer::one("domain", translate::domain(&at, &found)))
}

async fn update_domain(
    at: At,
    Path(text): Path<String>,
    body: Body<Value>,
) -> Result<Response, ApiError> {
    let id = project::get_domain(&at.cloud, &at.caller, parse("domain", &text)?)?
        .meta
        .id;
    let changes = translate::domain_changes(body.0, &id::show(id))?;
    let changed = project::update(&at.cloud, &at.caller, id, changes).await?;
    Ok(answer::one("domain", translate::domain(&at, &changed)))
}

async fn remove_domain(at: At, Path(text): Path<String>) -> Result<StatusCode, ApiError> {
    project::delete_domain(&at.cloud, &at.caller, parse("domain", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
