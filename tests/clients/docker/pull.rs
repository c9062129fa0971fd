//! Images from a registry: what is pulled, what is not, what moves, and what is said.

use std::io::Write as _;

use crate::daemon;
use tests::api::Api;
use tests::daemon::Kind;
use tests::docker::Docker;
use tests::image::busybox_rootfs;
use tests::registry::{PASSWORD, Registry, USER};

/// Bytes that compress to no less.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

/// Makes an image with busybox and, on top, a layer of noise; answers its name.
fn push_sample(docker: &Docker, registry: &Registry, tag: &str, top_bytes: usize) -> String {
    let base = format!("{}/team/base:1", registry.name());
    if docker.run(&["image", "inspect", &base]).code != 0 {
        let rootfs = busybox_rootfs().unwrap();
        docker.run_with_input(&["import", "-", &base], &rootfs).ok();
    }
    let name = format!("{}/team/app:{tag}", registry.name());
    let container = docker.run(&["create", &base, "true"]).ok();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(&noise(top_bytes)).unwrap();
    let target = format!("{container}:/noise-{tag}");
    docker
        .run(&["cp", file.path().to_str().unwrap(), &target])
        .ok();
    docker
        .run(&[
            "commit",
            "-c",
            "CMD [\"echo\",\"pulled\"]",
            &container,
            &name,
        ])
        .ok();
    docker.run(&["rm", &container]).ok();
    docker.run(&["push", &name]).ok();
    name
}

fn digest_of(docker: &Docker, image: &str) -> String {
    let digests = docker.inspect(image, "{{json .RepoDigests}}");
    let digests: Vec<String> = serde_json::from_str(&digests).unwrap();
    let repository = image.rsplit_once(':').unwrap().0;
    let digest = digests
        .iter()
        .find_map(|digest| digest.strip_prefix(&format!("{repository}@")));
    digest.unwrap().to_owned()
}

#[test]
fn an_image_that_was_pushed_is_pulled_and_runs() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = push_sample(&docker, &registry, "1", 1000);
    let (id, digest) = (docker.inspect(&name, "{{.Id}}"), digest_of(&docker, &name));
    docker.run(&["rmi", &name]).ok();

    let pulled = docker.run(&["pull", &name]).ok();
    for words in [
        "1: Pulling from team/app",
        "Pull complete",
        &format!("Digest: {digest}"),
        &format!("Status: Downloaded newer image for {name}"),
    ] {
        assert!(pulled.contains(words), "{pulled}");
    }
    assert_eq!(docker.inspect(&name, "{{.Id}}"), id);
    assert_eq!(digest_of(&docker, &name), digest);
    assert_eq!(docker.run(&["run", "--rm", &name]).ok(), "pulled");

    let again = docker.run(&["pull", &name]).ok();
    assert!(
        again.contains(&format!("Status: Image is up to date for {name}")),
        "{again}"
    );
    // By its digest, without a tag.
    let removed = docker.run(&["rmi", &name]).ok();
    let repository = name.rsplit_once(':').unwrap().0;
    let by_digest = format!("{repository}@{digest}");
    assert!(
        removed.contains(&format!("Untagged: {by_digest}")),
        "{removed}"
    );
    docker.run(&["pull", &by_digest]).ok();
    assert_eq!(docker.inspect(&by_digest, "{{.Id}}"), id);
    assert_eq!(docker.inspect(&by_digest, "{{json .RepoTags}}"), "[]");
    docker.run(&["rmi", &by_digest]).ok();
}

#[test]
fn a_registry_tells_of_an_image_that_nobody_pulls() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = push_sample(&docker, &registry, "told", 1000);
    let digest = digest_of(&docker, &name);
    docker.run(&["rmi", &name]).ok();
    let path = format!("/distribution/{name}/json");
    let mut api = Api::new(&daemon.socket());
    let told = api.expect("GET", &path, None).unwrap().json().unwrap();
    assert_eq!(told["Descriptor"]["digest"], *digest);
    assert_eq!(told["Platforms"][0]["os"], "linux");
    assert_ne!(docker.run(&["image", "inspect", &name]).code, 0);
}

#[test]
fn an_image_that_is_not_here_is_pulled_to_be_run() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = push_sample(&docker, &registry, "run", 1000);
    docker.run(&["rmi", &name]).ok();
    let ran = docker.run(&["run", "--rm", &name]);
    assert_eq!(ran.ok(), "pulled");
    assert!(
        ran.stderr
            .contains(&format!("Unable to find image '{name}' locally")),
        "{ran:?}"
    );
    docker.run(&["rmi", &name]).ok();
}

#[test]
fn a_build_pulls_what_it_begins_with() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start_with_password().unwrap();
    let address = registry.name();
    let login = ["login", "-u", USER, "--password-stdin", &address];
    docker.run_with_input(&login, PASSWORD.as_bytes()).ok();
    let base = push_sample(&docker, &registry, "built-on", 1000);
    docker.run(&["rmi", &base]).ok();
    let dir = tempfile::tempdir().unwrap();
    let dockerfile = format!("FROM {base}\nRUN test -s /noise-built-on\n");
    std::fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    let build = |flag: &str| {
        let mut command = docker.command(&["build", flag, dir.path().to_str().unwrap()]);
        let output = command.env("DOCKER_BUILDKIT", "0").output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), told)
    };
    assert!(build("--quiet").0);
    docker.run(&["logout", &address]).ok();
    // What is here needs nobody's leave, unless a newer one is asked for.
    assert!(build("--no-cache").0);
    let (is_built, told) = build("--pull");
    assert!(
        !is_built && told.contains("no basic auth credentials"),
        "{told}"
    );
    docker.run(&["rmi", &base]).ok();
}

#[test]
fn only_the_layer_that_changed_moves() {
    const TOP: usize = 300_000;
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let first = push_sample(&docker, &registry, "v1", TOP);
    let second = push_sample(&docker, &registry, "v2", TOP);
    docker.run(&["rmi", &first, &second]).ok();
    docker.run(&["pull", &first]).ok();
    let before = registry.sent_bytes();
    let pulled = docker.run(&["pull", &second]).ok();
    let moved = registry.sent_bytes() - before;
    assert!(pulled.contains("Already exists"), "{pulled}");
    let most = TOP as u64 * 105 / 100;
    assert!((TOP as u64..=most).contains(&moved), "{moved} bytes moved");

    let before = registry.sent_bytes();
    docker.run(&["pull", &second]).ok();
    let moved = registry.sent_bytes() - before;
    assert!(moved < 10_000, "{moved} bytes moved");
    docker.run(&["rmi", &first, &second]).ok();
}

#[test]
fn all_tags_come_where_all_are_asked_for() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let names = ["a", "b"].map(|tag| push_sample(&docker, &registry, tag, 100));
    docker.run(&["rmi", &names[0], &names[1]]).ok();
    let repository = format!("{}/team/app", registry.name());
    docker.run(&["pull", "-a", &repository]).ok();
    for name in &names {
        docker.run(&["image", "inspect", name]).ok();
    }
    docker.run(&["rmi", &names[0], &names[1]]).ok();
}

#[test]
fn what_cannot_be_pulled_is_said() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let name = push_sample(&docker, &registry, "here", 100);
    let repository = name.rsplit_once(':').unwrap().0;
    for (missing, words) in [
        (
            format!("{repository}:nosuch"),
            format!("manifest for {repository}:nosuch not found: manifest unknown"),
        ),
        (
            format!("{}/nosuch:1", registry.name()),
            format!(
                "manifest for {}/nosuch:1 not found: manifest unknown",
                registry.name()
            ),
        ),
        ("127.0.0.1:9/x:1".to_owned(), "refused".to_owned()),
    ] {
        let answer = docker.run(&["pull", &missing]);
        assert!(answer.fails(1).contains(&words), "{answer:?}");
    }
    if daemon.kind() == Kind::Longshore {
        let answer = docker.run(&["pull", "--platform", "linux/s390x", &name]);
        assert!(
            answer
                .fails(1)
                .contains("does not match the specified platform"),
            "{answer:?}"
        );
    }
    docker.run(&["rmi", &name]).ok();
}

#[test]
fn a_password_opens_a_registry_and_a_wrong_one_does_not() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start_with_password().unwrap();
    let name = format!("{}/secret/app:1", registry.name());
    docker.run(&["tag", "busybox", &name]).ok();
    let answer = docker.run(&["push", &name]);
    assert!(
        answer.fails(1).contains("no basic auth credentials"),
        "{answer:?}"
    );
    let login = |password: &str| {
        docker.run_with_input(
            &["login", "-u", USER, "--password-stdin", &registry.name()],
            password.as_bytes(),
        )
    };
    let refused = login("wrong");
    assert!(
        refused.fails(1).contains("401") || refused.stderr.contains("unauthorized"),
        "{refused:?}"
    );
    assert!(login(PASSWORD).ok().contains("Login Succeeded"));
    docker.run(&["push", &name]).ok();
    docker.run(&["rmi", &name]).ok();
    docker.run(&["pull", &name]).ok();
    docker.run(&["rmi", &name]).ok();
    docker.run(&["logout", &registry.name()]).ok();
    let answer = docker.run(&["pull", &name]);
    assert!(
        answer.fails(1).contains("no basic auth credentials"),
        "{answer:?}"
    );
}

#[test]
fn the_daemons_own_registry_is_one_more() {
    let daemon = daemon();
    if daemon.kind() == Kind::Dockerd {
        return;
    }
    let docker = daemon.docker();
    let name = format!("{}/admin/own:1", daemon.listen());
    let login = ["login", "-u", "admin", "--password-stdin", daemon.listen()];
    let password = daemon.operator_password().unwrap();
    docker.run_with_input(&login, password.as_bytes()).ok();
    docker.run(&["tag", "busybox", &name]).ok();
    docker.run(&["push", &name]).ok();
    docker.run(&["rmi", &name]).ok();
    let run = docker.run(&["run", "--rm", &name, "echo", "pulled"]).ok();
    assert_eq!(run, "pulled");
    docker.run(&["rmi", &name]).ok();
    docker.run(&["logout", daemon.listen()]).ok();
    let stranger = docker.run(&["pull", &name]);
    assert!(
        stranger.fails(1).contains("pull access denied"),
        "{stranger:?}"
    );
}

#[test]
fn an_index_gives_the_image_of_the_platform() {
    let daemon = daemon();
    let docker = daemon.docker();
    let registry = Registry::start().unwrap();
    let native = push_sample(&docker, &registry, "native", 100);
    let index = format!("{}/team/app:many", registry.name());
    let manifest = docker
        .run(&["manifest", "inspect", "--insecure", "-v", &native])
        .ok();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let descriptor = &manifest["Descriptor"];
    let entry = |platform: &str| {
        serde_json::json!({
            "mediaType": descriptor["mediaType"], "digest": descriptor["digest"],
            "size": descriptor["size"],
            "platform": { "os": "linux", "architecture": platform },
        })
    };
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [entry("amd64"), entry("arm64")],
    });
    registry
        .put_manifest("team/app", "many", &document)
        .unwrap();
    docker.run(&["rmi", &native]).ok();
    docker.run(&["pull", &index]).ok();
    assert_eq!(docker.run(&["run", "--rm", &index]).ok(), "pulled");
    let answer = docker.run(&["pull", "--platform", "linux/s390x", &index]);
    assert!(
        answer
            .fails(1)
            .contains("no matching manifest for linux/s390x in the manifest list entries"),
        "{answer:?}"
    );
    docker.run(&["rmi", &index]).ok();
}
