//! Paths of the service's parts, hosts, pools and capabilities.

use actions::policy::{Action, Target};
use actions::{snapshot, volume};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde_json::{Value, json};

use super::translate;
use crate::cinder::Body;
use crate::cinder::error::ApiError;
use crate::cinder::fields::Fields;
use crate::cinder::here::{Here, Of};
use crate::cinder::volume::translate::HOST;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/{project}/os-services", "listServices", get(services)),
        Route::several(
            "/v3/{project}/os-services/{action}",
            vec!["enableService", "disableService"],
            put(update_service),
        ),
        Route::new("/v3/{project}/os-hosts", "listHosts", get(hosts)),
        Route::new("/v3/{project}/os-hosts/{host}", "showHost", get(host)),
        Route::new(
            "/v3/{project}/scheduler-stats/get_pools",
            "listPools",
            get(pools),
        ),
        Route::new(
            "/v3/{project}/capabilities/{host}",
            "showCapabilities",
            get(capabilities),
        ),
    ]
}

async fn services(here: Here) -> Result<Response, ApiError> {
    here.caller
        .may(Action::ListVolumeServices, &Target::SYSTEM)?;
    let wants_binary = here.query.get("binary");
    let wants_host = here.query.get("host");
    let services: Vec<Value> = translate::parts()
        .into_iter()
        .filter(|(binary, host)| {
            wants_binary.is_none_or(|wanted| wanted == *binary)
                && wants_host.is_none_or(|wanted| translate::is_host(host, wanted))
        })
        .map(|(binary, host)| translate::service(binary, host))
        .collect();
    Ok(Json(json!({ "services": services })).into_response())
}

/// Refuses what cannot be done to a service that is a part of the daemon.
async fn update_service(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    here.caller
        .may(Action::UpdateVolumeServices, &Target::SYSTEM)?;
    let mut fields = Fields::all(body.0, "body")?;
    let (host, binary) = (fields.text("host")?, fields.text("binary")?);
    let host = host.ok_or_else(|| ApiError::invalid("'host' is a required property"))?;
    match path.1.as_str() {
        "enable" | "disable" | "disable-log-reason" => {
            if path.1 == "disable-log-reason" && fields.text("disabled_reason")?.is_none() {
                return Err(ApiError::invalid(
                    "'disabled_reason' is a required property",
                ));
            }
            let binary = binary.as_deref().unwrap_or_default();
            let is_known = translate::parts()
                .into_iter()
                .any(|part| part.0 == binary && translate::is_host(part.1, &host));
            if !is_known {
                return Err(ApiError::not_found(format!(
                    "Service {binary} could not be found on host {host}."
                )));
            }
        }
        "freeze" | "thaw" | "failover_host" | "set-log" | "get-log" => {}
        _ => return Err(ApiError::not_found("Unknown action")),
    }
    Err(ApiError::invalid(format!(
        "{}: {host} is a part of the daemon, and runs as long as that does",
        path.1
    )))
}

async fn hosts(here: Here) -> Result<Response, ApiError> {
    here.caller.may(Action::ListVolumeHosts, &Target::SYSTEM)?;
    let hosts = translate::parts().map(|(binary, host)| translate::host(binary, host));
    Ok(Json(json!({ "hosts": hosts })).into_response())
}

async fn host(here: Here, path: Of) -> Result<Response, ApiError> {
    here.caller.may(Action::ListVolumeHosts, &Target::SYSTEM)?;
    check_host(&path.1)?;
    let volumes = volume::list_all(&here.cloud, &here.caller, true)?;
    let snapshots = snapshot::list(&here.cloud, &here.caller, true)?;
    let held = translate::held(translate::backend(), &volumes, &snapshots);
    Ok(Json(json!({ "host": held })).into_response())
}

/// Refuses a host that is not the one where volumes are.
fn check_host(name: &str) -> Result<(), ApiError> {
    if name == HOST || translate::is_host(translate::backend(), name) {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "Host {name} could not be found."
    )))
}

async fn pools(here: Here) -> Result<Response, ApiError> {
    here.caller.may(Action::ListVolumePools, &Target::SYSTEM)?;
    let mut pool = json!({ "name": HOST });
    if here.wants("detail") {
        pool["capabilities"] = translate::pool();
    }
    Ok(Json(json!({ "pools": [pool] })).into_response())
}

async fn capabilities(here: Here, path: Of) -> Result<Response, ApiError> {
    here.caller
        .may(Action::ShowVolumeCapabilities, &Target::SYSTEM)?;
    check_host(&path.1)?;
    Ok(Json(translate::capabilities()).into_response())
}
