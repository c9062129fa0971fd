//! Referrers as an image index.
//!
//! Source: OCI Distribution Specification v1.1, "Listing Referrers".

use std::collections::BTreeMap;

use model::digest::ContentDigest;
use model::repository::RepositoryManifest;
use serde::Serialize;

/// What it is.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The index.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a ContentDigest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl<'a> Index<'a> {
    pub(super) fn of(manifests: impl Iterator<Item = &'a RepositoryManifest>) -> Self {
        let descriptor = |manifest: &'a RepositoryManifest| Descriptor {
            media_type: &manifest.media_type,
            digest: &manifest.digest,
            size: manifest.size_bytes,
            artifact_type: manifest.artifact_type.as_deref(),
            annotations: &manifest.annotations,
        };
        Self {
            schema_version: 2,
            media_type: INDEX,
            manifests: manifests.map(descriptor).collect(),
        }
    }
}
