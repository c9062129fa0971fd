//! Builds that mean harm: links in the place of what is mounted for a command (CVE-2024-23651), links where
//! mount points are cleared away (CVE-2024-23652), and privileges that nobody gave (CVE-2024-23653).

use std::path::PathBuf;

use tests::daemon::{Daemon, Kind};
use tests::docker::Answer;

use super::Outside;
use crate::daemon;

/// Builds an image; with the mounts of `RUN` where the daemon can.
fn build(daemon: &Daemon, name: &str, dockerfile: &str) -> Answer {
    let dir: PathBuf = daemon.scratch().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("Dockerfile"), dockerfile).unwrap();
    std::fs::write(dir.join("file"), "of the context").unwrap();
    let kit = if daemon.kind() == Kind::Dockerd {
        "1"
    } else {
        "0"
    };
    let args = ["build", "--no-cache", "-t", name, dir.to_str().unwrap()];
    let output = daemon
        .docker()
        .command(&args)
        .env("DOCKER_BUILDKIT", kit)
        .output()
        .unwrap();
    daemon.docker().run(&["rmi", "-f", name]);
    tests::docker::answer(output)
}

#[test]
fn links_in_what_is_mounted_for_a_command_lead_nowhere() {
    let daemon = daemon();
    let outside = Outside::new(&daemon, "build-sources");
    let host = outside.path();
    let climb = outside.climbing();
    for dockerfile in [
        // A cache in which one build leaves a link for the next.
        format!(
            "FROM busybox\nRUN --mount=type=cache,id=harm,target=/c rm -rf /c/sub; ln -s {host} /c/sub; ln -s {climb} /c/up\n\
             RUN --mount=type=cache,id=harm,target=/c cat /c/sub/secret /c/up/secret; echo x > /c/sub/made; true\n\
             RUN --mount=type=cache,id=harm,source=sub,target=/d ls -la /d; cat /d/secret; echo x > /d/made; true\n"
        ),
        // A stage whose directory is a link.
        format!(
            "FROM busybox AS bad\nRUN ln -s {host} /door && ln -s {climb} /up && ln -s {host}/secret /file\nFROM busybox\n\
             RUN --mount=type=bind,from=bad,source=/door,target=/d cat /d/secret; true\n\
             RUN --mount=type=bind,from=bad,source=/file,target=/f cat /f; true\n"
        ),
        format!(
            "FROM busybox AS bad\nRUN ln -s {host} /door && ln -s {climb} /up\nFROM busybox\nCOPY --from=bad /door/secret /x\nRUN cat /x\n"
        ),
        format!(
            "FROM busybox AS bad\nRUN ln -s {climb} /up\nFROM busybox\nCOPY --from=bad /up/ /x/\nRUN cat /x/secret\n"
        ),
    ] {
        outside.check_unseen(&build(&daemon, "sources", &dockerfile));
    }
}

#[test]
fn links_in_the_place_of_what_is_made_lead_nowhere() {
    let daemon = daemon();
    let outside = Outside::new(&daemon, "build-targets");
    let host = outside.path();
    let climb = outside.climbing();
    for target in [host, &climb] {
        for dockerfile in [
            // The directory of a mount becomes a link while the command runs: who clears the mount point
            // away then must not do so on the host.
            format!(
                "FROM busybox\nRUN --mount=type=tmpfs,target=/d/secret rm -rf /d; mv /d /e; ln -s {target} /d; true\n"
            ),
            format!(
                "FROM busybox\nRUN --mount=type=bind,source=file,target=/d/secret mv /d /e; ln -s {target} /d; true\n"
            ),
            format!(
                "FROM busybox\nRUN ln -s {target} /d\nRUN --mount=type=cache,target=/d/made true\nRUN --mount=type=bind,source=file,target=/d/more true\n"
            ),
            format!("FROM busybox\nRUN ln -s {target} /d\nWORKDIR /d/made\nCOPY file .\n"),
            format!(
                "FROM busybox\nRUN ln -s {target} /d\nCOPY file /d/\nCOPY file /d/made\nCOPY file /d/secret\n"
            ),
            format!(
                "FROM busybox\nRUN rmdir /dev/* /dev; ln -s {target} /dev2; rm -rf /sys; ln -s {target} /sys; true\nRUN true\n"
            ),
        ] {
            build(&daemon, "targets", &dockerfile);
            outside.check();
        }
    }
}

#[test]
fn a_command_has_no_privilege_that_nobody_gave() {
    let daemon = daemon();
    let answer = build(
        &daemon,
        "insecure",
        "FROM busybox\nRUN --security=insecure mount -t tmpfs none /mnt && echo mounted\n",
    );
    assert_ne!(answer.code, 0, "{answer:?}");
    assert!(!answer.stdout.contains("\nmounted"), "{answer:?}");
    let dockerfile = "FROM busybox\nRUN grep -E '^Cap(Inh|Eff|Amb)' /proc/self/status > /caps; mkdir /m\n\
                      RUN ! mount -t tmpfs none /m\nRUN test \"$(grep -c 00000000a80425fb /caps)\" = 1 && test \"$(grep -c 0000000000000000 /caps)\" = 2\n";
    build(&daemon, "plain", dockerfile).ok();
}
