//! What a process may do: capabilities, system calls, limits, identity.

use runtime::seccomp::filter_of;
use serde_json::{Value, json};

use super::{Case, change, check, said};
use crate::scene::Scene;

/// Inheritable, permitted, effective, bounding and ambient set.
const SETS: &str = r"sed -n 's/^Cap.*\t0*/ =/p' /proc/self/status | tr -d '\n'";

fn capabilities(bounding: &[&str], ambient: &[&str]) -> Value {
    json!({
        "bounding": bounding, "effective": bounding, "permitted": bounding,
        "inheritable": ambient, "ambient": ambient
    })
}

#[tokio::test]
async fn a_process_has_the_capabilities_it_was_given() {
    let some = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"];
    check([
        Case {
            name: "none",
            spec: json!({}),
            script: "grep ^Cap /proc/self/status | grep -v 0000000000000000; echo no more",
            says: "no more\n",
        },
        Case {
            name: "root",
            spec: json!({ "process": { "capabilities": capabilities(&some, &[]) } }),
            script: SETS,
            says: " = =2021 =2021 =2021 =",
        },
        Case {
            name: "user",
            spec: json!({ "process": {
                "user": { "uid": 1000, "gid": 1000 }, "capabilities": capabilities(&some, &[])
            } }),
            script: SETS,
            says: " = = = =2021 =",
        },
        Case {
            name: "ambient",
            spec: json!({ "process": {
                "user": { "uid": 1000, "gid": 1000 },
                "capabilities": capabilities(&some, &["CAP_KILL"])
            } }),
            script: SETS,
            says: " =20 =20 =20 =2021 =20",
        },
    ])
    .await;
}

#[tokio::test]
async fn a_process_has_the_attributes_it_was_given() {
    check([
        Case {
            name: "new-privileges",
            spec: json!({}),
            script: "grep NoNewPrivs /proc/self/status",
            says: "NoNewPrivs:\t0\n",
        },
        Case {
            name: "no-new-privileges",
            spec: json!({ "process": { "noNewPrivileges": true } }),
            script: "grep NoNewPrivs /proc/self/status",
            says: "NoNewPrivs:\t1\n",
        },
        Case {
            name: "rlimits",
            spec: json!({ "process": { "rlimits": [
                { "type": "RLIMIT_NOFILE", "soft": 50, "hard": 100 },
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
            ] } }),
            script: "ulimit -Sn; ulimit -Hn; ulimit -c",
            says: "50\n100\n0\n",
        },
        Case {
            name: "oom-score",
            spec: json!({ "process": { "oomScoreAdj": 321 } }),
            script: "cat /proc/self/oom_score_adj",
            says: "321\n",
        },
        Case {
            name: "identity",
            spec: json!({ "process": { "user": {
                "uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o027
            } } }),
            script: "id; umask",
            says: "uid=1000 gid=1001 groups=5,6\n0027\n",
        },
        Case {
            name: "directory",
            spec: json!({ "process": { "cwd": "/srv/new" } }),
            script: "pwd; stat -c %a .",
            says: "/srv/new\n755\n",
        },
        Case {
            name: "io-priority",
            spec: json!({ "process": { "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 6 } } }),
            script: "ionice -p 1",
            says: "best-effort: prio 6\n",
        },
        Case {
            name: "personality",
            spec: json!({ "linux": { "personality": { "domain": "LINUX32" } } }),
            script: "uname -m",
            says: if cfg!(target_arch = "x86_64") { "i686\n" } else { "armv8l\n" },
        },
        // Nothing of the host's is open but the standard streams; the fourth is the listing's own.
        Case {
            name: "descriptors",
            spec: json!({}),
            script: "ls /proc/self/fd",
            says: "0\n1\n2\n3\n",
        },
    ])
    .await;
}

#[tokio::test]
async fn a_filter_answers_with_the_errno_of_its_profile() {
    let scene = Scene::new().await;
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
            "errnoRet": rustix::io::Errno::XDEV.raw_os_error()
        }]
    });
    // It is installed at another moment when there can be no new privileges.
    for no_new_privileges in [false, true] {
        let id = format!("box-{no_new_privileges}");
        let mut launch = scene.launch(&id, "grep Seccomp: /proc/self/status; mkdir /tmp/x");
        launch.seccomp = filter_of(&profile.to_string(), &[]).unwrap();
        change(
            &mut launch,
            json!({ "process": { "noNewPrivileges": no_new_privileges } }),
        );
        assert_eq!(
            said(&scene, &mut launch).await,
            "Seccomp:\t2\nmkdir: can't create directory '/tmp/x': Invalid cross-device link\n"
        );
    }
}

/// What Docker's flag of that name asks for.
#[tokio::test]
async fn a_privileged_container_may_do_what_the_host_may() {
    let administer = ["CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_SYSLOG"];
    check([Case {
        name: "privileged",
        spec: json!({
            "process": { "capabilities": capabilities(&administer, &[]) },
            "linux": { "resources": { "devices": [{ "allow": true, "access": "rwm" }] } },
        }),
        script: "mount -t tmpfs x /tmp && mknod /dev/kmsg c 1 11 && true < /dev/kmsg && echo may",
        says: "may\n",
    }])
    .await;
}
