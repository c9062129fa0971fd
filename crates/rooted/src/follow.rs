//! Where a path leads: every symbolic link followed, and told apart from what is not there.
//!
//! What it answers says how things looked; nothing relies on it to stay inside, for what is done
//! with it goes through [`Root`] again.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::{Root, RootedError};

/// Links followed until a look-up is taken for a loop. Source: Go, `path/filepath`.
const MAX_LINKS: usize = 255;

/// The absolute path, without any link, that `path` leads to.
///
/// # Errors
/// When nothing is there (`ENOENT`), and as [`followed`].
pub fn resolved(root: &Root, path: &Path) -> Result<PathBuf, RootedError> {
    let followed = followed(root, path)?;
    if followed.is_missing {
        return Err(RootedError {
            attempt: "look at",
            path: path.to_owned(),
            source: Errno::NOENT,
        });
    }
    Ok(followed.path)
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Absolute, without links.
    pub path: PathBuf,
    /// Nothing is there; the rest of the path is as it was written.
    pub is_missing: bool,
}

/// Follows every link, as far as there is something.
///
/// # Errors
/// When something on the way is no directory, or links lead in a circle.
pub fn followed(root: &Root, path: &Path) -> Result<Followed, RootedError> {
    let failed = |source| RootedError {
        attempt: "follow",
        path: Path::new("/").join(path),
        source,
    };
    let mut followed = Followed {
        path: PathBuf::from("/"),
        is_missing: false,
    };
    let mut left: VecDeque<OsString> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            followed.path.pop();
            continue;
        }
        let here = followed.path.join(&part);
        // What is found may change at once: this says how things looked, and nothing relies on it
        // to stay inside.
        let stat = if followed.is_missing {
            Err(Errno::NOENT)
        } else {
            root.stat(&here, false).map_err(|error| error.source)
        };
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(failed(Errno::LOOP));
                }
                let target = root.read_link(&here)?;
                if target.is_absolute() {
                    followed.path = PathBuf::from("/");
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part);
                }
            }
            Ok(FileType::Directory) => followed.path = here,
            Ok(_) if !left.is_empty() => return Err(failed(Errno::NOTDIR)),
            Ok(_) => followed.path = here,
            Err(Errno::NOENT) => {
                followed.path = here;
                followed.is_missing = true;
            }
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(followed)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}
