//! Archives that mean harm: contained or refused, and nothing is left behind.

use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::Fixture;
use crate::samples::{
    GZIP_LAYER, Layer, Sample, Tar, docker_archive, header, oci_blobs, oci_index,
};

fn one_layer(tar: Tar) -> Vec<u8> {
    docker_archive(&[Sample::new(vec![Layer::plain(tar)], &["x:1"])])
}

#[tokio::test]
async fn nothing_is_written_outside_the_layer() {
    let fixture = Fixture::new();
    let outside = fixture.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "old").unwrap();
    let absolute = outside.to_str().unwrap();
    let up = format!("{}{absolute}", "../".repeat(20));
    let secret = format!("{absolute}/secret");
    let tar = Tar::new()
        .file(&format!("{absolute}/absolute"), "x")
        .file(&format!("{up}/up"), "x")
        .symlink("door", absolute)
        .file("door/through", "x")
        .symlink("upward", &up)
        .file("upward/through", "x")
        .dir("upward/directory/")
        .symlink("to_secret", &secret)
        .file("to_secret", "new");
    fixture.load(one_layer(tar)).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(&outside)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["secret"]);
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"old");
    let image = fixture.store.get("x:1").unwrap();
    let layer = fixture.store.layers(&image.id).unwrap().remove(0);
    let inside = layer.join(absolute.trim_start_matches('/'));
    for contained in ["absolute", "up", "through", "directory"] {
        assert!(inside.join(contained).exists(), "{contained}");
    }
    assert_eq!(
        std::fs::read(layer.join("to_secret")).unwrap(),
        b"new",
        "the link is replaced, not followed"
    );
}

#[tokio::test]
async fn hard_links_reach_nothing_outside() {
    let fixture = Fixture::new();
    let secret = fixture.dir.path().join("secret");
    std::fs::write(&secret, "old").unwrap();
    let path = secret.to_str().unwrap();
    let parent = fixture.dir.path().to_str().unwrap();
    for tar in [
        Tar::new().hard_link("link", path),
        Tar::new().hard_link("link", &format!("{}{path}", "../".repeat(20))),
        Tar::new()
            .symlink("door", parent)
            .hard_link("link", "door/secret"),
        Tar::new().hard_link("link", "/"),
        Tar::new().hard_link("self", "self"),
    ] {
        fixture.load(one_layer(tar)).await.unwrap_err();
        fixture.assert_empty();
    }
    assert_eq!(std::fs::metadata(&secret).unwrap().nlink(), 1);
}

#[tokio::test]
async fn loops_and_lies_are_refused_and_leave_nothing() {
    let fixture = Fixture::new();
    let claim = |size: u64| {
        let mut header = header(tar::EntryType::Regular, "file", "", 0o644, 0);
        header.set_size(size);
        header.set_cksum();
        header
    };
    let mut endless_name = header(tar::EntryType::GNULongName, "name", "", 0o644, 0);
    endless_name.set_size(1 << 40);
    endless_name.set_cksum();
    for (what, tar) in [
        (
            "links in a circle",
            Tar::new()
                .symlink("a", "b")
                .symlink("b", "a")
                .file("a/file", "x"),
        ),
        (
            "a file as a directory",
            Tar::new().file("a", "x").file("a/b", "x"),
        ),
        (
            "more claimed than there is",
            Tar::new().raw(&claim(1 << 50), b"x"),
        ),
        ("a name of a terabyte", Tar::new().raw(&endless_name, b"x")),
        (
            "a size below zero",
            Tar::new().pax(&[("size", b"-1")]).file("a", "x"),
        ),
        (
            "a size of all bits",
            Tar::new()
                .pax(&[("size", b"18446744073709551615")])
                .file("a", "x"),
        ),
        (
            "a sparse map beyond its file",
            Tar::new()
                .pax(&[("GNU.sparse.size", b"1"), ("GNU.sparse.map", b"0,5")])
                .file("a", "12345"),
        ),
        (
            "a sparse map backwards",
            Tar::new()
                .pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"4,1,0,1")])
                .file("a", "12"),
        ),
        (
            "a sparse file of all bits",
            Tar::new()
                .pax(&[
                    ("GNU.sparse.size", b"18446744073709551615"),
                    ("GNU.sparse.map", b"0,1"),
                ])
                .file("a", "1"),
        ),
        (
            "a name with a zero byte",
            Tar::new().pax(&[("path", b"a\0b")]).file("a", "x"),
        ),
        ("a name too long", Tar::new().file(&"n".repeat(300), "x")),
        ("a whiteout of the parent", Tar::new().file(".wh...", "")),
        ("a whiteout of nothing", Tar::new().file(".wh.", "")),
        (
            "a file as the root",
            Tar::new()
                .file("./", "x")
                .pax(&[("path", b".")])
                .file("a", "x"),
        ),
        (
            "an owner that nobody can be",
            Tar::new().pax(&[("uid", b"4294967295")]).file("a", "x"),
        ),
        (
            "a group that nobody can be",
            Tar::new().pax(&[("gid", b"4294967295")]).symlink("a", "x"),
        ),
        (
            "an unknown kind",
            Tar::new().entry(tar::EntryType::new(b'Z'), "a", "", 0o644, b""),
        ),
    ] {
        let answer = fixture.load(one_layer(tar)).await;
        assert!(answer.is_err(), "{what}");
        fixture.assert_empty();
    }
}

#[tokio::test]
async fn archives_that_are_none_are_refused_and_leave_nothing() {
    let fixture = Fixture::new();
    let good = Sample::new(vec![Layer::gzip(Tar::new().file("a", "x"))], &["x:1"]);
    let whole = docker_archive(std::slice::from_ref(&good));
    let mut cut_layer = good.clone();
    cut_layer.layers[0].packed.truncate(30);
    let mut other_layer = good.clone();
    other_layer.layers[0] = Layer::gzip(Tar::new().file("a", "y"));
    let mut no_layers = good.clone();
    no_layers.layers.clear();
    let mut windows = good.clone();
    windows.config["os"] = json!("windows");
    let bad_tag = Sample {
        tags: vec!["Bad:1"],
        ..good.clone()
    };
    let no_tag = Sample {
        tags: vec!["name-only"],
        ..good.clone()
    };
    let (tar, descriptor) = oci_blobs(Tar::new(), &good, GZIP_LAYER);
    let mut lying_size = descriptor.clone();
    lying_size["size"] = json!(1);
    let sizes = oci_index(tar, &[lying_size]);
    let loop_text = r#"{"schemaVersion":2,"manifests":[]}"#;
    let empty_index = Tar::new()
        .file("blobs/sha256/00", "")
        .file("index.json", loop_text)
        .bytes();
    let wrong_blob = Tar::new().file(&format!("blobs/sha256/{}", "0".repeat(64)), "x");
    let reference = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1});
    for (what, archive) in [
        ("nothing", Vec::new()),
        ("no tar", b"GET / HTTP/1.1\r\n".repeat(100)),
        ("an empty tar", Tar::new().bytes()),
        ("a tar of something else", Tar::new().file("a", "x").bytes()),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        (
            "manifest no JSON",
            Tar::new().file("manifest.json", "[{").bytes(),
        ),
        (
            "manifest of another shape",
            Tar::new().file("manifest.json", r#"{"Config": 1}"#).bytes(),
        ),
        (
            "config missing",
            Tar::new()
                .file(
                    "manifest.json",
                    r#"[{"Config":"../../etc/passwd","Layers":[]}]"#,
                )
                .bytes(),
        ),
        (
            "config is a link in a circle",
            Tar::new()
                .symlink("c", "c")
                .file("manifest.json", r#"[{"Config":"c","Layers":[]}]"#)
                .bytes(),
        ),
        ("layer cut short", docker_archive(&[cut_layer])),
        ("another layer", docker_archive(&[other_layer])),
        ("layers not told", docker_archive(&[no_layers])),
        ("another system", docker_archive(&[windows])),
        ("a bad name", docker_archive(&[bad_tag])),
        ("a name without tag", docker_archive(&[no_tag])),
        ("sizes that lie", sizes),
        (
            "a blob with another digest",
            oci_index(wrong_blob, &[reference]),
        ),
    ] {
        let answer = fixture.load(archive).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
        fixture.assert_empty();
    }
    assert!(
        fixture.load(empty_index).await.unwrap().is_empty(),
        "no images are no error"
    );
    // One bad image of two: neither is there.
    let mut bad = good.clone();
    bad.layers[0] = Layer::gzip(Tar::new().hard_link("a", "missing"));
    bad.config["rootfs"]["diff_ids"] = json!([crate::samples::digest(&bad.layers[0].plain)]);
    fixture
        .load(docker_archive(&[good, bad]))
        .await
        .unwrap_err();
    fixture.assert_empty();
}

#[tokio::test]
async fn random_bytes_are_refused_without_a_panic() {
    let fixture = Fixture::new();
    let original = one_layer(
        Tar::new()
            .dir("d/")
            .file("d/a", "x")
            .pax(&[("path", b"p")])
            .file("b", "y")
            .symlink("l", "d"),
    );
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 16).unwrap()
    };
    for _ in 0..300 {
        let mut archive = original.clone();
        for _ in 0..1 + next() % 16 {
            let at = next() % archive.len();
            archive[at] = u8::try_from(next() % 256).unwrap();
        }
        archive.truncate(next() % archive.len());
        if fixture.load(archive).await.is_ok() {
            for image in fixture.store.list() {
                fixture
                    .store
                    .remove(&image.id, true, false, &|_| None)
                    .unwrap();
            }
        }
        assert_eq!(fixture.entries("staging"), [""; 0]);
    }
    fixture.assert_empty();
}
