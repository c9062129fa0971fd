//! `docker cp` while the container changes what is copied (CVE-2018-15664), and from one whose libraries
//! mean harm (CVE-2019-14271).

use super::{Instead, Outside, import, start, wait_for};
use crate::daemon;

/// How often each way is tried while the container swaps.
const ATTEMPTS: usize = 40;

#[test]
fn a_directory_that_becomes_a_link_meanwhile_leads_nowhere() {
    let daemon = daemon();
    let docker = daemon.docker();
    let outside = Outside::new(&daemon, "swapped");
    let own = daemon.scratch().join("swapped-own");
    std::fs::write(&own, "from the client").unwrap();
    let script = format!(
        "mkdir -p /w/place && echo inside > /w/place/secret && ln -s {} /w/link && touch /tmp/begun
         cd /w; while :; do mv place spare; mv link place; mv place link; mv spare place; done",
        outside.path()
    );
    start(&docker, "swapping", &[], "busybox", &script);
    wait_for(&docker, "swapping", "/tmp/begun".as_ref());
    let own = own.to_str().unwrap();
    for _ in 0..ATTEMPTS {
        // Half of the time there is nothing of that name, or a link that leads to nothing.
        let copied = docker.run(&["cp", "swapping:/w/place/secret", "-"]);
        outside.check_unseen(&copied);
        let _missing = docker.run(&["cp", own, "swapping:/w/place/secret"]);
        outside.check();
        let _missing = docker.run(&["cp", own, "swapping:/w/place/made"]);
        outside.check();
    }
    docker.run(&["rm", "-f", "swapping"]).ok();
}

/// Whoever opens one of these pipes waits for ever.
#[test]
fn no_library_of_the_container_is_loaded() {
    let daemon = daemon();
    let docker = daemon.docker();
    let mut libraries = Vec::new();
    for directory in [
        "lib",
        "lib64",
        "lib/x86_64-linux-gnu",
        "usr/lib/x86_64-linux-gnu",
    ] {
        for name in [
            "libnss_files.so.2",
            "libnss_dns.so.2",
            "libc.so.6",
            "libnss_compat.so.2",
        ] {
            libraries.push(format!("{directory}/{name}"));
        }
    }
    libraries
        .extend(["etc/nsswitch.conf", "etc/ld.so.cache", "etc/ld.so.preload"].map(str::to_owned));
    let entries: Vec<_> = libraries
        .iter()
        .map(|path| (path.as_str(), Instead::Pipe))
        .collect();
    import(&docker, "libraries", &entries, &[]);
    start(
        &docker,
        "libraries",
        &[],
        "libraries",
        "echo kept > /tmp/file; sleep 1000",
    );
    wait_for(&docker, "libraries", "/tmp/file".as_ref());
    for _ in ["running", "stopped"] {
        let copied = docker.run(&["cp", "libraries:/tmp/file", "-"]).ok();
        assert!(copied.contains("kept"));
        let own = daemon.scratch().join("libraries-own");
        std::fs::write(&own, "x").unwrap();
        let to = "libraries:/tmp/copied";
        docker.run(&["cp", "-a", own.to_str().unwrap(), to]).ok();
        docker.run(&["stop", "-t", "0", "libraries"]).ok();
    }
    docker.run(&["rm", "libraries"]).ok();
    docker.run(&["rmi", "libraries"]).ok();
}
