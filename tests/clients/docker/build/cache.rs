//! Steps that earlier builds did are not done again, and those that changed are.

use tests::daemon::Kind;

use super::Project;
use crate::daemon;

const DOCKERFILE: &str = r#"FROM busybox
ARG SEED=1
ENV A=b
COPY file /file
RUN cat /proc/sys/kernel/random/uuid > /random
RUN echo $SEED
CMD ["cat", "/random"]
"#;

#[test]
fn a_step_is_done_again_only_when_something_changed() {
    let daemon = daemon();
    let project = Project::new(&daemon, "cached", DOCKERFILE);
    project.write("file", "1");
    let cached = |answer: &str| answer.matches("Using cache").count();
    let first = project.build(&[]).ok();
    assert_eq!(cached(&first), 0, "{first}");
    let (id, random) = (project.image("{{.Id}}"), project.run(&[]));
    // The time of a file is none of its content.
    project.write("file", "1");
    let second = project.build(&[]).ok();
    assert_eq!(cached(&second), 6, "{second}");
    assert_eq!(project.image("{{.Id}}"), id);
    assert_eq!(project.run(&[]), random);
    let other = project.build(&["--build-arg", "SEED=2"]).ok();
    assert!(cached(&other) < 6, "{other}");
    let from_it = project.build(&["--cache-from", "cached"]).ok();
    assert!(cached(&from_it) > 1, "{from_it}");
    let from_none = project.build(&["--cache-from", "no-such-image"]).ok();
    assert_eq!(cached(&from_none), 0, "{from_none}");
    let random = project.run(&[]);
    project.write("file", "2");
    let changed = project.build(&[]).ok();
    assert_eq!(cached(&changed), 2, "{changed}");
    assert_ne!(project.run(&[]), random);
    let again = project.build(&["--no-cache"]).ok();
    assert_eq!(cached(&again), 0, "{again}");
}

#[test]
fn the_same_context_serves_again_also_where_the_dockerfile_is_left_out_of_it() {
    let daemon = daemon();
    let dockerfile = "FROM busybox\nCOPY . /all/\nCMD [\"ls\", \"/all\"]\n";
    let project = Project::new(&daemon, "again", dockerfile);
    project.write("file", "1");
    project.write(".dockerignore", "Dockerfile\n.dockerignore\n");
    for cached in [0, 2, 2] {
        let answer = project.build(&[]).ok();
        assert_eq!(answer.matches("Using cache").count(), cached, "{answer}");
        assert_eq!(project.run(&[]), "file");
    }
}

#[test]
fn what_is_kept_is_shown_and_pruned() {
    if Kind::wanted() == Kind::Dockerd {
        // Its classic builder keeps images, not a cache.
        return;
    }
    // Of its own, lest it prunes what other tests rely on.
    let daemon = crate::own_daemon();
    let project = Project::new(
        &daemon,
        "pruned",
        "FROM busybox\nRUN echo pruned > /pruned\nRUN rm /pruned\n",
    );
    project.build(&[]).ok();
    let kept = || {
        let args = ["system", "df", "-v", "--format", "{{json .BuildCache}}"];
        project.docker.run(&args).ok().matches("/pruned").count()
    };
    assert_eq!(kept(), 2);
    // The image is listed alone, and its steps stay when it goes.
    project.docker.run(&["rmi", "pruned"]).ok();
    assert_eq!(kept(), 2);
    let told = project.build(&[]).ok();
    assert_eq!(told.matches("Using cache").count(), 2, "{told}");
    project.docker.run(&["builder", "prune", "-af"]).ok();
    assert_eq!(kept(), 0);
    // What an image needs is not taken away.
    assert_eq!(project.run(&["ls", "/root"]), "");
}

#[test]
fn an_image_of_the_same_input_is_the_same() {
    let daemon = daemon();
    if daemon.kind() == Kind::Dockerd {
        return;
    }
    let project = Project::new(
        &daemon,
        "reproduced",
        "FROM busybox\nCOPY file /new/file\nWORKDIR /site\nRUN echo x > y\n",
    );
    project.write("file", "1");
    let args = ["--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1000000000"];
    project.build(&args).ok();
    let id = project.image("{{.Id}}");
    assert_eq!(project.image("{{.Created}}"), "2001-09-09T01:46:40Z");
    project.docker.run(&["rmi", "reproduced"]).ok();
    project.write("file", "1");
    project.build(&args).ok();
    assert_eq!(project.image("{{.Id}}"), id);
    assert_eq!(project.run(&["stat", "-c", "%Y", "/site/y"]), "1000000000");
}
