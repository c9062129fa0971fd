//! Images to a registry: what is sent, what is not, and what is said.

use crate::daemon;
use tests::image::busybox_rootfs;
use tests::registry::Registry;

#[test]
fn a_second_push_sends_nothing_and_a_neighbour_gives_its_layers() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = format!("{}/one/app:1", registry.name());
    let rootfs = busybox_rootfs().unwrap();
    docker.run_with_input(&["import", "-", &name], &rootfs).ok();
    let first = docker.run(&["push", &name]).ok();
    assert!(
        first.contains(&format!(
            "The push refers to repository [{}/one/app]",
            registry.name()
        )),
        "{first}"
    );
    assert!(first.contains("Pushed"), "{first}");
    let digest_line = first.lines().last().unwrap().to_owned();
    assert!(digest_line.starts_with("1: digest: sha256:"), "{first}");

    let second = docker.run(&["push", &name]).ok();
    assert!(second.contains("Layer already exists"), "{second}");
    assert_eq!(second.lines().last().unwrap(), digest_line);

    let other = format!("{}/other/app:2", registry.name());
    docker.run(&["tag", &name, &other]).ok();
    let mounted = docker.run(&["push", &other]).ok();
    assert!(mounted.contains("Mounted from one/app"), "{mounted}");
    docker.run(&["rmi", &name, &other]).ok();
}

#[test]
fn all_tags_go_where_all_are_to() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let repository = format!("{}/many/app", registry.name());
    let names = ["a", "b"].map(|tag| format!("{repository}:{tag}"));
    for name in &names {
        docker.run(&["tag", "busybox", name]).ok();
    }
    docker.run(&["push", "-a", &repository]).ok();
    docker.run(&["rmi", &names[0], &names[1]]).ok();
    for name in &names {
        docker.run(&["pull", name]).ok();
    }
    docker.run(&["rmi", &names[0], &names[1]]).ok();
}

#[test]
fn what_is_not_here_cannot_be_pushed() {
    let daemon = daemon();
    let docker = daemon.docker();
    let answer = docker.run(&["push", "127.0.0.1:9/nosuch:1"]);
    assert!(
        answer
            .fails(1)
            .contains("An image does not exist locally with the tag: 127.0.0.1:9/nosuch"),
        "{answer:?}"
    );
    docker.run(&["tag", "busybox", "127.0.0.1:9/here:1"]).ok();
    let answer = docker.run(&["push", "127.0.0.1:9/here:2"]);
    assert!(
        answer
            .fails(1)
            .contains("tag does not exist: 127.0.0.1:9/here:2"),
        "{answer:?}"
    );
    let answer = docker.run(&["push", "127.0.0.1:9/here:1"]);
    assert!(answer.fails(1).contains("refused"), "{answer:?}");
    docker.run(&["rmi", "127.0.0.1:9/here:1"]).ok();
}
