//! Paths of agents. There is one program on each node, which does the work of three that clients know;
//! none can be changed or removed by itself.

use actions::node;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;

use super::translate::{AGENTS, shown};
use crate::front::At;
use crate::neutron::answer::{self, Noun, Object};
use crate::neutron::error::ApiError;
use crate::neutron::fields::path_id;
use crate::route::Route;

pub(crate) const NOUN: Noun = Noun {
    one: "agent",
    many: "agents",
    path: "agents",
    kind: "Agent",
    attributes: &[
        "admin_state_up",
        "agent_type",
        "alive",
        "availability_zone",
        "binary",
        "host",
        "topic",
    ],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/agents", "listAgents", get(list)),
        Route::new("/v2.0/agents/{id}", "showAgent", get(show)),
    ]
}

/// The agents of every node; who does not run the installation sees none.
fn all(at: &At) -> Vec<Object> {
    let nodes = node::list(&at.cloud, &at.caller).unwrap_or_default();
    let agents = nodes
        .iter()
        .flat_map(|view| AGENTS.map(|agent| shown(at, view, &agent)));
    agents.collect()
}

async fn list(at: At) -> Result<Response, ApiError> {
    answer::list(&at, &NOUN, all(&at))
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let wanted = path_id(NOUN.kind, &id)?.to_string();
    let found = all(&at).into_iter().find(|agent| agent["id"] == wanted);
    let found = found.ok_or_else(|| ApiError::not_found(NOUN.kind, &id))?;
    Ok(answer::one(&at, &NOUN, found))
}
