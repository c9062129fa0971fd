//! Doors for the fuzz targets in `fuzz/`, into what no other crate calls. Built for them only.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use crate::archive::Reader;
use crate::config::ConfigDocument;
use crate::digest::Digest;
use crate::platform::{Platform, choose};
use crate::registry::manifest::{Document, FetchedManifest};
use crate::store::load::{LoadError, Loaded};
use crate::{ArchiveError, Store, UnpackError, registry, unpack};

/// Reads a tar to its end; answers the names of its entries.
///
/// # Errors
/// When it is none.
///
/// # Panics
/// When a sparse file's extents are not in order within the file.
pub fn entries(tar: &[u8]) -> Result<Vec<OsString>, ArchiveError> {
    let mut reader = Reader::new(tar);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut end = 0;
        for extent in entry.extents.iter().flatten() {
            assert!(extent.offset >= end, "extents overlap");
            end = extent.offset + extent.length;
            assert!(end <= entry.size, "an extent beyond its file");
        }
        // Whether it is read or passed over, the next entry is the same.
        if names.len() % 2 == 0 {
            let mut content = Vec::new();
            reader.by_ref().read_to_end(&mut content)?;
        }
        names.push(entry.path.into());
    }
    Ok(names)
}

/// Unpacks a layer's tar into a directory.
///
/// # Errors
/// When it is none, or is refused.
pub fn layer(tar: &[u8], into: &Path) -> Result<u64, UnpackError> {
    unpack::unpack(tar, into)
}

/// Loads an archive of images, as [`Store::load`] does, on this thread.
///
/// # Errors
/// As there.
pub fn load(store: &Store, archive: &[u8]) -> Result<Vec<Loaded>, LoadError> {
    store.load_blocking(archive, |_| {})
}

/// Reads a text as each of the documents that registries and archives send.
pub fn documents(text: &[u8]) {
    let manifest = FetchedManifest {
        digest: Digest::of(text),
        media_type: String::new(),
        content: text.to_vec().into(),
    };
    if let Ok(Document::Index(index)) = manifest.read() {
        let _chosen = choose(index.manifests(), &Platform::host());
    }
    if let Ok(document) = serde_json::from_slice::<ConfigDocument>(text) {
        let sizes = vec![u64::MAX; document.rootfs.diff_ids.len()];
        let _image = document.to_image(Digest::of(text), &sizes);
    }
}

/// Reads what a registry answers to who has not said who they are.
pub fn challenges(header: &[u8]) {
    if let Ok(value) = header.try_into() {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
        let _challenges = registry::challenge::read(&headers);
    }
}
