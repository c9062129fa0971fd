//! The registry's shelf: uploads in pieces, digests, one file for all who have the content, sweeping.

use std::collections::HashSet;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use bytes::Bytes;
use image::{AppendError, InUse, ShelveError, digest_of};
use model::digest::{Algorithm, ContentDigest};

use crate::Fixture;
use crate::samples::{Layer, Sample, Tar, docker_archive, gzip, stream};

/// What comes of these bytes, one by one.
fn pieces_of(bytes: &[u8]) -> impl Iterator<Item = std::io::Result<Bytes>> {
    bytes
        .chunks(1)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
}

impl Fixture {
    /// An upload of these pieces.
    fn upload(&self, pieces: &[&[u8]]) -> image::Upload {
        let mut upload = self.store.begin_upload().unwrap();
        for piece in pieces {
            let length = piece.len() as u64;
            upload.append(pieces_of(piece), length, |_| {}).unwrap();
        }
        upload
    }

    fn shelve(&self, content: &[u8]) -> (ContentDigest, image::Shelved) {
        let digest = digest_of(content, Algorithm::Sha256);
        let shelved = self.store.shelve(self.upload(&[content]), &digest).unwrap();
        (digest, shelved)
    }

    fn read_shelved(&self, digest: &ContentDigest) -> Vec<u8> {
        let mut content = Vec::new();
        let mut found = self.store.open_shelved(digest).unwrap();
        found.file.read_to_end(&mut content).unwrap();
        assert_eq!(found.size_bytes, content.len() as u64);
        content
    }

    fn sweep(&self, needed: &[&ContentDigest]) -> usize {
        let needed: HashSet<_> = needed.iter().map(|digest| (*digest).clone()).collect();
        self.store.sweep_shelf(|| needed).unwrap()
    }

    /// The file that a name in a room of the store means.
    fn inode(&self, room: &str, digest: &ContentDigest) -> u64 {
        let path = self.dir.path().join("images").join(room).join(digest.hex());
        path.metadata().unwrap().ino()
    }
}

#[test]
fn pieces_make_a_blob_of_either_digest() {
    let fixture = Fixture::new();
    for algorithm in Algorithm::ALL {
        let digest = digest_of(b"one two", algorithm);
        let upload = fixture.upload(&[b"one", b"", b" two"]);
        assert_eq!(upload.size_bytes(), 7);
        let shelved = fixture.store.shelve(upload, &digest).unwrap();
        assert_eq!(shelved.size_bytes, 7);
        assert_eq!(fixture.read_shelved(&digest), b"one two");
    }
    assert_eq!(fixture.sweep(&[]), 2);
    fixture.assert_empty();
}

#[test]
fn other_content_than_was_said_is_refused_and_freed() {
    let fixture = Fixture::new();
    for algorithm in Algorithm::ALL {
        let digest = digest_of(b"said", algorithm);
        let refused = fixture.store.shelve(fixture.upload(&[b"sent"]), &digest);
        let Err(ShelveError::Digest { expected, found }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((expected, found), (digest, digest_of(b"sent", algorithm)));
    }
    fixture.assert_empty();
}

#[test]
fn a_piece_that_is_too_long_is_not_added_and_one_that_breaks_off_is_as_far_as_it_came() {
    let fixture = Fixture::new();
    let mut upload = fixture.upload(&[b"abc"]);
    let refused = upload.append(pieces_of(b"defgh"), 4, |_| {});
    assert!(matches!(
        refused,
        Err(AppendError::TooLong { most_bytes: 4 })
    ));
    assert_eq!(upload.size_bytes(), 3);
    let broken = Err(std::io::ErrorKind::ConnectionReset.into());
    let refused = upload.append(pieces_of(b"d").chain([broken]), 4, |_| {});
    assert!(matches!(refused, Err(AppendError::Read(_))));
    assert_eq!(upload.size_bytes(), 4);
    let digest = digest_of(b"abcd", Algorithm::Sha256);
    let _shelved = fixture.store.shelve(upload, &digest).unwrap();
    assert_eq!(fixture.read_shelved(&digest), b"abcd");
}

#[tokio::test]
async fn what_the_engine_and_the_registry_have_is_one_file_until_both_let_go() {
    let layer = gzip(&Tar::new().file("etc/motd", "hello").bytes());
    let digest = digest_of(&layer, Algorithm::Sha256);
    let archive = docker_archive(&[Sample::new(
        vec![Layer::gzip(Tar::new().file("etc/motd", "hello"))],
        &["app:1"],
    )]);
    // Whoever comes first: the registry, or the engine.
    for registry_first in [true, false] {
        let fixture = Fixture::new();
        let shelved = registry_first.then(|| fixture.shelve(&layer).1);
        fixture.load(archive.clone()).await.unwrap();
        let shelved = shelved.unwrap_or_else(|| fixture.shelve(&layer).1);
        assert_eq!(
            fixture.inode("blobs/sha256", &digest),
            fixture.inode("registry/sha256", &digest)
        );
        drop(shelved);
        if registry_first {
            fixture
                .store
                .remove("app:1", true, true, &|_| None)
                .unwrap();
            assert_eq!(fixture.read_shelved(&digest), layer);
            assert_eq!(fixture.sweep(&[]), 1);
        } else {
            assert_eq!(fixture.sweep(&[]), 1);
            let id = fixture.store.get("app:1").unwrap().id.clone();
            assert!(
                fixture.store.layers(&id).unwrap()[0]
                    .join("etc/motd")
                    .exists()
            );
            assert_eq!(fixture.entries("blobs/sha256").len(), 2);
            fixture
                .store
                .remove("app:1", true, true, &|_| None)
                .unwrap();
        }
        fixture.assert_empty();
    }
}

#[tokio::test]
async fn an_uploaded_file_is_offered_without_a_copy() {
    let fixture = Fixture::new();
    let received = fixture.store.receive(stream(b"abc".to_vec()), 10).await;
    let file = fixture.store.keep(received.unwrap()).unwrap();
    let digest: ContentDigest = file.facts.id.parse().unwrap();
    let shelved = fixture.store.shelve_own(&digest).unwrap().unwrap();
    assert_eq!(shelved.size_bytes, 3);
    assert_eq!(
        fixture.inode("blobs/sha256", &digest),
        fixture.inode("registry/sha256", &digest)
    );
    let other = digest_of(b"other", Algorithm::Sha256);
    assert!(fixture.store.shelve_own(&other).unwrap().is_none());
    // What only the registry has is not the engine's to offer.
    let (pushed, _) = fixture.shelve(b"pushed");
    assert!(fixture.store.shelve_own(&pushed).unwrap().is_none());
    assert_eq!(fixture.sweep(&[&digest]), 1);
    drop((file, shelved));
    fixture.store.collect(&InUse::default).unwrap();
    assert_eq!(fixture.read_shelved(&digest), b"abc");
    assert_eq!(fixture.sweep(&[]), 1);
    fixture.assert_empty();
}

#[test]
fn what_is_held_or_needed_is_not_swept_and_what_is_read_is_read_to_its_end() {
    let fixture = Fixture::new();
    let (held, shelved) = fixture.shelve(b"held");
    let (needed, _) = fixture.shelve(b"needed");
    let (free, _) = fixture.shelve(b"free");
    let mut reading = fixture.store.open_shelved(&free).unwrap();
    assert_eq!(fixture.sweep(&[&needed]), 1);
    let mut content = String::new();
    reading.file.read_to_string(&mut content).unwrap();
    assert_eq!(content, "free");
    assert!(fixture.store.shelved(&free).is_none());
    assert_eq!(fixture.read_shelved(&held), b"held");
    drop(shelved);
    // A restart frees nothing that a record may name, and all that was not finished.
    let unfinished = fixture.upload(&[b"half"]);
    let fixture = fixture.reopen();
    drop(unfinished);
    assert_eq!(fixture.read_shelved(&needed), b"needed");
    assert_eq!(fixture.sweep(&[]), 2);
}
