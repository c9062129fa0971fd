//! What a process may do: no more than its user (CVE-2026-30892) and its sets of capabilities say
//! (CVE-2022-27649), and nothing to the host's cgroups (CVE-2022-0492).

use super::start;
use crate::daemon;

#[test]
fn a_user_is_who_was_asked_for_or_nobody() {
    let daemon = daemon();
    let docker = daemon.docker();
    start(&docker, "users", &[], "busybox", "sleep 1000");
    for (user, wanted) in [
        ("1", Some("1")),
        ("12345:0", Some("12345")),
        ("app", Some("1000")),
        ("nobody:0", Some("65534")),
        ("2147483647", Some("2147483647")),
        ("2147483648", None),
        ("4294967295", None),
        ("4294967296", None),
        ("18446744073709551616", None),
        ("-1", None),
        ("0x0", None),
        ("0 ", None),
        (" 0", None),
        ("0x1:0", None),
        ("1:nosuch", None),
        ("1:-1", None),
        ("1:4294967296", None),
        ("nosuch", None),
    ] {
        let exec = docker.run(&["exec", "-u", user, "users", "id", "-u"]);
        let run = docker.run(&["run", "--rm", "-u", user, "busybox", "id", "-u"]);
        for answer in [exec, run] {
            match wanted {
                Some(wanted) => assert_eq!(answer.ok(), wanted),
                None => {
                    assert_ne!(answer.code, 0, "{user:?}: {answer:?}");
                    assert_eq!(answer.stdout.trim(), "", "{user:?}");
                }
            }
        }
    }
    docker.run(&["rm", "-f", "users"]).ok();
}

#[test]
fn no_capability_is_inherited() {
    let daemon = daemon();
    let docker = daemon.docker();
    let read = ["grep", "-E", "^Cap(Inh|Amb)", "/proc/self/status"];
    let none = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000";
    for flags in [
        [].as_slice(),
        &["-u", "1000"],
        &["--cap-add", "SYS_PTRACE"],
        &["--cap-add", "ALL", "-u", "1000"],
    ] {
        let run = [&["run", "--rm"], flags, &["busybox"], &read].concat();
        assert_eq!(docker.run(&run).ok(), none, "{flags:?}");
    }
    start(
        &docker,
        "inheriting",
        &["--cap-add", "NET_ADMIN"],
        "busybox",
        "sleep 1000",
    );
    for flags in [["-u", "0"], ["-u", "1000"]] {
        let exec = [["exec"].as_slice(), &flags, &["inheriting"], &read].concat();
        assert_eq!(docker.run(&exec).ok(), none, "{flags:?}");
    }
    docker.run(&["rm", "-f", "inheriting"]).ok();
}

/// Mounts a hierarchy of cgroups where it may be written to, and orders a program to be run on the host.
const RELEASE: &str = r#"
exec 2>/dev/null
for controller in memory rdma cpuset freezer misc; do
  hierarchy=/tmp/$controller
  mkdir -p $hierarchy
  mount -t cgroup -o $controller cgroup $hierarchy && echo "mounted $hierarchy"
done
for directory in /tmp/* /sys/fs/cgroup /sys/fs/cgroup/*; do
  if test -e $directory/cgroup.procs; then
    mkdir $directory/escape && echo "made $directory/escape"
    (echo 1 >$directory/notify_on_release) && echo "ordered in $directory"
    (echo /tmp/run >$directory/release_agent) && echo "named in $directory"
  fi
done
test "$1" = again || unshare -UrmC sh $0 again
echo over
"#;

/// What the host runs when a cgroup is empty, by hierarchy.
fn release_agents() -> Vec<String> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap();
    hierarchies
        .filter_map(|entry| {
            std::fs::read_to_string(entry.unwrap().path().join("release_agent")).ok()
        })
        .collect()
}

#[test]
fn the_hosts_cgroups_take_no_orders() {
    let daemon = daemon();
    let docker = daemon.docker();
    let script = daemon.scratch().join("release");
    std::fs::write(&script, RELEASE).unwrap();
    let mount = format!("{}:/attempt:ro", script.display());
    let before = release_agents();
    let run = ["run", "--rm", "-v", &mount];
    let attempt = ["busybox", "sh", "/attempt"];
    assert_eq!(
        docker.run(&[run.as_slice(), &attempt].concat()).ok(),
        "over"
    );
    // Without the filter a container has a user namespace and cgroups of its own, and no more.
    let bare = ["--security-opt", "seccomp=unconfined"];
    let told = docker.run(&[run.as_slice(), &bare, &attempt].concat()).ok();
    assert!(!told.contains("named in"), "{told}");
    assert_eq!(release_agents(), before);
}

#[test]
fn cgroups_are_changed_where_that_is_allowed_only() {
    let daemon = daemon();
    let docker = daemon.docker();
    let make = "cd /sys/fs/cgroup; [ ! -d pids ] || cd pids; mkdir made 2>/dev/null && echo made || echo refused";
    for (options, told) in [
        (&[][..], "refused"),
        (
            &["--security-opt", "writable-cgroups=false", "--privileged"],
            "refused",
        ),
        (&["--security-opt", "writable-cgroups=true"], "made"),
    ] {
        let run = [&["run", "--rm"], options, &["busybox", "sh", "-c", make]].concat();
        assert_eq!(docker.run(&run).ok(), told, "{options:?}");
    }
    let refused = docker.run(&["create", "--security-opt", "writable-cgroups=x", "busybox"]);
    assert!(refused.fails(1).contains("invalid --security-opt 2"));
}
