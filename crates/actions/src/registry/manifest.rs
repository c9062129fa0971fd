//! Manifests and indexes: pushed when all that they need is there, pulled by tag or digest, deleted.

use std::str::FromStr;

use bytes::Bytes;
use model::Meta;
use model::digest::{Algorithm, ContentDigest};
use model::repository::{Repository, RepositoryBlob, RepositoryManifest, RepositoryTag};
use store::{Transaction, Versioned};

use super::document::{Document, Need};
use super::repository::write_into;
use super::upload::on_thread;
use super::visitor::Place;
use super::{RegistryError, RepositoryName, Right, Visitor, tag, upstream};
use crate::Cloud;

/// Bytes of the largest manifest; the specification asks for as many at least ("Pushing Manifests").
pub const MOST_BYTES: usize = 4 << 20;

/// How a manifest is named in its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By a tag, which may come to mean another one.
    Tag(String),
    /// By its digest.
    Digest(ContentDigest),
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        if text.contains(':') {
            return Ok(Self::Digest(text.parse()?));
        }
        tag::check(text)?;
        Ok(Self::Tag(text.to_owned()))
    }
}

/// A manifest, beside its bytes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its digest.
    pub digest: ContentDigest,
    /// What it is.
    pub media_type: String,
    /// Bytes of it.
    pub size_bytes: u64,
}

/// A manifest that was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Its digest.
    pub digest: ContentDigest,
    /// The manifest that it says something about.
    pub subject: Option<ContentDigest>,
}

/// What there is to know of a manifest.
///
/// # Errors
/// [`RegistryError::ManifestUnknown`], [`RegistryError::NameUnknown`], and for who may not pull.
pub async fn facts(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Facts, RegistryError> {
    let mut place = visitor.enter(cloud, name, Right::Pull)?;
    if let Some(source) = &place.source {
        upstream::manifest::refresh(cloud, &place, source, reference).await?;
        place = visitor.enter(cloud, name, Right::Pull)?;
    }
    let manifest = find(cloud, &place.repository()?.value, reference)?.value;
    cloud.registry.ask_for(manifest.meta.id);
    Ok(Facts {
        digest: manifest.digest.clone(),
        media_type: manifest.media_type.clone(),
        size_bytes: manifest.size_bytes,
    })
}

/// The bytes of a manifest that [`facts`] has found.
///
/// # Errors
/// When they cannot be read.
pub async fn read(cloud: &Cloud, facts: &Facts) -> Result<Bytes, RegistryError> {
    let (images, digest) = (cloud.images.clone(), facts.digest.clone());
    on_thread(move || Ok(images.read_shelved(&digest)?.into())).await
}

/// Pushes a manifest, and names it by its reference and `tags`.
///
/// # Errors
/// [`RegistryError::ManifestInvalid`], [`RegistryError::DigestMismatch`];
/// [`RegistryError::ManifestIncomplete`] where something that it needs is not in the repository.
pub async fn push(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    reference: &Reference,
    media_type: Option<&str>,
    text: Bytes,
    mut tags: Vec<String>,
) -> Result<Pushed, RegistryError> {
    let place = visitor.enter(cloud, name, Right::Push)?;
    let document = Document::read(&text, media_type)?;
    for tag in &tags {
        tag::check(tag)?;
    }
    let algorithm = match reference {
        Reference::Tag(tag) => {
            tags.push(tag.clone());
            Algorithm::Sha256
        }
        Reference::Digest(expected) => {
            let found = ::image::digest_of(&text, expected.algorithm());
            if found != *expected {
                let expected = expected.clone();
                return Err(RegistryError::DigestMismatch { expected, found });
            }
            expected.algorithm()
        }
    };
    tags.sort_unstable();
    tags.dedup();
    // Looked at before the bytes are kept, and again when the record is written.
    if let Ok(repository) = place.repository() {
        require(
            cloud,
            &repository.value,
            &document,
            &mut cloud.store.transaction(),
        )?;
    }
    let size_bytes = text.len() as u64;
    let images = cloud.images.clone();
    let (digest, shelved) = on_thread(move || images.shelve_document(&text, algorithm)).await?;
    write_into(cloud, &place, |transaction, repository| {
        require(cloud, repository, &document, transaction)?;
        let written = Written {
            document: &document,
            digest: &digest,
            size_bytes,
        };
        written.record(cloud, repository, transaction);
        for tag in &tags {
            name_it(cloud, repository, tag, &digest, transaction);
        }
        Ok(())
    })
    .await?;
    drop(shelved);
    Ok(Pushed {
        digest,
        subject: document.subject,
    })
}

/// Keeps a manifest of an upstream, and names it where it was asked for by a tag. What it needs comes
/// when it is asked for.
pub(super) async fn keep(
    cloud: &Cloud,
    place: &Place,
    media_type: &str,
    text: Bytes,
    algorithm: Algorithm,
    tag: Option<String>,
) -> Result<(), RegistryError> {
    let document = Document::read(&text, Some(media_type))?;
    let size_bytes = text.len() as u64;
    let images = cloud.images.clone();
    let (digest, shelved) = on_thread(move || images.shelve_document(&text, algorithm)).await?;
    write_into(cloud, place, |transaction, repository| {
        let written = Written {
            document: &document,
            digest: &digest,
            size_bytes,
        };
        written.record(cloud, repository, transaction);
        if let Some(tag) = &tag {
            name_it(cloud, repository, tag, &digest, transaction);
        }
        Ok(())
    })
    .await?;
    drop(shelved);
    Ok(())
}

/// Lets a tag mean a manifest of an upstream that is kept.
pub(super) async fn name_kept(
    cloud: &Cloud,
    place: &Place,
    tag: &str,
    digest: &ContentDigest,
) -> Result<(), RegistryError> {
    let found = place
        .current(cloud)
        .and_then(|owner| cloud.store.by_name::<RepositoryTag>(owner, tag));
    if found.is_some_and(|found| found.value.manifest == *digest) {
        return Ok(());
    }
    write_into(cloud, place, |transaction, repository| {
        name_it(cloud, repository, tag, digest, transaction);
        Ok(())
    })
    .await
}

/// A manifest that is to be written.
struct Written<'a> {
    document: &'a Document,
    digest: &'a ContentDigest,
    size_bytes: u64,
}

impl Written<'_> {
    fn record(&self, cloud: &Cloud, repository: &Repository, transaction: &mut Transaction) {
        let Self {
            document, digest, ..
        } = self;
        let owner = repository.as_owner();
        let manifest = |meta| RepositoryManifest {
            meta,
            digest: ContentDigest::clone(digest),
            media_type: document.media_type.clone(),
            size_bytes: self.size_bytes,
            artifact_type: document.artifact_type.clone(),
            subject: document.subject.clone(),
            annotations: document.annotations.clone(),
            needs: document
                .needs
                .iter()
                .map(|need| need.digest.clone())
                .collect(),
        };
        match cloud
            .store
            .by_name::<RepositoryManifest>(owner, digest.as_str())
        {
            Some(found) => {
                let meta = found.value.meta.clone();
                transaction.update(meta.id, found.revision, manifest(meta));
            }
            None => {
                let meta = Meta::new(digest.as_str(), owner, cloud.now());
                transaction.insert(meta.id, manifest(meta));
            }
        }
    }
}

/// Refuses a manifest that is not whole; what it needs then stays until it is written.
fn require(
    cloud: &Cloud,
    repository: &Repository,
    document: &Document,
    transaction: &mut Transaction,
) -> Result<(), RegistryError> {
    let owner = repository.as_owner();
    let mut missing = Vec::new();
    for Need {
        digest,
        size_bytes,
        is_child,
    } in &document.needs
    {
        let name = digest.as_str();
        let manifest = is_child
            .then(|| cloud.store.by_name::<RepositoryManifest>(owner, name))
            .flatten();
        let found_bytes = if let Some(found) = manifest {
            transaction.require::<RepositoryManifest>(found.value.meta.id, found.revision);
            found.value.size_bytes
        } else if let Ok(found) = super::blob::find(cloud, repository, digest) {
            transaction.require::<RepositoryBlob>(found.value.meta.id, found.revision);
            found.value.size_bytes
        } else {
            missing.push(digest.clone());
            continue;
        };
        if found_bytes != *size_bytes {
            return Err(RegistryError::ManifestInvalid(format!(
                "{digest} has {found_bytes} bytes, not {size_bytes}"
            )));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(RegistryError::ManifestIncomplete(missing))
    }
}

/// Lets a tag mean this manifest from now on.
fn name_it(
    cloud: &Cloud,
    repository: &Repository,
    tag: &str,
    digest: &ContentDigest,
    transaction: &mut Transaction,
) {
    let owner = repository.as_owner();
    let manifest = digest.clone();
    match cloud.store.by_name::<RepositoryTag>(owner, tag) {
        Some(found) => {
            let mut meta = found.value.meta.clone();
            meta.updated_at = Some(cloud.now());
            transaction.update(meta.id, found.revision, RepositoryTag { meta, manifest });
        }
        None => {
            let meta = Meta::new(tag, owner, cloud.now());
            transaction.insert(meta.id, RepositoryTag { meta, manifest });
        }
    }
}

/// Deletes a tag; by digest, the manifest with all its tags.
///
/// # Errors
/// As [`facts`], and for who may not delete.
pub async fn delete(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<(), RegistryError> {
    let place = visitor.enter(cloud, name, Right::Delete)?;
    place.repository()?;
    write_into(cloud, &place, |transaction, repository| {
        let found = find(cloud, repository, reference)?;
        let owner = repository.as_owner();
        match reference {
            Reference::Tag(tag) => {
                if let Some(tag) = cloud.store.by_name::<RepositoryTag>(owner, tag) {
                    transaction.delete::<RepositoryTag>(tag.value.meta.id, Some(tag.revision));
                }
            }
            Reference::Digest(digest) => {
                let id = found.value.meta.id;
                transaction.delete::<RepositoryManifest>(id, Some(found.revision));
                for tag in cloud.store.named::<RepositoryTag>(owner) {
                    if tag.value.manifest == *digest {
                        transaction.delete::<RepositoryTag>(tag.value.meta.id, Some(tag.revision));
                    }
                }
            }
        }
        Ok(())
    })
    .await
}

/// A manifest of a repository.
fn find(
    cloud: &Cloud,
    repository: &Repository,
    reference: &Reference,
) -> Result<Versioned<RepositoryManifest>, RegistryError> {
    let owner = repository.as_owner();
    let (shown, digest) = match reference {
        Reference::Digest(digest) => (digest.as_str(), Some(digest.clone())),
        Reference::Tag(tag) => {
            let found = cloud.store.by_name::<RepositoryTag>(owner, tag);
            (
                tag.as_str(),
                found.map(|found| found.value.manifest.clone()),
            )
        }
    };
    digest
        .and_then(|digest| {
            cloud
                .store
                .by_name::<RepositoryManifest>(owner, digest.as_str())
        })
        .ok_or_else(|| RegistryError::ManifestUnknown(shown.to_owned()))
}
