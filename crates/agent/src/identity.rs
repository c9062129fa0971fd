//! The identity of a node, kept in a file of its data directory.
//!
//! Host names change and are given twice; the records of instances point at this.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::Id;

/// The file's name in the data directory.
const FILE: &str = "node-id";

/// Why the identity of a node is not known.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("{attempt} the node's identity in {}", path.display())]
    File {
        /// `read` or `write`.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no identity but {text:?}; remove it, and this machine becomes a new node", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
}

/// The identity of the node with this data directory; made at the first call.
///
/// # Errors
/// Fails where the file cannot be read, written or understood.
pub fn of(directory: &Path) -> Result<Id, IdentityError> {
    let path = directory.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| IdentityError::Malformed { path, text }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Id::random();
            write(&path, id).map_err(|source| IdentityError::File {
                attempt: "write",
                path,
                source,
            })?;
            Ok(id)
        }
        Err(source) => Err(IdentityError::File {
            attempt: "read",
            path,
            source,
        }),
    }
}

/// Writes the file whole or not at all, on the disk when it returns.
fn write(path: &Path, id: Id) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let id = of(directory.path()).unwrap();
        assert_eq!(of(directory.path()).unwrap(), id);
    }

    #[test]
    fn nonsense_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "somebody").unwrap();
        assert!(
            matches!(of(directory.path()), Err(IdentityError::Malformed { text, .. }) if text == "somebody")
        );
        assert_eq!(
            fs::read_to_string(directory.path().join(FILE)).unwrap(),
            "somebody"
        );
    }
}
