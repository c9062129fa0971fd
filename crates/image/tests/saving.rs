//! Images going out, and root file systems coming in.

use std::io::Read;

use image::{ImportOptions, SaveError, changes};
use model::image::Defaults;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::Fixture;
use crate::samples::{Layer, Sample, Tar, docker_archive, gzip, hex_of, stream};

async fn saved(fixture: &Fixture, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut archive = Vec::new();
    fixture
        .store
        .save(&names)
        .await
        .unwrap()
        .read_to_end(&mut archive)
        .await
        .unwrap();
    archive
}

fn member(archive: &[u8], path: &str) -> Vec<u8> {
    let mut tar = tar::Archive::new(archive);
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_str() == Some(path) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            return content;
        }
    }
    panic!("no {path}");
}

fn three_layers() -> Sample {
    let layers = vec![
        Layer::plain(Tar::new().file("a", "a")),
        Layer::gzip(Tar::new().file("b", "b")),
        Layer::zstd(Tar::new().file("c", "c")),
    ];
    Sample::new(layers, &["app:1", "app:2", "else:1"])
}

#[tokio::test]
async fn what_is_saved_can_be_loaded_as_docker_archive_and_as_oci_layout() {
    let fixture = Fixture::new();
    let sample = three_layers();
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let archive = saved(&fixture, &["app"]).await;
    assert!(
        archive == saved(&fixture, &["app:2", "app:1"]).await,
        "the same images make the same archive"
    );
    let manifest: Value = serde_json::from_slice(&member(&archive, "manifest.json")).unwrap();
    assert_eq!(
        manifest[0]["RepoTags"],
        serde_json::json!(["app:1", "app:2"])
    );
    let repositories: Value = serde_json::from_slice(&member(&archive, "repositories")).unwrap();
    assert_eq!(
        repositories["app"]["1"],
        hex_of(&sample.layers[2].plain),
        "zstd is taken off"
    );

    let other = Fixture::new();
    other.load(archive.clone()).await.unwrap();
    assert_eq!(other.store.get("app:2").unwrap().id, sample.id());
    assert_eq!(
        other.store.config_json(&sample.id()).unwrap(),
        sample.config_text()
    );

    // Without manifest.json it is an OCI layout.
    let mut layout = Tar::new();
    let mut tar = tar::Archive::new(&archive[..]);
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if path != "manifest.json" {
            layout = layout.file(&path, content);
        }
    }
    let other = Fixture::new();
    other.load(layout.bytes()).await.unwrap();
    assert_eq!(other.store.get("app:1").unwrap().id, sample.id());
    assert_eq!(other.store.get("app:1").unwrap().digests.len(), 1);
    // The manifest it came with goes out again.
    assert!(member(&saved(&other, &["app"]).await, "index.json") == member(&archive, "index.json"));
}

#[tokio::test]
async fn saving_by_id_keeps_no_name_and_unknown_names_are_refused() {
    let fixture = Fixture::new();
    let sample = three_layers();
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let archive = saved(&fixture, &[&sample.id()]).await;
    let other = Fixture::new();
    assert_eq!(other.load(archive).await.unwrap()[0].reference, None);
    for (names, message) in [
        (vec!["nothing:1".to_owned()], "No such image: nothing:1"),
        (Vec::new(), "no image to save was named"),
    ] {
        let error: SaveError = fixture.store.save(&names).await.err().unwrap();
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn an_image_that_is_removed_while_it_is_saved_is_saved_whole() {
    let fixture = Fixture::new();
    let mut random = 1_u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u8::try_from(random >> 56).unwrap()
    })
    .take(8 << 20)
    .collect();
    let sample = Sample::new(
        vec![
            Layer::plain(Tar::new().file("big", content)),
            Layer::plain(Tar::new().file("b", "b")),
        ],
        &["a:1"],
    );
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let mut stream = fixture.store.save(&["a:1".to_owned()]).await.unwrap();
    let mut archive = vec![0; 1024];
    stream.read_exact(&mut archive).await.unwrap();
    fixture
        .store
        .remove("a:1", false, false, &|_| None)
        .unwrap();
    stream.read_to_end(&mut archive).await.unwrap();
    let other = Fixture::new();
    other.load(archive).await.unwrap();
    assert_eq!(other.store.get("a:1").unwrap().id, sample.id());
    fixture.assert_empty();
}

#[tokio::test]
async fn a_root_file_system_becomes_an_image() {
    let fixture = Fixture::new();
    let tar = Tar::new().dir("bin/").file("bin/sh", "#!").bytes();
    let mut defaults = Defaults::default();
    changes::apply(
        &["CMD [\"/bin/sh\"]".to_owned(), "ENV A=b".to_owned()],
        &mut defaults,
    )
    .unwrap();
    for packed in [tar.clone(), gzip(&tar)] {
        let options = ImportOptions {
            reference: Some("base".to_owned()),
            message: "from outside".to_owned(),
            defaults: defaults.clone(),
            platform: None,
            hidden: false,
        };
        let image = fixture.store.import(stream(packed), options).await.unwrap();
        assert_eq!(image.tags, ["docker.io/library/base:latest"]);
        assert_eq!(
            (image.comment.as_str(), image.size_bytes, image.os.as_str()),
            ("from outside", 2, "linux")
        );
        assert_eq!(image.defaults, defaults);
        assert_eq!(image.layers, [crate::samples::digest(&tar)]);
    }
    assert_eq!(
        fixture.store.list().len(),
        2,
        "the second took the name from the first"
    );
    assert_eq!(fixture.entries("layers").len(), 1);
    let fixture = fixture.reopen();
    assert_eq!(
        fixture.store.get("base").unwrap().defaults.command,
        ["/bin/sh"]
    );
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new();
    let good = Tar::new().file("a", "x").bytes();
    let named = |name: &str| ImportOptions {
        reference: Some(name.to_owned()),
        ..ImportOptions::default()
    };
    let platform = ImportOptions {
        platform: Some("windows/amd64".to_owned()),
        ..ImportOptions::default()
    };
    for (tar, options) in [
        (good.clone(), named("Bad")),
        (good.clone(), platform),
        (Vec::new(), named("a")),
        (b"no tar at all".repeat(100), named("a")),
        (good[..700].to_vec(), named("a")),
        (gzip(&good)[..40].to_vec(), named("a")),
        (b"BZh9".repeat(10), named("a")),
    ] {
        fixture
            .store
            .import(stream(tar), options)
            .await
            .unwrap_err();
        fixture.assert_empty();
    }
}
