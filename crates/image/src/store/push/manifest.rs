//! The manifest that is pushed: as it came with the image, or written here.

use bytes::Bytes;
use oci_spec::image::ImageManifest;
use serde::Serialize;

use super::Blob;
use crate::compression::Compression;
use crate::digest::Digest;
use crate::registry::{DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST};

const OCI_ZSTD_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const OCI_GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What a manifest that came says that it is.
pub(super) fn media_type_of(manifest: &[u8]) -> Result<String, serde_json::Error> {
    let manifest: ImageManifest = serde_json::from_slice(manifest)?;
    Ok(manifest
        .media_type()
        .as_ref()
        .map_or_else(|| OCI_MANIFEST.to_owned(), ToString::to_string))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    size: u64,
    digest: Digest,
}

impl Descriptor {
    const fn new(media_type: &'static str, blob: Blob) -> Self {
        Self {
            media_type,
            size: blob.size_bytes,
            digest: blob.digest,
        }
    }
}

/// A manifest in Docker's form, which every registry takes; in the OCI's where a layer is of a kind
/// that Docker's has not.
pub(super) fn write_manifest(
    config: Blob,
    layers: impl Iterator<Item = (Blob, Compression)>,
) -> Result<(String, Bytes), serde_json::Error> {
    let layers: Vec<(Blob, Compression)> = layers.collect();
    let is_docker = layers
        .iter()
        .all(|(_, compression)| *compression != Compression::Zstd);
    let (media_type, config_type, gzip) = if is_docker {
        (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER)
    } else {
        (OCI_MANIFEST, OCI_CONFIG, OCI_GZIP_LAYER)
    };
    let layers = layers.into_iter().map(|(blob, compression)| {
        let media_type = match compression {
            Compression::Zstd => OCI_ZSTD_LAYER,
            // What is not compressed here is on its way.
            Compression::Gzip | Compression::Plain => gzip,
        };
        Descriptor::new(media_type, blob)
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type,
        config: Descriptor::new(config_type, config),
        layers: layers.collect(),
    };
    let text = serde_json::to_vec(&manifest)?;
    Ok((media_type.to_owned(), text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(content: &[u8]) -> Blob {
        Blob {
            digest: Digest::of(content),
            size_bytes: content.len() as u64,
        }
    }

    #[test]
    fn a_manifest_is_dockers_unless_a_layer_is_not() {
        let write = |compression| {
            let layers = [(blob(b"layer"), compression)];
            let (media_type, text) = write_manifest(blob(b"config"), layers.into_iter()).unwrap();
            let manifest: ImageManifest = serde_json::from_slice(&text).unwrap();
            (media_type, manifest.layers()[0].media_type().to_string())
        };
        let docker = (DOCKER_MANIFEST.to_owned(), DOCKER_LAYER.to_owned());
        assert_eq!(write(Compression::Gzip), docker);
        assert_eq!(write(Compression::Plain), docker);
        assert_eq!(
            write(Compression::Zstd),
            (OCI_MANIFEST.to_owned(), OCI_ZSTD_LAYER.to_owned())
        );
    }
}
