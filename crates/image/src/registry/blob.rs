//! Blobs on their way here: in order, checked for length, taken up again where they broke off.
//!
//! Source: OCI Distribution Specification, "Pulling blobs"; RFC 9110, section 14.

use std::io;

use bytes::{Buf, Bytes};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};
use tokio::sync::mpsc;

use super::transport::{Answer, Call};
use super::{RegistryError, Repository};
use crate::digest::Digest;

/// A blob that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    /// By its descriptor.
    pub(crate) size_bytes: u64,
}

/// What a download tells on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes are here.
    Received(u64),
    /// It broke off, and is tried again.
    Again,
}

impl Repository {
    /// A small blob, whole and checked.
    pub(crate) async fn small_blob(&self, wanted: Wanted) -> Result<Bytes, RegistryError> {
        let uri = self.at(&format!("blobs/{}", wanted.digest))?;
        let answer = self.get(uri).await?;
        let most = usize::try_from(wanted.size_bytes).unwrap_or(usize::MAX);
        let content = self.transport().read(answer, most).await?;
        if content.len() as u64 != wanted.size_bytes {
            return Err(wanted.wrong_length(Some(content.len() as u64)));
        }
        let found = Digest::of(&content);
        if found != wanted.digest {
            return Err(RegistryError::Verification {
                what: "image config",
                expected: wanted.digest.to_string(),
                found: found.to_string(),
            });
        }
        Ok(content)
    }

    /// Sends a blob into a pipe, then the empty chunk that ends it. The length is checked; the digest
    /// is whose who reads the pipe.
    ///
    /// What breaks off is taken up where it was, as often as the settings say without a byte of
    /// progress.
    pub(crate) async fn download(
        &self,
        wanted: Wanted,
        pipe: &mpsc::Sender<io::Result<Bytes>>,
        report: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<(), RegistryError> {
        let mut received = 0;
        let mut failures = 0;
        loop {
            let before = received;
            match self
                .download_from(wanted, &mut received, pipe, report)
                .await
            {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    failures = if received > before { 1 } else { failures + 1 };
                    report(Step::Again);
                    self.wait_after(failures, error).await?;
                }
                Err(error) => return Err(error),
            }
        }
        pipe.send(Ok(Bytes::new()))
            .await
            .map_err(|_| RegistryError::Abandoned)
    }

    /// One attempt, from where the last one ended.
    async fn download_from(
        &self,
        wanted: Wanted,
        received: &mut u64,
        pipe: &mpsc::Sender<io::Result<Bytes>>,
        report: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<(), RegistryError> {
        let mut call = Call::bare(Method::GET, self.at(&format!("blobs/{}", wanted.digest))?);
        if *received > 0 {
            let range = HeaderValue::try_from(format!("bytes={received}-"));
            call.headers.extend(range.ok().map(|range| (RANGE, range)));
        }
        let mut answer = self.succeed(&call).await?;
        // A server that does not know ranges begins anew: what is here already is passed over.
        let mut skip = *received - begins_at(&answer, *received)?;
        while let Some(mut chunk) = self.transport().next_chunk(&mut answer).await? {
            let over = skip.min(chunk.len() as u64);
            skip -= over;
            chunk.advance(usize::try_from(over).unwrap_or(usize::MAX));
            if chunk.is_empty() {
                continue;
            }
            *received += chunk.len() as u64;
            if *received > wanted.size_bytes {
                return Err(wanted.wrong_length(None));
            }
            if pipe.send(Ok(chunk)).await.is_err() {
                return Err(RegistryError::Abandoned);
            }
            report(Step::Received(*received));
        }
        if *received < wanted.size_bytes {
            return Err(wanted.wrong_length(Some(*received)));
        }
        Ok(())
    }
}

/// The offset of an answer's first byte, of what was asked from `asked` on.
fn begins_at(answer: &Answer, asked: u64) -> Result<u64, RegistryError> {
    if asked == 0 || answer.head.status != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let first = answer.header(CONTENT_RANGE).and_then(first_byte);
    match first {
        Some(first) if first <= asked => Ok(first),
        _ => Err(answer.unexpected("it has another range than was asked for")),
    }
}

/// The first number of `bytes 10-19/20`.
fn first_byte(range: &str) -> Option<u64> {
    let (first, _) = range.trim().strip_prefix("bytes ")?.split_once('-')?;
    first.trim().parse().ok()
}

impl Wanted {
    fn wrong_length(self, found: Option<u64>) -> RegistryError {
        RegistryError::Length {
            digest: self.digest.to_string(),
            said: self.size_bytes,
            found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_a_range_is_read() {
        for (range, first) in [
            ("bytes 10-19/20", Some(10)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */20", None),
            ("10-19/20", None),
            ("", None),
        ] {
            assert_eq!(first_byte(range), first, "{range}");
        }
    }
}
