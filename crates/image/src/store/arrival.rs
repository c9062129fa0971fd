//! A layer that arrives: kept as it came, hashed, inflated and unpacked while it still comes, so that
//! pulling is as slow as the slowest of these and no slower.
//!
//! Nobody has vouched for the bytes when they are unpacked, so they are unpacked in `staging`, by
//! code that takes hostile archives, and count only once the digest is right.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bytes::{Buf, Bytes};

use super::Store;
use super::content::{ContentError, failed};
use super::early::Early;
use super::index::LayerRecord;
use super::layers::{LayerError, Pins, StagedBlob};
use crate::archive::ArchiveError;
use crate::compression::{Compression, MAGIC_LENGTH};
use crate::digest::{Digest, Hasher};
use crate::layer::{Spooled, Unpacked, inflate_and_unpack};
use crate::pipe::{self, BlockingReader};
use crate::unpack::{UnpackError, unpack};

/// Chunks on their way to the disk.
const UNDER_WAY: usize = 8;

/// A layer that is to arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Digest of the blob.
    pub(crate) blob: Digest,
    /// Digest of the layer without compression, by the configuration.
    pub(crate) diff_id: Digest,
}

/// Why a layer did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// The blob is not what it was asked by.
    #[error("filesystem layer verification failed for digest {expected}: it has {found}")]
    Digest {
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// What came broke off.
    #[error("read the layer")]
    Read(#[source] io::Error),
    /// It cannot be unpacked or kept.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

impl ArrivalError {
    /// The host's disk is full or fails, rather than that something is wrong with what came.
    pub(crate) fn is_hosts(&self) -> bool {
        matches!(self, Self::Layer(error) if error.is_hosts())
    }
}

impl Store {
    /// Takes a layer from a pipe. Waits for the pipe and for the disk.
    pub(crate) fn take_layer(
        &self,
        reader: BlockingReader,
        expected: Expected,
    ) -> Result<Pins, ArrivalError> {
        let staging = self.content().staging().map_err(LayerError::from)?;
        let (file, path) = staging.create("blob").map_err(LayerError::from)?;
        let dir = staging.create_dir("layer").map_err(LayerError::from)?;
        let (spooled, unpacked) = thread::scope(|scope| {
            let (to_disk, for_disk) = sync_channel(UNDER_WAY);
            let keeper = scope.spawn({
                let file = &file;
                move || keep(file, for_disk)
            });
            let mut incoming = Incoming {
                reader,
                to_disk,
                early: Early::start(scope, || staging.flush()),
                chunk: Bytes::new(),
                broke: None,
            };
            let unpacked = incoming.unpack_into(&dir);
            // What went wrong may be that the bytes are not those that were asked for: only all of
            // them tell.
            let drained = io::copy(&mut incoming, &mut io::sink());
            let Incoming {
                to_disk,
                early,
                mut broke,
                ..
            } = incoming;
            drop(to_disk);
            let flushed = early.finish();
            #[expect(clippy::expect_used, reason = "a panic of the thread is passed on")]
            let kept = keeper.join().expect("keep");
            let spooled = kept
                .map_err(|source| LayerError::from(failed("write", &path)(source)))
                .map_err(ArrivalError::from)?;
            if let Some(error) = broke.take() {
                return Err(ArrivalError::Read(error));
            }
            drained.map_err(ArrivalError::Read)?;
            flushed.map_err(LayerError::from)?;
            Ok((spooled, unpacked))
        })?;
        if spooled.digest != expected.blob {
            return Err(ArrivalError::Digest {
                expected: expected.blob.to_string(),
                found: spooled.digest.to_string(),
            });
        }
        let (compression, unpacked) = unpacked.map_err(|error| error.of(expected.blob))?;
        let found = unpacked.diff_id.unwrap_or(spooled.digest);
        if found != expected.diff_id {
            return Err(LayerError::Digest {
                expected: expected.diff_id.to_string(),
                found: found.to_string(),
            }
            .into());
        }
        let record = LayerRecord {
            blob: spooled.digest,
            blob_bytes: spooled.size_bytes,
            compression,
            plain_bytes: unpacked.plain_bytes.unwrap_or(spooled.size_bytes),
            size_bytes: unpacked.size_bytes,
        };
        let blob = StagedBlob { path, spooled };
        Ok(self.settle_layer(found, &dir, &blob, record, &staging)?)
    }

    /// Takes a layer whose blob is here already; `None` where it is not.
    pub(crate) fn take_layer_at_hand(
        &self,
        expected: Expected,
    ) -> Option<Result<Pins, LayerError>> {
        let staging = self.content().staging().ok()?;
        let path = staging.link_blob(self.content(), &expected.blob)?;
        let size_bytes = path.metadata().ok()?.len();
        let blob = StagedBlob {
            path,
            spooled: Spooled {
                digest: expected.blob,
                size_bytes,
            },
        };
        let unpacked = self.unpack(&blob, "layer", &staging, &|_| {});
        Some(unpacked.and_then(|(dir, record, found)| {
            if found != expected.diff_id {
                return Err(LayerError::Digest {
                    expected: expected.diff_id.to_string(),
                    found: found.to_string(),
                });
            }
            self.settle_layer(found, &dir, &blob, record, &staging)
        }))
    }
}

/// Writes and hashes chunks until the sender is gone.
fn keep(mut file: &File, chunks: Receiver<Bytes>) -> io::Result<Spooled> {
    let mut hasher = Hasher::default();
    let mut size_bytes = 0;
    for chunk in chunks {
        file.write_all(&chunk)?;
        hasher.update(&chunk);
        size_bytes += chunk.len() as u64;
    }
    Ok(Spooled {
        digest: hasher.finish(),
        size_bytes,
    })
}

/// What is known of an unpacked layer; of one without compression the blob tells the rest.
struct Laid {
    diff_id: Option<Digest>,
    plain_bytes: Option<u64>,
    size_bytes: u64,
}

/// Why what came was not unpacked.
enum LayError {
    Compression(crate::compression::UnsupportedCompression),
    Unpack(UnpackError),
}

impl LayError {
    fn of(self, layer: Digest) -> LayerError {
        let layer = layer.to_string();
        match self {
            Self::Compression(source) => LayerError::Compression { layer, source },
            Self::Unpack(source) => LayerError::Unpack { layer, source },
        }
    }
}

/// The blob as it comes; every chunk also goes to the disk.
struct Incoming<'scope> {
    reader: BlockingReader,
    to_disk: SyncSender<Bytes>,
    /// For this and for what is unpacked of it.
    early: Early<'scope, ContentError>,
    chunk: Bytes,
    /// Why no more comes.
    broke: Option<io::Error>,
}

impl Incoming<'_> {
    fn unpack_into(&mut self, dir: &std::path::Path) -> Result<(Compression, Laid), LayError> {
        let mut head = Vec::with_capacity(MAGIC_LENGTH);
        self.take(MAGIC_LENGTH as u64)
            .read_to_end(&mut head)
            .map_err(|error| LayError::Unpack(ArchiveError::from(error).into()))?;
        let compression = Compression::sniff(&head).map_err(LayError::Compression)?;
        let whole = Read::chain(io::Cursor::new(head), self);
        let laid = if compression == Compression::Plain {
            unpack(whole, dir).map(|size_bytes| Laid {
                diff_id: None,
                plain_bytes: None,
                size_bytes,
            })
        } else {
            let unpacked = inflate_and_unpack(whole, compression, dir);
            unpacked.map(
                |Unpacked {
                     diff_id,
                     plain_bytes,
                     size_bytes,
                 }| Laid {
                    diff_id: Some(diff_id),
                    plain_bytes: Some(plain_bytes),
                    size_bytes,
                },
            )
        };
        Ok((compression, laid.map_err(LayError::Unpack)?))
    }
}

impl BufRead for Incoming<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() {
            let next = self.reader.next_chunk();
            self.chunk = next.map_err(|error| {
                let kind = error.kind();
                self.broke = Some(error);
                io::Error::from(kind)
            })?;
            self.early.wrote(self.chunk.len() as u64);
            // Where the disk fails, its own error counts.
            if !self.chunk.is_empty() && self.to_disk.send(self.chunk.clone()).is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount);
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        pipe::read_buffered(self, buffer)
    }
}
