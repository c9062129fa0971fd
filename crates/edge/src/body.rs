//! Bodies: reading one whole within a limit, as JSON, or as a stream; answering with a stream.
//!
//! Front ends turn the errors into their own envelopes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::document::Document;

/// Bytes read from a file or pipe for one chunk of a streamed answer.
const CHUNK: usize = 64 * 1024;

/// The same, of a file that is sent as it is.
const FILE_CHUNK: u64 = 256 * 1024;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than allowed.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes allowed.
        limit: usize,
    },
    /// The connection broke.
    #[error("the request body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a body is not the JSON that was expected.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON at all.
    #[error("{0}")]
    Syntax(serde_json::Error),
    /// A value has the wrong type.
    #[error("{path}: {source}")]
    Shape {
        /// Where in the document: `HostConfig.Memory`.
        path: String,
        /// What was found and what was expected.
        source: serde_json::Error,
    },
}

/// Reads a body whole.
///
/// # Errors
///
/// [`ReadError`].
pub async fn read(body: Body, limit: usize) -> Result<Bytes, ReadError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge { limit }),
        Err(error) => Err(ReadError::Broken(error)),
    }
}

/// A value of the given shape from a JSON document.
///
/// # Errors
///
/// [`JsonError::Shape`], with the path of the first value that does not fit.
pub fn shape<T: DeserializeOwned>(document: serde_json::Value) -> Result<T, JsonError> {
    serde_path_to_error::deserialize(Document(document)).map_err(|error| JsonError::Shape {
        path: error.path().to_string(),
        source: error.into_inner(),
    })
}

/// Bytes of a body as they arrive.
pub fn reader(body: Body) -> impl AsyncRead + Send + Unpin + 'static {
    StreamReader::new(TryStreamExt::map_err(
        body.into_data_stream(),
        io::Error::other,
    ))
}

/// A body of what a reader gives.
pub fn from_reader(reader: impl AsyncRead + Send + 'static) -> Body {
    Body::from_stream(ReaderStream::with_capacity(reader, CHUNK))
}

/// A body of `length` bytes of a file, from `offset` on. One piece is read while the one before it is
/// sent, and no more, so that a slow client costs no memory; the answer's head should say the length.
pub fn from_file(file: File, offset: u64, length: u64) -> Body {
    let rest = Rest {
        file: Arc::new(file),
        offset,
        length,
    };
    let pieces = stream::try_unfold((rest, None), |(mut rest, ahead)| async move {
        let Some(reading) = ahead.or_else(|| rest.read()) else {
            return Ok(None);
        };
        let piece: Bytes = reading.await.map_err(io::Error::other)??;
        let ahead = rest.read();
        Ok::<_, io::Error>(Some((piece, (rest, ahead))))
    });
    Body::from_stream(pieces)
}

/// What of a file is not read yet.
struct Rest {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

impl Rest {
    /// Begins to read the next piece, where there is one.
    fn read(&mut self) -> Option<JoinHandle<io::Result<Bytes>>> {
        let wanted = self.length.min(FILE_CHUNK);
        if wanted == 0 {
            return None;
        }
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        self.offset += wanted;
        self.length -= wanted;
        Some(tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(wanted).map_err(io::Error::other)?];
            file.read_exact_at(&mut piece, offset)?;
            Ok(Bytes::from(piece))
        }))
    }
}

/// A body of what is sent through the channel. The head goes out at once; dropping the sender ends
/// the body; a client that leaves closes the channel.
pub fn channel(capacity: usize) -> (mpsc::Sender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::channel(capacity);
    let chunks = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (
        sender,
        Body::from_stream(chunks.map(Ok::<Bytes, io::Error>)),
    )
}

/// As [`channel`], of a first chunk and what is sent after it; nothing is ever too much for it.
pub fn follow(first: Bytes, mut receiver: mpsc::UnboundedReceiver<Bytes>) -> Body {
    let rest = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let chunks = stream::iter([first]).chain(rest);
    Body::from_stream(chunks.map(Ok::<Bytes, io::Error>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        inner: Inner,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        count: u32,
    }

    #[test]
    fn a_wrong_type_is_told_with_its_path() {
        let error = shape::<Outer>(serde_json::json!({"inner": {"count": "x"}})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "inner.count: invalid type: string \"x\", expected u32"
        );
        assert_eq!(
            shape::<Outer>(serde_json::json!({"inner": {"count": 3}}))
                .unwrap()
                .inner
                .count,
            3
        );
    }

    #[test]
    fn the_case_of_a_name_does_not_matter_but_an_exact_one_wins() {
        for (document, count) in [
            (serde_json::json!({"INNER": {"Count": 3}}), 3),
            (serde_json::json!({"inner": {"COUNT": 4, "count": 5}}), 5),
        ] {
            assert_eq!(shape::<Outer>(document).unwrap().inner.count, count);
        }
    }

    #[test]
    fn an_array_is_no_object() {
        for document in [serde_json::json!([[3]]), serde_json::json!({"inner": [3]})] {
            let error = shape::<Outer>(document).unwrap_err();
            assert!(error.to_string().contains("invalid type: sequence"));
        }
    }

    #[tokio::test]
    async fn a_part_of_a_file_is_a_body_and_one_that_is_too_short_breaks_off() {
        let content: Vec<u8> = (0..600_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        let part = |offset, length| {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &content).unwrap();
            read(from_file(file, offset, length), usize::MAX)
        };
        assert_eq!(part(0, 600_000).await.unwrap(), content);
        assert_eq!(part(7, 500_000).await.unwrap(), content[7..500_007]);
        assert!(part(600_000, 0).await.unwrap().is_empty());
        assert!(matches!(part(7, 600_000).await, Err(ReadError::Broken(_))));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        assert_eq!(read(Body::from("12345"), 5).await.unwrap(), "12345");
        assert!(matches!(
            read(Body::from("123456"), 5).await,
            Err(ReadError::TooLarge { limit: 5 })
        ));
    }
}
