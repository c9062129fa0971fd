//! Block devices of a server to make: volumes that are there, or are made with it.
//!
//! A server starts from its image on its node, or from one of the volumes. Disks of the node beside
//! that are refused.

use model::Id;
use model::server::{Content, MadeVolume, WantedVolume};
use serde_json::Value;

use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, not_of};

/// Microversions from which on a device has a tag (with a gap), and a volume a type.
const TAG: [std::ops::RangeInclusive<u16>; 2] = [32..=32, 42..=u16::MAX];
const VOLUME_TYPE: u16 = 67;
/// Most volumes of a server: `/dev/vdb` to `/dev/vdz`.
const MOST: usize = 25;

/// The volumes that a request asks for, that from which the server starts included.
pub(super) fn wanted(at: &At, fields: &mut Fields) -> Result<Vec<WantedVolume>, ApiError> {
    if fields.take("block_device_mapping").is_some() {
        return Err(ApiError::invalid(
            "block_device_mapping: say it by block_device_mapping_v2",
        ));
    }
    let devices = fields.list("block_device_mapping_v2")?.unwrap_or_default();
    if devices.len() > MOST + 1 {
        return Err(invalid(format_args!("a server has at most {MOST} volumes")));
    }
    let mut volumes = Vec::new();
    for (position, device) in devices.into_iter().enumerate() {
        let device = Fields::object_of(device, &position.to_string())?;
        volumes.extend(volume(at, device)?);
    }
    if volumes.iter().filter(|wanted| wanted.root).count() > 1 {
        return Err(invalid(format_args!(
            "Boot sequence for the instance and image/block device mapping combination is not valid"
        )));
    }
    Ok(volumes)
}

/// The volume of one device; the image's own disk is none.
fn volume(at: &At, mut device: Fields) -> Result<Option<WantedVolume>, ApiError> {
    let sources = ["volume", "image", "snapshot", "blank"];
    let source = device.one_of("source_type", &sources)?;
    let source = source.unwrap_or_else(|| "volume".to_owned());
    let place = device.one_of("destination_type", &["local", "volume"])?;
    let place = place.unwrap_or_else(|| match source.as_str() {
        "volume" | "snapshot" => "volume".to_owned(),
        _ => "local".to_owned(),
    });
    let id = device.id("uuid")?;
    let name = device.text_or_null("device_name", 0..=255)?.flatten();
    let delete_with_server = device.switch("delete_on_termination")?.unwrap_or_default();
    let size_gib = size(&mut device)?;
    let tag = match TAG.iter().any(|minors| minors.contains(&at.minor)) {
        true => device.text("tag", 1..=60)?,
        false => None,
    };
    let volume_type = match at.minor {
        VOLUME_TYPE.. => device.text_or_null("volume_type", 0..=255)?.flatten(),
        _ => None,
    };
    for ignored in ["guest_format", "device_type", "disk_bus"] {
        device.take(ignored);
    }
    let boots = is_first(device.take("boot_index"));
    device.done()?;
    let there = || id.ok_or_else(|| invalid(format_args!("a {source} is named by its uuid")));
    let made = |content| {
        Some(MadeVolume {
            size_gib,
            content,
            volume_type: volume_type.clone(),
        })
    };
    let (volume, made) = match (source.as_str(), place.as_str()) {
        ("image", "local") if boots => return Ok(None),
        (source, "local") => {
            return Err(invalid(format_args!(
                "a container has no disk of its node from {source} beside its image's; ask for a volume"
            )));
        }
        ("blank", _) => (Id::random(), made(Content::Blank)),
        ("image", _) => (Id::random(), made(Content::Image(there()?))),
        ("snapshot", _) => (Id::random(), made(Content::Snapshot(there()?))),
        _ => (there()?, None),
    };
    Ok(Some(WantedVolume {
        volume,
        made,
        device: name.filter(|name| !name.is_empty()).map(with_directory),
        root: boots,
        delete_with_server,
        tag,
    }))
}

/// A size in GiB, as a number or in digits.
fn size(device: &mut Fields) -> Result<Option<u32>, ApiError> {
    let value = match device.take("volume_size") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(size) => Ok(Some(size)),
        Err(_) => Err(not_of("volume_size", &value, &["integer"])),
    }
}

/// Whether a boot index says that the server starts from the device.
fn is_first(index: Option<Value>) -> bool {
    matches!(index, Some(index) if index == 0 || index == "0")
}

/// The path of a device that may be called by its name only.
fn with_directory(name: String) -> String {
    if name.starts_with('/') {
        name
    } else {
        format!("/dev/{name}")
    }
}

fn invalid(why: std::fmt::Arguments<'_>) -> ApiError {
    ApiError::invalid(format!("Block Device Mapping is Invalid: {why}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn devices_are_named_as_users_do() {
        assert_eq!(with_directory("vdb".to_owned()), "/dev/vdb");
        assert_eq!(with_directory("/dev/vdc".to_owned()), "/dev/vdc");
    }

    #[test]
    fn the_first_is_told_by_number_or_digits() {
        for (index, first) in [
            (json!(0), true),
            (json!("0"), true),
            (json!(-1), false),
            (json!(null), false),
            (json!(1), false),
        ] {
            assert_eq!(is_first(Some(index.clone())), first, "{index}");
        }
        assert!(!is_first(None));
    }

    #[test]
    fn sizes_are_numbers_or_digits() {
        let read = |value: Value| {
            let mut device = Fields::document(json!({ "volume_size": value })).unwrap();
            size(&mut device)
        };
        assert_eq!(read(json!("2")).unwrap(), Some(2));
        assert_eq!(read(json!(3)).unwrap(), Some(3));
        assert_eq!(read(json!(null)).unwrap(), None);
        assert!(read(json!("much")).is_err() && read(json!(-1)).is_err());
    }
}
