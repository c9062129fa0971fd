//! The 512 bytes before every entry.
//!
//! Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use super::ArchiveError;

/// Everything in a tar stream is padded to this.
pub(crate) const BLOCK: usize = 512;

pub(super) struct Header {
    block: [u8; BLOCK],
}

impl Header {
    /// Checks the sum over the block.
    pub(super) fn new(block: [u8; BLOCK]) -> Result<Self, ArchiveError> {
        let said = number(&block[148..156]).ok_or(ArchiveError::Header("checksum"))?;
        let is_sum = |byte: usize| (148..156).contains(&byte);
        let unsigned: i64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if is_sum(at) { 32 } else { i64::from(*byte) })
            .sum();
        // Some old archivers add the bytes as signed ones.
        let signed: i64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if is_sum(at) {
                    32
                } else {
                    i64::from(byte.cast_signed())
                }
            })
            .sum();
        if said == unsigned || said == signed {
            Ok(Self { block })
        } else {
            Err(ArchiveError::Header("checksum"))
        }
    }

    /// The type flag.
    pub(super) const fn kind(&self) -> u8 {
        self.block[156]
    }

    /// The name, with the prefix of ustar headers before it.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = if &self.block[257..263] == b"ustar\0" {
            text(&self.block[345..500])
        } else {
            &[]
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, name].join(&b'/')
        }
    }

    /// Target of a link.
    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }

    /// Bytes of content.
    pub(super) fn size(&self) -> Result<u64, ArchiveError> {
        unsigned(&self.block[124..136], "size")
    }

    pub(super) fn mode(&self) -> Result<u32, ArchiveError> {
        Ok(small(&self.block[100..108], "mode")? & 0o7777)
    }

    pub(super) fn uid(&self) -> Result<u32, ArchiveError> {
        small(&self.block[108..116], "user id")
    }

    pub(super) fn gid(&self) -> Result<u32, ArchiveError> {
        small(&self.block[116..124], "group id")
    }

    /// Seconds since 1970.
    pub(super) fn mtime(&self) -> Result<i64, ArchiveError> {
        number(&self.block[136..148]).ok_or(ArchiveError::Header("modification time"))
    }

    /// Major and minor number.
    pub(super) fn device(&self) -> Result<(u32, u32), ArchiveError> {
        Ok((
            small(&self.block[329..337], "device")?,
            small(&self.block[337..345], "device")?,
        ))
    }

    /// The first extents, whether more blocks of them follow, and the real size: old GNU sparse files.
    pub(super) fn sparse(&self) -> Result<(&[u8], bool, u64), ArchiveError> {
        Ok((
            &self.block[386..482],
            self.block[482] != 0,
            unsigned(&self.block[483..495], "sparse size")?,
        ))
    }
}

fn text(field: &[u8]) -> &[u8] {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    &field[..end]
}

pub(super) fn unsigned(field: &[u8], name: &'static str) -> Result<u64, ArchiveError> {
    number(field)
        .and_then(|value| u64::try_from(value).ok())
        .ok_or(ArchiveError::Header(name))
}

fn small(field: &[u8], name: &'static str) -> Result<u32, ArchiveError> {
    number(field)
        .and_then(|value| u32::try_from(value).ok())
        .ok_or(ArchiveError::Header(name))
}

/// An octal number, or GNU's base 256 where the first bit is set; an empty field is zero.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Two's complement in big-endian bytes; the first bit is the mark, the second the sign.
        let negative = first & 0x40 != 0;
        let mut value: i64 = if negative { -1 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            let digit = match (at, negative) {
                (0, false) => byte & 0x7f,
                _ => *byte,
            };
            value = value.checked_mul(256)?.checked_add(i64::from(digit))?;
        }
        return Some(value);
    }
    let digits = field.trim_ascii_start();
    let end = digits
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(digits.len());
    digits[..end]
        .iter()
        .try_fold(0_i64, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777"), Some(0o77_777_777_777));
        assert_eq!(
            number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]),
            Some((2 << 32) + 1)
        );
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(
            number(&[
                0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
            ]),
            None
        );
        assert_eq!(number(b"12x\0"), None);
        assert_eq!(number(b"-1\0"), None);
    }
}
