//! Names and images going away.

use image::{InUse, Removed, Use};
use serde_json::json;

use crate::Fixture;
use crate::samples::{Layer, Sample, Tar, digest, docker_archive};

fn sample(tags: &[&'static str], author: &str) -> Sample {
    let base = Layer::plain(Tar::new().file("base", "x"));
    let top = Layer::plain(Tar::new().file("top", author));
    let mut sample = Sample::new(vec![base, top], tags);
    sample.config["author"] = json!(author);
    sample
}

fn untagged(name: &str) -> Removed {
    Removed::Untagged(name.to_owned())
}

#[tokio::test]
async fn the_last_name_takes_the_image_with_it() {
    let fixture = Fixture::new();
    let sample = sample(&["a:1", "a:2"], "me");
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    assert_eq!(
        fixture.store.remove("a:1", false, true, &|_| None).unwrap(),
        [untagged("a:1")]
    );
    let removed = fixture.store.remove("a:2", false, true, &|_| None).unwrap();
    let base = digest(&sample.layers[0].plain);
    let chain = digest(format!("{base} {}", digest(&sample.layers[1].plain)).as_bytes());
    assert_eq!(
        removed,
        [
            untagged("a:2"),
            Removed::Deleted(sample.id()),
            Removed::Deleted(chain),
            Removed::Deleted(base)
        ]
    );
    fixture.assert_empty();
    fixture.reopen().assert_empty();
}

#[tokio::test]
async fn layers_of_other_images_stay() {
    let fixture = Fixture::new();
    let (one, other) = (sample(&["one:1"], "one"), sample(&["other:1"], "other"));
    fixture
        .load(docker_archive(&[one.clone(), other.clone()]))
        .await
        .unwrap();
    let removed = fixture
        .store
        .remove(&one.id(), false, true, &|_| None)
        .unwrap();
    assert_eq!(
        removed.len(),
        3,
        "its name, itself and its upper layer: {removed:?}"
    );
    assert_eq!(fixture.entries("layers").len(), 2);
    assert!(
        fixture
            .store
            .layers(&other.id())
            .unwrap()
            .iter()
            .all(|layer| layer.is_dir())
    );
}

#[tokio::test]
async fn what_is_needed_is_not_removed() {
    let fixture = Fixture::new();
    let sample = sample(&["a:1"], "me");
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let id = sample.id();
    let short = &id[7..19];
    let user = |running| {
        move |_: &str| {
            Some(Use::Container {
                id: "c".repeat(64),
                running,
            })
        }
    };
    let said = |name: &str, force, running| {
        fixture
            .store
            .remove(name, force, true, &user(running))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        said("a:1", false, false),
        format!(
            "conflict: unable to remove repository reference \"a:1\" (must force) - container cccccccccccc is using its referenced image {short}"
        )
    );
    assert_eq!(
        said(&id, false, false),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container cccccccccccc"
        )
    );
    assert_eq!(
        said(&id, true, true),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container cccccccccccc"
        )
    );
    fixture.store.tag("a:1", "b:1").unwrap();
    assert_eq!(
        fixture
            .store
            .remove(&id, false, true, &|_| None)
            .unwrap_err()
            .to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(
        fixture
            .store
            .remove("b:1", true, true, &user(true))
            .unwrap(),
        [untagged("b:1")]
    );
    // By force a running container's image loses its last name, but stays.
    assert_eq!(
        fixture
            .store
            .remove("a:1", true, true, &user(true))
            .unwrap(),
        [untagged("a:1")]
    );
    assert!(fixture.store.get(&id).unwrap().tags.is_empty());
    assert_eq!(
        fixture
            .store
            .remove("a:1", false, true, &|_| None)
            .unwrap_err()
            .to_string(),
        "No such image: a:1"
    );
}

#[tokio::test]
async fn layers_of_a_forced_removal_stay_until_the_container_is_gone() {
    let fixture = Fixture::new();
    let sample = sample(&["a:1"], "me");
    let id = sample.id();
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let stopped = |_: &str| {
        Some(Use::Container {
            id: "c".to_owned(),
            running: false,
        })
    };
    let in_use = || InUse {
        images: [id.clone()].into(),
        files: [].into(),
    };
    let removed = fixture.store.remove("a:1", true, true, &stopped).unwrap();
    assert_eq!(removed, [untagged("a:1"), Removed::Deleted(id.clone())]);
    assert!(fixture.store.list().is_empty() && fixture.store.get(&id).is_err());
    fixture.store.collect(&in_use).unwrap();
    let fixture = fixture.reopen();
    assert!(
        fixture
            .store
            .layers(&id)
            .unwrap()
            .iter()
            .all(|layer| layer.is_dir())
    );
    fixture.store.collect(&InUse::default).unwrap();
    assert!(fixture.store.layers(&id).is_err());
    fixture.assert_empty();
    // Loaded again, it is as new.
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    fixture.store.remove("a:1", true, true, &stopped).unwrap();
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    fixture.store.collect(&InUse::default).unwrap();
    assert_eq!(fixture.store.get("a:1").unwrap().id, id);
}

#[tokio::test]
async fn names_are_given_and_refused() {
    let fixture = Fixture::new();
    fixture
        .load(docker_archive(&[sample(&["a:1"], "me")]))
        .await
        .unwrap();
    fixture.store.tag("a:1", "reg.example:5000/b").unwrap();
    assert_eq!(
        fixture
            .store
            .get("reg.example:5000/b:latest")
            .unwrap()
            .tags
            .len(),
        2
    );
    let said =
        |source: &str, target: &str| fixture.store.tag(source, target).unwrap_err().to_string();
    assert_eq!(said("nothing", "b"), "No such image: nothing:latest");
    assert_eq!(
        said("a:1", "B"),
        "invalid reference format: repository name (library/B) must be lowercase"
    );
    let digested = format!("b@sha256:{}", "0".repeat(64));
    assert_eq!(
        said("a:1", &digested),
        "refusing to create a tag with a digest reference"
    );
    assert_eq!(
        said("a:1", "sha256:x"),
        "refusing to create an ambiguous tag using digest algorithm as name"
    );
}
