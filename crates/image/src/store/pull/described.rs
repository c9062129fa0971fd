//! What a manifest says an image is made of, and what of that is refused.

use bytes::Bytes;
use oci_spec::image::{Descriptor, ImageManifest};

use super::PullError;
use crate::digest::Digest;
use crate::registry::{DOCKER_CONFIG, FetchedManifest, OCI_CONFIG, Wanted, digest_of};

/// The largest configuration.
const LARGEST_CONFIG: u64 = 8 << 20;

/// An image as its manifest describes it.
pub(super) struct Described {
    /// The digest that was found under the name: perhaps of an index.
    pub(super) named: Digest,
    pub(super) manifest_digest: Digest,
    pub(super) manifest_text: Bytes,
    pub(super) config: Wanted,
    pub(super) layers: Vec<Wanted>,
}

/// Reads an image's manifest, which was found under the name directly or by an index.
pub(super) fn described(
    named: Digest,
    fetched: &FetchedManifest,
    image: &ImageManifest,
) -> Result<Described, PullError> {
    let config = image.config();
    let media_type = config.media_type().to_string();
    if media_type != DOCKER_CONFIG && media_type != OCI_CONFIG {
        return Err(PullError::MediaType { media_type });
    }
    if config.size() > LARGEST_CONFIG {
        return Err(PullError::TooLarge {
            what: "configuration",
            digest: config.digest().to_string(),
            size_bytes: config.size(),
        });
    }
    let layers = image.layers().iter().map(|layer| {
        check_layer(layer)?;
        wanted(layer)
    });
    Ok(Described {
        named,
        manifest_digest: fetched.digest,
        manifest_text: fetched.content.clone(),
        config: wanted(config)?,
        layers: layers.collect::<Result<_, PullError>>()?,
    })
}

fn wanted(descriptor: &Descriptor) -> Result<Wanted, PullError> {
    Ok(Wanted {
        digest: digest_of(descriptor)?,
        size_bytes: descriptor.size(),
    })
}

/// Refuses layers that are not in the registry, and what is no layer.
fn check_layer(layer: &Descriptor) -> Result<(), PullError> {
    let media_type = layer.media_type().to_string();
    let is_foreign = media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
        || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.");
    if is_foreign {
        return Err(PullError::Foreign {
            digest: layer.digest().to_string(),
            media_type,
        });
    }
    let is_layer = media_type.starts_with("application/vnd.docker.image.rootfs.diff.tar")
        || media_type.starts_with("application/vnd.oci.image.layer.v1.tar");
    if is_layer {
        Ok(())
    } else {
        Err(PullError::MediaType { media_type })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_layers_of_the_registry_are_layers() {
        let layer = |media_type: &str| {
            let document = serde_json::json!({
                "mediaType": media_type, "digest": format!("sha256:{:064}", 1), "size": 1,
            });
            check_layer(&serde_json::from_value(document).unwrap())
        };
        for good in [
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+zstd",
        ] {
            layer(good).unwrap();
        }
        for foreign in [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        ] {
            assert!(matches!(layer(foreign), Err(PullError::Foreign { .. })));
        }
        assert!(matches!(
            layer("application/vnd.example"),
            Err(PullError::MediaType { .. })
        ));
    }
}
