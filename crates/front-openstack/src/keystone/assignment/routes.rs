//! Paths of assignments: grants in projects, domains and the system, and the list of all.

use actions::identity::assignment::{self, Filter};
use axum::Json as Answer;
use axum::extract::RawPathParams;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use http::StatusCode;
use model::Id;
use model::assignment::{Actor, Grant, Target};
use serde_json::{Value, json};

use super::translate;
use crate::front::At;
use crate::keystone::answer;
use crate::keystone::error::ApiError;
use crate::keystone::fields::parse;
use crate::keystone::{project as projects, role as roles};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::new("/v3/role_assignments", "listRoleAssignments", get(list)),
        Route::new("/v3/auth/projects", "listOwnProjects", get(own_projects)),
        Route::new("/v3/auth/domains", "listOwnDomains", get(own_domains)),
        Route::new("/v3/auth/system", "listOwnSystems", get(own_system)),
        Route::new(
            "/v3/OS-FEDERATION/projects",
            "listFederatedProjects",
            get(own_projects),
        ),
        Route::new(
            "/v3/OS-FEDERATION/domains",
            "listFederatedDomains",
            get(own_domains),
        ),
    ];
    // Each place and actor has the same four operations.
    for (path, of_one) in [
        (
            "/v3/projects/{project_id}/users/{user_id}/roles",
            "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}",
        ),
        (
            "/v3/projects/{project_id}/groups/{group_id}/roles",
            "/v3/projects/{project_id}/groups/{group_id}/roles/{role_id}",
        ),
        (
            "/v3/domains/{domain_id}/users/{user_id}/roles",
            "/v3/domains/{domain_id}/users/{user_id}/roles/{role_id}",
        ),
        (
            "/v3/domains/{domain_id}/groups/{group_id}/roles",
            "/v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}",
        ),
        (
            "/v3/system/users/{user_id}/roles",
            "/v3/system/users/{user_id}/roles/{role_id}",
        ),
        (
            "/v3/system/groups/{group_id}/roles",
            "/v3/system/groups/{group_id}/roles/{role_id}",
        ),
        (
            "/v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/inherited_to_projects",
            "/v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
        ),
        (
            "/v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/inherited_to_projects",
            "/v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
        ),
        (
            "/v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects",
            "/v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
        ),
        (
            "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects",
            "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
        ),
    ] {
        routes.push(Route::new(path, "listGrants", get(granted)));
        routes.push(Route::new(of_one, "checkGrant", get(check)));
        routes.push(Route::new(of_one, "createGrant", put(grant)));
        routes.push(Route::new(of_one, "revokeGrant", delete(revoke)));
    }
    routes
}

/// Who, where and how, as the path says; and the role, where there is one in it.
struct Ends {
    actor: Actor,
    place: Target,
    inherited: bool,
    role: Option<Id>,
}

impl Ends {
    fn of(params: &RawPathParams, path: &str) -> Result<Self, ApiError> {
        let mut ends = Self {
            actor: Actor::User(Id::well_known(0)),
            place: Target::System,
            inherited: path.contains("/OS-INHERIT/"),
            role: None,
        };
        for (name, text) in params {
            match name {
                "project_id" => ends.place = Target::Project(parse("project", text)?),
                "domain_id" => ends.place = Target::Domain(parse("domain", text)?),
                "user_id" => ends.actor = Actor::User(parse("user", text)?),
                "group_id" => ends.actor = Actor::Group(parse("group", text)?),
                _ => ends.role = Some(parse("role", text)?),
            }
        }
        Ok(ends)
    }

    fn grant(params: &RawPathParams, path: &str) -> Result<Grant, ApiError> {
        let ends = Self::of(params, path)?;
        Ok(Grant {
            actor: ends.actor,
            target: ends.place,
            role: ends.role.ok_or_else(|| ApiError::not_found("role", ""))?,
            inherited: ends.inherited,
        })
    }
}

async fn granted(at: At, uri: http::Uri, params: RawPathParams) -> Result<Response, ApiError> {
    let ends = Ends::of(&params, uri.path())?;
    let found = assignment::granted(
        &at.cloud,
        &at.caller,
        ends.actor,
        ends.place,
        ends.inherited,
    )?;
    let shown = found.iter().map(|role| roles::translate::role(&at, role));
    let path = uri.path().trim_start_matches("/v3/");
    answer::list(&at, path, "roles", shown.collect())
}

async fn check(at: At, uri: http::Uri, params: RawPathParams) -> Result<StatusCode, ApiError> {
    assignment::check(&at.cloud, &at.caller, &Ends::grant(&params, uri.path())?)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn grant(at: At, uri: http::Uri, params: RawPathParams) -> Result<StatusCode, ApiError> {
    assignment::grant(&at.cloud, &at.caller, Ends::grant(&params, uri.path())?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke(at: At, uri: http::Uri, params: RawPathParams) -> Result<StatusCode, ApiError> {
    assignment::revoke(&at.cloud, &at.caller, Ends::grant(&params, uri.path())?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(at: At) -> Result<Response, ApiError> {
    let wanted = |name: &str, noun: &str| {
        at.query
            .get(name)
            .filter(|text| !text.is_empty())
            .map(|text| parse(noun, text))
            .transpose()
    };
    let project = wanted("scope.project.id", "project")?;
    let domain = wanted("scope.domain.id", "domain")?;
    let system = at.query.has("scope.system");
    let place = match (project, domain, system) {
        (None, None, false) => None,
        (Some(id), None, false) => Some(Target::Project(id)),
        (None, Some(id), false) => Some(Target::Domain(id)),
        (None, None, true) => Some(Target::System),
        _ => {
            return Err(ApiError::invalid(
                "Specify a domain or project or system, not several of them",
            ));
        }
    };
    let filter = Filter {
        user: wanted("user.id", "user")?,
        group: wanted("group.id", "group")?,
        role: wanted("role.id", "role")?,
        place,
        subtree: at.query.switch("include_subtree").unwrap_or(false),
        inherited: at
            .query
            .get("scope.OS-INHERIT:inherited_to")
            .map(|to| to == "projects"),
        effective: at.query.switch("effective").unwrap_or(false),
    };
    if filter.user.is_some() && filter.group.is_some() {
        return Err(ApiError::invalid("Specify a user or group, not both"));
    }
    let names = at.query.switch("include_names").unwrap_or(false);
    let shown: Vec<Value> = assignment::list(&at.cloud, &at.caller, &filter)?
        .iter()
        .map(|one| translate::listed(&at, one, names))
        .collect();
    answer::list(&at, "role_assignments", "role_assignments", shown)
}

async fn own_projects(at: At) -> Result<Response, ApiError> {
    let found = assignment::own_projects(&at.cloud, &at.caller);
    let shown = found
        .iter()
        .map(|project| projects::translate::project(&at, project));
    answer::list(&at, "auth/projects", "projects", shown.collect())
}

async fn own_domains(at: At) -> Result<Response, ApiError> {
    let found = assignment::own_domains(&at.cloud, &at.caller);
    let shown = found
        .iter()
        .map(|domain| projects::translate::domain(&at, domain));
    answer::list(&at, "auth/domains", "domains", shown.collect())
}

async fn own_system(at: At) -> Response {
    let systems = if assignment::is_in_system(&at.cloud, &at.caller) {
        json!([{ "all": true }])
    } else {
        json!([])
    };
    let own = format!("{}/auth/system", answer::root(&at));
    Answer(json!({ "system": systems, "links": { "self": own } })).into_response()
}
