//! Loading, saving, importing, naming, listing and removing images.

use crate::daemon;
use tests::image::busybox_rootfs;

#[test]
fn an_image_survives_saving_and_loading() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run_with_input(
            &[
                "import",
                "--change",
                "CMD [\"echo\",\"kept\"]",
                "-",
                "kept:1",
            ],
            &busybox_rootfs().unwrap(),
        )
        .ok();
    let id = docker.inspect("kept:1", "{{.Id}}");
    let file = daemon.scratch().join("kept.tar");
    docker
        .run(&["save", "-o", file.to_str().unwrap(), "kept:1"])
        .ok();
    docker.run(&["rmi", "kept:1"]).ok();
    assert!(
        docker
            .run(&["image", "inspect", "kept:1"])
            .fails(1)
            .contains("No such image: kept:1")
    );
    assert_eq!(
        docker.run(&["load", "-i", file.to_str().unwrap()]).ok(),
        "Loaded image: kept:1"
    );
    assert_eq!(docker.inspect("kept:1", "{{.Id}}"), id);
    assert_eq!(docker.run(&["run", "--rm", "kept:1"]).ok(), "kept");
    docker.run(&["rmi", "kept:1"]).ok();
}

#[test]
fn names_are_given_and_taken() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&["tag", "busybox", "registry.example.test:5000/team/app:v1"])
        .ok();
    let listed = docker
        .run(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
        .ok();
    assert!(
        listed
            .lines()
            .any(|line| line == "registry.example.test:5000/team/app:v1"),
        "{listed}"
    );
    let removed = docker
        .run(&["rmi", "registry.example.test:5000/team/app:v1"])
        .ok();
    assert_eq!(removed, "Untagged: registry.example.test:5000/team/app:v1");
    assert!(
        docker
            .run(&["tag", "busybox", "Upper/Case"])
            .fails(1)
            .contains("must be lowercase")
    );
    assert!(
        docker
            .run(&["tag", "nosuch", "x"])
            .fails(1)
            .contains("No such image: nosuch:latest")
    );
}

#[test]
fn an_image_in_use_stays() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run_with_input(&["import", "-", "used:1"], &busybox_rootfs().unwrap())
        .ok();
    docker
        .run(&["create", "--name", "user-of-image", "used:1", "true"])
        .ok();
    assert!(
        docker
            .run(&["rmi", "used:1"])
            .fails(1)
            .contains("unable to remove repository reference \"used:1\" (must force)")
    );
    docker.run(&["rm", "user-of-image"]).ok();
    let removed = docker.run(&["rmi", "used:1"]).ok();
    assert!(removed.contains("Deleted: sha256:"), "{removed}");
}

#[test]
fn an_image_shows_how_it_was_made() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run_with_input(
            &["import", "-m", "made by hand", "-", "handmade"],
            &busybox_rootfs().unwrap(),
        )
        .ok();
    let history = docker
        .run(&["history", "--format", "{{.Comment}}", "handmade"])
        .ok();
    assert_eq!(history, "made by hand");
    assert_eq!(
        docker.inspect(
            "handmade",
            "{{.Os}} {{.Architecture}} {{len .RootFS.Layers}}"
        ),
        "linux amd64 1"
    );
    let id = docker.inspect("handmade", "{{.Id}}");
    let short = &id["sha256:".len()..][..12];
    assert_eq!(docker.inspect(short, "{{.Id}}"), id);
    docker.run(&["rmi", short]).ok();
}

#[test]
fn what_is_not_an_image_is_refused() {
    let daemon = daemon();
    let docker = daemon.docker();
    assert!(docker.run_with_input(&["load"], b"this is no archive").code != 0);
    assert!(
        docker
            .run_with_input(&["import", "-", "broken"], &[0x1f, 0x8b, 1, 2, 3])
            .code
            != 0
    );
    assert!(docker.run(&["image", "inspect", "broken"]).code != 0);
    assert!(
        docker
            .run(&["rmi", "nosuch:tag"])
            .fails(1)
            .contains("No such image: nosuch:tag")
    );
}

#[test]
fn a_list_by_reference_shows_the_names_that_match() {
    let daemon = daemon();
    let docker = daemon.docker();
    for tag in ["1", "2", "3"] {
        docker
            .run(&["tag", "busybox", &format!("by-reference:{tag}")])
            .ok();
    }
    let filters = [
        "-f",
        "reference=by-reference:1",
        "-f",
        "reference=by-ref*:3",
    ];
    let format = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    let listed = docker.run(&[&format[..], &filters].concat()).ok();
    assert_eq!(listed, "by-reference:1\nby-reference:3");
    // A repository's name is all of it.
    let saved = daemon.scratch().join("by-reference.tar");
    docker
        .run(&["save", "-o", saved.to_str().unwrap(), "by-reference"])
        .ok();
    docker
        .run(&["rmi", "by-reference:1", "by-reference:2", "by-reference:3"])
        .ok();
    let loaded = docker.run(&["load", "-i", saved.to_str().unwrap()]).ok();
    assert_eq!(loaded.matches("by-reference:").count(), 3, "{loaded}");
}
