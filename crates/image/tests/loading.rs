//! Loading archives of every form.

use std::sync::{Arc, Mutex};

use image::{LoadError, LookupError};
use serde_json::json;

use crate::Fixture;
use crate::samples::{
    GZIP_LAYER, Layer, Sample, Tar, digest, docker_archive, gzip, hex_of, oci_blobs, oci_index,
    zstd,
};

fn two_layers(tags: &[&'static str]) -> Sample {
    let base = Tar::new()
        .dir("etc/")
        .file("etc/a", "base")
        .file("etc/b", "base");
    let top = Tar::new().file("etc/a", "top").file("etc/.wh.b", "");
    Sample::new(vec![Layer::plain(base), Layer::gzip(top)], tags)
}

#[tokio::test]
async fn a_docker_archive_is_loaded_whole() {
    let fixture = Fixture::new();
    let sample = two_layers(&["busybox:1", "quay.io/x/y:z"]);
    let loaded = fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let names: Vec<_> = loaded
        .iter()
        .map(|one| one.reference.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["busybox:1", "quay.io/x/y:z"]);

    let image = fixture.store.get("busybox:1").unwrap();
    assert_eq!(image.id, sample.id());
    assert_eq!(image.tags, ["docker.io/library/busybox:1", "quay.io/x/y:z"]);
    assert_eq!(image.size_bytes, 4 + 4 + 3);
    assert_eq!(
        image
            .history
            .iter()
            .map(|step| step.size_bytes)
            .collect::<Vec<_>>(),
        [8, 3]
    );
    assert_eq!(
        image.layers,
        [
            digest(&sample.layers[0].plain),
            digest(&sample.layers[1].plain)
        ]
    );
    assert_eq!(
        fixture.store.config_json(&image.id).unwrap(),
        sample.config_text()
    );

    let layers = fixture.store.layers(&image.id).unwrap();
    assert_eq!(std::fs::read(layers[0].join("etc/a")).unwrap(), b"top");
    assert_eq!(std::fs::read(layers[1].join("etc/a")).unwrap(), b"base");
    assert_eq!(fixture.entries("staging"), [""; 0]);
}

#[tokio::test]
async fn images_survive_a_restart() {
    let fixture = Fixture::new();
    fixture
        .load(docker_archive(&[two_layers(&["a:1"])]))
        .await
        .unwrap();
    let before = fixture.store.list();
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.list(), before);
    assert!(
        fixture
            .store
            .layers(&before[0].id)
            .unwrap()
            .iter()
            .all(|layer| layer.is_dir())
    );
}

#[tokio::test]
async fn an_oci_layout_is_loaded_whatever_its_media_types_claim() {
    for (layer_type, pack) in [
        (GZIP_LAYER, gzip as fn(&[u8]) -> Vec<u8>),
        (GZIP_LAYER, zstd),
        ("application/vnd.oci.image.layer.v1.tar", gzip),
        (GZIP_LAYER, <[u8]>::to_vec),
    ] {
        let fixture = Fixture::new();
        let mut sample = two_layers(&[]);
        for layer in &mut sample.layers {
            layer.packed = pack(&layer.plain);
        }
        let (tar, mut descriptor) = oci_blobs(Tar::new(), &sample, layer_type);
        descriptor["annotations"] =
            json!({"org.opencontainers.image.ref.name": "docker.io/library/app:2"});
        let loaded = fixture
            .load(oci_index(tar, &[descriptor.clone()]))
            .await
            .unwrap();
        assert_eq!(loaded[0].reference.as_deref(), Some("app:2"));
        let image = fixture.store.get("app:2").unwrap();
        assert_eq!(image.id, sample.id());
        let by_digest = format!("app@{}", descriptor["digest"].as_str().unwrap());
        assert_eq!(fixture.store.get(&by_digest).unwrap().id, image.id);
    }
}

#[tokio::test]
async fn of_many_platforms_the_hosts_is_loaded() {
    let fixture = Fixture::new();
    let ours = two_layers(&[]);
    let mut theirs = two_layers(&[]);
    theirs.config["architecture"] = json!("s390x");
    let (tar, mut ours_descriptor) = oci_blobs(Tar::new(), &ours, GZIP_LAYER);
    let architecture = oci_spec::image::Arch::default().to_string();
    ours_descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
    let (tar, mut theirs_descriptor) = oci_blobs(tar, &theirs, GZIP_LAYER);
    theirs_descriptor["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let mut attestation = theirs_descriptor.clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let inner =
        json!({"schemaVersion": 2, "manifests": [attestation, theirs_descriptor, ours_descriptor]})
            .to_string();
    let tar = tar.file(
        &format!("blobs/sha256/{}", hex_of(inner.as_bytes())),
        &inner,
    );
    let outer = json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(inner.as_bytes()), "size": inner.len(),
        "annotations": {"io.containerd.image.name": "docker.io/library/many:1", "org.opencontainers.image.ref.name": "1"},
    });
    fixture.load(oci_index(tar, &[outer])).await.unwrap();
    assert_eq!(fixture.store.get("many:1").unwrap().id, ours.id());
    assert_eq!(fixture.store.list().len(), 1);
}

#[tokio::test]
async fn the_archive_itself_may_be_compressed() {
    let archive = docker_archive(&[two_layers(&["a:1"])]);
    for packed in [gzip(&archive), zstd(&archive)] {
        let fixture = Fixture::new();
        fixture.load(packed).await.unwrap();
        assert_eq!(fixture.store.list().len(), 1);
    }
    let fixture = Fixture::new();
    let error = fixture.load(b"BZh91AY&SY".repeat(9)).await.unwrap_err();
    assert_eq!(error.to_string(), "read the image archive");
    fixture.assert_empty();
}

#[tokio::test]
async fn layers_are_shared_and_unpacked_once() {
    let fixture = Fixture::new();
    let one = two_layers(&["one:1"]);
    let mut other = one.clone();
    other.tags = vec!["other:1"];
    other.config["author"] = json!("else");
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reports);
    let both = docker_archive(&[one.clone(), other.clone()]);
    let stream = crate::samples::stream(both);
    fixture
        .store
        .load(stream, move |progress| seen.lock().unwrap().push(progress))
        .await
        .unwrap();
    assert_eq!(fixture.entries("layers").len(), 2);
    let done = reports
        .lock()
        .unwrap()
        .iter()
        .filter(|report| report.current_bytes == report.total_bytes)
        .count();
    assert!(done >= 2);
    let one = fixture.store.get("one:1").unwrap();
    let other = fixture.store.get("other:1").unwrap();
    assert_ne!(one.id, other.id);
    assert_eq!(
        fixture.store.layers(&one.id).unwrap(),
        fixture.store.layers(&other.id).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_archive_may_be_loaded_many_times_at_once() {
    let fixture = Arc::new(Fixture::new());
    let archive = docker_archive(&[two_layers(&["a:1"])]);
    let loads: Vec<_> = (0..8)
        .map(|_| {
            let (fixture, archive) = (Arc::clone(&fixture), archive.clone());
            tokio::spawn(async move { fixture.load(archive).await })
        })
        .collect();
    for load in loads {
        load.await.unwrap().unwrap();
    }
    assert_eq!(fixture.store.list().len(), 1);
    assert_eq!(fixture.entries("layers").len(), 2);
    assert_eq!(fixture.entries("blobs/sha256").len(), 3);
    assert_eq!(fixture.entries("staging"), [""; 0]);
}

#[tokio::test]
async fn a_name_moves_to_the_newly_loaded_image() {
    let fixture = Fixture::new();
    let first = two_layers(&["a:latest"]);
    let mut second = first.clone();
    second.config["author"] = json!("else");
    fixture
        .load(docker_archive(std::slice::from_ref(&first)))
        .await
        .unwrap();
    let loaded = fixture
        .load(docker_archive(std::slice::from_ref(&second)))
        .await
        .unwrap();
    assert_eq!(loaded[0].displaced, Some(first.id()));
    assert_eq!(fixture.store.get("a").unwrap().id, second.id());
    assert!(fixture.store.get(&first.id()).unwrap().tags.is_empty());
}

#[tokio::test]
async fn layers_that_the_store_has_may_be_missing_from_the_archive() {
    let fixture = Fixture::new();
    let sample = two_layers(&["a:1"]);
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let mut again = sample.clone();
    again.config["author"] = json!("else");
    let config = again.config_text();
    let manifest = json!([{"Config": "c.json", "RepoTags": ["b:1"], "Layers": ["x/layer.tar", "y/layer.tar"]}]);
    let thin = Tar::new()
        .file("c.json", &config)
        .file("manifest.json", manifest.to_string())
        .bytes();
    fixture.load(thin.clone()).await.unwrap();
    assert_eq!(fixture.store.get("b:1").unwrap().id, again.id());
    let empty = Fixture::new();
    let error = empty.load(thin).await.unwrap_err();
    assert!(
        matches!(error, LoadError::Layer(image::LayerError::Missing { .. })),
        "{error}"
    );
    empty.assert_empty();
}

#[tokio::test]
async fn a_layer_that_occurs_again_may_be_a_link() {
    let fixture = Fixture::new();
    let layer = Layer::plain(Tar::new().file("f", "x"));
    let sample = Sample::new(vec![layer.clone(), layer.clone()], &[]);
    let manifest =
        json!([{"Config": "c.json", "RepoTags": null, "Layers": ["x/layer.tar", "y/layer.tar"]}]);
    let archive = Tar::new()
        .file("x/layer.tar", &layer.packed)
        .symlink("y/layer.tar", "../x/layer.tar")
        .file("c.json", sample.config_text())
        .file("manifest.json", manifest.to_string());
    let loaded = fixture.load(archive.bytes()).await.unwrap();
    assert_eq!(
        (loaded[0].reference.as_deref(), loaded[0].id.as_str()),
        (None, sample.id().as_str())
    );
    // The kernel mounts no directory twice, and the upper one has all that the lower one has.
    assert_eq!(fixture.store.layers(&sample.id()).unwrap().len(), 1);
}

#[tokio::test]
async fn images_are_found_by_name_and_by_id() {
    let fixture = Fixture::new();
    let sample = two_layers(&["a:1"]);
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let id = sample.id();
    let hex = id.strip_prefix("sha256:").unwrap();
    for text in [
        "a:1",
        "docker.io/library/a:1",
        &id,
        hex,
        &hex[..12],
        &hex[..1],
        &id[..20],
    ] {
        assert_eq!(fixture.store.get(text).unwrap().id, id, "{text}");
    }
    let said = |text: &str| fixture.store.get(text).unwrap_err().to_string();
    assert_eq!(said("a"), "No such image: a:latest");
    assert_eq!(said("b/c:1"), "No such image: b/c:1");
    assert_eq!(
        said("A"),
        "invalid reference format: repository name (library/A) must be lowercase"
    );
    assert!(matches!(
        fixture.store.get(&"0".repeat(64)),
        Err(LookupError::NotFound { .. })
    ));
}

#[tokio::test]
async fn an_ambiguous_prefix_is_not_guessed() {
    let fixture = Fixture::new();
    let mut samples = Vec::new();
    for number in 0..17 {
        let mut sample = two_layers(&[]);
        sample.config["author"] = json!(number.to_string());
        samples.push(sample);
    }
    fixture.load(docker_archive(&samples)).await.unwrap();
    let mut firsts: Vec<_> = samples
        .iter()
        .map(|sample| sample.id()[7..8].to_owned())
        .collect();
    firsts.sort();
    let double = firsts.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0].clone();
    assert!(matches!(
        fixture.store.get(&double),
        Err(LookupError::Ambiguous { .. })
    ));
}

#[tokio::test]
async fn an_image_of_130_layers_is_loaded() {
    let fixture = Fixture::new();
    let layers = (0..130)
        .map(|number| Layer::plain(Tar::new().file(&format!("f{number}"), number.to_string())));
    let sample = Sample::new(layers.collect(), &["deep:1"]);
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let layers = fixture.store.layers(&sample.id()).unwrap();
    assert_eq!(layers.len(), 130);
    assert!(layers[0].join("f129").exists() && layers[129].join("f0").exists());
}
