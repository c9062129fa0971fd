//! Files that are kept as they came, and the images made of them.

use std::io::Read;

use image::{FileFacts, ImportOptions, InUse, KeptFile, ReceiveError};

use crate::Fixture;
use crate::samples::{Layer, Sample, Tar, digest, docker_archive, gzip, stream};

const MOST: u64 = 1 << 20;

async fn keep(fixture: &Fixture, bytes: &[u8]) -> KeptFile {
    let received = fixture.store.receive(stream(bytes.to_vec()), MOST).await;
    fixture.store.keep(received.unwrap()).unwrap()
}

fn read(fixture: &Fixture, facts: &FileFacts) -> Vec<u8> {
    let mut content = Vec::new();
    let mut file = fixture.store.open_kept(&facts.id).unwrap();
    file.read_to_end(&mut content).unwrap();
    content
}

fn only(image: &str, file: &str) -> InUse {
    InUse {
        images: [image.to_owned()].into(),
        files: [file.to_owned()].into(),
    }
}

#[tokio::test]
async fn a_file_is_known_by_its_digests_and_stays_as_long_as_it_is_used() {
    let fixture = Fixture::new();
    let file = keep(&fixture, b"abc").await;
    assert_eq!(file.facts.id, digest(b"abc"));
    assert_eq!(file.facts.md5, "900150983cd24fb0d6963f7d28e17f72");
    assert!(file.facts.sha512.starts_with("ddaf35a193617aba"));
    assert_eq!(file.facts.size_bytes, 3);
    // Nothing says yet that it is in use, but it is held.
    fixture.store.collect(&InUse::default).unwrap();
    let facts = file.facts.clone();
    drop(file);
    let fixture = fixture.reopen();
    assert_eq!(read(&fixture, &facts), b"abc");
    fixture.store.collect(&|| only("", &facts.id)).unwrap();
    assert!(fixture.store.kept(&facts).is_some());
    fixture.store.collect(&InUse::default).unwrap();
    assert!(fixture.store.kept(&facts).is_none());
    fixture.assert_empty();
}

#[tokio::test]
async fn a_stream_that_is_too_long_leaves_nothing() {
    let fixture = Fixture::new();
    let refused = fixture.store.receive(stream(vec![0; 11]), 10).await;
    assert!(matches!(
        refused,
        Err(ReceiveError::TooLarge { most_bytes: 10 })
    ));
    fixture.assert_empty();
}

#[tokio::test]
async fn a_kept_archive_becomes_an_image_that_is_not_listed_until_it_has_a_name() {
    let fixture = Fixture::new();
    let sample = Sample::new(vec![Layer::plain(Tar::new().file("a", "a"))], &["said:1"]);
    let archive = docker_archive(std::slice::from_ref(&sample));
    let file = keep(&fixture, &archive).await;
    let (id, held) = fixture.store.load_kept(&file).unwrap();
    assert_eq!(id, sample.id());
    assert!(fixture.store.list().is_empty() && fixture.store.get("said:1").is_err());
    assert_eq!(fixture.store.by_id(&id).unwrap().id, id);
    fixture.store.collect(&InUse::default).unwrap();
    drop(held);
    fixture.store.list_as(&id, "mine:2").unwrap();
    assert_eq!(fixture.store.get("mine:2").unwrap().id, id);
    fixture.store.unlist(&id, "mine:2").unwrap();
    assert!(fixture.store.list().is_empty());
    let facts = file.facts.clone();
    drop(file);
    fixture.store.collect(&|| only(&id, &facts.id)).unwrap();
    assert!(fixture.store.layers(&id).unwrap()[0].is_dir());
    assert_eq!(read(&fixture, &facts), archive);
    fixture.store.collect(&InUse::default).unwrap();
    fixture.assert_empty();
}

#[tokio::test]
async fn a_kept_root_is_its_own_layer_and_outlives_it() {
    let fixture = Fixture::new();
    let root = gzip(&Tar::new().file("etc/motd", "hello").bytes());
    let file = keep(&fixture, &root).await;
    let options = ImportOptions {
        hidden: true,
        ..ImportOptions::default()
    };
    let (id, held) = fixture.store.import_kept(&file, &options).unwrap();
    assert!(
        fixture.store.layers(&id).unwrap()[0]
            .join("etc/motd")
            .exists()
    );
    let facts = file.facts.clone();
    drop((file, held));
    fixture.store.collect(&|| only("", &facts.id)).unwrap();
    assert!(fixture.store.by_id(&id).is_err());
    assert_eq!(read(&fixture, &facts), root);
    fixture.store.collect(&InUse::default).unwrap();
    fixture.assert_empty();
}

#[tokio::test]
async fn a_tar_is_told_from_other_data() {
    let fixture = Fixture::new();
    let tar = Tar::new().file("a", "a").bytes();
    for (bytes, expected) in [
        (tar.clone(), true),
        (gzip(&tar), true),
        (gzip(b"no tar"), false),
        (gzip(&tar)[..30].to_vec(), false),
        (vec![7; 4096], false),
        (vec![0; 4096], false),
        (b"BZh91AY&SY".to_vec(), false),
        (Vec::new(), false),
    ] {
        let file = keep(&fixture, &bytes).await;
        assert_eq!(fixture.store.is_tar(&file).unwrap(), expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn an_archive_of_several_images_is_no_image() {
    let fixture = Fixture::new();
    let sample = |name| Sample::new(vec![Layer::plain(Tar::new().file(name, name))], &[]);
    let file = keep(&fixture, &docker_archive(&[sample("a"), sample("b")])).await;
    let refused = fixture.store.load_kept(&file).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the image archive has 2 images; it must have exactly one"
    );
}
