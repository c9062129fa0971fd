//! A tar stream in which nothing is younger than a given time, for images that come out the same
//! whenever they are built.
//!
//! Only the headers' modification times are changed: our own archives have no others
//! ([`crate::pack`]).

use std::io::{self, Read};

const BLOCK: usize = 512;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const SIZE: std::ops::Range<usize> = 124..136;

/// Reads a tar and changes times on the way.
pub(crate) struct Clamped<R> {
    input: R,
    latest: u64,
    /// The header that is handed out, and how much of it was.
    header: [u8; BLOCK],
    at: usize,
    /// Bytes of content and padding until the next header.
    content: u64,
}

impl<R: Read> Clamped<R> {
    /// Nothing will be younger than `latest`, in seconds since 1970.
    pub(crate) fn new(input: R, latest: i64) -> Self {
        Self {
            input,
            latest: u64::try_from(latest).unwrap_or_default(),
            header: [0; BLOCK],
            at: BLOCK,
            content: 0,
        }
    }

    /// Reads the next header; `false` at the end.
    fn next_header(&mut self) -> io::Result<bool> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut self.header[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => filled += length,
            }
        }
        self.at = 0;
        if self.header.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        self.content = octal(&self.header[SIZE]).next_multiple_of(BLOCK as u64);
        if octal(&self.header[MTIME]) > self.latest {
            let text = format!("{:011o}\0", self.latest);
            self.header[MTIME].copy_from_slice(&text.as_bytes()[..12]);
            self.header[CHECKSUM].fill(b' ');
            let sum: u32 = self.header.iter().map(|byte| u32::from(*byte)).sum();
            self.header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        Ok(true)
    }
}

/// A number as archives of ours have it: octal, or in base 256 where it is large.
fn octal(field: &[u8]) -> u64 {
    if field[0] & 0x80 != 0 {
        return field[1..]
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte));
    }
    field
        .iter()
        .filter(|byte| (b'0'..=b'7').contains(*byte))
        .fold(0, |number, byte| number * 8 + u64::from(byte - b'0'))
}

impl<R: Read> Read for Clamped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == BLOCK && self.content == 0 && !self.next_header()? {
            return Ok(0);
        }
        if self.at < BLOCK {
            let length = buffer.len().min(BLOCK - self.at);
            buffer[..length].copy_from_slice(&self.header[self.at..self.at + length]);
            self.at += length;
            return Ok(length);
        }
        let most =
            usize::try_from(self.content).map_or(buffer.len(), |left| left.min(buffer.len()));
        let length = self.input.read(&mut buffer[..most])?;
        if length == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_young_is_made_older_and_the_rest_stays() {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, mtime) in [("old", 5), ("young", 5000)] {
            let mut header = tar::Header::new_ustar();
            header.set_mtime(mtime);
            header.set_size(700);
            header.set_mode(0o644);
            archive
                .append_data(&mut header, name, &[7; 700][..])
                .unwrap();
        }
        let archive = archive.into_inner().unwrap();
        let mut clamped = Vec::new();
        Clamped::new(&archive[..], 1000)
            .read_to_end(&mut clamped)
            .unwrap();
        assert_eq!(clamped.len(), archive.len());
        let mut read = tar::Archive::new(&clamped[..]);
        let times: Vec<_> = read
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().header().mtime().unwrap())
            .collect();
        assert_eq!(times, [5, 1000]);
    }
}
