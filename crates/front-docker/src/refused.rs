//! Operations that this daemon does not carry out, each with a clear answer in dockerd's envelope.
//!
//! What swarm mode would do is answered as dockerd does with swarm mode off.

use axum::routing::{MethodFilter, MethodRouter, on};
use http::StatusCode;

use crate::error::ApiError;
use crate::front::Front;
use crate::router::Route;

/// dockerd's words where swarm mode is off.
pub(crate) const NO_SWARM: &str = r#"This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again."#;

/// A status and what is said.
type Answer = (StatusCode, &'static str);

const SWARM: Answer = (StatusCode::SERVICE_UNAVAILABLE, NO_SWARM);
const SWARM_LEAVE: Answer = (
    StatusCode::SERVICE_UNAVAILABLE,
    "This node is not part of a swarm",
);
const SWARM_OFF: Answer = (
    StatusCode::NOT_IMPLEMENTED,
    "swarm mode is not supported by this daemon",
);
const PLUGINS: Answer = (
    StatusCode::NOT_IMPLEMENTED,
    "plugins are not supported by this daemon",
);
#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
    Put,
    Delete,
}

const REFUSED: [(Method, &str, &str, Answer); 40] = [
    (
        Method::Get,
        "/plugins/privileges",
        "GetPluginPrivileges",
        PLUGINS,
    ),
    (Method::Post, "/plugins/pull", "PluginPull", PLUGINS),
    (Method::Post, "/plugins/create", "PluginCreate", PLUGINS),
    (Method::Delete, "/plugins/{name}", "PluginDelete", PLUGINS),
    (
        Method::Post,
        "/plugins/{name}/enable",
        "PluginEnable",
        PLUGINS,
    ),
    (
        Method::Post,
        "/plugins/{name}/disable",
        "PluginDisable",
        PLUGINS,
    ),
    (
        Method::Post,
        "/plugins/{name}/upgrade",
        "PluginUpgrade",
        PLUGINS,
    ),
    (Method::Post, "/plugins/{name}/push", "PluginPush", PLUGINS),
    (Method::Post, "/plugins/{name}/set", "PluginSet", PLUGINS),
    (Method::Put, "/volumes/{name}", "VolumeUpdate", SWARM),
    (Method::Get, "/swarm", "SwarmInspect", SWARM),
    (Method::Post, "/swarm/init", "SwarmInit", SWARM_OFF),
    (Method::Post, "/swarm/join", "SwarmJoin", SWARM_OFF),
    (Method::Post, "/swarm/leave", "SwarmLeave", SWARM_LEAVE),
    (Method::Post, "/swarm/update", "SwarmUpdate", SWARM),
    (Method::Get, "/swarm/unlockkey", "SwarmUnlockkey", SWARM),
    (Method::Post, "/swarm/unlock", "SwarmUnlock", SWARM),
    (Method::Get, "/nodes", "NodeList", SWARM),
    (Method::Get, "/nodes/{id}", "NodeInspect", SWARM),
    (Method::Delete, "/nodes/{id}", "NodeDelete", SWARM),
    (Method::Post, "/nodes/{id}/update", "NodeUpdate", SWARM),
    (Method::Get, "/services", "ServiceList", SWARM),
    (Method::Post, "/services/create", "ServiceCreate", SWARM),
    (Method::Get, "/services/{id}", "ServiceInspect", SWARM),
    (Method::Delete, "/services/{id}", "ServiceDelete", SWARM),
    (
        Method::Post,
        "/services/{id}/update",
        "ServiceUpdate",
        SWARM,
    ),
    (Method::Get, "/secrets", "SecretList", SWARM),
    (Method::Post, "/secrets/create", "SecretCreate", SWARM),
    (Method::Get, "/secrets/{id}", "SecretInspect", SWARM),
    (Method::Delete, "/secrets/{id}", "SecretDelete", SWARM),
    (Method::Post, "/secrets/{id}/update", "SecretUpdate", SWARM),
    (Method::Get, "/configs", "ConfigList", SWARM),
    (Method::Post, "/configs/create", "ConfigCreate", SWARM),
    (Method::Get, "/configs/{id}", "ConfigInspect", SWARM),
    (Method::Delete, "/configs/{id}", "ConfigDelete", SWARM),
    (Method::Post, "/configs/{id}/update", "ConfigUpdate", SWARM),
    (Method::Get, "/services/{id}/logs", "ServiceLogs", SWARM),
    (Method::Get, "/tasks", "TaskList", SWARM),
    (Method::Get, "/tasks/{id}", "TaskInspect", SWARM),
    (Method::Get, "/tasks/{id}/logs", "TaskLogs", SWARM),
];

pub(crate) fn routes() -> Vec<Route> {
    REFUSED
        .iter()
        .map(|&(method, path, operation, answer)| {
            Route::new(path, operation, refusal(method, answer))
        })
        .collect()
}

fn refusal(method: Method, (status, words): Answer) -> MethodRouter<Front> {
    let filter = match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Delete => MethodFilter::DELETE,
    };
    on(filter, move || {
        std::future::ready(ApiError::new(status, words))
    })
}
