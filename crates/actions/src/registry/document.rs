//! The document of a manifest or index, as far as the registry looks into it: what it needs, what it is
//! about. Its bytes are kept as they came.
//!
//! Source: OCI Image Specification v1.1, "Image Manifest", "Image Index"; Docker's "Image Manifest
//! Version 2, Schema 2".

use std::collections::BTreeMap;

use model::digest::ContentDigest;
use serde::Deserialize;

use super::RegistryError;

/// What may be pushed.
const IMAGES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Layers that are not to be pushed.
const FOREIGN: [&str; 2] = [
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
];

/// A manifest or index that was read.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) media_type: String,
    pub(super) artifact_type: Option<String>,
    pub(super) subject: Option<ContentDigest>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) needs: Vec<Need>,
}

/// Something without which a manifest is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) digest: ContentDigest,
    pub(super) size_bytes: u64,
    /// It stands in an index: it is a manifest, or else a blob.
    pub(super) is_child: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: ContentDigest,
    size: u64,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Descriptor {
    fn is_foreign(&self) -> bool {
        FOREIGN.iter().any(|kind| self.media_type.starts_with(kind))
            || self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }

    fn need(self, is_child: bool) -> Need {
        Need {
            digest: self.digest,
            size_bytes: self.size,
            is_child,
        }
    }
}

impl Document {
    /// Reads what was pushed as `media_type`; without one, the document says what it is.
    pub(super) fn read(text: &[u8], media_type: Option<&str>) -> Result<Self, RegistryError> {
        let invalid = |reason: String| RegistryError::ManifestInvalid(reason);
        // A list would be read as the fields in their order.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(invalid("it is no JSON object".to_owned()));
        }
        let wire: Wire =
            serde_json::from_slice(text).map_err(|error| invalid(error.to_string()))?;
        // Whatever comes after a semicolon does not count.
        let said = media_type
            .and_then(|said| said.split(';').next())
            .map(str::trim)
            .filter(|said| !said.is_empty());
        let media_type = match (said, &wire.media_type) {
            (Some(said), Some(own)) if said != own => {
                return Err(invalid(format!("it is a {own}, but was sent as a {said}")));
            }
            (Some(said), _) => said.to_owned(),
            (None, Some(own)) => own.clone(),
            (None, None) => return Err(invalid("its media type is not said".to_owned())),
        };
        if wire.schema_version != 2 {
            return Err(invalid(format!(
                "schemaVersion is {}, and must be 2",
                wire.schema_version
            )));
        }
        let mut needs = Vec::new();
        let mut artifact_type = wire.artifact_type.filter(|kind| !kind.is_empty());
        if IMAGES.contains(&media_type.as_str()) {
            if wire.manifests.is_some() {
                return Err(invalid("an image has no manifests".to_owned()));
            }
            let config = wire
                .config
                .ok_or_else(|| invalid("an image needs a config".to_owned()))?;
            artifact_type = artifact_type.or_else(|| Some(config.media_type.clone()));
            needs.push(config.need(false));
            let layers = wire.layers.ok_or_else(|| {
                invalid("an image needs layers, if only an empty list".to_owned())
            })?;
            let own = layers.into_iter().filter(|layer| !layer.is_foreign());
            needs.extend(own.map(|layer| layer.need(false)));
        } else if INDEXES.contains(&media_type.as_str()) {
            if wire.config.is_some() || wire.layers.is_some() {
                return Err(invalid("an index has neither config nor layers".to_owned()));
            }
            let manifests = wire
                .manifests
                .ok_or_else(|| invalid("an index needs manifests".to_owned()))?;
            needs.extend(manifests.into_iter().map(|child| child.need(true)));
        } else {
            return Err(invalid(format!("a {media_type} is not taken")));
        }
        Ok(Self {
            media_type,
            artifact_type,
            subject: wire.subject.map(|subject| subject.digest),
            annotations: wire.annotations.unwrap_or_default(),
            needs,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(document: &Value, media_type: Option<&str>) -> Result<Document, String> {
        Document::read(document.to_string().as_bytes(), media_type)
            .map_err(|error| error.to_string())
    }

    fn descriptor(media_type: &str, byte: u8) -> Value {
        let digest = ContentDigest::new(model::digest::Algorithm::Sha256, &[byte; 32]);
        json!({ "mediaType": media_type, "digest": digest, "size": 7 })
    }

    #[test]
    fn an_image_needs_its_configuration_and_the_layers_that_may_travel() {
        let image = json!({
            "schemaVersion": 2,
            "config": descriptor("application/example", 1),
            "layers": [
                descriptor("application/vnd.oci.image.layer.v1.tar", 2),
                descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", 3),
            ],
            "subject": descriptor(IMAGES[0], 4),
        });
        let read = read(
            &image,
            Some("application/vnd.oci.image.manifest.v1+json; x=y"),
        )
        .unwrap();
        assert_eq!(read.needs.len(), 2);
        assert_eq!(read.artifact_type.as_deref(), Some("application/example"));
        assert!(read.subject.is_some());
    }

    #[test]
    fn what_is_no_manifest_is_refused_by_name() {
        let (config, layers) = (descriptor("x", 1), json!([]));
        for (document, said, words) in [
            (json!([2]), Some(IMAGES[0]), "no JSON object"),
            (json!({"schemaVersion": 2}), None, "media type"),
            (
                json!({"schemaVersion": 1}),
                Some(IMAGES[0]),
                "schemaVersion",
            ),
            (json!({"schemaVersion": 2}), Some(IMAGES[0]), "config"),
            (json!({"schemaVersion": 2}), Some(INDEXES[0]), "manifests"),
            (
                json!({"schemaVersion": 2}),
                Some("text/plain"),
                "text/plain",
            ),
            (
                json!({"schemaVersion": 2, "config": config}),
                Some(IMAGES[0]),
                "layers",
            ),
            (
                json!({"schemaVersion": 2, "config": {"digest": "sha256:0", "size": 1}}),
                Some(IMAGES[0]),
                "sha256:0",
            ),
            (
                json!({"schemaVersion": 2, "mediaType": INDEXES[0], "config": config, "layers": layers}),
                Some(IMAGES[0]),
                "was sent as",
            ),
        ] {
            let refused = read(&document, said).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
