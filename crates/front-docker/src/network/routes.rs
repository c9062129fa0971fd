//! Paths of networks.

use actions::{ErrorKind, network};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use model::network::Network;
use serde_json::json;

use super::lookup::find;
use super::translate::{driver_word, from_model, to_model};
use super::wire::{Connect, Create, Created, Disconnect};
use crate::container::create::Around;
use crate::container::lookup::{about, find as find_container};
use crate::container::prune::{is_wanted, until};
use crate::container::translate::network::attachment;
use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::{At, Path};
use crate::id::docker_id;
use crate::json::Json;
use crate::router::Route;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const PRUNE_FILTERS: [&str; 3] = ["label", "label!", "until"];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/networks", "NetworkList", get(list)),
        Route::new("/networks/", "NetworkList", get(list)),
        Route::new("/networks/create", "NetworkCreate", post(create)),
        Route::new("/networks/prune", "NetworkPrune", post(prune)),
        Route::new("/networks/{id}", "NetworkInspect", get(inspect)),
        Route::new(
            "/networks/{id}",
            "NetworkDelete",
            axum::routing::delete(remove),
        ),
        Route::new("/networks/{id}/connect", "NetworkConnect", post(connect)),
        Route::new(
            "/networks/{id}/disconnect",
            "NetworkDisconnect",
            post(disconnect),
        ),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let dangling = filters.boolean("dangling")?;
    if let Some(kind) = filters
        .values("type")
        .find(|kind| !matches!(*kind, "builtin" | "custom"))
    {
        return Err(ApiError::invalid(format!(
            "invalid filter: 'type'='{kind}'"
        )));
    }
    let (names, ids) = (filters.patterns("name"), filters.patterns("id"));
    let is_unused = |network: &Network| {
        !network.spec.predefined
            && network::members(&at.cloud, &at.caller, network.meta.id).is_empty()
    };
    let is_shown = |network: &Network| {
        let kind = if network.spec.predefined {
            "builtin"
        } else {
            "custom"
        };
        names.matches(&network.meta.name)
            && ids.matches(&docker_id(network.meta.id))
            && filters.matches_exactly("driver", driver_word(network.spec.driver))
            && filters.matches_exactly("scope", "local")
            && filters.matches_exactly("type", kind)
            && filters.matches_labels("label", &network.meta.labels)
            && dangling.is_none_or(|dangling| dangling == is_unused(network))
    };
    let networks: Vec<_> = network::list(&at.cloud, &at.caller)
        .iter()
        .filter(|network| is_shown(network))
        .map(|network| {
            // Later versions leave the containers to inspect.
            let members = if at.version.has(28) {
                Vec::new()
            } else {
                network::members(&at.cloud, &at.caller, network.meta.id)
            };
            from_model(network, &members)
        })
        .collect();
    Ok(axum::Json(networks).into_response())
}

async fn inspect(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    match at.form.get("verbose") {
        "" | "0" | "1" | "t" | "T" | "true" | "TRUE" | "True" | "f" | "F" | "false" | "FALSE"
        | "False" => {}
        text => {
            return Err(ApiError::invalid(format!(
                "invalid value for verbose: {text}: strconv.ParseBool: parsing {text:?}: invalid syntax"
            )));
        }
    }
    let network = find(&at, &id)?;
    if !matches!(at.form.get("scope"), "" | "local") {
        return Err(ApiError::not_found(format!("network {id} not found")));
    }
    let members = network::members(&at.cloud, &at.caller, network.meta.id);
    Ok(axum::Json(from_model(&network, &members)).into_response())
}

async fn create(at: At, Json(create): Json<Create>) -> Result<Response, ApiError> {
    let new = to_model(create.unwrap_or_default(), at.version)?;
    let name = new.name.clone();
    let id = network::create(&at.cloud, &at.caller, new)
        .await
        .map_err(|error| {
            if error.kind == ErrorKind::AlreadyExists {
                ApiError::conflict(format!("network with name {name} already exists"))
            } else {
                error.into()
            }
        })?;
    let answer = Created {
        id: docker_id(id),
        warning: String::new(),
    };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let network = find(&at, &id)?;
    let name = &network.meta.name;
    if network.spec.predefined {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!("{name} is a pre-defined network and cannot be removed"),
        ));
    }
    let members = network::members(&at.cloud, &at.caller, network.meta.id);
    let active: Vec<_> = members
        .iter()
        .filter_map(|view| {
            let endpoint = view
                .status
                .endpoints
                .iter()
                .find(|endpoint| endpoint.network == network.meta.id)?;
            Some(format!(
                "name:{:?} id:{:?}",
                view.instance.meta.name,
                &docker_id(endpoint.id)[..12]
            ))
        })
        .collect();
    if !active.is_empty() {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!(
                "error while removing network: network {name} has active endpoints ({})",
                active.join(", ")
            ),
        ));
    }
    network::remove(&at.cloud, &at.caller, network.meta.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn connect(
    at: At,
    Path(id): Path<String>,
    Json(connect): Json<Connect>,
) -> Result<StatusCode, ApiError> {
    let connect = connect.unwrap_or_default();
    let network = find(&at, &id)?;
    let container = find_container(&at, &connect.container)?.instance.meta.id;
    let around = Around::new(&at)?;
    let mut settings = connect.endpoint_config.unwrap_or_default();
    if !at.version.has(48) {
        settings.gw_priority = 0;
    }
    let attachment = attachment(&network, Some(&settings), &[], &around)?;
    network::connect(
        &at.cloud,
        &at.caller,
        network.meta.id,
        container,
        attachment,
    )
    .await
    .map_err(|error| about(container, error))?;
    Ok(StatusCode::OK)
}

async fn disconnect(
    at: At,
    Path(id): Path<String>,
    Json(disconnect): Json<Disconnect>,
) -> Result<StatusCode, ApiError> {
    // Nothing is left to force: what is gone is not shown.
    let Disconnect {
        container,
        force: _,
    } = disconnect.unwrap_or_default();
    let network = find(&at, &id)?;
    let container = find_container(&at, &container)?.instance.meta.id;
    network::disconnect(&at.cloud, &at.caller, network.meta.id, container)
        .await
        .map_err(|error| about(container, error))?;
    Ok(StatusCode::OK)
}

async fn prune(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &PRUNE_FILTERS)?;
    let until = until(&filters)?;
    let mut deleted = Vec::new();
    for network in network::list(&at.cloud, &at.caller) {
        let meta = &network.meta;
        if network.spec.predefined
            || !network::members(&at.cloud, &at.caller, meta.id).is_empty()
            || !is_wanted(&filters, until, meta.created_at, &meta.labels)
        {
            continue;
        }
        match network::remove(&at.cloud, &at.caller, meta.id).await {
            Ok(()) => deleted.push(meta.name.clone()),
            // Used, or removed, since we looked.
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Forbidden
                ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let deleted = Some(deleted).filter(|deleted| !deleted.is_empty());
    Ok(axum::Json(json!({ "NetworksDeleted": deleted })).into_response())
}
