//! How a layer or an archive is compressed: told by its first bytes, never by its media type.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use serde::{Deserialize, Serialize};

/// A compression that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// None.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// A compression that is not read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} compression is not supported: use gzip, zstd or none")]
pub struct UnsupportedCompression(pub(crate) &'static str);

/// How many first bytes [`Compression::sniff`] looks at.
pub(crate) const MAGIC_LENGTH: usize = 6;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Kibibytes of memory that reading xz may take: what was packed by `xz -9` wants 65 MiB.
const MOST_XZ_KIB: u32 = 128 << 10;
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

impl Compression {
    /// Tells the compression by the first bytes.
    pub(crate) fn sniff(head: &[u8]) -> Result<Self, UnsupportedCompression> {
        match Packing::sniff(head) {
            Packing::Layers(compression) => Ok(compression),
            Packing::Bzip2 => Err(UnsupportedCompression("bzip2")),
            Packing::Xz => Err(UnsupportedCompression("xz")),
        }
    }

    /// Reads what `input` holds, inflated.
    pub(crate) fn reader<'a, R: BufRead + Send + 'a>(
        self,
        input: R,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(input)?),
        })
    }
}

/// A compression of archives, which has more than layers can have.
enum Packing {
    Layers(Compression),
    Bzip2,
    Xz,
}

impl Packing {
    fn sniff(head: &[u8]) -> Self {
        if head.starts_with(&[0x1f, 0x8b, 0x08]) {
            Self::Layers(Compression::Gzip)
        } else if head.starts_with(&ZSTD_MAGIC) || is_skippable_zstd_frame(head) {
            Self::Layers(Compression::Zstd)
        } else if head.starts_with(b"BZh") {
            Self::Bzip2
        } else if head.starts_with(&XZ_MAGIC) {
            Self::Xz
        } else {
            Self::Layers(Compression::Plain)
        }
    }
}

fn is_skippable_zstd_frame(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Why a stream cannot be read inflated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InflateError {
    #[error(transparent)]
    Unsupported(#[from] UnsupportedCompression),
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// Reads `input` inflated, whatever it is compressed with.
pub(crate) fn inflated<'a, R: Read + Send + 'a>(
    mut input: R,
) -> Result<Box<dyn Read + Send + 'a>, InflateError> {
    let mut head = Vec::with_capacity(MAGIC_LENGTH);
    input
        .by_ref()
        .take(MAGIC_LENGTH as u64)
        .read_to_end(&mut head)?;
    let compression = Compression::sniff(&head)?;
    let whole = BufReader::with_capacity(128 << 10, io::Cursor::new(head).chain(input));
    Ok(compression.reader(whole)?)
}

/// As [`inflated`], of an archive that is unpacked and not kept: it may be packed by bzip2 or xz, too.
pub(crate) fn unpacked<'a, R: Read + Send + 'a>(
    mut input: R,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut head = Vec::with_capacity(MAGIC_LENGTH);
    input
        .by_ref()
        .take(MAGIC_LENGTH as u64)
        .read_to_end(&mut head)?;
    let packing = Packing::sniff(&head);
    let whole = BufReader::with_capacity(128 << 10, io::Cursor::new(head).chain(input));
    Ok(match packing {
        Packing::Layers(compression) => compression.reader(whole)?,
        Packing::Bzip2 => Box::new(MultiBzDecoder::new(whole)),
        Packing::Xz => Box::new(XzReader::new_mem_limit(whole, true, MOST_XZ_KIB)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn content_is_inflated_whatever_it_is_packed_with() {
        let text = b"what was packed".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text[..7000]).unwrap();
        let mut two_members = gzip.finish().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text[7000..]).unwrap();
        two_members.extend(gzip.finish().unwrap());
        for packed in [
            text.clone(),
            two_members,
            zstd::encode_all(&text[..], 1).unwrap(),
        ] {
            let mut unpacked = Vec::new();
            inflated(&packed[..])
                .unwrap()
                .read_to_end(&mut unpacked)
                .unwrap();
            assert!(unpacked == text);
        }
    }

    /// `xz < text`, where the text is 18 bytes.
    const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a30100117768617420776173207061636b65642c2078000000e2defc44d5282bfb00012a124b0854bc1fb6f37d010000000004595a";

    #[test]
    fn an_archive_may_be_packed_in_other_ways() {
        let text = b"what was packed, x";
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(text).unwrap();
        for packed in [bzip2.finish().unwrap(), hex::decode(XZ).unwrap()] {
            let mut read = Vec::new();
            unpacked(&packed[..])
                .unwrap()
                .read_to_end(&mut read)
                .unwrap();
            assert_eq!(read, text);
            // What is cut off is no end.
            let cut = &packed[..packed.len() - 4];
            let read = unpacked(cut).and_then(|mut input| input.read_to_end(&mut Vec::new()));
            assert!(read.is_err());
        }
    }

    #[test]
    fn other_compressions_are_named() {
        for (head, name) in [
            (&b"BZh91AY"[..], "bzip2"),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0, 0][..], "xz"),
        ] {
            let error = inflated(head).err().unwrap();
            assert_eq!(
                error.to_string(),
                format!("{name} compression is not supported: use gzip, zstd or none")
            );
        }
    }
}
