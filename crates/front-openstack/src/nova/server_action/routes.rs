//! The path of servers' actions, and their table.

use std::pin::Pin;

use actions::server::Migration;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use model::Id;
use serde_json::Value;

use super::{power, refused, shape};
use crate::front::At;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::proxy;
use crate::nova::server::routes::path_id;
use crate::route::Route;

/// What an action comes to.
pub(super) type Outcome = Result<Response, ApiError>;
type Handler = fn(At, Id, Value) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Every action, by its name in the body.
const ACTIONS: &[(&str, Handler)] = &[
    ("os-start", |at, id, _| Box::pin(power::start(at, id))),
    ("os-stop", |at, id, _| Box::pin(power::stop(at, id))),
    ("reboot", |at, id, body| {
        Box::pin(power::reboot(at, id, body))
    }),
    ("pause", |at, id, _| Box::pin(power::pause(at, id))),
    ("unpause", |at, id, _| Box::pin(power::unpause(at, id))),
    ("suspend", |at, id, _| Box::pin(power::suspend(at, id))),
    ("resume", |at, id, _| Box::pin(power::resume(at, id))),
    ("shelve", |at, id, _| Box::pin(power::shelve(at, id))),
    ("shelveOffload", |at, id, _| {
        Box::pin(power::offload(at, id))
    }),
    ("unshelve", |at, id, _| Box::pin(power::unshelve(at, id))),
    ("lock", |at, id, body| Box::pin(shape::lock(at, id, body))),
    ("unlock", |at, id, _| Box::pin(shape::unlock(at, id))),
    ("os-resetState", |at, id, body| {
        Box::pin(shape::reset(at, id, body))
    }),
    ("forceDelete", |at, id, _| Box::pin(shape::remove(at, id))),
    ("resize", |at, id, body| {
        Box::pin(shape::resize(at, id, body))
    }),
    ("confirmResize", |at, id, _| {
        Box::pin(shape::confirm_resize(at, id))
    }),
    ("revertResize", |at, id, _| {
        Box::pin(shape::revert_resize(at, id))
    }),
    ("rebuild", |at, id, body| {
        Box::pin(shape::rebuild(at, id, body))
    }),
    ("createImage", |at, id, body| {
        Box::pin(shape::create_image(at, id, body))
    }),
    ("createBackup", |at, id, body| {
        Box::pin(shape::create_backup(at, id, body))
    }),
    ("addSecurityGroup", |at, id, body| {
        Box::pin(shape::add_group(at, id, body))
    }),
    ("removeSecurityGroup", |at, id, body| {
        Box::pin(shape::remove_group(at, id, body))
    }),
    ("os-getConsoleOutput", |at, id, body| {
        Box::pin(crate::nova::server_console::output(at, id, body))
    }),
    ("os-getSerialConsole", |at, id, body| {
        Box::pin(crate::nova::server_console::serial(at, id, body))
    }),
    ("restore", |at, id, _| Box::pin(refused::restore(at, id))),
    ("rescue", |at, id, _| Box::pin(refused::rescue(at, id))),
    ("unrescue", |at, id, _| Box::pin(refused::rescue(at, id))),
    ("changePassword", |at, id, _| {
        Box::pin(refused::password(at, id))
    }),
    ("resetNetwork", |at, id, _| {
        Box::pin(refused::reset_network(at, id))
    }),
    ("injectNetworkInfo", |at, id, _| {
        Box::pin(shape::inject_network(at, id))
    }),
    ("migrate", |at, id, _| {
        Box::pin(shape::migrate(at, id, Migration::Cold))
    }),
    ("os-migrateLive", |at, id, _| {
        Box::pin(shape::migrate(at, id, Migration::Live))
    }),
    ("evacuate", |at, id, _| {
        Box::pin(shape::migrate(at, id, Migration::Evacuation))
    }),
    ("trigger_crash_dump", |at, id, _| {
        Box::pin(refused::crash_dump(at, id))
    }),
    ("os-getVNCConsole", |at, id, _| {
        Box::pin(refused::console(at, id))
    }),
    ("os-getSPICEConsole", |at, id, _| {
        Box::pin(refused::console(at, id))
    }),
    ("os-getRDPConsole", |at, id, _| {
        Box::pin(refused::console(at, id))
    }),
    ("addFixedIp", |at, id, body| {
        Box::pin(proxy::fixed::add(at, id, body))
    }),
    ("removeFixedIp", |at, id, body| {
        Box::pin(proxy::fixed::remove(at, id, body))
    }),
    ("addFloatingIp", |at, id, body| {
        Box::pin(proxy::associate(at, id, body))
    }),
    ("removeFloatingIp", |at, id, body| {
        Box::pin(proxy::dissociate(at, id, body))
    }),
];

pub(crate) fn routes() -> Vec<Route> {
    let paths = [
        "/v2.1/servers/{id}/action",
        "/v2.1/os-volumes_boot/{id}/action",
    ];
    let names = || ACTIONS.iter().map(|(name, _)| *name).collect();
    paths
        .map(|path| Route::several(path, names(), post(act)))
        .into()
}

/// Something has begun.
pub(super) fn accepted() -> Outcome {
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn act(at: At, Path(id): Path<String>, body: Body) -> Outcome {
    let mut document = Fields::document(body.0)?;
    let names: Vec<String> = document.names().map(str::to_owned).collect();
    let [name] = names.as_slice() else {
        return Err(ApiError::invalid("Malformed request body"));
    };
    let (_, handler) = ACTIONS
        .iter()
        .find(|(known, _)| known == name)
        .ok_or_else(|| ApiError::invalid(format!("There is no such action: {name}")))?;
    let said = document.take(name).unwrap_or_default();
    handler(at, path_id(&id)?, said).await
}
