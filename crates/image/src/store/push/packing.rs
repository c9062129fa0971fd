//! A layer on its way out: read on a thread, and compressed where it is not.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;

use super::Blob;
use crate::digest::Hasher;
use crate::pipe;

/// Reads a blob on a thread, and compresses it where that is wanted; `found` is what came out.
pub(super) fn read(
    path: &Path,
    packs: bool,
    found: Arc<Mutex<Option<Blob>>>,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (mut writer, receiver) = pipe::chunks_outward();
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let outcome = File::open(&path).and_then(|mut file| {
            if !packs {
                return io::copy(&mut file, &mut writer).map(drop);
            }
            let blob = pack(&mut file, &mut writer)?;
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(blob);
            Ok(())
        });
        writer.finish(outcome);
    });
    receiver
}

/// Compresses a layer: the same input always gives the same.
fn pack(input: &mut impl Read, output: &mut impl Write) -> io::Result<Blob> {
    let counted = Counted {
        output,
        hasher: Hasher::default(),
        size_bytes: 0,
    };
    let mut encoder = GzEncoder::new(counted, Level::default());
    io::copy(input, &mut encoder)?;
    let counted = encoder.finish()?;
    Ok(Blob {
        digest: counted.hasher.finish(),
        size_bytes: counted.size_bytes,
    })
}

/// Hashes and counts what is written.
struct Counted<W> {
    output: W,
    hasher: Hasher,
    size_bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.output.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.size_bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn the_same_layer_is_always_packed_to_the_same() {
        let text = b"some layer".repeat(100_000);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let packed = pack(&mut &text[..], &mut one).unwrap();
        assert_eq!(pack(&mut &text[..], &mut other).unwrap(), packed);
        assert_eq!(one, other);
        let expected = Blob {
            digest: Digest::of(&one),
            size_bytes: one.len() as u64,
        };
        assert_eq!(expected, packed);
    }
}
