//! The images that servers are made from: those of the engine, by an identity that comes from their
//! digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Id;
use model::image::Image;

use crate::{ActionError, Caller, Cloud, ErrorKind};

/// What is to be known of an image to run it.
#[derive(Clone, Debug)]
pub(super) struct Runnable {
    pub(super) content: String,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) min_disk_gib: u32,
    pub(super) min_ram_mib: u32,
}

/// What is to be known of an image to run it.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub(super) fn runnable(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Runnable, ActionError> {
    let all = crate::image::list(cloud, caller);
    let found = all.iter().find(|image| id_of(&image.id) == Some(id));
    let found = found.ok_or_else(|| {
        ActionError::new(
            ErrorKind::NotFound,
            format!("Image {id} could not be found."),
        )
    })?;
    Ok(Runnable {
        content: found.id.clone(),
        properties: BTreeMap::new(),
        min_disk_gib: 0,
        min_ram_mib: 0,
    })
}

/// The image with this digest.
pub(super) fn by_id(
    cloud: &Cloud,
    caller: &Caller,
    digest: &str,
) -> Result<Arc<Image>, ActionError> {
    crate::image::get(cloud, caller, digest)
}

/// The identity that comes from a digest: its first 16 bytes, marked as RFC 9562 asks for what is
/// made in another way than those it lists.
pub(super) fn id_of(digest: &str) -> Option<Id> {
    let digits = digest.strip_prefix("sha256:")?.get(..32)?;
    let id: Id = digits.parse().ok()?;
    let mut bytes = *id.as_bytes();
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Some(Id::from_bytes(bytes))
}
