//! Blobs on their way to a registry: looked for, taken from a neighbour, or sent.
//!
//! Source: OCI Distribution Specification, "Pushing blobs".

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::endpoint::resolve;
use super::transport::{Answer, Body, Call};
use super::{RegistryError, Repository};
use crate::digest::Digest;

/// Where what is uploaded comes from; opened for each attempt anew. The empty chunk is its end.
pub(crate) type Source = Arc<dyn Fn() -> mpsc::Receiver<io::Result<Bytes>> + Send + Sync>;

/// Hears how many bytes have gone out.
pub(crate) type Report = Arc<dyn Fn(u64) + Send + Sync>;

/// An upload that has begun.
pub(crate) struct Begun {
    /// Where to send the content.
    location: Uri,
}

/// What became of taking a blob from another repository.
pub(crate) enum Mounting {
    /// It is there.
    Mounted,
    /// It has to be sent, in this upload.
    Begun(Begun),
}

impl Repository {
    /// Whether the repository has a blob.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let uri = self.at(&format!("blobs/{digest}"))?;
        let answer = self.send(&Call::bare(Method::HEAD, uri)).await?;
        match answer.head.status {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.transport().refused(answer).await),
        }
    }

    /// Takes a blob from another repository of the same registry, or begins to upload it.
    pub(crate) async fn mount(
        &self,
        digest: &Digest,
        from: &str,
    ) -> Result<Mounting, RegistryError> {
        let uri = self.at(&format!("blobs/uploads/?mount={digest}&from={from}"))?;
        let answer = self
            .succeed_in_the_end(&Call::bare(Method::POST, uri))
            .await?;
        if answer.head.status == StatusCode::CREATED {
            return Ok(Mounting::Mounted);
        }
        Ok(Mounting::Begun(begun(&answer)?))
    }

    /// Begins to upload.
    pub(crate) async fn begin(&self) -> Result<Begun, RegistryError> {
        let uri = self.at("blobs/uploads/")?;
        let answer = self
            .succeed_in_the_end(&Call::bare(Method::POST, uri))
            .await?;
        begun(&answer)
    }

    /// Gives an upload up; one that stays is the registry's to clear away.
    pub(crate) async fn cancel(&self, begun: Begun) {
        let call = Call::bare(Method::DELETE, begun.location);
        if let Err(error) = self.succeed(&call).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "an upload is not given up"
            );
        }
    }

    /// Sends a blob, and then says which it was: what is compressed on its way is only known then.
    ///
    /// `size_bytes` where it is known before.
    pub(crate) async fn upload(
        &self,
        begun: Begun,
        size_bytes: Option<u64>,
        source: &Source,
        report: &Report,
        digest: impl FnOnce() -> Option<Digest>,
    ) -> Result<(), RegistryError> {
        let sent = Arc::new(AtomicU64::new(0));
        let body = || body(source(), &sent, report);
        let mut call = Call {
            body: &body,
            sent: &sent,
            ..Call::bare(Method::PATCH, begun.location)
        };
        let octets = HeaderValue::from_static("application/octet-stream");
        call.headers.insert(CONTENT_TYPE, octets);
        if let Some(size_bytes) = size_bytes {
            call.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(size_bytes));
        }
        let answer = self.succeed(&call).await?;
        let location = location(&answer)?;
        let digest = digest().ok_or(RegistryError::Abandoned)?;
        let call = Call::bare(Method::PUT, with_digest(&location, &digest)?);
        self.succeed(&call).await.map(drop)
    }
}

fn begun(answer: &Answer) -> Result<Begun, RegistryError> {
    if answer.head.status != StatusCode::ACCEPTED {
        return Err(answer.unexpected("it begins no upload"));
    }
    Ok(Begun {
        location: location(answer)?,
    })
}

fn location(answer: &Answer) -> Result<Uri, RegistryError> {
    answer
        .header(LOCATION)
        .and_then(|location| resolve(&answer.uri, location))
        .ok_or_else(|| answer.unexpected("it does not say where to go on"))
}

/// The address with a further parameter.
fn with_digest(location: &Uri, digest: &Digest) -> Result<Uri, RegistryError> {
    let separator = if location.query().is_some() { '&' } else { '?' };
    let text = format!("{location}{separator}digest={digest}");
    Uri::try_from(&text).map_err(|source| RegistryError::Address {
        name: text,
        source: source.into(),
    })
}

/// The body of a request, of what comes through a pipe.
fn body(
    mut source: mpsc::Receiver<io::Result<Bytes>>,
    sent: &Arc<AtomicU64>,
    report: &Report,
) -> Body {
    let (sent, report) = (Arc::clone(sent), Arc::clone(report));
    sent.store(0, Ordering::Relaxed);
    let mut has_ended = false;
    let frames = futures_util::stream::poll_fn(move |context| {
        if has_ended {
            return std::task::Poll::Ready(None);
        }
        source.poll_recv(context).map(|chunk| match chunk {
            Some(Ok(chunk)) if chunk.is_empty() => {
                has_ended = true;
                None
            }
            Some(Ok(chunk)) => {
                let length = chunk.len() as u64;
                report(sent.fetch_add(length, Ordering::Relaxed) + length);
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(io::ErrorKind::BrokenPipe.into())),
        })
    });
    StreamBody::new(frames).boxed_unsync()
}
