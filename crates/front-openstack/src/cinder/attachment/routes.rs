//! Paths of attachments. They are there from microversion 3.27 on.

use actions::volume::{self, NewClaim, Use, View};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use serde_json::{Value, json};

use crate::cinder::Body;
use crate::cinder::answer::{List, time};
use crate::cinder::error::ApiError;
use crate::cinder::fields::Fields;
use crate::cinder::here::{Here, Of, path_id};
use crate::route::Route;

/// The microversions from which on there are attachments, and such as are completed by their user.
const ATTACHMENTS: u16 = 27;
const COMPLETION: u16 = 44;
/// The word of the one action.
const COMPLETE: &str = "os-complete";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/{project}/attachments", "listAttachments", get(list)),
        Route::new(
            "/v3/{project}/attachments",
            "createAttachment",
            post(create),
        ),
        Route::new(
            "/v3/{project}/attachments/detail",
            "listAttachmentsDetailed",
            get(list_detailed),
        ),
        Route::new(
            "/v3/{project}/attachments/{attachment}",
            "showAttachment",
            get(show),
        ),
        Route::new(
            "/v3/{project}/attachments/{attachment}",
            "updateAttachment",
            put(update),
        ),
        Route::new(
            "/v3/{project}/attachments/{attachment}",
            "deleteAttachment",
            delete(remove),
        ),
        Route::new(
            "/v3/{project}/attachments/{attachment}/action",
            COMPLETE,
            post(complete),
        ),
    ]
}

/// Refuses the path where the client speaks an older shape of the API.
fn check_version(here: &Here, least: u16) -> Result<(), ApiError> {
    if here.minor >= least {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "Attachments need microversion 3.{least} or newer."
    )))
}

fn shown(view: &View, one: &Use) -> Value {
    json!({
        "id": one.id.to_string(),
        "volume_id": view.volume.meta.id.to_string(),
        "instance": one.instance,
        "status": match one.phase.words() {
            "in-use" => "attached",
            other => other,
        },
        "attach_mode": if one.read_only { "ro" } else { "rw" },
        "attached_at": time(one.attached_at),
        "detached_at": null,
        "connection_info": {},
    })
}

fn brief(attachment: Value) -> Value {
    json!({
        "id": attachment["id"],
        "volume_id": attachment["volume_id"],
        "instance": attachment["instance"],
        "status": attachment["status"],
    })
}

async fn list(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "attachments", brief)
}

async fn list_detailed(here: Here) -> Result<Response, ApiError> {
    list_as(&here, "attachments/detail", |attachment| attachment)
}

fn list_as(
    here: &Here,
    path: &'static str,
    show: fn(Value) -> Value,
) -> Result<Response, ApiError> {
    check_version(here, ATTACHMENTS)?;
    let everybodys = here.wants("all_tenants");
    let claims = volume::claims(&here.cloud, &here.caller, everybodys)?;
    List {
        many: "attachments",
        path,
        filters: &["volume_id", "status", "instance"],
        objects: claims.iter().map(|(view, one)| shown(view, one)).collect(),
        shown: show,
    }
    .answer(here)
}

fn answer(view: &View, id: model::Id) -> Result<Response, ApiError> {
    let one = view.uses.iter().find(|one| one.id == id);
    let one = one.ok_or_else(|| ApiError::not_found(format!("Attachment {id} is gone.")))?;
    Ok(Json(json!({ "attachment": shown(view, one) })).into_response())
}

async fn create(here: Here, body: Body) -> Result<Response, ApiError> {
    check_version(&here, ATTACHMENTS)?;
    let mut fields = Fields::of(body.0, "attachment")?;
    let volume = fields.id("volume_uuid")?;
    let volume = volume.ok_or_else(|| ApiError::invalid("'volume_uuid' is a required property"))?;
    let connector = fields.take("connector").filter(|one| *one != json!({}));
    let new = NewClaim {
        instance: fields.text("instance_uuid")?,
        host: host_of(connector.as_ref()),
        device: text_in(connector.as_ref(), "mountpoint"),
        read_only: fields.text("mode")?.as_deref() == Some("ro"),
        connector,
    };
    fields.done()?;
    let (view, id) = volume::claim(&here.cloud, &here.caller, volume, new).await?;
    answer(&view, id)
}

fn host_of(connector: Option<&Value>) -> Option<String> {
    text_in(connector, "host")
}

fn text_in(connector: Option<&Value>, name: &str) -> Option<String> {
    Some(connector?[name].as_str()?.to_owned())
}

async fn show(here: Here, path: Of) -> Result<Response, ApiError> {
    check_version(&here, ATTACHMENTS)?;
    let id = path_id("Attachment", &path.1)?;
    let (view, one) = volume::find_use(&here.cloud, &here.caller, id)?;
    Ok(Json(json!({ "attachment": shown(&view, &one) })).into_response())
}

async fn update(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    check_version(&here, ATTACHMENTS)?;
    let id = path_id("Attachment", &path.1)?;
    let mut fields = Fields::of(body.0, "attachment")?;
    let connector = fields.take("connector");
    let connector =
        connector.ok_or_else(|| ApiError::invalid("'connector' is a required property"))?;
    fields.done()?;
    let device = text_in(Some(&connector), "mountpoint");
    let view = volume::update_claim(&here.cloud, &here.caller, id, connector, device).await?;
    answer(&view, id)
}

/// Why the attachment of a server that mounts its volume is not taken away.
pub(in crate::cinder) fn mounts(mounted: &Use) -> ApiError {
    let server = mounted.instance.as_deref().unwrap_or_default();
    ApiError::new(
        StatusCode::CONFLICT,
        format!("Detach volume from instance {server} using the Compute API"),
    )
}

async fn remove(here: Here, path: Of) -> Result<Response, ApiError> {
    check_version(&here, ATTACHMENTS)?;
    let id = path_id("Attachment", &path.1)?;
    let (_, one) = volume::find_use(&here.cloud, &here.caller, id)?;
    if one.mounted {
        return Err(mounts(&one));
    }
    let view = volume::drop_claim(&here.cloud, &here.caller, None, Some(id)).await?;
    let rest: Vec<Value> = view.uses.iter().map(|one| shown(&view, one)).collect();
    Ok(Json(json!({ "attachments": rest })).into_response())
}

async fn complete(here: Here, path: Of, body: Body) -> Result<StatusCode, ApiError> {
    check_version(&here, COMPLETION)?;
    let id = path_id("Attachment", &path.1)?;
    let fields = Fields::all(body.0, "body")?;
    if !fields.has(COMPLETE) {
        return Err(ApiError::invalid("There is no such action."));
    }
    volume::complete_claim(&here.cloud, &here.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
