//! What `RUN --mount=type=bind` shows: a copy, in a directory of its own.
//!
//! The kernel follows links where it binds a path, and a command may see what is bound change: so
//! neither a context nor an image is bound itself.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::extract;
use rooted::Root;

use super::CopyError;
use super::destination::Destination;
use super::source::Place;
use crate::pattern::Ignore;

/// The name of the copy in its directory.
const COPY: &str = "copy";

/// Copies what is at a path into an empty directory; answers where it is then, and its hash.
pub(crate) fn copied(
    place: &Place,
    written: &str,
    into: &Path,
) -> Result<(PathBuf, String), CopyError> {
    let found = place.find(written, &Ignore::default())?;
    let hash = found.iter().map(|source| source.hash.as_str()).collect();
    let root = Arc::new(Root::open(into)?);
    let mut destination = Destination::of_directory(&root, 0);
    destination.path = Path::new("/").join(COPY);
    destination.is_directory = false;
    let pipe_failed = |source| CopyError::File {
        attempt: "make a pipe for",
        path: written.to_owned(),
        source,
    };
    let (reader, writer) = std::io::pipe().map_err(pipe_failed)?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(|| destination.pack(&found, writer));
        let options = extract::Options::default();
        let extracted = extract::extract(BufReader::new(reader), &root, Path::new("/"), options);
        match packing.join() {
            Ok(packed) => packed?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        extracted.map_err(|source| CopyError::Extract {
            name: written.to_owned(),
            source,
        })
    })?;
    Ok((into.join(COPY), hash))
}
