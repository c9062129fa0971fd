//! Paths of subnets.

use actions::subnet;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use http::StatusCode;

use super::translate;
use crate::front::At;
use crate::neutron::answer::{self, Noun};
use crate::neutron::error::ApiError;
use crate::neutron::fields::path_id;
use crate::neutron::{Body, bulk};
use crate::route::Route;

pub(crate) const NOUN: Noun = Noun {
    one: "subnet",
    many: "subnets",
    path: "subnets",
    kind: "Subnet",
    attributes: &[
        "network_id",
        "ip_version",
        "cidr",
        "gateway_ip",
        "enable_dhcp",
        "ipv6_address_mode",
        "ipv6_ra_mode",
        "dns_nameservers",
        "subnetpool_id",
        "segment_id",
    ],
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.0/subnets", "listSubnets", get(list)),
        Route::new("/v2.0/subnets", "createSubnet", post(create)),
        Route::new("/v2.0/subnets/{id}", "showSubnet", get(show)),
        Route::new("/v2.0/subnets/{id}", "updateSubnet", put(update)),
        Route::new("/v2.0/subnets/{id}", "deleteSubnet", delete(remove)),
    ]
}

async fn list(at: At) -> Result<Response, ApiError> {
    let found = subnet::list(&at.cloud, &at.caller);
    let objects = found.iter().map(translate::shown).collect();
    answer::list(&at, &NOUN, objects)
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (at, cloud) = (&at, &at.cloud);
    bulk::create(
        &NOUN,
        body.0,
        |body| translate::new(at, body),
        |(caller, new)| async move { subnet::create(cloud, &caller, new).await },
        |view| subnet::remove(cloud, &at.caller, view.subnet.id),
        translate::shown,
    )
    .await
}

async fn show(at: At, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = subnet::get(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?)?;
    Ok(answer::one(&at, &NOUN, translate::shown(&found)))
}

async fn update(at: At, Path(id): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = path_id(NOUN.kind, &id)?;
    let change = translate::change(body.0)?;
    let changed = subnet::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer::one(&at, &NOUN, translate::shown(&changed)))
}

async fn remove(at: At, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    subnet::remove(&at.cloud, &at.caller, path_id(NOUN.kind, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
