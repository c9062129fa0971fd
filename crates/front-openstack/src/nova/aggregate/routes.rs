//! Paths of aggregates.

use std::sync::Arc;

use actions::aggregate;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::Id;
use model::aggregate::Aggregate;
use serde_json::{Value, json};

use super::translate::{self, Deed};
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::{Body, list, number};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    const ALL: &str = "/v2.1/os-aggregates";
    const ONE: &str = "/v2.1/os-aggregates/{id}";
    vec![
        Route::new(ALL, "listAggregates", get(list)),
        Route::new(ALL, "createAggregate", post(create)),
        Route::new(ONE, "showAggregate", get(show)),
        Route::new(ONE, "updateAggregate", put(update)),
        Route::new(ONE, "deleteAggregate", delete(remove)),
        Route::several(
            "/v2.1/os-aggregates/{id}/action",
            vec![
                "addAggregateHost",
                "removeAggregateHost",
                "setAggregateMetadata",
            ],
            post(act),
        ),
        Route::new(
            "/v2.1/os-aggregates/{id}/images",
            "cacheAggregateImages",
            post(cache),
        ),
    ]
}

/// The aggregate of a number. Who may not list any learns nothing about one.
fn find(at: &At, text: &str) -> Result<Arc<Aggregate>, ApiError> {
    let all = aggregate::list(&at.cloud, &at.caller)?;
    let wanted: i64 = text
        .parse()
        .map_err(|_| ApiError::invalid("Invalid input received: id must be an integer"))?;
    all.into_iter()
        .find(|aggregate| i64::from(number::of(aggregate.meta.id)) == wanted)
        .ok_or_else(|| ApiError::not_found(format!("Aggregate {wanted} could not be found.")))
}

fn id(at: &At, text: &str) -> Result<Id, ApiError> {
    find(at, text).map(|aggregate| aggregate.meta.id)
}

fn answer(at: &At, aggregate: &Aggregate) -> Response {
    Json(json!({ "aggregate": translate::shown(at, aggregate) })).into_response()
}

async fn list(at: At) -> Result<Response, ApiError> {
    let all = aggregate::list(&at.cloud, &at.caller)?;
    let shown: Vec<Value> = all.iter().map(|one| translate::shown(&at, one)).collect();
    Ok(Json(json!({ "aggregates": shown })).into_response())
}

async fn create(at: At, body: Body) -> Result<Response, ApiError> {
    let (name, zone) = translate::new(body.0)?;
    let made = aggregate::create(&at.cloud, &at.caller, &name, zone).await?;
    Ok(Json(json!({ "aggregate": translate::brief(&at, &made) })).into_response())
}

async fn show(at: At, Path(wanted): Path<String>) -> Result<Response, ApiError> {
    Ok(answer(&at, &*find(&at, &wanted)?))
}

async fn update(at: At, Path(wanted): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = id(&at, &wanted)?;
    let change = translate::change(body.0)?;
    let changed = aggregate::update(&at.cloud, &at.caller, id, change).await?;
    Ok(answer(&at, &changed))
}

async fn remove(at: At, Path(wanted): Path<String>) -> Result<StatusCode, ApiError> {
    aggregate::remove(&at.cloud, &at.caller, id(&at, &wanted)?).await?;
    Ok(StatusCode::OK)
}

async fn act(at: At, Path(wanted): Path<String>, body: Body) -> Result<Response, ApiError> {
    let id = id(&at, &wanted)?;
    let (cloud, caller) = (&at.cloud, &at.caller);
    let changed = match translate::deed(body.0)? {
        Deed::AddHost(host) => aggregate::add_node(cloud, caller, id, &host).await?,
        Deed::RemoveHost(host) => aggregate::remove_node(cloud, caller, id, &host).await?,
        Deed::SetMetadata(change) => aggregate::update(cloud, caller, id, change).await?,
    };
    Ok(answer(&at, &changed))
}

async fn cache(at: At, Path(wanted): Path<String>, body: Body) -> Result<StatusCode, ApiError> {
    list::since(&at, 81)?;
    let id = id(&at, &wanted)?;
    translate::check_images(body.0)?;
    aggregate::cache_images(&at.cloud, &at.caller, id)?;
    Ok(StatusCode::ACCEPTED)
}
