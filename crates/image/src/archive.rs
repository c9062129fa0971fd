//! Reads tar streams: ustar, PAX and GNU, with long names, sparse files and extended attributes.
//!
//! The `tar` crate keeps long names and PAX headers of any claimed size in memory and knows no PAX
//! sparse files; archives here come from strangers, so this reader bounds everything it keeps. It
//! writes nothing and judges no path: the unpacker and the loader do.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

pub(crate) use header::BLOCK;
use header::Header;

mod header;
mod pax;
mod sparse;

pub(crate) use sparse::Extent;

/// Most bytes of a long name, a PAX header or a sparse map.
const LARGEST_EXTENSION: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry; its content is read from the [`Reader`] before the next one.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// As written: may be absolute, or climb.
    pub(crate) path: PathBuf,
    /// Target of a link, as written.
    pub(crate) link: PathBuf,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) device: (u32, u32),
    /// Bytes of the file when it is written out, holes included.
    pub(crate) size: u64,
    /// Where the stored bytes belong, in a sparse file.
    pub(crate) extents: Option<Vec<Extent>>,
    /// Names (`user.x`) and values.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Seconds and nanoseconds since 1970; the nanoseconds count forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// Why a tar stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream itself failed, or was damaged where it is compressed.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// It ends in the middle of an entry, or an entry claims more than there is.
    #[error("unexpected end of the archive")]
    Truncated,
    /// Something in a header is wrong.
    #[error("invalid tar header: {0}")]
    Header(&'static str),
    /// A long name or PAX header is too large.
    #[error("tar header of {0} bytes is too large")]
    TooLarge(u64),
    /// A kind of entry that is not known.
    #[error("unsupported tar entry type {:?} of {}", char::from(*kind), path.display())]
    Kind {
        /// The type flag.
        kind: u8,
        /// Its name.
        path: PathBuf,
    },
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Truncated
        } else {
            Self::Read(error)
        }
    }
}

/// Whether a tar begins so.
pub(crate) fn is_start(block: [u8; header::BLOCK]) -> bool {
    header::Header::new(block).is_ok()
}

/// Reads entry after entry of `input`.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes of the present entry's content that are not yet read.
    content: u64,
    /// Bytes of zeros after it.
    padding: u64,
}

impl<R: BufRead> Reader<R> {
    pub(crate) const fn new(input: R) -> Self {
        Self {
            input,
            content: 0,
            padding: 0,
        }
    }

    /// The next entry, or `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut long_name = None;
        let mut long_link = None;
        let mut extended: Option<pax::Records> = None;
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                let dangling = long_name.is_some() || long_link.is_some() || extended.is_some();
                return if dangling {
                    Err(ArchiveError::Truncated)
                } else {
                    Ok(None)
                };
            };
            match header.kind() {
                b'L' => long_name = Some(terminated(self.extension(&header)?)),
                b'K' => long_link = Some(terminated(self.extension(&header)?)),
                b'x' | b'X' => extended = Some(pax::parse(&self.extension(&header)?)?),
                // Global headers hold only what git and others note for themselves; Docker skips them too.
                b'g' => drop(self.extension(&header)?),
                _ => {
                    return self
                        .entry(&header, long_name, long_link, extended.unwrap_or_default())
                        .map(Some);
                }
            }
        }
    }

    /// The input, after the end of the archive.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// Skips what is left of the present entry.
    fn skip(&mut self) -> Result<(), ArchiveError> {
        let mut left = self
            .content
            .checked_add(self.padding)
            .ok_or(ArchiveError::Truncated)?;
        while left > 0 {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Err(ArchiveError::Truncated);
            }
            let step = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            self.input.consume(step);
            left -= step as u64;
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header; `None` at two blocks of zeros, or where the stream ends between entries.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        for _ in 0..2 {
            if self.input.fill_buf()?.is_empty() {
                return Ok(None);
            }
            let mut block = [0; BLOCK];
            self.input.read_exact(&mut block)?;
            if block.iter().any(|byte| *byte != 0) {
                return Header::new(block).map(Some);
            }
        }
        Ok(None)
    }

    fn set_content(&mut self, size: u64) {
        self.content = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// The whole content of a header that describes the entry after it.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = header.size()?;
        if size > LARGEST_EXTENSION {
            return Err(ArchiveError::TooLarge(size));
        }
        self.set_content(size);
        let mut content = Vec::new();
        self.read_to_end(&mut content)?;
        if self.content > 0 {
            Err(ArchiveError::Truncated)
        } else {
            Ok(content)
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        extended: pax::Records,
    ) -> Result<Entry, ArchiveError> {
        let name = extended.path.or(long_name).unwrap_or_else(|| header.name());
        let ends_in_slash = name.ends_with(b"/");
        let path = PathBuf::from(OsString::from_vec(name));
        let kind = match header.kind() {
            // Archives older than ustar mark directories by the slash only.
            0 if ends_in_slash => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            kind => return Err(ArchiveError::Kind { kind, path }),
        };
        let stored = match extended.size {
            Some(size) => size,
            None => header.size()?,
        };
        // Only files have content: some archivers note a size on links and directories too.
        self.set_content(if kind == Kind::File { stored } else { 0 });
        let sparse = if kind != Kind::File {
            None
        } else if header.kind() == b'S' {
            Some(sparse::old_gnu(header, &mut self.input)?)
        } else {
            extended
                .sparse
                .map(|map| sparse::pax(map, self))
                .transpose()?
        };
        let (size, extents) = match sparse {
            Some(map) => {
                map.check(self.content)?;
                (map.size, Some(map.extents))
            }
            None => (self.content, None),
        };
        let mtime = match extended.mtime {
            Some(time) => time,
            None => Time {
                seconds: header.mtime()?,
                nanoseconds: 0,
            },
        };
        Ok(Entry {
            kind,
            path,
            link: PathBuf::from(OsString::from_vec(
                extended.link.or(long_link).unwrap_or_else(|| header.link()),
            )),
            mode: header.mode()?,
            uid: extended.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extended.gid.map_or_else(|| header.gid(), Ok)?,
            mtime,
            device: if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
                header.device()?
            } else {
                (0, 0)
            },
            size,
            extents,
            xattrs: extended.xattrs,
        })
    }
}

impl<R: BufRead> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let buffer = self.input.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length =
            usize::try_from(self.content).map_or(buffer.len(), |left| left.min(buffer.len()));
        Ok(&buffer[..length])
    }

    fn consume(&mut self, amount: usize) {
        self.content -= amount as u64;
        self.input.consume(amount);
    }
}

/// The content of the present entry; an end before all of it is an error.
impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// GNU's long names end in a zero byte.
fn terminated(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests;
