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

use image::{LoadError, Loaded, Store};

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
        let store = Store::open(&dir.path().join("images")).unwrap();
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
