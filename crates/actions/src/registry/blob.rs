//! Blobs: reading them, offering those of one repository in another, and removing them.

use std::fs::File;

use model::Meta;
use model::digest::ContentDigest;
use model::repository::{Repository, RepositoryBlob, RepositoryManifest};
use store::Versioned;

use super::repository::write_into;
use super::upload::on_thread;
use super::upstream::{self, blob::Arriving};
use super::visitor::Place;
use super::{RegistryError, RepositoryName, Right, Visitor};
use crate::Cloud;

/// A blob, to be read.
#[derive(Debug)]
pub struct Blob {
    /// Where it is read.
    pub data: Data,
    /// Bytes of it.
    pub size_bytes: u64,
}

/// The bytes of a blob.
#[derive(Debug)]
pub enum Data {
    /// From its beginning; can be read to its end even when it is removed meanwhile.
    Kept(File),
    /// It comes from an upstream.
    Arriving(Arriving),
}

/// How many bytes a blob has.
///
/// What the engine has is offered in the repository, and so found, where the visitor may both push
/// there and read the engine's images: pushing an image from here moves no bytes.
///
/// # Errors
/// [`RegistryError::BlobUnknown`], [`RegistryError::NameUnknown`], and for who may not pull.
pub async fn size_bytes(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: &ContentDigest,
) -> Result<u64, RegistryError> {
    let place = visitor.enter(cloud, name, Right::Pull)?;
    let found = place
        .repository()
        .and_then(|repository| find(cloud, &repository.value, digest));
    match found {
        Ok(found) => {
            cloud.registry.ask_for(found.value.meta.id);
            Ok(found.value.size_bytes)
        }
        Err(error) => match &place.source {
            Some(source) => upstream::blob::size_bytes(cloud, source, digest).await,
            None => offer_own(cloud, visitor, name, digest).await?.ok_or(error),
        },
    }
}

/// Offers what the engine has, and answers its bytes; `None` where it has no such content, or the
/// visitor may not have it.
async fn offer_own(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: &ContentDigest,
) -> Result<Option<u64>, RegistryError> {
    let Ok(place) = visitor.enter(cloud, name, Right::Push) else {
        return Ok(None);
    };
    if !visitor.reads_engine(cloud) {
        return Ok(None);
    }
    let (images, wanted) = (cloud.images.clone(), digest.clone());
    let Some(held) = on_thread(move || images.shelve_own(&wanted)).await? else {
        return Ok(None);
    };
    let size_bytes = held.size_bytes;
    offer(cloud, &place, digest, held).await?;
    Ok(Some(size_bytes))
}

/// A blob.
///
/// # Errors
/// As [`size_bytes`].
pub async fn get(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: &ContentDigest,
) -> Result<Blob, RegistryError> {
    let mut place = visitor.enter(cloud, name, Right::Pull)?;
    let is_here = |place: &Place| {
        let found = place.repository();
        found.and_then(|repository| find(cloud, &repository.value, digest))
    };
    if let (Some(source), Err(_)) = (&place.source, is_here(&place)) {
        if let Some(arriving) = upstream::blob::fetch(cloud, &place, source, digest).await? {
            return Ok(Blob {
                size_bytes: arriving.size_bytes(),
                data: Data::Arriving(arriving),
            });
        }
        place = visitor.enter(cloud, name, Right::Pull)?;
    }
    let found = is_here(&place)?;
    cloud.registry.ask_for(found.value.meta.id);
    let (images, digest) = (cloud.images.clone(), digest.clone());
    let opened = on_thread(move || images.open_shelved(&digest)).await?;
    Ok(Blob {
        data: Data::Kept(opened.file),
        size_bytes: opened.size_bytes,
    })
}

/// Offers in one repository what another one has: `from`, or any that the visitor may pull from.
/// `false` where it is in none of them, so that it has to be uploaded.
///
/// # Errors
/// For who may not push, and whose token is not for pulling from `from`.
pub async fn mount(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: &ContentDigest,
    from: Option<&RepositoryName>,
) -> Result<bool, RegistryError> {
    let place = visitor.enter(cloud, name, Right::Push)?;
    // Held before it is looked for: what is found then does not go until it is offered here.
    let Some(held) = cloud.images.shelved(digest) else {
        return Ok(false);
    };
    let is_there = match from {
        Some(from) => match visitor.enter(cloud, from, Right::Pull) {
            Ok(from) => from
                .repository()
                .is_ok_and(|from| find(cloud, &from.value, digest).is_ok()),
            // A token for both can be had.
            Err(error @ RegistryError::ScopeInsufficient) => return Err(error),
            Err(_) => false,
        },
        None => cloud
            .store
            .list::<Repository>()
            .into_iter()
            .map(|(_, found)| found.value)
            .filter(|repository| visitor.pulls(cloud, repository))
            .any(|repository| find(cloud, &repository, digest).is_ok()),
    };
    if is_there {
        offer(cloud, &place, digest, held).await?;
    }
    Ok(is_there)
}

/// Removes a blob from a repository.
///
/// # Errors
/// As [`size_bytes`]; [`RegistryError::BlobNeeded`] as long as a manifest there names it.
pub async fn delete(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: &ContentDigest,
) -> Result<(), RegistryError> {
    let place = visitor.enter(cloud, name, Right::Delete)?;
    place.repository()?;
    write_into(cloud, &place, |transaction, repository| {
        let found = find(cloud, repository, digest)?;
        let manifests = cloud
            .store
            .named::<RepositoryManifest>(repository.as_owner());
        if let Some(user) = manifests
            .iter()
            .find(|manifest| manifest.value.needs.contains(digest))
        {
            return Err(RegistryError::BlobNeeded {
                blob: digest.clone(),
                manifest: user.value.digest.clone(),
            });
        }
        transaction.delete::<RepositoryBlob>(found.value.meta.id, Some(found.revision));
        Ok(())
    })
    .await
}

/// A blob of a repository, where its bytes are there, too.
pub(super) fn find(
    cloud: &Cloud,
    repository: &Repository,
    digest: &ContentDigest,
) -> Result<Versioned<RepositoryBlob>, RegistryError> {
    cloud
        .store
        .by_name::<RepositoryBlob>(repository.as_owner(), digest.as_str())
        .filter(|_| cloud.images.shelved(digest).is_some())
        .ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))
}

/// Makes a repository offer what is on the shelf.
pub(super) async fn offer(
    cloud: &Cloud,
    place: &Place,
    digest: &ContentDigest,
    held: ::image::Shelved,
) -> Result<(), RegistryError> {
    let size_bytes = held.size_bytes;
    write_into(cloud, place, |transaction, repository| {
        let owner = repository.as_owner();
        let found = cloud
            .store
            .by_name::<RepositoryBlob>(owner, digest.as_str());
        match found {
            Some(found) => cloud.registry.ask_for(found.value.meta.id),
            None => {
                let meta = Meta::new(digest.as_str(), owner, cloud.now());
                transaction.insert(meta.id, RepositoryBlob { meta, size_bytes });
            }
        }
        Ok(())
    })
    .await?;
    drop(held);
    Ok(())
}
