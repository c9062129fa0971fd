//! Mounts into what another container changes meanwhile: masks and the console (CVE-2025-31133,
//! CVE-2025-52565), mount points (CVE-2024-45310), and a `/proc` that is none (CVE-2025-52881).

use super::{Outside, start, wait_for};
use crate::daemon;

/// How often a container is started while another one swaps.
const ATTEMPTS: usize = 15;

/// A file of the kernel's whose content would run programs of the container on the host.
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

#[test]
fn links_in_the_place_of_devices_do_not_unmask_anything() {
    let daemon = daemon();
    let docker = daemon.docker();
    let before = std::fs::read(CORE_PATTERN).unwrap();
    let script = format!(
        "cd /devices; touch /tmp/begun
         while :; do for name in null console tty ptmx; do
           ln -s {CORE_PATTERN} $name; rm -f $name; mknod $name c 1 3; rm -f $name; done; done"
    );
    start(
        &docker,
        "devices",
        &["-v", "devices:/devices"],
        "busybox",
        &script,
    );
    wait_for(&docker, "devices", "/tmp/begun".as_ref());
    let attempt = format!(
        "for file in {CORE_PATTERN} /proc/kcore /proc/keys /proc/timer_list /dev/console /dev/null; do
           grep -qs . $file && test $file != {CORE_PATTERN} && echo \"read $file\"
           echo 'overwritten' 2>/dev/null > $file; done; true"
    );
    for _ in 0..ATTEMPTS {
        for flags in [
            ["-v", "devices:/dev"].as_slice(),
            &["-t", "-v", "devices:/dev"],
        ] {
            let args = [&["run", "--rm"], flags, &["busybox", "sh", "-c", &attempt]].concat();
            let answer = docker.run(&args);
            assert!(!answer.stdout.contains("read /proc"), "{answer:?}");
            assert_eq!(std::fs::read(CORE_PATTERN).unwrap(), before);
        }
    }
    docker.run(&["rm", "-f", "devices"]).ok();
    docker.run(&["volume", "rm", "devices"]).ok();
}

#[test]
fn mount_points_are_made_in_the_container_only() {
    let daemon = daemon();
    let docker = daemon.docker();
    let outside = Outside::new(&daemon, "mount-points");
    let source = daemon.scratch().join("mounted");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x").unwrap();
    let script = format!(
        "mkdir -p /v/place && ln -s {} /v/link && touch /tmp/begun
         cd /v; while :; do mv place spare; mv link place; mv place link; mv spare place; done",
        outside.path()
    );
    start(&docker, "points", &["-v", "points:/v"], "busybox", &script);
    wait_for(&docker, "points", "/tmp/begun".as_ref());
    let directory = format!("{}:/v/place/directory", source.display());
    let file = format!("{}/file:/v/place/file", source.display());
    for _ in 0..ATTEMPTS {
        let args = [
            "run",
            "--rm",
            "-v",
            "points:/v",
            "-v",
            &directory,
            "-v",
            &file,
            "-w",
            "/v/place/new",
            "busybox",
            "true",
        ];
        // It may find a link, or nothing.
        let _failed = docker.run(&args);
        outside.check();
    }
    docker.run(&["rm", "-f", "points"]).ok();
    docker.run(&["volume", "rm", "points"]).ok();
}

#[test]
fn a_volume_is_not_taken_for_the_kernels_files() {
    let daemon = daemon();
    let docker = daemon.docker();
    let forge = "mkdir -p /v/self/attr /v/thread-self/attr /v/sys/net/ipv4 /v/self/fd
                 for file in self/attr/exec thread-self/attr/exec sys/net/ipv4/ip_forward sysrq-trigger; do
                   echo forged > /v/$file; done";
    docker
        .run(&[
            "run",
            "--rm",
            "-v",
            "forged:/v",
            "busybox",
            "sh",
            "-c",
            forge,
        ])
        .ok();
    for place in [
        "/proc",
        "/proc/self",
        "/proc/self/attr",
        "/proc/sys",
        "/proc/sys/net",
    ] {
        let volume = format!("forged:{place}");
        let args = [
            "run",
            "--rm",
            "-v",
            &volume,
            "--sysctl",
            "net.ipv4.ip_forward=0",
            "busybox",
            "true",
        ];
        let answer = docker.run(&args);
        assert_ne!(answer.code, 0, "{place}: {answer:?}");
    }
    let read =
        "cd /v && cat self/attr/exec thread-self/attr/exec sys/net/ipv4/ip_forward sysrq-trigger";
    let found = docker.run(&[
        "run",
        "--rm",
        "-v",
        "forged:/v",
        "busybox",
        "sh",
        "-c",
        read,
    ]);
    assert_eq!(
        found.ok(),
        ["forged"; 4].join("\n"),
        "something was written to it"
    );
    docker.run(&["volume", "rm", "forged"]).ok();
}
