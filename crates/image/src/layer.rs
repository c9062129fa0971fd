//! One layer on its way from the blob to the directory: read and inflated, hashed, written.
//!
//! Three threads share the work, so that two cores are busy and each byte is inflated once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::compression::{Compression, InflateError, MAGIC_LENGTH};
use crate::digest::{Digest, Hasher};
use crate::pipe;
use crate::unpack::{UnpackError, unpack};

const CHUNK: usize = 256 << 10;
const UNDER_WAY: usize = 8;

type Chunk = Arc<Vec<u8>>;

/// What became of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacked {
    /// Digest of the layer without compression.
    pub(crate) diff_id: Digest,
    /// Bytes of the layer without compression.
    pub(crate) plain_bytes: u64,
    /// Bytes of its files.
    pub(crate) size_bytes: u64,
}

/// Unpacks `blob` into the existing, empty directory `dir`.
///
/// `spooled` is about the blob: one without compression is not hashed again. `progress` hears how many bytes of the blob have been read.
pub(crate) fn unpack_blob(
    blob: &File,
    compression: Compression,
    spooled: Spooled,
    dir: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Unpacked, UnpackError> {
    let source = BufReader::with_capacity(
        CHUNK,
        Counted {
            input: blob,
            read: 0,
            progress,
        },
    );
    if compression == Compression::Plain {
        let size_bytes = unpack(source, dir)?;
        return Ok(Unpacked {
            diff_id: spooled.digest,
            plain_bytes: spooled.size_bytes,
            size_bytes,
        });
    }
    inflate_and_unpack(source, compression, dir)
}

/// Unpacks what comes compressed into the existing, empty directory `dir`.
pub(crate) fn inflate_and_unpack(
    source: impl BufRead + Send,
    compression: Compression,
    dir: &Path,
) -> Result<Unpacked, UnpackError> {
    thread::scope(|scope| {
        let (to_writer, for_writer) = sync_channel(UNDER_WAY);
        let (to_hasher, for_hasher) = sync_channel::<Chunk>(UNDER_WAY);
        scope.spawn(move || {
            let outcome = compression
                .reader(source)
                .and_then(|input| distribute(input, &to_writer, &to_hasher));
            // The writer may have failed and gone; then its own error counts.
            let _gone = to_writer.send(outcome.map(|()| Chunk::default()));
        });
        let hasher = scope.spawn(move || hash(&for_hasher));
        let outcome = unpack(
            Chunks {
                receiver: for_writer,
                chunk: Chunk::default(),
                at: 0,
                ended: false,
            },
            dir,
        );
        #[expect(
            clippy::expect_used,
            reason = "the hashing thread has nothing that panics"
        )]
        let (diff_id, plain_bytes) = hasher.join().expect("hashing does not panic");
        Ok(Unpacked {
            diff_id,
            plain_bytes,
            size_bytes: outcome?,
        })
    })
}

/// Tells how a blob is compressed.
pub(crate) fn sniff(blob: &File) -> Result<Compression, InflateError> {
    let mut head = [0; MAGIC_LENGTH];
    let mut length = 0;
    while length < head.len() {
        match rustix::io::pread(blob, &mut head[length..], length as u64)
            .map_err(io::Error::from)?
        {
            0 => break,
            read => length += read,
        }
    }
    Ok(Compression::sniff(&head[..length])?)
}

/// Digest and number of all bytes.
fn hash(chunks: &Receiver<Chunk>) -> (Digest, u64) {
    let mut hasher = Hasher::default();
    let mut length = 0;
    for chunk in chunks {
        hasher.update(&chunk);
        length += chunk.len() as u64;
    }
    (hasher.finish(), length)
}

/// Reads `input` to its end and gives every chunk to both; ends early when the writer is gone.
fn distribute(
    mut input: impl Read,
    to_writer: &SyncSender<io::Result<Chunk>>,
    to_hasher: &SyncSender<Chunk>,
) -> io::Result<()> {
    loop {
        let chunk = Arc::new(read_chunk(&mut input)?);
        if chunk.is_empty()
            || to_writer.send(Ok(Arc::clone(&chunk))).is_err()
            || to_hasher.send(chunk).is_err()
        {
            return Ok(());
        }
    }
}

/// Reads until the chunk is full or the input ends.
fn read_chunk(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(CHUNK);
    input.take(CHUNK as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// The writer's end.
struct Chunks {
    receiver: Receiver<io::Result<Chunk>>,
    chunk: Chunk,
    at: usize,
    ended: bool,
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() && !self.ended {
            self.chunk = self
                .receiver
                .recv()
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
            self.at = 0;
            self.ended = self.chunk.is_empty();
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        pipe::read_buffered(self, buffer)
    }
}

/// Tells how much was read.
struct Counted<'a> {
    input: &'a File,
    read: u64,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.read += length as u64;
        (self.progress)(self.read);
        Ok(length)
    }
}

/// What a stream was, once it is on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spooled {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

/// Which side of spooling failed.
#[derive(Debug)]
pub(crate) enum SpoolError {
    Read(io::Error),
    Write(io::Error),
}

/// Writes `input` to `file` and hashes it meanwhile.
pub(crate) fn spool(mut input: impl Read, mut file: &File) -> Result<Spooled, SpoolError> {
    let first = read_chunk(&mut input).map_err(SpoolError::Read)?;
    file.write_all(&first).map_err(SpoolError::Write)?;
    if first.len() < CHUNK {
        return Ok(Spooled {
            digest: Digest::of(&first),
            size_bytes: first.len() as u64,
        });
    }
    thread::scope(|scope| {
        let (to_hasher, for_hasher) = sync_channel::<Chunk>(UNDER_WAY);
        let hasher = scope.spawn(move || hash(&for_hasher));
        // The hasher outlives every send: it ends when the sender is dropped.
        let _sent = to_hasher.send(Arc::new(first));
        loop {
            let chunk = read_chunk(&mut input).map_err(SpoolError::Read)?;
            if chunk.is_empty() {
                break;
            }
            file.write_all(&chunk).map_err(SpoolError::Write)?;
            let _sent = to_hasher.send(Arc::new(chunk));
        }
        drop(to_hasher);
        #[expect(
            clippy::expect_used,
            reason = "the hashing thread has nothing that panics"
        )]
        let (digest, size_bytes) = hasher.join().expect("hashing does not panic");
        Ok(Spooled { digest, size_bytes })
    })
}
