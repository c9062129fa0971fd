//! Actions that change what a server is: its size, image, groups and locks.

use actions::server::{self, Migration, NewSnapshot, Rebuild, Row, interface};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::Id;
use serde_json::{Value, json};

use super::routes::{Outcome, accepted};
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;
use crate::nova::server::create::{disk_config, flavor, image_id, made_up_password, user_data};
use crate::nova::server::routes::{href, set_location};
use crate::nova::server::translate::{Showing, Whole};
use crate::nova::server_metadata;

/// Locks a server, with a reason where the client may give one.
pub(super) async fn lock(at: At, id: Id, body: Value) -> Outcome {
    let reason = match body {
        Value::Object(_) if at.minor >= 73 => {
            let mut fields = Fields::object_of(body, "lock")?;
            let reason = fields.text("locked_reason", 1..=255)?;
            fields.done()?;
            reason
        }
        _ => None,
    };
    server::lock(&at.cloud, &at.caller, id, reason).await?;
    accepted()
}

pub(super) async fn unlock(at: At, id: Id) -> Outcome {
    server::unlock(&at.cloud, &at.caller, id).await?;
    accepted()
}

/// Sets what an operator knows better.
pub(super) async fn reset(at: At, id: Id, body: Value) -> Outcome {
    let mut fields = Fields::object_of(body, "os-resetState")?;
    let state = fields.one_of("state", &["active", "error"])?;
    let state = fields.required("state", state)?;
    fields.done()?;
    server::reset(&at.cloud, &at.caller, id, state == "error").await?;
    accepted()
}

pub(super) async fn inject_network(at: At, id: Id) -> Outcome {
    server::inject_network(&at.cloud, &at.caller, id)?;
    accepted()
}

pub(super) async fn migrate(at: At, id: Id, how: Migration) -> Outcome {
    server::migrate(&at.cloud, &at.caller, id, how)?;
    accepted()
}

pub(super) async fn remove(at: At, id: Id) -> Outcome {
    server::remove(&at.cloud, &at.caller, id).await?;
    accepted()
}

pub(super) async fn resize(at: At, id: Id, body: Value) -> Outcome {
    let mut fields = Fields::object_of(body, "resize")?;
    let wanted = flavor(&mut fields)?;
    let auto_disk = disk_config(&mut fields)?;
    fields.done()?;
    server::resize(&at.cloud, &at.caller, id, &wanted, auto_disk).await?;
    accepted()
}

pub(super) async fn confirm_resize(at: At, id: Id) -> Outcome {
    server::confirm_resize(&at.cloud, &at.caller, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn revert_resize(at: At, id: Id) -> Outcome {
    server::revert_resize(&at.cloud, &at.caller, id).await?;
    accepted()
}

/// Makes a server anew, and answers it as it is now.
pub(super) async fn rebuild(at: At, id: Id, body: Value) -> Outcome {
    let mut fields = Fields::object_of(body, "rebuild")?;
    let image = fields.take("imageRef");
    let image = image_id(&fields.required("imageRef", image)?)?;
    let password = fields.text("adminPass", 0..=usize::MAX)?;
    let metadata = fields.take("metadata");
    let wanted = Rebuild {
        image: Some(image),
        name: fields.name("name")?,
        description: match at.minor {
            19.. => fields.text_or_null("description", 0..=255)?,
            _ => None,
        },
        metadata: metadata.map(server_metadata::translate::read).transpose()?,
        key_name: match at.minor {
            54.. => fields.text_or_null("key_name", 1..=255)?,
            _ => None,
        },
        user_data: match at.minor {
            57.. => user_data(&mut fields)?,
            _ => None,
        },
        hostname: match at.minor {
            90.. => fields.text("hostname", 2..=255)?,
            _ => None,
        },
        auto_disk: disk_config(&mut fields)?,
        renews_volume: at.minor >= 93,
    };
    fields.switch("preserve_ephemeral")?;
    fields.done()?;
    let view = server::rebuild(&at.cloud, &at.caller, id, wanted).await?;
    let whole = if at.minor >= 75 {
        Whole::Alone
    } else {
        Whole::Changed
    };
    let mut shown = Showing::new(&at).server(&view, whole);
    shown["adminPass"] = json!(password.unwrap_or_else(made_up_password));
    let spec = &view.server.spec;
    if at.minor >= 54 {
        shown["key_name"] = json!(spec.key.as_ref().map(|key| &key.name));
    }
    if at.minor >= 57 {
        shown["user_data"] = json!(spec.user_data);
    }
    // As Nova: the name that it has elsewhere is not used here.
    if let Some(shown) = shown.as_object_mut() {
        shown.remove("OS-EXT-SRV-ATTR:user_data");
    }
    let answer = (StatusCode::ACCEPTED, Json(json!({ "server": shown })));
    let mut response = answer.into_response();
    set_location(&mut response, &href(&at, id));
    Ok(response)
}

/// Makes an image of a server.
pub(super) async fn create_image(at: At, id: Id, body: Value) -> Outcome {
    let mut fields = Fields::object_of(body, "createImage")?;
    let new = new_snapshot(&mut fields)?;
    fields.done()?;
    let image = server::snapshot(&at.cloud, &at.caller, id, new).await?;
    Ok(image_made(&at, image, true))
}

/// Makes an image of a server that is the newest of a row of backups.
pub(super) async fn create_backup(at: At, id: Id, body: Value) -> Outcome {
    let mut fields = Fields::object_of(body, "createBackup")?;
    let new = new_snapshot(&mut fields)?;
    let name = fields.text("backup_type", 0..=255)?;
    let most = fields.integer("rotation", 0..=u32::MAX)?;
    let row = Row {
        name: fields.required("backup_type", name)?,
        most: fields.required("rotation", most)? as usize,
    };
    fields.done()?;
    // One that goes at once is nowhere.
    let stays = row.most > 0;
    let image = server::back_up(&at.cloud, &at.caller, id, new, row).await?;
    Ok(image_made(&at, image, stays))
}

fn new_snapshot(fields: &mut Fields) -> Result<NewSnapshot, ApiError> {
    let name = fields.name("name")?;
    let name = fields.required("name", name)?;
    let metadata = fields.take("metadata");
    let properties = metadata.map(server_metadata::translate::read).transpose()?;
    Ok(NewSnapshot {
        name,
        properties: properties.unwrap_or_default(),
    })
}

/// Answers with an image's identity, or with where it is.
fn image_made(at: &At, image: Id, stays: bool) -> Response {
    if at.minor >= 45 {
        let answer = json!({ "image_id": image.to_string() });
        return (StatusCode::ACCEPTED, Json(answer)).into_response();
    }
    let mut response = StatusCode::ACCEPTED.into_response();
    if stays {
        let place = format!("{}/image/v2/images/{image}", at.settings.url);
        set_location(&mut response, &place);
    }
    response
}

fn group(body: Value, action: &str) -> Result<String, ApiError> {
    let mut fields = Fields::object_of(body, action)?;
    let name = fields.name("name")?;
    let name = fields.required("name", name)?;
    fields.done().map(|()| name)
}

pub(super) async fn add_group(at: At, id: Id, body: Value) -> Outcome {
    let name = group(body, "addSecurityGroup")?;
    interface::add_firewall(&at.cloud, &at.caller, id, &name).await?;
    accepted()
}

pub(super) async fn remove_group(at: At, id: Id, body: Value) -> Outcome {
    let name = group(body, "removeSecurityGroup")?;
    interface::remove_firewall(&at.cloud, &at.caller, id, &name).await?;
    accepted()
}
