//! Contexts that stay unpacked for the next build, by the archive that they came as: who builds again
//! what has not changed has nothing unpacked.
//!
//! Only what a build that succeeded had, and only small archives without compression, so that what
//! they take on disk is bounded, too. They are in the content store's scratch, and go with the daemon.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use image::{ArchiveError, StepLayer, Store};
use ring::digest::{SHA256, digest};
use tokio::io::AsyncReadExt;

use crate::context::{self, Context, ContextError};

/// Most bytes of an archive that is kept; as many are in memory while one comes.
const MOST_BYTES: u64 = 16 << 20;
/// Most contexts that are kept: of more, the one used longest ago goes.
const MOST_KEPT: usize = 8;

/// What says that two contexts are the same: the archive, and the path of the Dockerfile in it, on which
/// depends what is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    archive: Vec<u8>,
    dockerfile: Option<String>,
}

/// The contexts of builds that succeeded, the one used longest ago first.
#[derive(Debug, Default)]
pub struct Contexts(Mutex<VecDeque<(Key, Arc<Context>)>>);

/// The context of one build.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) context: Arc<Context>,
    /// What the Dockerfile says.
    pub(crate) dockerfile: Bytes,
    /// `None` for one that is not to be kept.
    key: Option<Key>,
}

impl Received {
    fn of(context: Arc<Context>, text: Option<Bytes>, key: Option<Key>) -> Self {
        Self {
            dockerfile: text.unwrap_or_else(|| context.dockerfile.clone()),
            context,
            key,
        }
    }
}

impl Contexts {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Context>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees what is kept. Waits for the disk.
    pub fn clear(&self) {
        let kept = std::mem::take(&mut *self.kept());
        drop(kept);
    }

    /// Takes a context: unpacks it, unless the same is kept. Its Dockerfile is in it, where it did not
    /// come by itself.
    pub(crate) async fn receive(
        &self,
        store: &Store,
        mut archive: StepLayer,
        path: &str,
        text: Option<Bytes>,
    ) -> Result<Received, ContextError> {
        let dockerfile = text.is_none().then(|| path.to_owned());
        if let Some(text) = &text {
            context::check_dockerfile(path, text)?;
        }
        let mut head = Vec::new();
        let mut first = (&mut archive).take(MOST_BYTES + 1);
        let broke_off = |error| ContextError::Archive(ArchiveError::from(error).into());
        first.read_to_end(&mut head).await.map_err(broke_off)?;
        let is_small = head.len() as u64 <= MOST_BYTES;
        let key = (is_small && image::extract::is_plain(&head)).then(|| Key {
            archive: digest(&SHA256, &head).as_ref().to_vec(),
            dockerfile: dockerfile.clone(),
        });
        if let Some(key) = &key
            && let Some(context) = self.find(key)
        {
            let key = Some(key.clone());
            return Ok(Received::of(context, text, key));
        }
        let whole = std::io::Cursor::new(head).chain(archive);
        let context = Context::receive(store, whole, dockerfile).await?;
        Ok(Received::of(Arc::new(context), text, key))
    }

    fn find(&self, key: &Key) -> Option<Arc<Context>> {
        let kept = self.kept();
        let found = kept.iter().find(|(known, _)| known == key);
        found.map(|(_, context)| Arc::clone(context))
    }

    /// Keeps what a build had that succeeded, as the one used last.
    pub(crate) fn keep(&self, received: Received) {
        let Received { context, key, .. } = received;
        let mut gone = Vec::new();
        match key {
            Some(key) => {
                let mut kept = self.kept();
                kept.retain(|(known, _)| *known != key);
                kept.push_back((key, context));
                let too_many = kept.len().saturating_sub(MOST_KEPT);
                gone.extend(kept.drain(..too_many).map(|(_, context)| context));
            }
            None => gone.push(context),
        }
        if !gone.is_empty() {
            // Nobody waits for many files to be removed.
            drop(tokio::task::spawn_blocking(move || drop(gone)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(dockerfile: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [("Dockerfile", dockerfile), ("other", "FROM other\n")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[tokio::test]
    async fn only_the_same_archive_for_the_same_dockerfile_is_kept_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let contexts = Contexts::default();
        let receive = async |archive: Vec<u8>, dockerfile: &str| {
            let archive = Box::new(std::io::Cursor::new(archive));
            let received = contexts.receive(&store, archive, dockerfile, None).await;
            received.unwrap()
        };
        let first = receive(archive("FROM one\n"), "Dockerfile").await;
        let before_the_end = receive(archive("FROM one\n"), "Dockerfile").await;
        assert!(!Arc::ptr_eq(&first.context, &before_the_end.context));
        let context = Arc::clone(&first.context);
        contexts.keep(first);
        let again = receive(archive("FROM one\n"), "Dockerfile").await;
        assert!(Arc::ptr_eq(&again.context, &context));
        for (text, path, said) in [
            ("FROM one\n", "other", "FROM other\n"),
            ("FROM two\n", "Dockerfile", "FROM two\n"),
        ] {
            let received = receive(archive(text), path).await;
            assert!(!Arc::ptr_eq(&received.context, &context));
            assert_eq!(received.dockerfile, said.as_bytes());
        }
        contexts.clear();
        let cleared = receive(archive("FROM one\n"), "Dockerfile").await;
        assert!(!Arc::ptr_eq(&cleared.context, &context));
    }

    #[tokio::test]
    async fn what_is_large_is_unpacked_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let contexts = Contexts::default();
        let text = format!("FROM one\n{}", "#".repeat(16 << 20));
        let archive = Box::new(std::io::Cursor::new(archive(&text)));
        let refused = contexts.receive(&store, archive, "Dockerfile", None).await;
        assert!(matches!(refused, Err(ContextError::TooLarge(_))));
        let archive = Box::new(std::io::Cursor::new(super::tests::archive(&text)));
        let received = contexts
            .receive(&store, archive, "other", None)
            .await
            .unwrap();
        assert_eq!(received.key, None);
        contexts.keep(received);
        assert!(contexts.kept().is_empty());
    }
}
