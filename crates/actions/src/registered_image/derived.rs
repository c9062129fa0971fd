//! The images that the operator's project has listed, as registered ones; and the other way round.
//!
//! It is one store: what `docker load` or `docker commit` brought is registered without a record of
//! its own, under an identity that comes from its digest. What the operator's project uploads is
//! listed by its name, where that is one for images.

use std::sync::Arc;

use ::image::reference::Reference;
use jiff::Timestamp;
use model::event::Action;
use model::image::Image;
use model::registered_image::{
    DiskFormat, ImageData, ImageState, RegisteredImage, RegisteredImageSpec, Visibility, Wrapping,
};
use model::{Id, Meta, ProjectId};

use crate::image::{on_thread, tell};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// The listed images that no record of the operator's project points to.
pub(super) fn list(cloud: &Cloud) -> Vec<Arc<RegisteredImage>> {
    let images = cloud.images.list();
    let records = cloud.store.list::<RegisteredImage>();
    images
        .iter()
        .filter(|image| {
            !records.iter().any(|(_, found)| {
                found.value.meta.project == ProjectId::ADMIN
                    && found.value.spec.content() == Some(&image.id)
            })
        })
        .map(|image| Arc::new(registered(image)))
        .collect()
}

/// The listed image that has this identity.
pub(super) fn get(cloud: &Cloud, id: Id) -> Option<Arc<RegisteredImage>> {
    let images = cloud.images.list();
    let image = images.iter().find(|image| id_of(&image.id) == Some(id))?;
    Some(Arc::new(registered(image)))
}

/// The identity that comes from a digest: its first 16 bytes, marked as RFC 9562 asks for what is
/// made up by an application (version 8).
pub(crate) fn id_of(digest: &str) -> Option<Id> {
    let digits = digest.strip_prefix("sha256:")?.get(..32)?;
    let mut bytes = [0; 16];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Some(Id::from_bytes(bytes))
}

fn registered(image: &Image) -> RegisteredImage {
    let name = image.tags.first().map(|tag| short_name(tag));
    let at = image.tagged_at.or(image.created_at);
    let mut meta = Meta::new(
        name.clone().unwrap_or_default(),
        ProjectId::ADMIN,
        at.unwrap_or(Timestamp::UNIX_EPOCH),
    );
    if let Some(id) = id_of(&image.id) {
        meta.id = id;
    }
    RegisteredImage {
        meta,
        spec: RegisteredImageSpec {
            name,
            state: ImageState::Active,
            visibility: Visibility::Private,
            wrapping: Some(Wrapping::Docker),
            format: Some(DiskFormat::Raw),
            data: Some(ImageData {
                size_bytes: image.size_bytes,
                content: Some(image.id.clone()),
                file: None,
            }),
            ..RegisteredImageSpec::default()
        },
    }
}

/// A name as people write it: without what is understood.
fn short_name(tag: &str) -> String {
    let familiar = Reference::parse(tag).map_or_else(|_| tag.to_owned(), |name| name.familiar());
    match familiar.strip_suffix(":latest") {
        Some(name) => name.to_owned(),
        None => familiar,
    }
}

/// Lists an image of the operator's project by its name, where that is one for images.
pub(super) async fn name(
    cloud: &Cloud,
    caller: &Caller,
    image: &RegisteredImage,
) -> Result<(), ActionError> {
    let (Some(content), Some(name)) = (image.spec.content(), image.spec.name.as_deref()) else {
        return Ok(());
    };
    if image.meta.project != ProjectId::ADMIN || !is_name(name) {
        return Ok(());
    }
    let (content, name) = (content.to_owned(), name.to_owned());
    on_thread(cloud, caller, move |cloud, caller| {
        cloud.images.list_as(&content, &name).map_err(|error| {
            ActionError::new(
                ErrorKind::Internal,
                "the image could not be named; see the log",
            )
            .caused_by(error)
        })?;
        tell(cloud, caller, &content, Some(&name), Action::Tagged);
        Ok(())
    })
    .await
}

/// Takes a name away again that [`name`] gave.
pub(super) async fn unname(
    cloud: &Cloud,
    caller: &Caller,
    image: &RegisteredImage,
) -> Result<(), ActionError> {
    let (Some(content), Some(name)) = (image.spec.content(), image.spec.name.as_deref()) else {
        return Ok(());
    };
    if image.meta.project != ProjectId::ADMIN || !is_name(name) {
        return Ok(());
    }
    let (content, name) = (content.to_owned(), name.to_owned());
    on_thread(cloud, caller, move |cloud, caller| {
        cloud.images.unlist(&content, &name).map_err(unwritten)?;
        tell(cloud, caller, &content, Some(&name), Action::Untagged);
        Ok(())
    })
    .await
}

/// Takes an image that is no more registered off the operator's list: by the name that it had there,
/// or, where it came from that list, altogether.
pub(super) async fn forget(
    cloud: &Cloud,
    caller: &Caller,
    image: &RegisteredImage,
) -> Result<(), ActionError> {
    let Some(content) = image.spec.content() else {
        return Ok(());
    };
    if image.meta.project != ProjectId::ADMIN {
        return Ok(());
    }
    if id_of(content) != Some(image.meta.id) {
        return unname(cloud, caller, image).await;
    }
    let content = content.to_owned();
    on_thread(cloud, caller, move |cloud, caller| {
        cloud.images.hide(&content).map_err(unwritten)?;
        tell(cloud, caller, &content, None, Action::Deleted);
        Ok(())
    })
    .await
}

fn is_name(name: &str) -> bool {
    Reference::parse(name).is_ok_and(|name| name.digest().is_none())
}

fn unwritten(error: ::image::ContentError) -> ActionError {
    ActionError::new(
        ErrorKind::Internal,
        "the list of images could not be written; see the daemon's log",
    )
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_from_the_digest() {
        let digest = format!("sha256:{}", "f".repeat(64));
        let id = id_of(&digest).unwrap();
        assert_eq!(id.to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(id_of("sha256:12"), None);
    }

    #[test]
    fn names_are_as_people_write_them() {
        assert_eq!(short_name("docker.io/library/busybox:latest"), "busybox");
        assert_eq!(short_name("docker.io/library/busybox:1"), "busybox:1");
        assert_eq!(short_name("localhost:5000/a:latest"), "localhost:5000/a");
    }
}
