//! What instructions do: the image that they make, and what runs while they do.

use tests::daemon::Kind;

use super::Project;
use crate::daemon;

#[test]
fn instructions_make_an_image() {
    let daemon = daemon();
    let project = Project::new(
        &daemon,
        "instructions",
        r#"ARG BASE=busybox
FROM $BASE
LABEL maker="me and you" other=$BASE
ARG WHO=world
ENV GREETING="hello $WHO" ONE=1
ENV TWO=${ONE}2 THREE=${NONE:-three}
WORKDIR /srv
WORKDIR app
COPY file.txt ./
RUN echo "$GREETING $TWO $WHO" > said && \
    # a comment within
    cat file.txt >> said
EXPOSE 80 53/udp
VOLUME ["/data"]
USER 1000:1000
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --retries=2 CMD true
SHELL ["/bin/sh", "-ec"]
ONBUILD RUN echo triggered > /tmp/triggered
ENTRYPOINT ["cat"]
CMD ["said"]
"#,
    );
    project.write("file.txt", "of the context\n");
    let told = project
        .build(&["--build-arg", "WHO=you", "--label", "late=yes"])
        .ok();
    assert!(told.contains(" : FROM $BASE\n"), "{told}");
    assert!(told.contains(" ---> Running in "), "{told}");
    assert!(told.contains("Successfully built "), "{told}");
    assert!(
        told.contains("Successfully tagged instructions:latest"),
        "{told}"
    );
    assert_eq!(project.run(&[]), "hello you 12 you\nof the context");
    assert_eq!(
        project.image("{{.Config.WorkingDir}} {{.Config.User}} {{.Config.StopSignal}} {{.Config.ExposedPorts}} {{.Config.Volumes}}"),
        "/srv/app 1000:1000 SIGQUIT map[53/udp:{} 80/tcp:{}] map[/data:{}]"
    );
    assert_eq!(
        project.image("{{json .Config.Labels}}"),
        // The argument before the first stage is none of the stage's.
        r#"{"late":"yes","maker":"me and you","other":""}"#
    );
    let env = project.image("{{json .Config.Env}}");
    for variable in ["GREETING=hello you", "ONE=1", "TWO=12", "THREE=three"] {
        assert!(env.contains(variable), "{env}");
    }
    assert!(!env.contains("WHO"), "{env}");
    assert_eq!(
        project.image("{{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Retries}}"),
        "5s 2"
    );
    let child = Project::new(
        &daemon,
        "triggered",
        "FROM instructions\nRUN cat /tmp/triggered\n",
    );
    let told = child.build(&[]).ok();
    assert!(told.contains("# Executing 1 build trigger"), "{told}");
    assert!(told.contains("\ntriggered\n"), "{told}");
    assert_eq!(
        child
            .image("{{json .Config.OnBuild}}")
            .replace("[]", "null"),
        "null"
    );
}

#[test]
fn stages_hand_files_on_and_those_not_needed_are_left_out() {
    let daemon = daemon();
    let project = Project::new(
        &daemon,
        "stages",
        r#"FROM busybox AS make
RUN echo made > /made && chown 5:6 /made && chmod 640 /made
FROM busybox AS second
RUN echo second > /second
FROM scratch AS thin
COPY --from=make /made /one
FROM busybox
COPY --from=make /made /dir/
COPY --from=1 /second /dir/
COPY --from=busybox /etc/passwd /dir/passwd
RUN ls -ln /dir/made
"#,
    );
    let told = project.build(&[]).ok();
    assert!(told.contains("-rw-r-----    1 5        6"), "{told}");
    assert_eq!(
        project.run(&["cat", "/dir/made", "/dir/second"]),
        "made\nsecond"
    );
    let told = project.build(&["--target", "thin"]).ok();
    assert_eq!(project.image("{{len .RootFS.Layers}}"), "1");
    if daemon.kind() != Kind::Dockerd {
        assert!(!told.contains("AS second"), "{told}");
    }
}

#[test]
fn heredocs_and_mounts_are_what_newer_files_have() {
    let daemon = daemon();
    if daemon.kind() == Kind::Dockerd {
        // Debian's is older than both.
        return;
    }
    let project = Project::new(
        &daemon,
        "newer",
        r#"# syntax=docker/dockerfile:1
FROM busybox AS other
RUN echo of another stage > /file
FROM busybox
ENV NAME=me
RUN <<EOF
echo one
echo two > /two
EOF
RUN <<SCRIPT
#!/bin/awk -f
BEGIN { print "from a script" }
SCRIPT
COPY <<EOF <<"RAW" /texts/
it is $NAME
EOF
it is $NAME
RAW
RUN --mount=type=bind,target=/context --mount=type=bind,from=other,source=/file,target=/of \
    cat /context/dir/file /of && ! touch /context/new
RUN --mount=type=cache,target=/cache echo kept >> /cache/log; cat /cache/log
RUN --mount=type=cache,target=/cache cat /cache/log && echo again >> /cache/log
RUN --mount=type=tmpfs,target=/memory grep " /memory tmpfs" /proc/mounts
RUN --network=none ! ip link show eth0
RUN --mount=type=secret,id=none test ! -e /run/secrets/none
"#,
    );
    project.write("dir/file", "of the context\n");
    let told = project.build(&[]).ok();
    for words in [
        "\none\n",
        "\nfrom a script\n",
        "\nof the context\nof another stage\n",
        "\nkept\n",
        " /memory tmpfs",
    ] {
        assert!(told.contains(words), "{words:?}: {told}");
    }
    assert_eq!(
        project.run(&["cat", "/two", "/texts/EOF", "/texts/RAW"]),
        "two\nit is me\nit is $NAME"
    );
    assert_eq!(
        project.run(&["find", "/cache", "/context"]),
        "/cache\n/context"
    );
}
