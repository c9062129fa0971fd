//! Content that an operation under way relies on, before anything says that it is needed.
//!
//! A file is received, an image unpacked, and only then whoever keeps books writes down that they
//! are in use: until that is written, [`Store::collect`] must not take them away.

use super::Store;
use crate::digest::Digest;

/// Images and files that stay until this is dropped.
#[derive(Debug)]
#[must_use = "what is held is free to go when this is dropped"]
pub struct Held {
    store: Store,
    content: Vec<Digest>,
}

impl Held {
    /// Holds what `other` holds, too.
    pub fn and(mut self, mut other: Self) -> Self {
        self.content.append(&mut other.content);
        self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut changing = self.store.changing();
        for digest in &self.content {
            if let Some(count) = changing.held.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    changing.held.remove(digest);
                }
            }
        }
    }
}

impl Store {
    /// Holds an image or a file, which need not be there yet.
    pub(crate) fn hold(&self, digest: Digest) -> Held {
        *self.changing().held.entry(digest).or_default() += 1;
        Held {
            store: self.clone(),
            content: vec![digest],
        }
    }
}
