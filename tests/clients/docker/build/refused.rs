//! Builds that fail: what is told, and that nothing is left.

use tests::daemon::Kind;
use tests::docker::Docker;

use super::Project;
use crate::daemon;

#[test]
fn a_command_that_fails_ends_the_build_with_its_status() {
    let daemon = daemon();
    let project = Project::new(
        &daemon,
        "failing",
        "FROM busybox\n\nRUN echo before; exit 7\nRUN echo never\n",
    );
    let answer = project.build(&["--force-rm"]);
    let told = answer.fails(7);
    let words = "The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7";
    assert!(told.contains(words), "{told}");
    assert!(answer.stdout.contains("before"), "{answer:?}");
    if daemon.kind() != Kind::Dockerd {
        let place = "(Dockerfile:3: RUN echo before; exit 7)";
        assert!(told.contains(place), "{told}");
        assert!(!answer.stdout.contains("Step 3/3"), "{answer:?}");
    }
    assert_eq!(project.docker.run(&["images", "-q", "failing"]).ok(), "");
    let left = project
        .docker
        .run(&["ps", "-a", "--no-trunc", "--format", "{{.Command}}"]);
    assert!(!left.ok().contains("exit 7"), "{left:?}");
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let daemon = daemon();
    let project = Project::new(&daemon, "wrong", "");
    for (text, words) in [
        ("FROM busybox\nFOO bar\n", "unknown instruction: FOO"),
        ("RUN true\n", "no build stage in current context"),
        ("FROM busybox\nCOPY --nope a b\n", "nope"),
        ("FROM busybox\nENV\n", "ENV"),
        ("\n\n", "no instructions"),
    ] {
        project.write("Dockerfile", text);
        let answer = project.build(&[]);
        let told = answer.fails(1).to_lowercase();
        assert!(told.contains(&words.to_lowercase()), "{text:?}: {answer:?}");
        assert!(!answer.stdout.contains("Successfully"), "{answer:?}");
    }
    let answer = project.build(&["-f", "missing"]);
    assert_ne!(answer.code, 0, "{answer:?}");
    project.write("Dockerfile", "FROM busybox\n");
    let answer = project.build(&["--target", "nowhere"]);
    assert!(answer.fails(1).contains("nowhere"), "{answer:?}");
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let daemon = daemon();
    if daemon.kind() == Kind::Dockerd {
        return;
    }
    let project = Project::new(&daemon, "refusals", "FROM busybox\n");
    let answer = project.build(&["--platform", "linux/s390x"]);
    let words = "platform linux/s390x is not supported";
    assert!(answer.fails(1).contains(words), "{answer:?}");
    for (text, words) in [
        (
            "FROM busybox\nRUN --security=insecure true\n",
            "--security=insecure is not supported",
        ),
        (
            "FROM --platform=linux/s390x busybox\n",
            "platform linux/s390x is not supported",
        ),
        (
            "FROM busybox\nADD git@example.test:a/b.git /x\n",
            "no SSH key \"default\" forwarded from the client",
        ),
        (
            "FROM busybox\nADD https://example.test/b.git#--upload-pack=x /x\n",
            "invalid git ref \"--upload-pack=x\"",
        ),
        (
            "FROM busybox\nADD http://127.0.0.1/b.git /x\n",
            "does not pass filtering: 127.0.0.1:80",
        ),
    ] {
        project.write("Dockerfile", text);
        let answer = project.build(&[]);
        assert!(answer.fails(1).contains(words), "{answer:?}");
    }
}

/// A client that goes away ends its build: what ran for it is gone.
#[test]
fn a_client_that_leaves_ends_its_build() {
    let daemon = daemon();
    let project = Project::new(
        &daemon,
        "left",
        "FROM busybox\nRUN echo begun; sleep 4567\n",
    );
    let dir = project.dir.to_str().unwrap();
    let mut client = project.docker.command(&["build", "-t", "left", dir]);
    let mut client = client.env("DOCKER_BUILDKIT", "0").spawn().unwrap();
    let commands = |docker: &Docker, which: &str| {
        let args = ["ps", which, "--no-trunc", "--format", "{{.Command}}"];
        docker.run(&args).ok().contains("sleep 4567")
    };
    let all = "--all=true";
    project
        .docker
        .wait_until("the build runs", |docker| commands(docker, "--all=false"));
    // `docker` is a child of `timeout`, which hands on the signal.
    let killed = std::process::Command::new("kill")
        .arg(client.id().to_string())
        .status();
    assert!(killed.unwrap().success());
    client.wait().unwrap();
    project.docker.wait_until("the build ends", |docker| {
        // dockerd keeps what ran.
        let which = if daemon.kind() == Kind::Dockerd {
            "--all=false"
        } else {
            all
        };
        !commands(docker, which)
    });
    assert_eq!(project.docker.run(&["images", "-q", "left"]).ok(), "");
}
