//! The cgroup of a container: its limits as the kernel has them, and what is done to all of its
//! processes.

use std::path::PathBuf;

use runtime::cgroup::Cgroup;
use serde_json::json;

use super::{change, said};
use crate::keeper::{exit_of, until};
use crate::scene::{Scene, key};

/// A container with processes that come and go.
const BUSY: &str = "sleep 1000 & while :; do true; done";

#[tokio::test]
async fn it_is_born_in_its_cgroup_and_sees_nothing_else() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "cat /proc/self/cgroup; ls /sys/fs/cgroup | wc -l");
    change(
        &mut launch,
        json!({
            "linux": { "namespaces+": [{ "type": "cgroup" }] },
            "mounts+": [
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] },
            ],
        }),
    );
    let text = said(&scene, &mut launch).await;
    let (shown, cgroups): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| !line.contains(':'));
    for line in cgroups {
        // Version 1 hierarchies that no container joins are the host's.
        let foreign = [
            "name=systemd",
            "freezer",
            "cpuset",
            "perf_event",
            "hugetlb",
            "net_",
        ];
        let is_foreign = foreign.iter().any(|name| line.contains(name));
        assert!(line.ends_with(":/") || is_foreign, "{line}");
    }
    assert_ne!(shown, ["0"]);
}

/// The cgroup is shown late, but never over what the specification puts in its place.
#[tokio::test]
async fn what_is_mounted_over_it_hides_it_and_every_mount_shows_it() {
    let scene = Scene::new().await;
    let script = "ls /sys/fs/cgroup; ls /again | wc -l; ls /sys/fs/cgroup/below";
    let mut launch = scene.launch("box", script);
    let cgroup = |to: &str| json!({ "destination": to, "type": "cgroup", "source": "cgroup", "options": ["ro"] });
    let tmpfs = |to: &str| json!({ "destination": to, "type": "tmpfs", "source": "tmpfs" });
    change(
        &mut launch,
        json!({
            "mounts+": [
                cgroup("/sys/fs/cgroup"),
                tmpfs("/sys/fs/cgroup"),
                tmpfs("/sys/fs/cgroup/below"),
                cgroup("/again"),
            ],
        }),
    );
    let text = said(&scene, &mut launch).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "below");
    assert_ne!(lines[1], "0");
    assert_eq!(lines.len(), 2);
}

/// Also where processor time is shared out, which is joined last.
#[tokio::test]
async fn every_program_is_in_all_of_the_cgroup() {
    let scene = Scene::new().await;
    let launch = scene.launch("box", "exec sleep 1000");
    let process = scene.client.start(&launch, None).await.unwrap().pid;
    let exec = scene.exec("box", "more", "exec sleep 1000");
    let exec = scene.client.exec(&exec).await.unwrap().pid;
    let own = scene.cgroup_of("box");
    let of_every_container = ["", "memory", "cpu", "cpuacct", "blkio", "pids", "devices"];
    for process in [process, exec] {
        let table = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
        let mut joined = table.lines().filter(|line| {
            let controllers = line.split(':').nth(1).unwrap().split(',');
            controllers
                .into_iter()
                .any(|name| of_every_container.contains(&name))
        });
        assert!(
            joined.all(|line| line.ends_with(own.to_str().unwrap())),
            "{table}"
        );
    }
}

#[tokio::test]
async fn all_of_its_processes_are_held_still_listed_and_killed_together() {
    let scene = Scene::new().await;
    let mut events = scene.client.events();
    let process = scene
        .client
        .start(&scene.launch("box", BUSY), None)
        .await
        .unwrap()
        .pid;
    let cgroup = Cgroup::at(scene.cgroup_of("box").to_str().unwrap()).unwrap();
    until(async || cgroup.processes().unwrap().len() >= 2).await;
    assert!(cgroup.processes().unwrap().contains(&process));

    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    let frozen = cgroup.processes().unwrap();
    assert_eq!(frozen, cgroup.processes().unwrap());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());

    cgroup.kill(libc::SIGKILL).unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 137);
    until(async || cgroup.processes().unwrap().is_empty()).await;
}

/// A cgroup that others share goes with the last of them.
#[tokio::test]
async fn a_shared_cgroup_stays_until_it_is_empty() {
    let scene = Scene::new().await;
    let launch = scene.launch("box", "exec sleep 1000");
    scene.client.start(&launch, None).await.unwrap();
    let own = scene.cgroup_of("box");
    let shared = own.parent().unwrap();
    let hierarchies_with_it = || {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let below = |root: PathBuf| root.join(shared.strip_prefix("/").unwrap_or(shared));
        hierarchies
            .filter(|hierarchy| below(hierarchy.path()).exists())
            .count()
    };
    let all = hierarchies_with_it();
    assert_ne!(all, 0);
    let cgroup = Cgroup::at(shared.to_str().unwrap()).unwrap();
    cgroup.remove_if_empty().unwrap();
    assert_eq!(hierarchies_with_it(), all);
    Cgroup::at(own.to_str().unwrap()).unwrap().remove().unwrap();
    cgroup.remove_if_empty().unwrap();
    assert_eq!(hierarchies_with_it(), 0);
    // Gone already is fine.
    cgroup.remove_if_empty().unwrap();
}
