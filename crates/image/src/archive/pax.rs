//! PAX extended headers: records of `length key=value\n`.
//!
//! Source: POSIX.1-2017, pax, "pax Extended Header"; GNU tar manual, "Sparse Formats", for the
//! `GNU.sparse` keys.

use super::{ArchiveError, Extent, Time};

const XATTR: &[u8] = b"SCHILY.xattr.";

/// What the records of one header say.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<Sparse>,
}

/// A sparse file of one of the three PAX formats.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// Bytes with the holes.
    pub(super) size: Option<u64>,
    /// The extents, in formats 0.0 and 0.1.
    pub(super) extents: Vec<Extent>,
    /// Format 1.0: the extents are at the beginning of the content.
    pub(super) map_in_content: bool,
}

pub(super) fn parse(mut content: &[u8]) -> Result<Records, ArchiveError> {
    let mut records = Records::default();
    let mut sparse_name = None;
    while !content.is_empty() {
        let (record, rest) = split_record(content).ok_or(ArchiveError::Header("PAX record"))?;
        content = rest;
        let equals = memchr::memchr(b'=', record).ok_or(ArchiveError::Header("PAX record"))?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if let Some(name) = key.strip_prefix(XATTR) {
            records.xattrs.push((name.to_vec(), value.to_vec()));
            continue;
        }
        if value.is_empty() {
            continue; // Empty: the header's own field holds.
        }
        if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            let sparse = records.sparse.get_or_insert_default();
            match key {
                b"name" => sparse_name = Some(value.to_vec()),
                b"size" | b"realsize" => sparse.size = Some(decimal(value, "sparse size")?),
                b"major" => sparse.map_in_content = value == b"1",
                b"offset" => sparse.extents.push(Extent {
                    offset: decimal(value, "sparse map")?,
                    length: 0,
                }),
                b"numbytes" => {
                    let extent = sparse
                        .extents
                        .last_mut()
                        .ok_or(ArchiveError::Header("sparse map"))?;
                    extent.length = decimal(value, "sparse map")?;
                }
                b"map" => {
                    let numbers: Vec<u64> = value
                        .split(|byte| *byte == b',')
                        .map(|number| decimal(number, "sparse map"))
                        .collect::<Result<_, _>>()?;
                    let (pairs, rest) = numbers.as_chunks::<2>();
                    if !rest.is_empty() {
                        return Err(ArchiveError::Header("sparse map"));
                    }
                    sparse.extents = pairs
                        .iter()
                        .map(|[offset, length]| Extent {
                            offset: *offset,
                            length: *length,
                        })
                        .collect();
                }
                _ => {}
            }
            continue;
        }
        match key {
            b"path" => records.path = Some(value.to_vec()),
            b"linkpath" => records.link = Some(value.to_vec()),
            b"size" => records.size = Some(decimal(value, "size")?),
            b"uid" => records.uid = Some(id(value, "user id")?),
            b"gid" => records.gid = Some(id(value, "group id")?),
            b"mtime" => {
                records.mtime = Some(time(value).ok_or(ArchiveError::Header("modification time"))?);
            }
            _ => {}
        }
    }
    if sparse_name.is_some() {
        records.path = sparse_name;
    }
    Ok(records)
}

/// The first record without its length and line end, and what follows it.
fn split_record(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', content)?;
    let length = usize::try_from(decimal(&content[..space], "").ok()?).ok()?;
    if length <= space + 1 || length > content.len() {
        return None;
    }
    let (record, rest) = content.split_at(length);
    Some((record[space + 1..].strip_suffix(b"\n")?, rest))
}

pub(super) fn decimal(text: &[u8], name: &'static str) -> Result<u64, ArchiveError> {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return Err(ArchiveError::Header(name));
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ArchiveError::Header(name))
}

fn id(text: &[u8], name: &'static str) -> Result<u32, ArchiveError> {
    u32::try_from(decimal(text, name)?).map_err(|_| ArchiveError::Header(name))
}

/// Seconds with a decimal fraction, perhaps negative.
fn time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    if nanoseconds > 0 && whole.starts_with('-') {
        return Some(Time {
            seconds: seconds.checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Some(Time {
        seconds,
        nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_by_their_length() {
        let records = parse(b"12 path=a\nb\n16 linkpath=\xff=x\n11 uid=7\n\n")
            .map(|records| (records.path, records.link));
        assert!(records.is_err(), "a wrong length");
        let records = parse(b"12 path=a\nb\n15 linkpath=\xff=\n9 uid=70\n").unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(records.link.as_deref(), Some(&b"\xff="[..]));
        assert_eq!(records.uid, Some(70));
    }

    #[test]
    fn damaged_records_are_refused() {
        for content in [
            "5",
            "5 a=b",
            "0 a=b\n",
            "99999999999999999999 a=b\n",
            "6 a=bc",
            "6 abcd\n",
            "+6 a=b\n",
            "10 uid=-1\n",
        ] {
            assert!(parse(content.as_bytes()).is_err(), "{content:?}");
        }
    }

    #[test]
    fn times_have_fractions_and_may_be_negative() {
        assert_eq!(
            time(b"12.5"),
            Some(Time {
                seconds: 12,
                nanoseconds: 500_000_000
            })
        );
        assert_eq!(
            time(b"12.0000000019"),
            Some(Time {
                seconds: 12,
                nanoseconds: 1
            })
        );
        assert_eq!(
            time(b"-1.25"),
            Some(Time {
                seconds: -2,
                nanoseconds: 750_000_000
            })
        );
        assert_eq!(
            time(b"-0.5"),
            Some(Time {
                seconds: -1,
                nanoseconds: 500_000_000
            })
        );
        assert_eq!(time(b"1.x"), None);
    }
}
