//! Sparse files: which bytes of a file are stored and where they belong.
//!
//! Source: GNU tar manual, "Sparse Formats": the old format and PAX 0.0, 0.1 and 1.0.

use std::io::{BufRead, Read};

use super::header::{BLOCK, Header, unsigned};
use super::{ArchiveError, LARGEST_EXTENSION, Reader, pax};

/// A run of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A sparse file.
pub(super) struct Map {
    /// Bytes with the holes.
    pub(super) size: u64,
    pub(super) extents: Vec<Extent>,
}

/// Most extents of one file: what a map of the largest size in text could hold.
const MOST_EXTENTS: usize = 1 << 18;
const BAD_MAP: ArchiveError = ArchiveError::Header("sparse map");

impl Map {
    /// Extents must be in order, apart, inside the file, and hold exactly what is stored.
    pub(super) fn check(&self, stored: u64) -> Result<(), ArchiveError> {
        let mut end = 0_u64;
        let mut sum = 0_u64;
        for extent in &self.extents {
            if extent.offset < end {
                return Err(BAD_MAP);
            }
            end = extent.offset.checked_add(extent.length).ok_or(BAD_MAP)?;
            sum = sum.checked_add(extent.length).ok_or(BAD_MAP)?;
        }
        if end > self.size || sum != stored {
            Err(BAD_MAP)
        } else {
            Ok(())
        }
    }
}

/// The map in and after the header itself.
pub(super) fn old_gnu(header: &Header, input: &mut impl Read) -> Result<Map, ArchiveError> {
    let (first, mut more, size) = header.sparse()?;
    let mut extents = Vec::new();
    add_extents(first, &mut extents)?;
    while more {
        let mut block = [0; BLOCK];
        input.read_exact(&mut block)?;
        add_extents(&block[..504], &mut extents)?;
        more = block[504] != 0;
        if extents.len() > MOST_EXTENTS {
            return Err(BAD_MAP);
        }
    }
    Ok(Map { size, extents })
}

fn add_extents(field: &[u8], extents: &mut Vec<Extent>) -> Result<(), ArchiveError> {
    for pair in field.as_chunks::<24>().0 {
        let (offset, length) = pair.split_at(12);
        if offset[0] == 0 {
            break;
        }
        extents.push(Extent {
            offset: unsigned(offset, "sparse map")?,
            length: unsigned(length, "sparse map")?,
        });
    }
    Ok(())
}

/// The map in the extended header, or at the beginning of the content.
pub(super) fn pax<R: BufRead>(
    sparse: pax::Sparse,
    reader: &mut Reader<R>,
) -> Result<Map, ArchiveError> {
    let size = sparse.size.ok_or(ArchiveError::Header("sparse size"))?;
    if !sparse.map_in_content {
        return Ok(Map {
            size,
            extents: sparse.extents,
        });
    }
    let mut read = 0;
    let count = usize::try_from(line(reader, &mut read)?)
        .ok()
        .filter(|count| *count <= MOST_EXTENTS)
        .ok_or(BAD_MAP)?;
    let mut extents = Vec::new();
    for _ in 0..count {
        let offset = line(reader, &mut read)?;
        extents.push(Extent {
            offset,
            length: line(reader, &mut read)?,
        });
    }
    // The map is padded, so that what is stored begins at a block.
    let mut padding = [0; BLOCK];
    let length = usize::try_from(read.wrapping_neg() % BLOCK as u64).map_err(|_| BAD_MAP)?;
    reader.read_exact(&mut padding[..length])?;
    Ok(Map { size, extents })
}

/// A decimal number and a line end.
fn line<R: BufRead>(reader: &mut Reader<R>, read: &mut u64) -> Result<u64, ArchiveError> {
    let mut text = Vec::new();
    let length = reader.take(21).read_until(b'\n', &mut text)?;
    *read += length as u64;
    if *read > LARGEST_EXTENSION * 8 {
        return Err(BAD_MAP);
    }
    pax::decimal(text.strip_suffix(b"\n").ok_or(BAD_MAP)?, "sparse map")
}
