//! Bad input: dockerd's words, and nothing half-made.

use crate::daemon;

/// What a run that must fail says.
fn refused(code: i32, args: &[&str]) -> String {
    let daemon = daemon();
    let docker = daemon.docker();
    let args = [&["run", "--rm", "--name", "refused"], args].concat();
    let answer = docker.run(&args);
    let message = answer.fails(code).to_owned();
    assert_eq!(
        docker.run(&["ps", "-aq", "--filter", "name=refused"]).ok(),
        "",
        "nothing is half-made"
    );
    message
}

#[test]
fn a_program_that_cannot_be_run_is_named() {
    // The one test of this file that uses the name at a time, for the check that nothing is left.
    assert!(
        refused(127, &["busybox", "nosuch"])
            .contains("exec: \"nosuch\": executable file not found in $PATH")
    );
    assert!(refused(127, &["busybox", "/no/such"]).contains("no such file or directory"));
    assert!(refused(126, &["busybox", "/etc/passwd"]).contains("permission denied"));
    assert!(refused(126, &["busybox", "/etc"]).contains("/etc"));
    assert!(refused(125, &["-m", "1m", "busybox"]).contains("Minimum memory limit allowed is 6MB"));
    assert!(
        refused(125, &["--cpus", "1000", "busybox"])
            .to_lowercase()
            .contains("range of cpus is from 0.01 to")
    );
    assert!(
        refused(125, &["-u", "nosuch", "busybox", "true"]).contains("unable to find user nosuch")
    );
    assert!(
        refused(
            125,
            &["--mount", "type=bind,source=/no/such,target=/x", "busybox"]
        )
        .contains("bind source path does not exist: /no/such")
    );
    assert!(refused(125, &["-v", "relative/path:relative", "busybox"]).contains("invalid"));
    assert!(refused(125, &["--network", "nosuch", "busybox"]).contains("network nosuch not found"));
    assert!(refused(125, &["--sysctl", "kernel.nosuch=1", "busybox"]).contains("kernel.nosuch"));
    assert!(refused(125, &["--cap-add", "NOSUCH", "busybox"]).contains("NOSUCH"));
    assert!(refused(125, &["--security-opt", "nosuch", "busybox"]).contains("nosuch"));
    assert!(refused(127, &["--device", "/dev/nosuch", "busybox"]).contains("/dev/nosuch"));
}

#[test]
fn names_are_checked() {
    let daemon = daemon();
    let docker = daemon.docker();
    let answer = docker.run(&["create", "--name", "bad/name", "busybox"]);
    assert!(
        answer
            .fails(1)
            .contains("only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        "{answer:?}"
    );
    assert!(
        docker
            .run(&["volume", "create", "bad/name"])
            .fails(1)
            .contains("are allowed")
    );
    assert!(
        docker
            .run(&["start", "nosuch"])
            .fails(1)
            .contains("No such container: nosuch")
    );
}

#[test]
fn an_image_that_is_nowhere_is_named() {
    let daemon = daemon();
    let answer = daemon
        .docker()
        .run(&["create", "--pull", "never", "nosuch:image"]);
    assert!(
        answer.fails(1).contains("No such image: nosuch:image"),
        "{answer:?}"
    );
}
