//! Actions on a volume: the body names one.

use actions::volume::sized::{self, VolumeChange};
use actions::volume::{self, NewClaim, Use, View};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::Id;
use model::registered_image::{DiskFormat, Wrapping};
use model::volume::VolumePhase;
use serde_json::{Value, json};

use super::translate;
use crate::cinder::Body;
use crate::cinder::attachment::routes::mounts;
use crate::cinder::error::ApiError;
use crate::cinder::fields::{Fields, wrong};
use crate::cinder::here::{Here, Of, path_id};

/// The actions, by the name that the body has for each.
pub(super) const OPERATIONS: [&str; 19] = [
    "os-reserve",
    "os-unreserve",
    "os-attach",
    "os-detach",
    "os-force_detach",
    "os-begin_detaching",
    "os-roll_detaching",
    "os-extend",
    "os-reset_status",
    "os-set_bootable",
    "os-update_readonly_flag",
    "os-set_image_metadata",
    "os-unset_image_metadata",
    "os-show_image_metadata",
    "os-force_delete",
    "os-retype",
    "os-volume_upload_image",
    "os-initialize_connection",
    "os-terminate_connection",
];
/// The microversion from which on a volume is extended while it is used.
const EXTEND_USED: u16 = 42;

/// The microversion from which on whoever uploads says who may have the image.
pub(super) const IMAGE_VISIBILITY: u16 = 1;

/// Does what the body says.
pub(super) async fn act(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let id = path_id("Volume", &path.1)?;
    let one = match body.0 {
        Value::Object(fields) if fields.len() == 1 => fields.into_iter().next(),
        _ => None,
    };
    let Some((name, value)) = one else {
        return Err(ApiError::invalid(
            "The request body names no action, or several.",
        ));
    };
    let arguments = match value {
        Value::Null => json!({}),
        value => value,
    };
    let fields = Fields::all(arguments, &name)?;
    let (cloud, caller) = (&here.cloud, &here.caller);
    match name.as_str() {
        "os-reserve" => volume::reserve(cloud, caller, id).await?,
        "os-unreserve" => volume::unreserve(cloud, caller, id).await?,
        "os-begin_detaching" => volume::begin_detaching(cloud, caller, id).await?,
        "os-roll_detaching" => volume::roll_detaching(cloud, caller, id).await?,
        "os-attach" => attach(&here, id, fields).await?,
        "os-detach" => detach(&here, id, fields).await?,
        "os-force_detach" => force_detach(&here, id, fields).await?,
        "os-extend" => extend(&here, id, fields).await?,
        "os-reset_status" => reset(&here, id, fields).await?,
        "os-force_delete" => sized::force_remove(cloud, caller, id).await?,
        "os-retype" => retype(&here, id, fields).await?,
        "os-update_readonly_flag" => {
            let mut fields = fields;
            let read_only = required(fields.switch("readonly")?, "readonly")?;
            change(&here, id, |it| it.read_only = Some(read_only)).await?;
        }
        "os-set_bootable" => {
            let mut fields = fields;
            let bootable = required(fields.switch("bootable")?, "bootable")?;
            change(&here, id, |it| it.bootable = Some(bootable)).await?;
            return Ok(StatusCode::OK.into_response());
        }
        "os-set_image_metadata" => return set_image_metadata(&here, id, fields).await,
        "os-unset_image_metadata" => {
            unset_image_metadata(&here, id, fields).await?;
            return Ok(StatusCode::OK.into_response());
        }
        "os-show_image_metadata" => {
            let view = volume::show(cloud, caller, id)?;
            return Ok(image_metadata(&view.volume.spec.image_metadata));
        }
        "os-volume_upload_image" => return upload(&here, id, fields).await,
        "os-initialize_connection" => {
            return Err(ApiError::new(
                StatusCode::NOT_IMPLEMENTED,
                "os-initialize_connection: a volume here is no block device of another machine's; attach it to a server",
            ));
        }
        "os-terminate_connection" => {
            check_let_go(&volume::show(cloud, caller, id)?, None)?;
            return Err(ApiError::new(
                StatusCode::NOT_IMPLEMENTED,
                "os-terminate_connection: a volume here is connected by being attached to a server",
            ));
        }
        other => {
            return Err(ApiError::invalid(format!(
                "There is no such action: {other}"
            )));
        }
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(format!("'{name}' is a required property")))
}

async fn change(here: &Here, id: Id, set: impl FnOnce(&mut VolumeChange)) -> Result<(), ApiError> {
    let mut wanted = VolumeChange::default();
    set(&mut wanted);
    sized::update(&here.cloud, &here.caller, id, wanted).await?;
    Ok(())
}

async fn attach(here: &Here, id: Id, mut fields: Fields) -> Result<(), ApiError> {
    let (instance, host) = (fields.id("instance_uuid")?, fields.text("host_name")?);
    if instance.is_some() == host.is_some() {
        return Err(ApiError::invalid(
            "Invalid request to attach volume to an invalid target: one of instance_uuid and host_name is needed",
        ));
    }
    let mode = fields.text("mode")?.unwrap_or_else(|| "rw".to_owned());
    if !["rw", "ro"].contains(&mode.as_str()) {
        return Err(ApiError::invalid(
            "Invalid request to attach volume with an invalid mode. Attaching mode should be 'rw' or 'ro'.",
        ));
    }
    let new = NewClaim {
        instance: instance.map(|id| id.to_string()),
        host,
        device: Some(required(fields.text("mountpoint")?, "mountpoint")?),
        read_only: mode == "ro",
        connector: None,
    };
    volume::mark_attached(&here.cloud, &here.caller, id, new).await?;
    Ok(())
}

async fn detach(here: &Here, id: Id, mut fields: Fields) -> Result<(), ApiError> {
    let claim = fields.id("attachment_id")?;
    let view = volume::show(&here.cloud, &here.caller, id)?;
    check_let_go(&view, claim)?;
    // A volume that nobody has is detached already, which is fine.
    let claim = claim.filter(|_| !view.uses.is_empty());
    volume::drop_claim(&here.cloud, &here.caller, Some(id), claim).await?;
    Ok(())
}

/// A volume that a server mounts is let go by that server only, and by its own attachment.
fn check_let_go(view: &View, claim: Option<Id>) -> Result<(), ApiError> {
    let is_meant = |one: &&Use| claim.is_none_or(|claim| one.id == claim);
    if !view.uses.is_empty() && !view.uses.iter().any(|one| is_meant(&one)) {
        return Err(ApiError::invalid(
            "Invalid input received: Mismatched volume and attachment",
        ));
    }
    let mut meant = view.uses.iter().filter(is_meant);
    meant
        .find(|one| one.mounted)
        .map_or(Ok(()), |mounted| Err(mounts(mounted)))
}

async fn force_detach(here: &Here, id: Id, mut fields: Fields) -> Result<(), ApiError> {
    let claim = fields.id("attachment_id")?;
    fields.take("connector");
    check_let_go(&volume::show(&here.cloud, &here.caller, id)?, claim)?;
    volume::force_drop_claims(&here.cloud, &here.caller, id, claim).await?;
    Ok(())
}

async fn extend(here: &Here, id: Id, mut fields: Fields) -> Result<(), ApiError> {
    let size = required(fields.size("new_size")?, "new_size")?;
    let while_used = here.minor >= EXTEND_USED;
    sized::extend(&here.cloud, &here.caller, id, size, while_used).await?;
    Ok(())
}

async fn reset(here: &Here, id: Id, mut fields: Fields) -> Result<(), ApiError> {
    let status = fields.text("status")?;
    let attach_status = fields.text("attach_status")?;
    let migration = fields.text("migration_status")?;
    if status.is_none() && attach_status.is_none() && migration.is_none() {
        return Err(ApiError::invalid(
            "Must specify 'status', 'attach_status' or 'migration_status' for update.",
        ));
    }
    let phase = status
        .map(|text| {
            phase_of(&text).ok_or_else(|| wrong("status", &json!(text), "is not one of Cinder's"))
        })
        .transpose()?;
    let drops = match attach_status.as_deref() {
        None | Some("attached") => false,
        Some("detached") => true,
        Some(other) => {
            return Err(wrong(
                "attach_status",
                &json!(other),
                "is not one of 'attached', 'detached'",
            ));
        }
    };
    sized::reset_phase(&here.cloud, &here.caller, id, phase, drops).await?;
    Ok(())
}

/// The phase that a status names.
fn phase_of(status: &str) -> Option<VolumePhase> {
    use VolumePhase as P;
    let all = [
        P::Available,
        P::Reserved,
        P::Attaching,
        P::InUse,
        P::Detaching,
        P::AwaitingTransfer,
        P::Uploading,
        P::Maintenance,
        P::Creating,
        P::Deleting,
        P::Error,
        P::ErrorDeleting,
        P::ErrorExtending,
        P::Extending,
    ];
    all.into_iter()
        .find(|phase| phase.words().eq_ignore_ascii_case(status))
}

async fn retype(here: &Here, id: Id, mut fields: Fields) -> Result<(), ApiError> {
    let wanted = required(fields.text("new_type")?, "new_type")?;
    fields.take("migration_policy");
    let wanted = actions::volume_type::find(&here.cloud, &here.caller, &wanted)?;
    let view = volume::show(&here.cloud, &here.caller, id)?;
    translate::check_retype(&wanted, view.volume.spec.volume_type)?;
    change(here, id, |it| it.volume_type = Some(wanted.meta.id)).await
}

async fn upload(here: &Here, id: Id, fields: Fields) -> Result<Response, ApiError> {
    let (image, force) = translate::new_image(here, fields)?;
    let name = image.spec.name.clone();
    let visibility = image.spec.visibility;
    let (view, image) = volume::upload(&here.cloud, &here.caller, id, image, force).await?;
    let mut made = translate::made(here, &view);
    let mut shown = json!({
        "image_id": image.meta.id.to_string(),
        "image_name": name,
        "container_format": Wrapping::Bare.as_str(),
        "disk_format": DiskFormat::Raw.as_str(),
        "display_description": view.volume.spec.description,
    });
    for name in ["id", "size", "status", "updated_at", "volume_type"] {
        shown[name] = made[name].take();
    }
    if here.minor >= IMAGE_VISIBILITY {
        shown["visibility"] = json!(visibility.as_str());
        shown["protected"] = json!(image.spec.protected);
    }
    let body = json!({ "os-volume_upload_image": shown });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn image_metadata(metadata: &std::collections::BTreeMap<String, String>) -> Response {
    Json(json!({ "metadata": metadata })).into_response()
}

async fn set_image_metadata(here: &Here, id: Id, mut fields: Fields) -> Result<Response, ApiError> {
    let more = required(fields.words("metadata")?, "metadata")?;
    let view = volume::show(&here.cloud, &here.caller, id)?;
    let mut all = view.volume.spec.image_metadata.clone();
    all.extend(more);
    change(here, id, |it| it.image_metadata = Some(all.clone())).await?;
    Ok(image_metadata(&all))
}

async fn unset_image_metadata(here: &Here, id: Id, mut fields: Fields) -> Result<(), ApiError> {
    let key = required(fields.text("key")?, "key")?;
    let view = volume::show(&here.cloud, &here.caller, id)?;
    let mut all = view.volume.spec.image_metadata.clone();
    if all.remove(&key).is_none() {
        return Err(ApiError::not_found("Metadata item was not found."));
    }
    change(here, id, |it| it.image_metadata = Some(all)).await
}
