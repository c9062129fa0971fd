//! `docker build` over a session, as buildx does it: files, secrets and agents are asked of the client.
//!
//! Debian's client needs no plugin for that, and asks for the build by `POST /build`; how buildx asks for
//! it is in `front-docker`'s own tests.

use std::process::{Command, Stdio};

use tests::daemon::Kind;
use tests::docker::Answer;

use super::Project;
use crate::daemon;

/// Debian's, from the package `docker.io`.
const CLIENT: &str = "/usr/bin/docker";

impl Project {
    /// A client that builds over a session; with arguments after `build`.
    fn over_session(&self, args: &[&str]) -> Command {
        let mut command = self
            .docker
            .command_of(CLIENT, &["build", "--progress=plain"]);
        command.args(args).env("DOCKER_BUILDKIT", "1");
        command
    }

    /// Builds the image of its name over a session.
    fn build_over_session(&self, args: &[&str]) -> Answer {
        let mut command = self.over_session(&["-t", &self.name]);
        tests::docker::answer(command.args(args).arg(&self.dir).output().unwrap())
    }
}

#[test]
fn only_what_dockerignore_leaves_reaches_the_image() {
    let daemon = daemon();
    let is_dockerd = daemon.kind() == Kind::Dockerd;
    // dockerd would fetch the image that reads the file.
    let syntax = ["# syntax=docker/dockerfile:1\n", ""][usize::from(is_dockerd)];
    let text = "FROM busybox AS first\nRUN echo heard >&2\nCOPY . /src\n\
         FROM busybox\nARG WORD=none\nCOPY --from=first /src /src\nRUN echo $WORD > /word\n\
         CMD [\"sh\", \"-c\", \"cat /word; cd /src; find . | sort; readlink link; cat large | wc -c\"]\n";
    let project = Project::new(&daemon, "over-session", &format!("{syntax}{text}"));
    project.write(".dockerignore", "**/*.log\n!kept.log\n");
    project.write("sub/deep/file", "x");
    project.write("sub/some.log", "x");
    project.write("kept.log", "x");
    project.write("large", &"0123456789".repeat(300_000));
    std::os::unix::fs::symlink("/etc/passwd", project.dir.join("link")).unwrap();
    let answer = project.build_over_session(&["--build-arg", "WORD=given"]);
    let told = answer.told();
    assert!(told.contains("heard"), "{told}");
    assert!(told.contains("[first 3/3] COPY . /src"), "{told}");
    let printed = project.run(&[]);
    let paths = "given\n.\n./.dockerignore\n./Dockerfile\n./kept.log\n./large\n./link\n./sub\n\
        ./sub/deep\n./sub/deep/file\n/etc/passwd\n3000000";
    assert_eq!(printed, paths);
    let again = project.build_over_session(&["--build-arg", "WORD=given"]);
    let told = again.told();
    let cached = told
        .lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count();
    assert!(is_dockerd || cached == 4, "{told}");
}

#[test]
fn secrets_reach_a_command_and_not_the_image() {
    let daemon = daemon();
    if daemon.kind() == Kind::Dockerd {
        return;
    }
    let project = Project::new(
        &daemon,
        "with-secret",
        "FROM busybox\nRUN --mount=type=secret,id=word,required stat -c %a /run/secrets/word; \
         cp /run/secrets/word /copied; ls -l /copied\n\
         RUN --mount=type=secret,id=word,env=WORD test $WORD = hidden && test ! -s /run/secrets/word\n\
         RUN --mount=type=secret,id=word,target=/elsewhere,mode=0444 test $(cat /elsewhere) = hidden\n\
         CMD cat /run/secrets/word /elsewhere\n",
    );
    project.write("../the-word", "hidden");
    let source = project.dir.join("../the-word");
    let secret = format!("id=word,src={}", source.display());
    let answer = project.build_over_session(&["--secret", &secret]);
    assert!(answer.told().contains(" 400\n"), "{answer:?}");
    assert_eq!(project.run(&[]), "");
    // A second one is found without: what it is does not tell steps from others.
    let missing = project.build_over_session(&["--no-cache"]);
    let words = "secret word is required, and the client has given none";
    assert!(missing.fails(1).contains(words), "{missing:?}");
}

#[test]
fn an_archive_is_sent_by_a_request_of_its_own() {
    let daemon = daemon();
    let project = Project::new(
        &daemon,
        "of-archive",
        "FROM busybox\nCOPY word /\nCMD cat /word\n",
    );
    project.write("word", "in an archive\n");
    let archive = daemon.scratch().join("of-archive.tar");
    let dir = project.dir.to_str().unwrap();
    let packed = Command::new("tar")
        .args(["-C", dir, "-cf", archive.to_str().unwrap(), "."])
        .status();
    assert!(packed.unwrap().success());
    let mut command = project.over_session(&["-t", &project.name, "-"]);
    command.stdin(std::fs::File::open(archive).unwrap());
    drop(tests::docker::answer(command.output().unwrap()).ok());
    assert_eq!(project.run(&[]), "in an archive");
}

#[test]
fn a_failure_is_told_and_a_client_that_leaves_ends_its_build() {
    let daemon = daemon();
    if daemon.kind() == Kind::Dockerd {
        return;
    }
    let project = Project::new(
        &daemon,
        "over-soon",
        "FROM busybox\nRUN echo before; exit 7\n",
    );
    let answer = project.build_over_session(&[]);
    let told = answer.fails(1);
    assert!(told.contains("before"), "{told}");
    let words = "returned a non-zero code: 7 (Dockerfile:2: RUN echo before; exit 7)";
    assert!(told.contains(words), "{told}");
    project.write("Dockerfile", "FROM busybox\nRUN sleep 7654\n");
    let mut client = project.over_session(&[project.dir.to_str().unwrap()]);
    let mut client = client.stderr(Stdio::null()).spawn().unwrap();
    let runs = |docker: &tests::docker::Docker| {
        let args = ["ps", "--all", "--no-trunc", "--format", "{{.Command}}"];
        docker.run(&args).ok().contains("sleep 7654")
    };
    project.docker.wait_until("the build runs", runs);
    // The client asks for an end of it when it is interrupted.
    let interrupted = Command::new("kill")
        .args(["-INT", &client.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    assert!(!client.wait().unwrap().success());
    project
        .docker
        .wait_until("the build ends", |docker| !runs(docker));
    assert_eq!(project.docker.run(&["images", "-q", "over-soon"]).ok(), "");
}

#[test]
fn several_may_build_the_same_at_once() {
    let daemon = daemon();
    let project = Project::new(&daemon, "at-once", "FROM busybox\nRUN echo x > /x\n");
    let dir = project.dir.to_str().unwrap();
    let begin = |_| {
        let mut client = project.over_session(&["--no-cache", "-t", &project.name, dir]);
        client.stderr(Stdio::piped()).spawn().unwrap()
    };
    let clients: Vec<_> = (0..4).map(begin).collect();
    for client in clients {
        drop(tests::docker::answer(client.wait_with_output().unwrap()).ok());
    }
    project.run(&["test", "-e", "/x"]);
}
