//! `docker run` and its flags, as seen from inside the container.

use crate::daemon;

/// What a command prints in a container made with these flags.
fn run(flags: &[&str], command: &[&str]) -> String {
    let daemon = daemon();
    let args = [&["run", "--rm"], flags, &["busybox"], command].concat();
    daemon.docker().run(&args).ok()
}

#[test]
fn output_and_exit_status_come_back() {
    let daemon = daemon();
    let docker = daemon.docker();
    let answer = docker.run(&[
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
    ]);
    assert_eq!(answer.code, 7);
    assert_eq!(answer.stdout, "out\n");
    assert_eq!(answer.stderr, "err\n");
}

#[test]
fn standard_input_reaches_the_process_and_ends() {
    let daemon = daemon();
    let answer = daemon.docker().run_with_input(
        &["run", "--rm", "-i", "busybox", "wc", "-c"],
        &[b'x'; 300_000],
    );
    assert_eq!(answer.ok(), "300000");
    // The client has sent all and ended its side before it asks for the start.
    let short = ["run", "--rm", "-i", "busybox", "cat"];
    let answer = daemon.docker().run_with_input(&short, b"short");
    assert_eq!(answer.ok(), "short");
}

#[test]
fn large_output_arrives_whole() {
    let out = run(&[], &["sh", "-c", "seq 1 200000 | md5sum; seq 1 200000"]);
    assert_eq!(out.lines().count(), 200_001);
    assert_eq!(out.lines().last(), Some("200000"));
}

#[test]
fn a_terminal_is_one() {
    let daemon = daemon();
    let answer = daemon.docker().run(&[
        "run",
        "--rm",
        "-t",
        "busybox",
        "sh",
        "-c",
        "test -t 0 && test -t 1 && tty && echo $TERM",
    ]);
    assert_eq!(answer.ok().replace('\r', ""), "/dev/pts/0\nxterm");
}

#[test]
fn the_process_is_the_first_of_its_own_namespace() {
    assert_eq!(run(&[], &["sh", "-c", "echo $$"]), "1");
    assert_eq!(
        run(
            &["--init"],
            &["sh", "-c", "test $$ -gt 1 && echo below init"]
        ),
        "below init"
    );
}

#[test]
fn environment_user_and_directory_are_set() {
    assert_eq!(
        run(&["-e", "A=b c"], &["sh", "-c", "echo $A; echo $HOME"]),
        "b c\n/root"
    );
    assert_eq!(
        run(
            &["-u", "app"],
            &["sh", "-c", "id -u; id -g; id -G; echo $HOME"]
        ),
        "1000\n1000\n1000 777\n/home/app"
    );
    assert_eq!(
        run(&["-u", "12:34"], &["sh", "-c", "id -u; id -g"]),
        "12\n34"
    );
    assert_eq!(
        run(
            &["--group-add", "extra", "--group-add", "888"],
            &["id", "-G"]
        ),
        "0 777 888"
    );
    assert_eq!(run(&["-w", "/made/here"], &["pwd"]), "/made/here");
}

#[test]
fn names_inside_are_set() {
    assert_eq!(
        run(
            &["-h", "box", "--domainname", "example.test"],
            &["hostname"]
        ),
        "box"
    );
    let hosts = run(&["--add-host", "there:10.9.8.7"], &["cat", "/etc/hosts"]);
    assert!(hosts.contains("10.9.8.7\tthere"), "{hosts}");
    let resolv = run(
        &[
            "--dns",
            "10.1.1.1",
            "--dns-search",
            "example.test",
            "--dns-option",
            "ndots:3",
        ],
        &["cat", "/etc/resolv.conf"],
    );
    assert!(resolv.contains("nameserver 10.1.1.1"), "{resolv}");
    assert!(resolv.contains("search example.test"), "{resolv}");
    assert!(resolv.contains("options ndots:3"), "{resolv}");
}

#[test]
fn capabilities_are_the_default_set_unless_changed() {
    let effective = |flags: &[&str]| {
        run(
            flags,
            &["sh", "-c", "grep CapEff /proc/self/status | cut -f2"],
        )
    };
    assert_eq!(effective(&[]), "00000000a80425fb");
    assert_eq!(effective(&["--cap-drop", "ALL"]), "0000000000000000");
    assert_eq!(
        effective(&["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"]),
        "0000000000000400"
    );
    assert_eq!(effective(&["--cap-add", "SYS_PTRACE"]), "00000000a80c25fb");
}

#[test]
fn system_calls_are_filtered() {
    assert_eq!(
        run(
            &[],
            &["sh", "-c", "grep -w Seccomp /proc/self/status | cut -f2"]
        ),
        "2"
    );
    let mode = run(
        &["--security-opt", "seccomp=unconfined"],
        &["sh", "-c", "grep -w Seccomp /proc/self/status | cut -f2"],
    );
    assert_eq!(mode, "0");
    assert_eq!(
        run(
            &[],
            &["sh", "-c", "unshare -m true 2>/dev/null || echo refused"]
        ),
        "refused"
    );
}

#[test]
fn new_privileges_can_be_refused() {
    let field = ["sh", "-c", "grep NoNewPrivs /proc/self/status | cut -f2"];
    assert_eq!(run(&[], &field), "0");
    assert_eq!(run(&["--security-opt", "no-new-privileges"], &field), "1");
}

#[test]
fn kernel_files_are_masked_or_read_only() {
    assert_eq!(
        run(
            &[],
            &[
                "sh",
                "-c",
                "cat /proc/kcore | wc -c; ls /proc/scsi /sys/firmware 2>/dev/null | grep -v : | wc -w"
            ]
        ),
        "0\n0"
    );
    assert_eq!(
        run(
            &[],
            &[
                "sh",
                "-c",
                "sh -c 'echo 1 > /proc/sys/vm/drop_caches' 2>/dev/null || echo refused"
            ]
        ),
        "refused"
    );
    assert_eq!(
        run(
            &[],
            &[
                "sh",
                "-c",
                "d=/sys/fs/cgroup/memory; test -d $d || d=/sys/fs/cgroup; mkdir $d/x 2>/dev/null || echo refused"
            ]
        ),
        "refused"
    );
}

#[test]
fn limits_reach_the_cgroup() {
    let v1_or_v2 = |v1: &str, v2: &str| {
        format!("cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}")
    };
    let memory = v1_or_v2("memory/memory.limit_in_bytes", "memory.max");
    assert_eq!(run(&["-m", "64m"], &["sh", "-c", &memory]), "67108864");
    let pids = v1_or_v2("pids/pids.max", "pids.max");
    assert_eq!(run(&["--pids-limit", "50"], &["sh", "-c", &pids]), "50");
    let quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max";
    assert_eq!(run(&["--cpus", "0.5"], &["sh", "-c", quota]), "50000");
    let cpus = v1_or_v2("cpuset/cpuset.cpus", "cpuset.cpus");
    assert_eq!(run(&["--cpuset-cpus", "0"], &["sh", "-c", &cpus]), "0");
}

#[test]
fn weights_of_block_io_are_set_or_discarded_with_a_warning() {
    let daemon = daemon();
    let docker = daemon.docker();
    let weight =
        "cd /sys/fs/cgroup; cat blkio/blkio.bfq.weight io.bfq.weight io.weight 2>/dev/null; true";
    let args = [
        "run",
        "--rm",
        "--blkio-weight",
        "505",
        "busybox",
        "sh",
        "-c",
        weight,
    ];
    let answer = docker.run(&args);
    if answer.told().contains("Weight discarded") {
        return;
    }
    // The range of the last file ends at 10,000.
    let weight = answer.ok();
    let known = ["505", "default 505", "default 5000"];
    assert!(known.contains(&weight.as_str()), "{weight}");
}

#[test]
fn a_process_that_needs_too_much_memory_is_killed_and_it_shows() {
    let daemon = daemon();
    let docker = daemon.docker();
    let answer = docker.run(&[
        "run",
        "--name",
        "glutton",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sh",
        "-c",
        "tail /dev/zero",
    ]);
    assert_eq!(answer.code, 137, "{answer:?}");
    assert_eq!(
        docker.inspect("glutton", "{{.State.OOMKilled}} {{.State.ExitCode}}"),
        "true 137"
    );
    docker.run(&["rm", "glutton"]).ok();
}

#[test]
fn process_limits_and_kernel_parameters_are_set() {
    assert_eq!(
        run(
            &["--ulimit", "nofile=123:456"],
            &["sh", "-c", "ulimit -n; ulimit -Hn"]
        ),
        "123\n456"
    );
    assert_eq!(
        run(
            &["--sysctl", "net.ipv4.ip_forward=0"],
            &["cat", "/proc/sys/net/ipv4/ip_forward"]
        ),
        "0"
    );
    assert_eq!(
        run(
            &["--shm-size", "8m"],
            &["sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'"]
        ),
        "8192"
    );
    assert_eq!(
        run(
            &["--oom-score-adj", "500"],
            &["cat", "/proc/self/oom_score_adj"]
        ),
        "500"
    );
}

#[test]
fn the_root_can_be_read_only_beside_memory_file_systems() {
    let out = run(
        &["--read-only", "--tmpfs", "/scratch:size=1m,mode=1700"],
        &[
            "sh",
            "-c",
            "touch /x 2>/dev/null || echo refused; touch /scratch/x && stat -c %a /scratch",
        ],
    );
    assert_eq!(out, "refused\n1700");
}

#[test]
fn devices_are_the_default_ones_and_those_asked_for() {
    assert_eq!(
        run(
            &[],
            &[
                "sh",
                "-c",
                "head -c 3 /dev/zero | wc -c; test -c /dev/null && echo null"
            ]
        ),
        "3\nnull"
    );
    assert_eq!(
        run(
            &["--device", "/dev/null:/dev/mine:r"],
            &["sh", "-c", "test -c /dev/mine && echo there"]
        ),
        "there"
    );
    assert_eq!(
        run(
            &[],
            &[
                "sh",
                "-c",
                "mknod /tmp/sda b 8 0 && cat /tmp/sda 2>&1 >/dev/null | grep -c 'not permitted'"
            ]
        ),
        "1"
    );
}

#[test]
fn directories_of_the_host_are_shared_as_asked() {
    let daemon = daemon();
    let dir = daemon.scratch().join("shared dir");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("file"), "from the host").unwrap();
    let path = dir.to_str().unwrap();
    assert_eq!(
        run(
            &["-v", &format!("{path}:/in:ro")],
            &[
                "sh",
                "-c",
                "cat /in/file; touch /in/x 2>/dev/null || echo ' refused'"
            ]
        ),
        "from the host refused"
    );
    assert_eq!(
        run(
            &["--mount", &format!("type=bind,source={path},target=/in")],
            &["sh", "-c", "echo written > /in/out; cat /in/out"]
        ),
        "written"
    );
    assert_eq!(
        std::fs::read_to_string(dir.join("out")).unwrap(),
        "written\n"
    );
}

#[test]
fn namespaces_of_the_host_and_of_others_can_be_joined() {
    let daemon = daemon();
    let docker = daemon.docker();
    assert_eq!(
        run(
            &["--pid", "host"],
            &["sh", "-c", "test $$ -gt 1 && echo many"]
        ),
        "many"
    );
    assert_eq!(
        run(&["--uts", "host"], &["hostname"]),
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap()
            .trim()
    );
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "sharer",
            "-h",
            "sharer",
            "--ipc",
            "shareable",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    assert_eq!(
        run(&["--network", "container:sharer"], &["hostname"]),
        "sharer"
    );
    let seen = run(
        &["--pid", "container:sharer"],
        &["sh", "-c", "ps | grep -c 'sleep 100[0]'"],
    );
    assert_eq!(seen, "1");
    docker
        .run(&["exec", "sharer", "touch", "/dev/shm/mine"])
        .ok();
    assert_eq!(
        run(&["--ipc", "container:sharer"], &["ls", "/dev/shm"]),
        "mine"
    );
    docker.run(&["rm", "-f", "sharer"]).ok();
}

#[test]
fn a_privileged_container_gets_what_the_host_has() {
    if daemon().kind() == tests::daemon::Kind::Dockerd {
        return; // It refuses on hosts whose root lacks a capability.
    }
    let host = std::fs::read_to_string("/proc/self/status").unwrap();
    let host = host
        .lines()
        .find(|line| line.starts_with("CapBnd"))
        .unwrap()
        .split_whitespace()
        .last()
        .unwrap()
        .to_owned();
    assert_eq!(
        run(
            &["--privileged"],
            &["sh", "-c", "grep CapEff /proc/self/status | cut -f2"]
        ),
        host
    );
    assert_eq!(
        run(
            &["--privileged"],
            &[
                "sh",
                "-c",
                "mount -t tmpfs none /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted"
            ]
        ),
        "mounted"
    );
}

#[test]
fn a_container_removes_itself() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run", "--rm", "--name", "passing", "-v", "/data", "busybox", "true",
        ])
        .ok();
    assert_eq!(
        docker.run(&["ps", "-aq", "--filter", "name=passing"]).ok(),
        ""
    );
}
