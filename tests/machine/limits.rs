//! Cgroup version 2 with every controller, on the oldest kernel that is claimed.

use tests::machine::Machine;

#[test]
fn limits_of_cgroup_version_2_apply() {
    let mut machine = Machine::new().unwrap();
    assert_doctor_is_content(&mut machine);
    assert_memory_is_limited(&mut machine);
    assert_processes_are_limited(&mut machine);
    assert_processors_are_limited(&mut machine);
    assert_devices_are_refused(&mut machine);
    assert_pause_freezes(&mut machine);
    assert_nothing_is_left(&mut machine);
}

fn assert_doctor_is_content(machine: &mut Machine) {
    let findings = machine.sh("longshore doctor").ok();
    let unwell: Vec<&str> = findings
        .lines()
        .filter(|line| !line.starts_with("ok "))
        .collect();
    // All is there that containers need; what builds from repositories need is not, and is named.
    let missing = unwell.iter().filter(|line| line.starts_with("missing"));
    let missing: Vec<&str> = missing.copied().collect();
    assert_eq!(missing.len(), 1, "{findings}");
    assert!(missing[0].contains("git: "), "{findings}");
    assert_eq!(unwell[1..], ["         apt-get install git"], "{findings}");
    assert!(findings.contains("cgroups: version 2"), "{findings}");
}

fn assert_memory_is_limited(machine: &mut Machine) {
    // `tail` keeps all of a line that does not end.
    let eat = "tail /dev/zero";
    let run = [
        "run", "--name", "eater", "-m", "16m", "busybox", "sh", "-c", eat,
    ];
    machine.docker(&run).fails(137);
    assert_eq!(
        machine.inspect("eater", "{{.State.OOMKilled}} {{.State.ExitCode}}"),
        "true 137"
    );
    // The client cuts a time to its second: "0s" may be before the event.
    let events = machine.docker(&[
        "events",
        "--since",
        "1h",
        "--until",
        "-1s",
        "--filter",
        "event=oom",
    ]);
    assert_eq!(events.ok().lines().count(), 1);
    let limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.swap.max";
    let run = ["run", "--rm", "-m", "16m", "busybox", "sh", "-c", limit];
    assert_eq!(machine.docker(&run).ok(), "16777216\n16777216");
}

fn assert_processes_are_limited(machine: &mut Machine) {
    let fork = "sleep 9 & sleep 9 & sleep 9 & sleep 9 & sleep 9";
    let run = [
        "run",
        "--rm",
        "--pids-limit",
        "3",
        "busybox",
        "sh",
        "-c",
        fork,
    ];
    let answer = machine.docker(&run);
    assert_ne!(answer.code, 0);
    assert!(answer.stderr.contains("can't fork"), "{answer:?}");
}

fn assert_processors_are_limited(machine: &mut Machine) {
    machine
        .docker(&[
            "run", "-d", "--name", "slow", "--cpus", "0.2", "busybox", "sleep", "1000",
        ])
        .ok();
    let max = ["exec", "slow", "cat", "/sys/fs/cgroup/cpu.max"];
    assert_eq!(machine.docker(&max).ok(), "20000 100000");
    // It works until it is throttled, however long that takes.
    let work = "until grep -q '^nr_throttled [1-9]' /sys/fs/cgroup/cpu.stat; do :; done";
    machine.docker(&["exec", "slow", "sh", "-c", work]).ok();
    machine.docker(&["update", "--cpus", "0.5", "slow"]).ok();
    assert_eq!(machine.docker(&max).ok(), "50000 100000");
}

fn assert_devices_are_refused(machine: &mut Machine) {
    let read = "mknod /disk b 254 0 && head -c 1 /disk";
    let refused = machine.docker(&["run", "--rm", "busybox", "sh", "-c", read]);
    assert!(
        refused.stderr.contains("Operation not permitted"),
        "{refused:?}"
    );
    let read = "head -c 1 /dev/vda | wc -c";
    let allowed = [
        "run",
        "--rm",
        "--device",
        "/dev/vda:/dev/vda:r",
        "busybox",
        "sh",
        "-c",
        read,
    ];
    assert_eq!(machine.docker(&allowed).ok(), "1");
    let write = "echo > /dev/vda";
    let read_only = [
        "run",
        "--rm",
        "--device",
        "/dev/vda:/dev/vda:r",
        "busybox",
        "sh",
        "-c",
        write,
    ];
    let refused = machine.docker(&read_only);
    assert!(
        refused.stderr.contains("Operation not permitted"),
        "{refused:?}"
    );
}

fn assert_pause_freezes(machine: &mut Machine) {
    let is_frozen = "grep -q 'frozen 1' $(find /sys/fs/cgroup/longshore -name cgroup.events)";
    machine.sh(is_frozen).fails(1);
    machine.docker(&["pause", "slow"]).ok();
    machine.sh(is_frozen).ok();
    machine.docker(&["unpause", "slow"]).ok();
    machine.docker(&["exec", "slow", "true"]).ok();
}

fn assert_nothing_is_left(machine: &mut Machine) {
    machine.sh("longshore down").ok();
    let left = "ip -o link | grep -v lo:; nft list tables; grep longshore/ /proc/mounts;
                find /sys/fs/cgroup -type d -path '*/longshore/*'; pidof longshore";
    assert_eq!(machine.sh(left).stdout, "");
}
