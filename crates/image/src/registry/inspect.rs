//! What is under a name, without pulling it.

use http::Method;

use super::error::Question;
use super::manifest::{Document, digest_of};
use super::{RegistryError, Repository, Wanted};
use crate::config::ConfigDocument;
use crate::platform::{self, Platform};

/// The largest configuration that is looked at.
const LARGEST_CONFIG: u64 = 8 << 20;

/// A manifest, and for what platforms it has images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Bytes of it.
    pub size_bytes: usize,
    /// For what it has images.
    pub platforms: Vec<Platform>,
}

impl Repository {
    /// Looks at a tag or digest.
    ///
    /// # Errors
    /// When there is none, or it is not understood.
    pub async fn inspect(&self, reference: &str) -> Result<Inspected, RegistryError> {
        let manifest = self.manifest(reference).await?;
        let uri = self.at(&format!("manifests/{reference}"))?;
        let question = Question::new(&Method::GET, &uri);
        let unread = |source| RegistryError::Document {
            question: question.clone(),
            source,
        };
        let platforms = match manifest.read().map_err(unread)? {
            Document::Image(image) => {
                let config = image.config();
                let wanted = Wanted {
                    digest: digest_of(config)?,
                    size_bytes: config.size(),
                };
                if wanted.size_bytes > LARGEST_CONFIG {
                    return Err(RegistryError::TooLong {
                        question,
                        most_bytes: LARGEST_CONFIG,
                    });
                }
                let config = self.small_blob(wanted).await?;
                // Something else than an image has no platform.
                let document = serde_json::from_slice::<ConfigDocument>(&config).ok();
                let document = document.filter(|document| !document.os.is_empty());
                let platform = document.map(|document| {
                    Platform::new(&document.os, &document.architecture, &document.variant)
                });
                platform.into_iter().collect()
            }
            Document::Index(index) => index.manifests().iter().filter_map(platform::of).collect(),
            Document::Schema1 | Document::Other(_) => Vec::new(),
        };
        Ok(Inspected {
            media_type: manifest.media_type,
            digest: manifest.digest.to_string(),
            size_bytes: manifest.content.len(),
            platforms,
        })
    }
}
