//! Docker archives: `manifest.json` names configurations, layers and tags.
//!
//! Source: Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format".

use serde::Deserialize;

use super::members::Members;
use super::{Candidate, LoadError};
use crate::digest::Digest;
use crate::reference::Reference;

/// One element of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
    #[serde(default)]
    parent: Option<Digest>,
}

/// The images of the archive.
pub(super) fn images(members: &Members) -> Result<Vec<Candidate>, LoadError> {
    const MANIFEST: &str = "manifest.json";
    let items: Vec<Item> =
        serde_json::from_slice(&members.document(MANIFEST)?).map_err(|source| {
            LoadError::Document {
                path: MANIFEST.into(),
                source,
            }
        })?;
    items.into_iter().map(|item| image(members, item)).collect()
}

fn image(members: &Members, item: Item) -> Result<Candidate, LoadError> {
    let names = item
        .repo_tags
        .unwrap_or_default()
        .into_iter()
        .map(name)
        .collect::<Result<_, _>>()?;
    check(members, &item.config)?;
    let mut layers = Vec::new();
    for path in item.layers.unwrap_or_default() {
        check(members, &path)?;
        layers.push(members.get(&path).cloned());
    }
    let config = members.document(&item.config)?;
    let mut candidate = Candidate::new(item.config.into(), config, layers, names)?;
    candidate.parent = item.parent;
    Ok(candidate)
}

/// A member that is called by a digest must have it.
fn check(members: &Members, path: &str) -> Result<(), LoadError> {
    let named = path
        .strip_prefix("blobs/sha256/")
        .and_then(Digest::from_hex);
    if let Some(digest) = named {
        members.blob(&digest)?;
    }
    Ok(())
}

fn name(text: String) -> Result<Reference, LoadError> {
    let reference = Reference::parse(&text).map_err(|reason| LoadError::Name {
        name: text.clone(),
        reason,
    })?;
    if reference.tag().is_none() || reference.digest().is_some() {
        return Err(LoadError::Name {
            name: text,
            reason: crate::reference::ReferenceError::Format,
        });
    }
    Ok(reference)
}
