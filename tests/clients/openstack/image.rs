//! Images: in, shared, out again byte for byte, and run.

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::daemon::Daemon;
use tests::openstack::OpenStack;

use super::is_ours;

/// A file with these bytes.
fn file(daemon: &Daemon, name: &str, bytes: &[u8]) -> PathBuf {
    let path = daemon.scratch().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Uploads a file as an image of this name.
fn upload(openstack: &OpenStack, name: &str, wrapping: &str, path: &str) -> Value {
    openstack.json(&[
        "image",
        "create",
        "--disk-format",
        "raw",
        "--container-format",
        wrapping,
        "--file",
        path,
        name,
    ])
}

#[test]
fn an_uploaded_root_file_system_runs_and_comes_back_as_it_was() {
    if !is_ours() {
        return;
    }
    let daemon = crate::daemon();
    let admin = daemon.openstack();
    let docker = daemon.docker();
    let root = tests::image::busybox_rootfs().unwrap();
    let path = file(&daemon, "root.tar", &root);
    let made = upload(&admin, "harbour/tools:1", "bare", path.to_str().unwrap());
    assert_eq!(made["status"], "active", "{made}");
    assert_eq!(made["size"], json!(root.len()));
    let ran = docker.run(&["run", "--rm", "harbour/tools:1", "echo", "hoist"]);
    assert_eq!(ran.ok(), "hoist");

    let id = made["id"].as_str().unwrap();
    admin
        .run(&[
            "image",
            "set",
            "--property",
            "os_distro=busybox",
            "--tag",
            "rigging",
            id,
        ])
        .ok();
    let found = admin.json(&[
        "image",
        "list",
        "--property",
        "os_distro=busybox",
        "--tag",
        "rigging",
    ]);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found[0]["ID"], made["id"]);
    admin
        .run(&[
            "image",
            "unset",
            "--property",
            "os_distro",
            "--tag",
            "rigging",
            id,
        ])
        .ok();
    let shown = admin.json(&["image", "show", "harbour/tools:1"]);
    assert!(shown["properties"]["os_distro"].is_null(), "{shown}");

    let saved = daemon.scratch().join("saved.tar");
    // The client compares the digest, too.
    admin
        .run(&["image", "save", "--file", saved.to_str().unwrap(), id])
        .ok();
    assert!(std::fs::read(saved).unwrap() == root);

    admin.run(&["image", "delete", id]).ok();
    let gone = docker.run(&["run", "--rm", "harbour/tools:1", "true"]);
    assert!(gone.stderr.contains("harbour/tools:1"), "{}", gone.stderr);
    assert_ne!(gone.code, 0);
}

#[test]
fn what_docker_saved_is_an_image_and_what_docker_has_is_listed() {
    if !is_ours() {
        return;
    }
    let daemon = crate::daemon();
    let admin = daemon.openstack();
    let docker = daemon.docker();
    tests::image::import(&docker, "pier:1", r#"["/bin/echo","moored"]"#).unwrap();
    let listed = admin.json(&["image", "show", "pier:1"]);
    assert_eq!(
        (&listed["status"], &listed["container_format"]),
        (&json!("active"), &json!("docker"))
    );
    let archive = daemon.scratch().join("pier.tar");
    let archive = archive.to_str().unwrap();
    docker.run(&["save", "--output", archive, "pier:1"]).ok();
    docker.run(&["image", "rm", "pier:1"]).ok();
    admin.run(&["image", "show", "pier:1"]).fails(1);

    let made = upload(&admin, "pier:2", "docker", archive);
    assert_eq!(made["status"], "active", "{made}");
    assert_eq!(docker.run(&["run", "--rm", "pier:2"]).ok(), "moored");
    admin.run(&["image", "delete", "pier:2"]).ok();
}

#[test]
fn what_is_no_archive_is_refused_and_shared_images_are_accepted() {
    if !is_ours() {
        return;
    }
    let daemon = crate::daemon();
    let admin = daemon.openstack();
    let path = file(&daemon, "flotsam", b"neither a tar nor anything else");
    let path = path.to_str().unwrap();
    let wrong = admin.run(&[
        "image",
        "create",
        "--disk-format",
        "raw",
        "--container-format",
        "docker",
        "--file",
        path,
        "wreck",
    ]);
    assert!(wrong.fails(1).contains("400"), "{}", wrong.stderr);

    let made = upload(&admin, "Flotsam and jetsam", "bare", path);
    let id = made["id"].as_str().unwrap();
    let project = admin.json(&["project", "create", "beach"]);
    let project = project["id"].as_str().unwrap();
    admin
        .run(&["user", "create", "--password", "sand", "comber"])
        .ok();
    admin
        .run(&[
            "role",
            "add",
            "--user",
            "comber",
            "--project",
            "beach",
            "member",
        ])
        .ok();
    let comber = admin.user("comber", "sand", "beach");
    comber.run(&["image", "show", id]).fails(1);
    admin.run(&["image", "add", "project", id, project]).ok();
    comber.run(&["image", "set", "--accept", id]).ok();
    let listed = comber.json(&["image", "list"]);
    assert_eq!(listed[0]["ID"], made["id"], "{listed}");
    let refused = comber.run(&["image", "delete", id]);
    assert!(refused.fails(1).contains("403"), "{}", refused.stderr);
    admin.run(&["image", "delete", id]).ok();
    admin.run(&["user", "delete", "comber"]).ok();
    admin.run(&["project", "delete", "beach"]).ok();
}

#[test]
fn what_words_about_images_mean_is_defined_and_looked_up() {
    if !is_ours() {
        return;
    }
    let daemon = crate::daemon();
    let openstack = daemon.openstack();
    let metadef = |args: &[&str]| openstack.run(&[&["image", "metadef"], args].concat());
    metadef(&["namespace", "create", "--public", "Harbour::Crane"]).ok();
    let again = metadef(&["namespace", "create", "Harbour::Crane"]);
    assert!(
        again.fails(1).contains("already exists"),
        "{}",
        again.stderr
    );
    let schema = r#"{"enum": ["light", "heavy"]}"#;
    let property = [
        "property",
        "create",
        "--name",
        "load",
        "--title",
        "Load",
        "--type",
        "string",
        "--schema",
        schema,
        "Harbour::Crane",
    ];
    metadef(&property).ok();
    metadef(&["object", "create", "--namespace", "Harbour::Crane", "hook"]).ok();
    let about = ["resource", "type", "association", "create"];
    metadef(&[&about[..], &["Harbour::Crane", "OS::Glance::Image"]].concat()).ok();
    let shown = openstack.json(&[
        "image",
        "metadef",
        "property",
        "show",
        "Harbour::Crane",
        "load",
    ]);
    assert_eq!(shown["enum"], json!(["light", "heavy"]), "{shown}");
    let types = openstack.json(&["image", "metadef", "resource", "type", "list"]);
    let types = types.as_array().unwrap();
    assert!(types.iter().any(|one| one["Name"] == "OS::Glance::Image"));
    metadef(&["property", "delete", "Harbour::Crane", "load"]).ok();
    metadef(&["namespace", "delete", "Harbour::Crane"]).ok();
    let gone = metadef(&["namespace", "show", "Harbour::Crane"]);
    assert!(gone.fails(1).contains("not found"), "{}", gone.stderr);
}
