//! The image store, through its own interface, on real directories. Needs root: layers have owners,
//! devices and overlay attributes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test builds upon may fail it"
)]

mod crash;
mod hostile;
mod keeping;
mod layers;
mod loading;
mod pulling;
mod removing;
mod samples;
mod saving;
mod server;
mod shelf;

use std::path::Path;
use std::time::{Duration, Instant};

use image::{LoadError, Loaded, OpenError, Store};

/// Opens a store that was open a moment ago.
///
/// It may be held for a moment more: by what a pull has pinned, which is let go behind its back, and by
/// the child of a test beside this one, between its fork and its program.
fn open_again(images: &Path) -> Result<Store, OpenError> {
    let given_up = Instant::now() + Duration::from_secs(10);
    loop {
        match Store::open(images) {
            Err(OpenError::Locked { .. }) if Instant::now() < given_up => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// A store in a directory of its own.
struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("images")).unwrap();
        Self { dir, store }
    }

    async fn load(&self, archive: Vec<u8>) -> Result<Vec<Loaded>, LoadError> {
        self.store.load(samples::stream(archive), |_| {}).await
    }

    /// Opens the store anew, as after a restart.
    fn reopen(self) -> Self {
        let Self { dir, store } = self;
        drop(store);
        let store = open_again(&dir.path().join("images")).unwrap();
        Self { dir, store }
    }

    /// Entries of a directory of the store.
    fn entries(&self, part: &str) -> Vec<String> {
        let path = self.dir.path().join("images").join(part);
        let entries = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Nothing is left but what the index names.
    fn assert_empty(&self) {
        assert_eq!(self.store.list().len(), 0);
        for part in [
            "layers",
            "blobs/sha256",
            "registry/sha256",
            "registry/sha512",
            "staging",
        ] {
            assert_eq!(self.entries(part), [""; 0], "{part}");
        }
    }
}
