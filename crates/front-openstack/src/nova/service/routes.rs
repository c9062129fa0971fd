//! Paths of services: on every node there is one that runs servers and one that places them, under the
//! names that clients know. What an operator says of the first is said of the node.

use actions::node::{self, View};
use actions::policy::{Action, Target};
use actions::zone;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use http::StatusCode;
use model::Id;
use model::node::Orders;
use serde_json::{Value, json};

use super::translate::{self, Change};
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::hypervisor::routes::{id, plain};
use crate::nova::zone::routes::INTERNAL;
use crate::nova::{Body, list};
use crate::route::Route;

/// One of the services that are on every node.
pub(in crate::nova) struct Service {
    /// Tells it from the node's others.
    number: u8,
    pub(in crate::nova) binary: &'static str,
    /// What old clients call it.
    pub(in crate::nova) topic: &'static str,
}

/// What runs servers, and what places them.
pub(in crate::nova) const SERVICES: [Service; 2] = [
    Service {
        number: 0,
        binary: "nova-compute",
        topic: "compute",
    },
    Service {
        number: 1,
        binary: "nova-scheduler",
        topic: "scheduler",
    },
];

impl Service {
    fn runs_servers(&self) -> bool {
        self.number == 0
    }

    /// New servers are kept away from its node.
    pub(in crate::nova) fn is_cordoned(&self, view: &View) -> bool {
        self.runs_servers() && view.node.orders.cordoned
    }

    fn is_forced_down(&self, view: &View) -> bool {
        self.runs_servers() && view.node.orders.forced_down
    }

    /// The zone that it is in.
    pub(in crate::nova) fn zone(&self, at: &At, view: &View) -> String {
        if self.runs_servers() {
            return zone::of_node(&at.cloud, view.node.meta.id);
        }
        INTERNAL.to_owned()
    }

    fn shown(&self, at: &At, view: &View) -> Value {
        let is_cordoned = self.is_cordoned(view);
        let is_up = match self.runs_servers() {
            true => view.is_up(),
            false => view.answers(),
        };
        let reason = view.node.orders.reason.as_ref();
        let mut shown = json!({
            "id": id(at, view.node.meta.id, self.number),
            "binary": self.binary,
            "host": view.node.meta.name,
            "zone": self.zone(at, view),
            "status": if is_cordoned { "disabled" } else { "enabled" },
            "state": if is_up { "up" } else { "down" },
            "updated_at": said_at(view),
            "disabled_reason": reason.filter(|_| is_cordoned),
        });
        if at.minor >= 11 {
            shown["forced_down"] = json!(self.is_forced_down(view));
        }
        shown
    }
}

pub(crate) fn routes() -> Vec<Route> {
    const ONE: &str = "/v2.1/os-services/{id}";
    vec![
        Route::new("/v2.1/os-services", "listServices", get(list)),
        Route::new(ONE, "updateService", put(update)),
        Route::new(ONE, "deleteService", delete(remove)),
    ]
}

/// When a node's services last said that they are there.
pub(in crate::nova) fn said_at(view: &View) -> Option<String> {
    let seen_at = view.status.as_ref()?.seen_at;
    Some(seen_at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string())
}

/// Every service of every node.
fn all(at: &At) -> Result<Vec<(&'static Service, View)>, ApiError> {
    let nodes = node::list(&at.cloud, &at.caller)?.into_iter();
    let services = nodes.flat_map(|view| SERVICES.iter().map(move |one| (one, view.clone())));
    Ok(services.collect())
}

async fn list(at: At) -> Result<Response, ApiError> {
    let all = all(&at)?;
    list::check_query(&at, &["host", "binary"])?;
    let is_wanted = |name: &str, value: &str| {
        let wanted = at.query.get(name);
        wanted.is_none_or(|wanted| wanted.is_empty() || wanted == value)
    };
    let shown: Vec<Value> = all
        .iter()
        .filter(|(service, view)| {
            is_wanted("host", &view.node.meta.name) && is_wanted("binary", service.binary)
        })
        .map(|(service, view)| service.shown(&at, view))
        .collect();
    Ok(Json(json!({ "services": shown })).into_response())
}

/// The service that a path names.
fn find(at: &At, wanted: &str) -> Result<(&'static Service, View), ApiError> {
    if at.minor >= 53 && wanted.parse::<Id>().is_err() {
        return Err(ApiError::invalid(format!("Invalid uuid {wanted}")));
    }
    let is_it = |(service, view): &(&Service, View)| {
        plain(&id(at, view.node.meta.id, service.number)) == wanted
    };
    all(at)?
        .into_iter()
        .find(is_it)
        .ok_or_else(|| ApiError::not_found(format!("Service {wanted} not found.")))
}

/// The service that a body names, as up to 2.52.
fn named(at: &At, host: &str, binary: &str) -> Result<(&'static Service, View), ApiError> {
    check_binary(binary)?;
    let is_it = |(service, view): &(&Service, View)| {
        service.binary == binary && view.node.meta.name == host
    };
    all(at)?.into_iter().find(is_it).ok_or_else(|| {
        ApiError::not_found(format!("Could not find binary {binary} on host {host}."))
    })
}

fn check_binary(binary: &str) -> Result<(), ApiError> {
    if SERVICES
        .iter()
        .any(|one| one.runs_servers() && one.binary == binary)
    {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Updating a {binary} service is not supported. Only nova-compute services can be updated."
    )))
}

async fn update(at: At, Path(wanted): Path<String>, body: Body) -> Result<Response, ApiError> {
    at.caller.may(Action::UpdateNode, &Target::SYSTEM)?;
    if at.minor < 53 {
        let asked = translate::named_change(&at, &wanted, body.0)?;
        let (_, view) = named(&at, &asked.host, &asked.binary)?;
        order(&at, &view, asked.change).await?;
        return Ok(Json(json!({ "service": asked.answer })).into_response());
    }
    let (service, view) = find(&at, &wanted)?;
    check_binary(service.binary)?;
    order(&at, &view, translate::change(body.0)?).await?;
    let (service, view) = find(&at, &wanted)?;
    Ok(Json(json!({ "service": service.shown(&at, &view) })).into_response())
}

async fn order(at: &At, view: &View, change: Change) -> Result<(), ApiError> {
    let give = |orders: &mut Orders| {
        if let Some(cordon) = &change.cordon {
            orders.cordoned = cordon.is_wanted;
            orders.reason.clone_from(&cordon.reason);
        }
        if let Some(forced_down) = change.forced_down {
            orders.forced_down = forced_down;
        }
    };
    node::order(&at.cloud, &at.caller, view.node.meta.id, give).await?;
    Ok(())
}

async fn remove(at: At, Path(wanted): Path<String>) -> Result<StatusCode, ApiError> {
    let (service, view) = find(&at, &wanted)?;
    if !service.runs_servers() {
        let message = format!(
            "The service {} is a part of the node {}, and goes with its nova-compute service.",
            service.binary, view.node.meta.name
        );
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    node::remove(&at.cloud, &at.caller, view.node.meta.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
