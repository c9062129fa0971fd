//! Content that is passed on as it is: read from one registry for who keeps it elsewhere than among
//! the engine's images. Nothing is unpacked, and only what digests say is checked.
//!
//! The caller is `actions::registry::upstream`, the cache of other registries.

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_LENGTH;
use model::digest::ContentDigest;

use super::transport::Call;
use super::{RegistryError, Repository, Wanted};
use crate::digest::Digest;
use crate::pipe;
use crate::store::upload::{AppendError, Upload};

/// A manifest as it came.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// What the registry says that it is.
    pub media_type: String,
    /// Its bytes, which have the digest that was asked for, or that the registry told of the tag.
    pub content: Bytes,
}

/// Why a blob did not come.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It cannot be kept.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Repository {
    /// The manifest of a tag or digest.
    ///
    /// # Errors
    /// When there is none, or it is not what the digest says.
    pub async fn relay_manifest(&self, reference: &str) -> Result<Relayed, RegistryError> {
        let manifest = self.manifest(reference).await?;
        Ok(Relayed {
            media_type: manifest.media_type,
            content: manifest.content,
        })
    }

    /// The digest that a tag stands for now; `None` where the registry does not tell without sending
    /// the manifest.
    ///
    /// # Errors
    /// When there is no such tag, or the registry does not say.
    pub async fn tag_digest(&self, tag: &str) -> Result<Option<ContentDigest>, RegistryError> {
        let call = self.about_manifest(Method::HEAD, tag)?;
        let answer = self.succeed(&call).await?;
        Ok(answer
            .header(super::manifest::DIGEST_HEADER)
            .and_then(|digest| digest.parse().ok()))
    }

    /// Bytes of a blob.
    ///
    /// # Errors
    /// When there is none, or the registry does not say.
    pub async fn blob_size(&self, digest: &ContentDigest) -> Result<u64, RegistryError> {
        let uri = self.at(&format!("blobs/{digest}"))?;
        let answer = self
            .succeed_in_the_end(&Call::bare(Method::HEAD, uri))
            .await?;
        let length = answer
            .header(CONTENT_LENGTH)
            .and_then(|length| length.parse().ok());
        length.ok_or_else(|| answer.unexpected("it does not say how long the blob is"))
    }

    /// Adds a blob to an empty upload, and tells after each piece how much of it there is. Whether it
    /// is what its digest says shows when it is shelved.
    ///
    /// What breaks off is taken up again, as in a pull.
    ///
    /// # Errors
    /// When the registry does not send all of it, and nothing more, or the disk is full. Of blobs that
    /// are named by another algorithm than SHA-256, always.
    pub async fn relay_blob(
        &self,
        digest: &ContentDigest,
        size_bytes: u64,
        mut upload: Upload,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Upload, RelayError> {
        let digest: Digest = digest.as_str().parse().map_err(RegistryError::from)?;
        let wanted = Wanted { digest, size_bytes };
        let (sender, reader) = pipe::chunks_inward();
        let taking = tokio::task::spawn_blocking(move || {
            let taken = upload.append(reader, size_bytes, progress);
            taken.map(|()| upload)
        });
        let sent = self.download(wanted, &sender, &|_| {}).await;
        drop(sender);
        let taken = match taking.await {
            Ok(taken) => taken,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        match sent {
            // The taker went first: it says why.
            Ok(()) | Err(RegistryError::Abandoned) => Ok(taken?),
            Err(error) => Err(error.into()),
        }
    }
}
