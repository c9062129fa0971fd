//! Manifests: fetched and checked, read, and put.
//!
//! Source: OCI Image Manifest and Image Index v1.1; Docker Image Manifest V2, Schema 2.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::transport::{Answer, Call, full};
use super::{RegistryError, Repository};
use crate::digest::Digest;

/// An image of one platform, in Docker's form.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Images of many platforms, in Docker's form.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// An image of one platform.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Images of many platforms.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The configuration of an image, in Docker's form.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The configuration of an image.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer with gzip, in Docker's form.
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What registries keep at most (OCI Distribution Specification, "Pushing Manifests").
pub(crate) const LONGEST_MANIFEST: usize = 4 << 20;
pub(super) const DIGEST_HEADER: &str = "docker-content-digest";

/// A manifest as it came.
#[derive(Clone, Debug)]
pub(crate) struct FetchedManifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) content: Bytes,
}

/// What a manifest is.
#[derive(Debug)]
pub(crate) enum Document {
    /// An image.
    Image(Box<ImageManifest>),
    /// Images for several platforms.
    Index(Box<ImageIndex>),
    /// Docker's form of before 2016.
    Schema1,
    /// Something that is not understood, by its media type.
    Other(String),
}

/// What is looked at first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Beginning {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
}

impl FetchedManifest {
    /// Reads it, by its own word for what it is, then by the registry's.
    pub(crate) fn read(&self) -> Result<Document, serde_json::Error> {
        let beginning: Beginning = serde_json::from_slice(&self.content)?;
        if beginning.schema_version == 1 {
            return Ok(Document::Schema1);
        }
        let media_type = beginning
            .media_type
            .as_deref()
            .filter(|media_type| !media_type.is_empty())
            .unwrap_or(&self.media_type);
        Ok(match media_type {
            DOCKER_MANIFEST | OCI_MANIFEST => Document::Image(Box::new(parse(&self.content)?)),
            DOCKER_LIST | OCI_INDEX => Document::Index(Box::new(parse(&self.content)?)),
            // Registries that keep files only say nothing of use.
            "application/json" | "application/octet-stream" | "text/plain" | "" => {
                match (&beginning.manifests, &beginning.layers) {
                    (Some(_), None) => Document::Index(Box::new(parse(&self.content)?)),
                    (None, Some(_)) => Document::Image(Box::new(parse(&self.content)?)),
                    _ => Document::Other(media_type.to_owned()),
                }
            }
            other => Document::Other(other.to_owned()),
        })
    }
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(content)
}

/// The digest in a descriptor.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Digest, crate::digest::DigestError> {
    descriptor.digest().to_string().parse()
}

impl Repository {
    /// The manifest of a tag or digest, whole and checked.
    pub(crate) async fn manifest(&self, reference: &str) -> Result<FetchedManifest, RegistryError> {
        let call = self.about_manifest(Method::GET, reference)?;
        let answer = self.succeed_in_the_end(&call).await?;
        let media_type = media_type(&answer);
        // Of a digest in another algorithm the registry is believed; ours is computed all the same.
        let claimed = match reference.parse() {
            Ok(digest) => Some(digest),
            Err(_) => answer
                .header(DIGEST_HEADER)
                .and_then(|digest| digest.parse::<Digest>().ok()),
        };
        let content = self.transport().read(answer, LONGEST_MANIFEST).await?;
        let digest = Digest::of(&content);
        match claimed {
            Some(claimed) if claimed != digest => Err(RegistryError::Verification {
                what: "manifest",
                expected: claimed.to_string(),
                found: digest.to_string(),
            }),
            _ => Ok(FetchedManifest {
                digest,
                media_type,
                content,
            }),
        }
    }

    /// The digest that a tag stands for now; `None` where the registry does not tell without sending
    /// the manifest.
    pub(crate) async fn manifest_digest(
        &self,
        reference: &str,
    ) -> Result<Option<Digest>, RegistryError> {
        let call = self.about_manifest(Method::HEAD, reference)?;
        let answer = self.send(&call).await?;
        Ok(answer
            .header(DIGEST_HEADER)
            .filter(|_| answer.head.status.is_success())
            .and_then(|digest| digest.parse().ok()))
    }

    /// Puts a manifest, under a tag.
    pub(crate) async fn put_manifest(
        &self,
        tag: &str,
        media_type: &str,
        content: &Bytes,
    ) -> Result<(), RegistryError> {
        let body = || full(content.clone());
        let mut call = Call {
            body: &body,
            ..Call::bare(Method::PUT, self.at(&format!("manifests/{tag}"))?)
        };
        if let Ok(media_type) = HeaderValue::from_str(media_type) {
            call.headers.insert(CONTENT_TYPE, media_type);
        }
        self.succeed_in_the_end(&call).await.map(drop)
    }

    pub(super) fn about_manifest(
        &self,
        method: Method,
        reference: &str,
    ) -> Result<Call<'static>, RegistryError> {
        let mut headers = HeaderMap::new();
        for media_type in [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST] {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        Ok(Call {
            headers,
            ..Call::bare(method, self.at(&format!("manifests/{reference}"))?)
        })
    }
}

/// What the registry says that a manifest is.
fn media_type(answer: &Answer) -> String {
    let whole = answer.header(CONTENT_TYPE).unwrap_or_default();
    whole
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media_type: &str, text: &str) -> Document {
        let manifest = FetchedManifest {
            digest: Digest::of(text.as_bytes()),
            media_type: media_type.to_owned(),
            content: Bytes::copy_from_slice(text.as_bytes()),
        };
        manifest.read().unwrap()
    }

    #[test]
    fn a_manifest_says_what_it_is_and_else_the_registry_does() {
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(read(OCI_INDEX, index), Document::Index(_)));
        assert!(matches!(read("text/plain", index), Document::Index(_)));
        let own = r#"{"schemaVersion":2,"mediaType":"application/vnd.example","manifests":[]}"#;
        assert!(matches!(read(OCI_INDEX, own), Document::Other(_)));
        assert!(matches!(
            read(
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
                r#"{"schemaVersion":1}"#
            ),
            Document::Schema1
        ));
        assert!(matches!(read("text/plain", "{}"), Document::Other(_)));
    }
}
