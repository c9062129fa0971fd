//! Between a volume of a server and what clients read and write of it.

use actions::volume_attachment::{Attachment, NewAttachment};
use model::Id;
use serde_json::{Value, json};

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::Fields;

/// Microversions from which on a request or an answer has an attribute.
const TAG_ASKED: u16 = 49;
const TAG_TOLD: u16 = 70;
const DELETE_WITH_SERVER: u16 = 79;
const IDS: u16 = 89;
/// Characters of the longest device and tag.
const LONGEST: usize = 255;
const LONGEST_TAG: usize = 60;

/// A volume of a server as clients read it.
pub(super) fn shown(at: &At, attachment: &Attachment) -> Value {
    let known = &attachment.known;
    let volume = known.volume.to_string();
    let mut object = json!({
        "volumeId": volume,
        "serverId": attachment.instance.to_string(),
        "device": known.device,
    });
    if at.minor >= IDS {
        object["attachment_id"] = json!(known.id.to_string());
        object["bdm_uuid"] = json!(known.id.to_string());
    } else {
        object["id"] = json!(volume);
    }
    if at.minor >= TAG_TOLD {
        object["tag"] = json!(known.tag);
    }
    if at.minor >= DELETE_WITH_SERVER {
        object["delete_on_termination"] = json!(known.delete_with_instance);
    }
    object
}

/// The volume to attach.
pub(super) fn new(at: &At, body: Value) -> Result<NewAttachment, ApiError> {
    let mut fields = Fields::of(body, "volumeAttachment")?;
    let volume = fields.id("volumeId")?;
    let new = NewAttachment {
        volume: fields.required("volumeId", volume)?,
        device: fields.text_or_null("device", 0..=LONGEST)?.flatten(),
        tag: if at.minor >= TAG_ASKED {
            fields.text("tag", 1..=LONGEST_TAG)?
        } else {
            None
        },
        delete_with_instance: if at.minor >= DELETE_WITH_SERVER {
            fields.switch("delete_on_termination")?.unwrap_or(false)
        } else {
            false
        },
        root: false,
    };
    fields.done().map(|()| new)
}

/// Whether the volume goes with the server; another volume in its place is refused.
pub(super) fn change(volume: Id, body: Value) -> Result<Option<bool>, ApiError> {
    let mut fields = Fields::of(body, "volumeAttachment")?;
    let wanted = fields.id("volumeId")?;
    let wanted = fields.required("volumeId", wanted)?;
    for unchangeable in ["id", "serverId", "device", "tag"] {
        fields.take(unchangeable);
    }
    let delete_with_instance = fields.switch("delete_on_termination")?;
    fields.done()?;
    if wanted != volume {
        return Err(ApiError::invalid(format!(
            "Invalid input for field/attribute volumeId. Value: {wanted}. A volume cannot be replaced by another one while it is attached; detach it, and attach the other."
        )));
    }
    Ok(delete_with_instance)
}
