//! The members of an image archive, spooled to disk.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::super::content::{Staging, failed};
use super::super::layers::StagedBlob;
use super::{LARGEST_DOCUMENT, LoadError};
use crate::archive::{Kind, Reader};
use crate::digest::Digest;
use crate::layer::{SpoolError, spool};

/// A layer has three members in Docker's old form; 127 layers are Docker's most.
const MOST_MEMBERS: usize = 20_000;
/// How many links are followed from one member to the next.
const MOST_LINKS: usize = 8;

/// Members by their path in the archive.
pub(super) struct Members {
    members: HashMap<PathBuf, Member>,
}

enum Member {
    File(StagedBlob),
    /// To another member.
    Link(PathBuf),
}

impl Members {
    /// Reads the whole archive.
    pub(super) fn spool(tar: impl BufRead, staging: &Staging) -> Result<Self, LoadError> {
        let mut reader = Reader::new(tar);
        let mut members = HashMap::new();
        let mut number = 0;
        while let Some(entry) = reader.next_entry()? {
            let path = rooted::normalized(&entry.path);
            if is_unused(&path) {
                continue;
            }
            let member = match entry.kind {
                Kind::File => {
                    number += 1;
                    if number > MOST_MEMBERS {
                        return Err(LoadError::TooManyMembers(MOST_MEMBERS));
                    }
                    let (file, staged) = staging.create(&format!("member-{number}"))?;
                    let spooled = spool(&mut reader, &file).map_err(|error| match error {
                        SpoolError::Read(error) => LoadError::from(error),
                        SpoolError::Write(error) => failed("write", &staged)(error).into(),
                    })?;
                    Member::File(StagedBlob {
                        path: staged,
                        spooled,
                    })
                }
                // Docker and skopeo write a layer once and link to it where it occurs again.
                Kind::Symlink => {
                    let base = path.parent().unwrap_or(Path::new(""));
                    Member::Link(rooted::normalized(&base.join(&entry.link)))
                }
                Kind::HardLink => Member::Link(rooted::normalized(&entry.link)),
                Kind::Directory | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => continue,
            };
            members.insert(path, member);
        }
        // Reads on to the end, where compression and transport keep their own marks.
        std::io::copy(&mut reader.into_inner(), &mut std::io::sink())?;
        Ok(Self { members })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.members.contains_key(Path::new(path))
    }

    /// The member at a path that the archive itself names.
    pub(super) fn get(&self, path: &str) -> Option<&StagedBlob> {
        let mut path = rooted::normalized(Path::new(path));
        for _ in 0..MOST_LINKS {
            match self.members.get(&path)? {
                Member::File(blob) => return Some(blob),
                Member::Link(target) => path.clone_from(target),
            }
        }
        None
    }

    /// Content of a manifest or configuration.
    pub(super) fn document(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        let member = self
            .get(path)
            .ok_or_else(|| LoadError::MissingMember { path: path.into() })?;
        if member.spooled.size_bytes > LARGEST_DOCUMENT {
            return Err(LoadError::DocumentTooLarge { path: path.into() });
        }
        Ok(std::fs::read(&member.path).map_err(failed("read", &member.path))?)
    }

    /// The blob with this digest; checked, for it is only called so.
    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<&StagedBlob>, LoadError> {
        let path = blob_path(digest);
        let member = self.get(&path);
        match member {
            Some(blob) if blob.spooled.digest != *digest => Err(LoadError::DigestMismatch {
                path: path.into(),
                found: blob.spooled.digest.to_string(),
            }),
            _ => Ok(member),
        }
    }
}

/// Where an OCI layout keeps a blob.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// What only Docker before 1.10 read.
fn is_unused(path: &Path) -> bool {
    path.components().count() == 2 && (path.ends_with("json") || path.ends_with("VERSION"))
}
