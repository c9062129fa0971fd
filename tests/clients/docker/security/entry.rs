//! The moment at which a process of the host becomes one of the container: it brings no descriptor that
//! leads back (CVE-2024-21626), and its program cannot be written to (CVE-2019-5736).

use std::fs;
use std::path::PathBuf;

use tests::daemon::{Daemon, Kind};

use super::{Instead, Outside, import, start, wait_for};
use crate::daemon;

/// Descriptors that a runtime may have open at that moment.
const DESCRIPTORS: std::ops::Range<u32> = 3..16;

#[test]
fn no_directory_is_entered_through_a_descriptor() {
    let daemon = daemon();
    let docker = daemon.docker();
    let outside = Outside::new(&daemon, "descriptors");
    let links: Vec<(String, String)> = DESCRIPTORS
        .map(|number| (format!("fd{number}"), format!("/proc/self/fd/{number}")))
        .collect();
    let entries: Vec<_> = links
        .iter()
        .map(|(name, target)| (name.as_str(), Instead::Link(target)))
        .collect();
    import(&docker, "descriptors", &entries, &[]);
    let secret = format!("./{}/secret", outside.climbing());
    let read = ["cat", secret.as_str()];
    start(&docker, "descriptors", &[], "descriptors", "sleep 1000");
    for (name, target) in &links {
        for directory in [target.clone(), format!("/{name}"), format!("{target}/..")] {
            let run = ["run", "--rm", "-w", &directory, "descriptors"];
            outside.check_unseen(&docker.run(&[run.as_slice(), &read].concat()));
            let exec = ["exec", "-w", &directory, "descriptors"];
            outside.check_unseen(&docker.run(&[exec.as_slice(), &read].concat()));
        }
    }
    docker.run(&["rm", "-f", "descriptors"]).ok();
    docker.run(&["rmi", "descriptors"]).ok();
    // As the image's own wish, as it was first done.
    for (_, target) in links.iter().take(8) {
        import(&docker, "wishes", &[], &[&format!("WORKDIR {target}")]);
        let run = ["run", "--rm", "wishes"];
        outside.check_unseen(&docker.run(&[run.as_slice(), &read].concat()));
        docker.run(&["rmi", "wishes"]).ok();
    }
}

/// The programs of the host that a start goes through.
fn programs(daemon: &Daemon) -> Vec<PathBuf> {
    if daemon.kind() == Kind::Dockerd {
        return vec!["/usr/sbin/runc".into()];
    }
    let of = |pid: u32| PathBuf::from(format!("/proc/{pid}/exe"));
    let daemons = daemon.pid().unwrap();
    vec![of(daemons), of(daemon.keeper_pid().unwrap())]
}

/// Looks for programs that are not the container's, keeps them open, and writes to them as soon as nobody
/// executes them any more.
const OVERWRITE: &str = r#"
touch /tmp/begun
while :; do
  for process in /proc/[0-9]*; do
    case "$(readlink $process/exe)" in
      */busybox | "") ;;
      *)
        exec 3<$process/exe || continue
        echo seen >>/tmp/seen
        for attempt in 1 2 3 4 5 6 7 8; do
          echo overwritten 2>/dev/null >/proc/self/fd/3 && echo written >>/tmp/written
          echo overwritten 2>/dev/null >>$process/exe && echo written >>/tmp/written
        done
        exec 3<&-
        ;;
    esac
  done
done
"#;

#[test]
fn the_program_that_starts_containers_is_not_written_to_from_inside() {
    let daemon = daemon();
    let docker = daemon.docker();
    let programs = programs(&daemon);
    let contents = || -> Vec<Vec<u8>> {
        programs
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect()
    };
    let before = contents();
    let entries = [
        ("bin/again", Instead::Script("#!/proc/self/exe\n")),
        ("bin/itself", Instead::Link("/proc/self/exe")),
    ];
    import(&docker, "overwriting", &entries, &[]);
    start(&docker, "overwriting", &[], "overwriting", OVERWRITE);
    wait_for(&docker, "overwriting", "/tmp/begun".as_ref());
    for _ in 0..10 {
        for program in ["again", "itself"] {
            // What it becomes may fail in any way.
            let _failed = docker.run(&["exec", "overwriting", program]);
            let _failed = docker.run(&[
                "run",
                "--rm",
                "--pid",
                "container:overwriting",
                "overwriting",
                program,
            ]);
        }
    }
    assert_ne!(
        docker
            .run(&["exec", "overwriting", "test", "-e", "/tmp/written"])
            .code,
        0,
        "something could be written to"
    );
    assert!(before == contents(), "a program of the host has changed");
    docker.run(&["rm", "-f", "overwriting"]).ok();
    docker.run(&["rmi", "overwriting"]).ok();
}
