//! Between a snapshot and what clients read and write of it.

use actions::snapshot::{NewSnapshot, SnapshotChange, View};
use model::snapshot::SnapshotPhase;
use serde_json::{Value, json};

use crate::cinder::answer::time;
use crate::cinder::error::ApiError;
use crate::cinder::fields::Fields;
use crate::cinder::here::Here;
use crate::id;

/// Microversions from which on an attribute is there, and force is no longer asked for.
const GROUP: u16 = 14;
const USER: u16 = 41;
const CONSUMES_QUOTA: u16 = 65;
const NO_FORCE: u16 = 66;

/// The attributes of a list's filters.
pub(super) const FILTERS: [&str; 5] = ["name", "display_name", "status", "volume_id", "metadata"];

/// A snapshot as clients read it, with all of its attributes.
pub(super) fn shown(here: &Here, view: &View) -> Value {
    let mut object = made(here, view);
    let is_there = view.phase() == SnapshotPhase::Available;
    let percent = match view.snapshot.spec.progress_percent {
        Some(percent) if !is_there => percent,
        _ if is_there => 100,
        _ => 0,
    };
    object["os-extended-snapshot-attributes:progress"] = json!(format!("{percent}%"));
    object["os-extended-snapshot-attributes:project_id"] =
        json!(id::show(view.snapshot.meta.project.0));
    object
}

/// A snapshot as clients read it when it is made or changed, and in lists without details.
pub(super) fn made(here: &Here, view: &View) -> Value {
    let (meta, spec) = (&view.snapshot.meta, &view.snapshot.spec);
    let mut object = json!({
        "id": meta.id.to_string(),
        "name": meta.name,
        "description": spec.description,
        "volume_id": spec.volume.to_string(),
        "size": spec.size_gib,
        "status": view.phase().words(),
        "created_at": time(meta.created_at),
        "updated_at": meta.updated_at.map(time),
        "metadata": spec.metadata,
    });
    if here.minor >= GROUP {
        object["group_snapshot_id"] = Value::Null;
    }
    if here.minor >= USER {
        object["user_id"] = json!(id::show(spec.user));
    }
    if here.minor >= CONSUMES_QUOTA {
        object["consumes_quota"] = json!(true);
    }
    object
}

/// What a list without details shows of a snapshot.
pub(super) fn brief(mut snapshot: Value) -> Value {
    if let Some(fields) = snapshot.as_object_mut() {
        fields.retain(|name, _| !name.starts_with("os-extended"));
    }
    snapshot
}

/// The snapshot to make.
pub(super) fn new(here: &Here, body: Value) -> Result<NewSnapshot, ApiError> {
    let mut fields = Fields::of(body, "snapshot")?;
    let is_said = fields.has("volume_id");
    let volume = match fields.id("volume_id")? {
        Some(volume) => volume,
        None if is_said => return Err(ApiError::not_found("Volume None could not be found.")),
        None => return Err(ApiError::invalid("'volume_id' is a required property")),
    };
    let force = fields.switch("force")?;
    if here.minor >= NO_FORCE && force == Some(false) {
        return Err(ApiError::invalid(
            "Since microversion 3.66 the use of the 'force' option is invalid for this request.",
        ));
    }
    let new = NewSnapshot {
        volume,
        name: fields
            .either("name", "display_name")?
            .flatten()
            .unwrap_or_default(),
        description: fields
            .either("description", "display_description")?
            .flatten(),
        metadata: fields.words("metadata")?.unwrap_or_default(),
        while_used: force.unwrap_or(here.minor >= NO_FORCE),
    };
    Ok(new)
}

/// What to change of a snapshot.
pub(super) fn change(body: Value) -> Result<SnapshotChange, ApiError> {
    let mut fields = Fields::of(body, "snapshot")?;
    let name = fields.either("name", "display_name")?;
    let description = fields.either("description", "display_description")?;
    fields.done()?;
    Ok(SnapshotChange {
        name: name.map(Option::unwrap_or_default),
        description,
        ..SnapshotChange::default()
    })
}

/// A progress in words: `80%`.
pub(super) fn percent_of(progress: &str) -> Option<u8> {
    let percent = progress.strip_suffix('%')?.parse().ok()?;
    (percent <= 100).then_some(percent)
}

/// The phase that a status names.
pub(super) fn phase_of(status: &str) -> Option<SnapshotPhase> {
    use SnapshotPhase as P;
    [
        P::Creating,
        P::Available,
        P::Deleting,
        P::Error,
        P::ErrorDeleting,
    ]
    .into_iter()
    .find(|phase| phase.words().eq_ignore_ascii_case(status))
}
