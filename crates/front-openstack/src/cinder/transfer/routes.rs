//! Paths of transfers.

use actions::volume_transfer::{self, NewTransfer};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use model::volume_transfer::VolumeTransfer;
use serde_json::{Value, json};

use crate::cinder::Body;
use crate::cinder::answer::{List, links, time};
use crate::cinder::error::ApiError;
use crate::cinder::fields::Fields;
use crate::cinder::here::{Here, Of, path_id};
use crate::route::Route;

/// The microversions from which on an attribute is there.
const SNAPSHOTS: u16 = 55;
const HISTORY: u16 = 57;

macro_rules! routes_at {
    ($at:literal, $names:expr) => {{
        let names: [&'static str; 6] = $names;
        [
            Route::new(concat!("/v3/{project}/", $at), names[0], get(list)),
            Route::new(concat!("/v3/{project}/", $at), names[1], post(create)),
            Route::new(
                concat!("/v3/{project}/", $at, "/detail"),
                names[2],
                get(list_detailed),
            ),
            Route::new(
                concat!("/v3/{project}/", $at, "/{transfer}"),
                names[3],
                get(show),
            ),
            Route::new(
                concat!("/v3/{project}/", $at, "/{transfer}"),
                names[4],
                delete(remove),
            ),
            Route::new(
                concat!("/v3/{project}/", $at, "/{transfer}/accept"),
                names[5],
                post(accept),
            ),
        ]
    }};
}

pub(crate) fn routes() -> Vec<Route> {
    let new = routes_at!(
        "volume-transfers",
        [
            "listTransfers",
            "createTransfer",
            "listTransfersDetailed",
            "showTransfer",
            "deleteTransfer",
            "acceptTransfer",
        ]
    );
    let old = routes_at!(
        "os-volume-transfer",
        [
            "listOldTransfers",
            "createOldTransfer",
            "listOldTransfersDetailed",
            "showOldTransfer",
            "deleteOldTransfer",
            "acceptOldTransfer",
        ]
    );
    new.into_iter().chain(old).collect()
}

fn shown(here: &Here, transfer: &VolumeTransfer) -> Value {
    let mut object = brief(here, transfer);
    object["created_at"] = json!(time(transfer.meta.created_at));
    if here.minor >= SNAPSHOTS {
        object["no_snapshots"] = json!(transfer.spec.without_snapshots);
    }
    if here.minor >= HISTORY {
        object["source_project_id"] = json!(crate::id::show(transfer.meta.project.0));
        object["destination_project_id"] = Value::Null;
        object["accepted"] = json!(false);
    }
    object
}

fn brief(here: &Here, transfer: &VolumeTransfer) -> Value {
    let id = transfer.meta.id.to_string();
    json!({
        "id": id,
        "name": transfer.meta.name,
        "volume_id": transfer.spec.volume.to_string(),
        "links": links(here, &format!("volume-transfers/{id}")),
    })
}

async fn list(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "volume-transfers", |transfer| {
        json!({
            "id": transfer["id"],
            "name": transfer["name"],
            "volume_id": transfer["volume_id"],
            "links": transfer["links"],
        })
    })
}

async fn list_detailed(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "volume-transfers/detail", |transfer| transfer)
}

fn list_as(
    here: &Here,
    path: &'static str,
    show: fn(Value) -> Value,
) -> Result<Response, ApiError> {
    let everybodys = here.wants("all_tenants");
    let transfers = volume_transfer::list(&here.cloud, &here.caller, everybodys)?;
    List {
        many: "transfers",
        path,
        filters: &["name", "volume_id"],
        objects: transfers.iter().map(|one| shown(here, one)).collect(),
        shown: show,
    }
    .answer(here)
}

async fn create(here: Here, body: Body) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "transfer")?;
    let volume = fields.id("volume_id")?;
    let new = NewTransfer {
        name: fields.text("name")?.unwrap_or_default().trim().to_owned(),
        volume: volume.ok_or_else(|| ApiError::invalid("'volume_id' is a required property"))?,
        without_snapshots: fields.switch("no_snapshots")?.unwrap_or(false),
    };
    fields.done()?;
    let (transfer, key) = volume_transfer::create(&here.cloud, &here.caller, new).await?;
    let mut object = shown(&here, &transfer);
    object["auth_key"] = json!(key);
    Ok((StatusCode::ACCEPTED, Json(json!({ "transfer": object }))).into_response())
}

async fn show(here: Here, path: Of) -> Result<Response, ApiError> {
    let id = path_id("Transfer", &path.1)?;
    let transfer = volume_transfer::get(&here.cloud, &here.caller, id)?;
    Ok(Json(json!({ "transfer": shown(&here, &transfer) })).into_response())
}

async fn remove(here: Here, path: Of) -> Result<StatusCode, ApiError> {
    let id = path_id("Transfer", &path.1)?;
    volume_transfer::remove(&here.cloud, &here.caller, id).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn accept(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let id = path_id("Transfer", &path.1)?;
    let mut fields = Fields::of(body.0, "accept")?;
    let key = fields.text("auth_key")?;
    let key = key.ok_or_else(|| ApiError::invalid("'auth_key' is a required property"))?;
    fields.done()?;
    let transfer = volume_transfer::accept(&here.cloud, &here.caller, id, &key).await?;
    let body = json!({ "transfer": brief(&here, &transfer) });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}
