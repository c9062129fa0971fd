//! Between a volume and what clients read and write of it.

use actions::registered_image::NewImage;
use actions::volume::sized::{NewSized, NewSource, VolumeChange};
use actions::volume::{Use, View};
use model::registered_image::{DiskFormat, RegisteredImageSpec, Visibility, Wrapping};
use model::volume::VolumeSource;
use model::volume_type::VolumeType;
use serde_json::{Map, Value, json};

use super::action::IMAGE_VISIBILITY;
use crate::cinder::answer::{links, time};
use crate::cinder::error::ApiError;
use crate::cinder::fields::{Fields, wrong};
use crate::cinder::here::Here;
use crate::id;

/// The one availability zone.
pub(crate) const ZONE: &str = "nova";
/// Where volumes are kept, as far as admins are told.
pub(in crate::cinder) const HOST: &str = "longshore@disks#disks";
/// Microversions from which on an attribute is there.
const GROUP: u16 = 13;
const PROVIDER: u16 = 21;
const SHARED_TARGETS: u16 = 48;
const CLUSTER: u16 = 61;
const TYPE_ID: u16 = 63;
const CONSUMES_QUOTA: u16 = 65;

/// A volume as clients read it, with all of its attributes.
pub(super) fn shown(here: &Here, view: &View) -> Value {
    let mut object = made(here, view);
    let admin = here.caller.is_admin();
    let more = [
        (
            "os-vol-tenant-attr:tenant_id",
            json!(id::show(view.volume.meta.project.0)),
            true,
        ),
        ("os-vol-host-attr:host", json!(HOST), admin),
        ("os-vol-mig-status-attr:migstat", Value::Null, admin),
        ("os-vol-mig-status-attr:name_id", Value::Null, admin),
        (
            "volume_image_metadata",
            json!(view.volume.spec.image_metadata),
            !view.volume.spec.image_metadata.is_empty(),
        ),
        ("provider_id", Value::Null, admin && here.minor >= PROVIDER),
        ("cluster_name", Value::Null, admin && here.minor >= CLUSTER),
    ];
    extend(&mut object, more);
    object
}

/// A volume as clients read it when it is made or changed.
pub(super) fn made(here: &Here, view: &View) -> Value {
    let (meta, spec) = (&view.volume.meta, &view.volume.spec);
    let of_snapshot = match &spec.source {
        Some(VolumeSource::Snapshot(id)) => Some(id.to_string()),
        _ => None,
    };
    let of_volume = match &spec.source {
        Some(VolumeSource::Volume(id)) => Some(id.to_string()),
        _ => None,
    };
    let volume_type = spec
        .volume_type
        .and_then(|id| actions::volume_type::get(&here.cloud, &here.caller, id).ok());
    let mut object = json!({
        "id": meta.id.to_string(),
        "name": view.title(),
        "description": spec.description,
        "size": spec.size_gib.unwrap_or(0),
        "status": view.phase().words(),
        "availability_zone": ZONE,
        "created_at": time(meta.created_at),
        "updated_at": meta.updated_at.map(time),
        "attachments": view
            .uses
            .iter()
            .filter(|one| one.phase != model::volume::VolumePhase::Reserved)
            .map(|one| attachment(here, view, one))
            .collect::<Vec<_>>(),
        "volume_type": volume_type.as_ref().map(|one| one.meta.name.clone()),
        "user_id": id::show(spec.user.unwrap_or(actions::Caller::ADMIN_USER)),
        "metadata": spec.metadata,
        "bootable": spec.bootable.to_string(),
        "encrypted": false,
        "multiattach": spec.shared,
        "snapshot_id": of_snapshot,
        "source_volid": of_volume,
        "consistencygroup_id": null,
        "replication_status": null,
        "migration_status": null,
        "links": links(here, &format!("volumes/{}", meta.id)),
    });
    if let Some(read_only) = spec.read_only {
        object["metadata"]["readonly"] = json!(if read_only { "True" } else { "False" });
    }
    let more = [
        ("group_id", Value::Null, here.minor >= GROUP),
        ("shared_targets", json!(false), here.minor >= SHARED_TARGETS),
        ("service_uuid", Value::Null, here.minor >= SHARED_TARGETS),
        (
            "volume_type_id",
            json!(spec.volume_type.map(|id| id.to_string())),
            here.minor >= TYPE_ID,
        ),
        ("consumes_quota", json!(true), here.minor >= CONSUMES_QUOTA),
    ];
    extend(&mut object, more);
    object
}

fn extend<const N: usize>(object: &mut Value, more: [(&str, Value, bool); N]) {
    for (name, value, is_there) in more {
        if is_there {
            object[name] = value;
        }
    }
}

fn attachment(here: &Here, view: &View, one: &Use) -> Value {
    let volume = view.volume.meta.id.to_string();
    json!({
        "id": volume,
        "attachment_id": one.id.to_string(),
        "volume_id": volume,
        "server_id": one.instance,
        "host_name": one.host.as_ref().filter(|_| here.caller.is_admin()),
        "device": one.device,
        "attached_at": time(one.attached_at),
    })
}

/// What a list without details shows of a volume.
pub(super) fn brief(volume: Value) -> Value {
    json!({ "id": volume["id"], "name": volume["name"], "links": volume["links"] })
}

/// The volume to make.
pub(super) fn new(body: Value) -> Result<NewSized, ApiError> {
    let mut fields = Fields::of(body, "volume")?;
    for unserved in [
        "consistencygroup_id",
        "group_id",
        "backup_id",
        "source_replica",
    ] {
        fields.refuse(unserved)?;
    }
    if let Some(zone) = fields.text("availability_zone")?
        && zone != ZONE
    {
        return Err(ApiError::invalid(format!(
            "Availability zone '{zone}' is invalid."
        )));
    }
    let (snapshot, volume) = (fields.id("snapshot_id")?, fields.id("source_volid")?);
    let image = match fields.id("imageRef")? {
        Some(image) => Some(image),
        None => fields.id("image_id")?,
    };
    let source = match (snapshot, volume, image) {
        (None, None, None) => None,
        (Some(id), None, None) => Some(NewSource::Snapshot(id)),
        (None, Some(id), None) => Some(NewSource::Volume(id)),
        (None, None, Some(id)) => Some(NewSource::Image(id)),
        _ => {
            return Err(ApiError::invalid(
                "A volume is made from one of snapshot_id, source_volid and imageRef, not from several.",
            ));
        }
    };
    let (title, description) = (
        fields.either("name", "display_name")?.flatten(),
        fields
            .either("description", "display_description")?
            .flatten(),
    );
    let new = NewSized {
        id: None,
        title: title.unwrap_or_default().trim().to_owned(),
        description,
        size_gib: fields.size("size")?,
        source,
        volume_type: fields.text("volume_type")?,
        metadata: fields.words("metadata")?.unwrap_or_default(),
        shared: fields.switch("multiattach")?.unwrap_or(false),
    };
    Ok(new)
}

/// The image to make of a volume, and whether it is made while the volume is used.
pub(super) fn new_image(here: &Here, mut fields: Fields) -> Result<(NewImage, bool), ApiError> {
    let name = fields.text("image_name")?;
    let name = name.ok_or_else(|| ApiError::invalid("'image_name' is a required property"))?;
    let force = fields.switch("force")?.unwrap_or(false);
    let formats = [
        ("disk_format", DiskFormat::Raw.as_str()),
        ("container_format", Wrapping::Bare.as_str()),
    ];
    for (field, only) in formats {
        if let Some(format) = fields.text(field)?
            && format != only
        {
            return Err(wrong(
                field,
                &json!(format),
                &format!("is not '{only}': a volume becomes a root file system as tar"),
            ));
        }
    }
    let mut spec = RegisteredImageSpec {
        name: Some(name),
        visibility: Visibility::Private,
        ..RegisteredImageSpec::default()
    };
    if here.minor >= IMAGE_VISIBILITY {
        if let Some(text) = fields.text("visibility")? {
            let all = [
                Visibility::Private,
                Visibility::Shared,
                Visibility::Community,
                Visibility::Public,
            ];
            let known = all.into_iter().find(|one| one.as_str() == text);
            spec.visibility =
                known.ok_or_else(|| wrong("visibility", &json!(text), "is not one of Glance's"))?;
        }
        spec.protected = fields.switch("protected")?.unwrap_or(false);
    }
    fields.done()?;
    let image = NewImage {
        spec,
        ..NewImage::default()
    };
    Ok((image, force))
}

/// What to change of a volume.
pub(super) fn change(body: Value) -> Result<VolumeChange, ApiError> {
    let mut fields = Fields::of(body, "volume")?;
    let title = fields.either("name", "display_name")?;
    let description = fields.either("description", "display_description")?;
    let metadata = fields.words("metadata")?;
    if title.is_none() && description.is_none() && metadata.is_none() {
        return Err(ApiError::invalid(
            "At least one of 'name', 'description', 'display_name', 'display_description' and 'metadata' is needed.",
        ));
    }
    fields.done()?;
    Ok(VolumeChange {
        title: title.map(|title| title.unwrap_or_default().trim().to_owned()),
        description,
        metadata,
        ..VolumeChange::default()
    })
}

/// The attributes of a list's filters.
pub(super) const FILTERS: [&str; 11] = [
    "name",
    "display_name",
    "status",
    "bootable",
    "metadata",
    "availability_zone",
    "size",
    "multiattach",
    "volume_type",
    "user_id",
    "group_id",
];

/// Totals of volumes.
pub(super) fn summary(views: &[View], with_metadata: bool) -> Value {
    let size: u64 = views
        .iter()
        .map(|view| u64::from(view.volume.spec.size_gib.unwrap_or(0)))
        .sum();
    let mut summary = json!({ "total_count": views.len(), "total_size": size });
    if with_metadata {
        let mut all: Map<String, Value> = Map::new();
        for (key, value) in views.iter().flat_map(|view| &view.volume.spec.metadata) {
            let values = all.entry(key.clone()).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut()
                && !values.contains(&json!(value))
            {
                values.push(json!(value));
            }
        }
        summary["metadata"] = Value::Object(all);
    }
    json!({ "volume-summary": summary })
}

/// Refuses a type that a volume cannot become.
pub(super) fn check_retype(wanted: &VolumeType, has: Option<model::Id>) -> Result<(), ApiError> {
    if Some(wanted.meta.id) == has {
        return Err(ApiError::invalid(format!(
            "Invalid input received: Retype needs another type than the volume has: {}",
            wanted.meta.name
        )));
    }
    Ok(())
}
