//! OCI layouts: `index.json` names manifests, and perhaps further indexes.
//!
//! Source: OCI Image Layout, Image Index and Image Manifest v1.1.

use std::collections::BTreeSet;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use serde::de::DeserializeOwned;

use super::members::{Members, blob_path};
use super::{Candidate, LoadError};
use crate::digest::Digest;
use crate::platform::{Platform, choose, is_about};
use crate::reference::Reference;

/// Full name of the image: containerd and BuildKit write it.
const NAME: &str = "io.containerd.image.name";
/// Full name, or only the tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const DEEPEST_NESTING: usize = 8;

/// The images of the layout; of one for many platforms, the one that fits this host.
pub(super) fn images(members: &Members) -> Result<Vec<Candidate>, LoadError> {
    const INDEX: &str = "index.json";
    let index: ImageIndex = parse(INDEX, &members.document(INDEX)?)?;
    let mut candidates: Vec<Candidate> = Vec::new();
    for descriptor in index
        .manifests()
        .iter()
        .filter(|descriptor| !is_about(descriptor))
    {
        let mut candidate = resolve(members, descriptor, 0)?;
        let names = name(descriptor)?;
        match candidates.iter_mut().find(|known| known.id == candidate.id) {
            Some(known) => known.names.extend(names),
            None => {
                candidate.names.extend(names);
                candidates.push(candidate);
            }
        }
    }
    for candidate in &mut candidates {
        let names: BTreeSet<_> = std::mem::take(&mut candidate.names).into_iter().collect();
        candidate.names.extend(names);
    }
    Ok(candidates)
}

fn parse<T: DeserializeOwned>(path: &str, text: &[u8]) -> Result<T, LoadError> {
    serde_json::from_slice(text).map_err(|source| LoadError::Document {
        path: path.into(),
        source,
    })
}

/// Follows indexes down to an image.
fn resolve(
    members: &Members,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<Candidate, LoadError> {
    let digest = digest(descriptor)?;
    let text = document(members, descriptor)?;
    let path = blob_path(&digest);
    match descriptor.media_type() {
        MediaType::ImageIndex => {}
        MediaType::Other(other)
            if other == "application/vnd.docker.distribution.manifest.list.v2+json" => {}
        MediaType::ImageManifest => return image(members, digest, text),
        MediaType::Other(other)
            if other == "application/vnd.docker.distribution.manifest.v2+json" =>
        {
            return image(members, digest, text);
        }
        other => {
            return Err(LoadError::MediaType {
                media_type: other.to_string(),
            });
        }
    }
    if depth == DEEPEST_NESTING {
        return Err(LoadError::Nesting);
    }
    let index: ImageIndex = parse(&path, &text)?;
    let host = Platform::host();
    let chosen = choose(index.manifests(), &host).ok_or_else(|| LoadError::NoPlatform {
        platform: host.to_string(),
    })?;
    resolve(members, chosen, depth + 1)
}

fn image(
    members: &Members,
    manifest_digest: Digest,
    text: Vec<u8>,
) -> Result<Candidate, LoadError> {
    let manifest: ImageManifest = parse(&blob_path(&manifest_digest), &text)?;
    let config = manifest.config();
    let is_image = match config.media_type() {
        MediaType::ImageConfig => true,
        MediaType::Other(other) => other == "application/vnd.docker.container.image.v1+json",
        _ => false,
    };
    if !is_image {
        return Err(LoadError::MediaType {
            media_type: config.media_type().to_string(),
        });
    }
    let mut layers = Vec::new();
    for layer in manifest.layers() {
        let blob = members.blob(&digest(layer)?)?;
        if let Some(blob) = blob {
            check_size(layer, blob.spooled.size_bytes)?;
        }
        layers.push(blob.cloned());
    }
    let path = blob_path(&digest(config)?);
    let mut candidate =
        Candidate::new(path.into(), document(members, config)?, layers, Vec::new())?;
    candidate.manifest = Some((manifest_digest, text));
    Ok(candidate)
}

fn digest(descriptor: &Descriptor) -> Result<Digest, LoadError> {
    Ok(descriptor.digest().to_string().parse::<Digest>()?)
}

/// Content of a manifest or configuration, checked against its descriptor.
fn document(members: &Members, descriptor: &Descriptor) -> Result<Vec<u8>, LoadError> {
    let digest = digest(descriptor)?;
    members.blob(&digest)?;
    let text = members.document(&blob_path(&digest))?;
    check_size(descriptor, text.len() as u64)?;
    Ok(text)
}

fn check_size(descriptor: &Descriptor, found: u64) -> Result<(), LoadError> {
    if descriptor.size() == found {
        return Ok(());
    }
    let path = blob_path(&digest(descriptor)?).into();
    Err(LoadError::SizeMismatch {
        path,
        found,
        said: descriptor.size(),
    })
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor
        .annotations()
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

/// The name in the annotations; a bare tag names no image.
fn name(descriptor: &Descriptor) -> Result<Option<Reference>, LoadError> {
    let full = annotation(descriptor, REF_NAME).filter(|name| name.contains(['/', ':']));
    let Some(name) = annotation(descriptor, NAME).or(full) else {
        return Ok(None);
    };
    let reference = Reference::parse(name).map_err(|reason| LoadError::Name {
        name: name.to_owned(),
        reason,
    })?;
    Ok(Some(reference.or_latest()).filter(|reference| reference.digest().is_none()))
}
