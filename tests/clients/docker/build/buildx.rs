//! The unmodified `docker buildx`, where `LONGSHORE_BUILDX` names one (`cargo xtask test --suite compose`).
//!
//! Against dockerd these say nothing: its builder of 20.10 fetches what they need of it.

use std::path::Path;

use tests::daemon::{Daemon, Kind};
use tests::setting;

use super::Project;
use crate::daemon;

/// Puts the plugin where the command line of this daemon's tests looks for it; false where there is none.
pub(in crate::docker) fn install(daemon: &Daemon) -> bool {
    let Some(plugin) = setting("LONGSHORE_BUILDX") else {
        return false;
    };
    let plugins = daemon.scratch().join(".docker/cli-plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    // Another test may have put it there.
    drop(std::os::unix::fs::symlink(
        plugin,
        plugins.join("docker-buildx"),
    ));
    true
}

/// Whether there is something to test.
fn is_there(daemon: &Daemon) -> bool {
    install(daemon) && daemon.kind() == Kind::Longshore
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn names_stand_for_images_and_directories_and_a_secret_is_a_variable() {
    let daemon = daemon();
    if !is_there(&daemon) {
        return;
    }
    let project = Project::new(
        &daemon,
        "with-contexts",
        "FROM busybox AS checked\n\
         RUN --mount=type=secret,id=word,env=WORD test $WORD = hidden && test ! -e /run/secrets/word \
         && touch /checked\n\
         FROM base\nCOPY --from=checked /checked /\nCOPY --from=beside / /beside/\n\
         CMD ls /beside; ls /checked\n",
    );
    project.write("../beside/file", "x");
    project.write("../beside/ignored", "x");
    project.write("../beside/.dockerignore", "ignored\n.dockerignore\n");
    let beside = format!("beside={}", text(&daemon.scratch().join("beside")));
    let id = project.dir.join("id");
    let metadata = project.dir.join("metadata");
    let mut command = project.docker.command(&["buildx", "build", "--load"]);
    command
        .args(["--secret", "id=word,env=WORD", "--build-context", &beside])
        .args(["--build-context", "base=docker-image://busybox"])
        .args(["--iidfile", text(&id), "--metadata-file", text(&metadata)])
        .args(["--tag", &project.name, text(&project.dir)])
        .env("WORD", "hidden");
    drop(tests::docker::answer(command.output().unwrap()).ok());
    assert_eq!(project.run(&[]), "file\n/checked");
    let id = std::fs::read_to_string(id).unwrap();
    assert_eq!(project.image("{{.Id}}"), id);
    let metadata = std::fs::read_to_string(metadata).unwrap();
    assert!(metadata.contains(&id), "{metadata}");
    let written = project.image("{{.Config.Env}}");
    assert!(!written.contains("WORD"), "{written}");
}

#[test]
fn what_is_baked_begins_with_what_was_baked_before() {
    let daemon = daemon();
    if !is_there(&daemon) {
        return;
    }
    let project = Project::new(&daemon, "baked", "FROM busybox\nCOPY word /\n");
    project.write("word", "of the first\n");
    project.write(
        "docker-bake.json",
        r#"{ "group": { "default": { "targets": ["second", "third"] } }, "target": {
            "first": {},
            "second": { "dockerfile-inline": "FROM below\nCMD cat /word\n",
                "contexts": { "below": "target:first" }, "tags": ["baked"] },
            "third": { "dockerfile-inline": "FROM busybox\nCOPY --from=below /word /third\n",
                "contexts": { "below": "target:first" }, "tags": ["baked:third"] } } }"#,
    );
    let mut command = project.docker.command(&["buildx", "bake"]);
    let baked = command.current_dir(&project.dir).output().unwrap();
    drop(tests::docker::answer(baked).ok());
    assert_eq!(project.run(&[]), "of the first");
    let third = ["run", "--rm", "baked:third", "cat", "/third"];
    assert_eq!(project.docker.run(&third).ok(), "of the first");
}

#[test]
fn what_is_pushed_is_shown_and_copied() {
    let daemon = daemon();
    if !is_there(&daemon) {
        return;
    }
    let project = Project::new(&daemon, "shown", "FROM busybox\nLABEL shown=yes\n");
    let (user, password) = daemon.registry().unwrap().credentials();
    let registry = daemon.listen();
    let login = ["login", "-u", &user, "--password-stdin", registry];
    drop(
        project
            .docker
            .run_with_input(&login, password.as_bytes())
            .ok(),
    );
    let name = format!("{registry}/admin/shown");
    let (one, two) = (format!("{name}:1"), format!("{name}:2"));
    let dir = text(&project.dir);
    let push = ["buildx", "build", "--push", "--tag", &one, dir];
    drop(project.docker.run(&push).ok());
    let tools = ["buildx", "imagetools"];
    let copy = ["create", "--prefer-index=false", "--tag", &two, &one];
    drop(project.docker.run(&[&tools[..], &copy].concat()).ok());
    let manifest = |name: &str| {
        let shown = ["inspect", "--raw", name];
        project.docker.run(&[&tools[..], &shown].concat()).ok()
    };
    assert!(manifest(&one).contains("application/vnd.docker.container.image.v1+json"));
    assert_eq!(manifest(&one), manifest(&two));
    drop(project.docker.run(&["logout", registry]).ok());
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let daemon = daemon();
    if !is_there(&daemon) {
        return;
    }
    let project = Project::new(&daemon, "not-done", "FROM busybox\n");
    let dir = text(&project.dir);
    for (args, words) in [
        (
            &["build", "--output", "type=local,dest=out", dir][..],
            "output type=local",
        ),
        (&["build", "--platform", "linux/s390x", dir], "linux/s390x"),
        (&["build", "--check", dir], "frontend.lint"),
        (&["history", "ls"], "no history of builds"),
    ] {
        let answer = project.docker.run(&[&["buildx"], args].concat());
        let told = answer.fails(1);
        assert!(told.contains(words), "{told}");
    }
}
