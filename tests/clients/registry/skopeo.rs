//! `skopeo`: images in and out, lists of tags, deleting, and what is on disk of it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;

use super::{archive, registry};

#[test]
fn an_image_goes_in_and_comes_out_the_same() {
    let Some((daemon, registry)) = registry() else {
        return;
    };
    let archive = archive(&daemon, "whole");
    for tag in ["1", "2"] {
        let target = format!("docker://REGISTRY/admin/team/busybox:{tag}");
        registry.skopeo(&["copy", &archive, &target]).ok();
    }
    let listed = registry
        .skopeo(&["list-tags", "docker://REGISTRY/admin/team/busybox"])
        .ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["Tags"], serde_json::json!(["1", "2"]));
    let shown = registry
        .skopeo(&["inspect", "docker://REGISTRY/admin/team/busybox:1"])
        .ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let digest = shown["Digest"].as_str().unwrap().to_owned();

    let out = daemon.scratch().join("out");
    let target = format!("oci:{}:out", out.display());
    let source = format!("docker://REGISTRY/admin/team/busybox@{digest}");
    registry.skopeo(&["copy", &source, &target]).ok();
    // Every blob is what it is called by; skopeo has compared the digests.
    let blobs = std::fs::read_dir(out.join("blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 3);

    // Deleting a manifest takes its tags along; the blobs go when the grace is over.
    registry
        .skopeo(&["delete", "docker://REGISTRY/admin/team/busybox:1"])
        .ok();
    let gone = registry.skopeo(&["inspect", "docker://REGISTRY/admin/team/busybox:2"]);
    assert!(gone.stderr.contains("manifest unknown"), "{gone:?}");
}

#[test]
fn what_the_engine_has_is_not_stored_again() {
    let Some((daemon, registry)) = registry() else {
        return;
    };
    let id = daemon
        .docker()
        .run(&["inspect", "-f", "{{.Id}}", "busybox"])
        .ok();
    let digits = id.trim().strip_prefix("sha256:").unwrap();
    let images = daemon.data_dir().join("images");
    let own = images.join("blobs/sha256").join(digits);
    let pushed = registry
        .push_blob("admin/once", &std::fs::read(&own).unwrap())
        .unwrap();
    assert_eq!(pushed, id.trim());
    // Nor need it be sent at all by who may have it.
    let mut api = registry.api("repository:admin/at-hand:pull,push").unwrap();
    let path = format!("/v2/admin/at-hand/blobs/{pushed}");
    assert_eq!(api.call("GET", &path, None).unwrap().status, 404);
    let head = api.head(&path).unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(api.call("GET", &path, None).unwrap().status, 200);
    let offered = images.join("registry/sha256").join(digits);
    let inode = |path: &Path| path.metadata().unwrap().ino();
    assert_eq!(inode(&own), inode(&offered));
}
