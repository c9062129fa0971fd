//! Namespaces: new ones, the host's, another container's; and the kernel parameters in them.

use runtime::launch::StartErrorKind;
use serde_json::{Value, json};

use super::{Case, change, check, said};
use crate::scene::Scene;

/// Name in a specification, and in `/proc/self/ns`.
const KINDS: [(&str, &str); 6] = [
    ("mount", "mnt"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
];
const SCRIPT: &str =
    "cd /proc/self/ns; for kind in mnt pid net ipc uts cgroup; do readlink $kind; done";

/// In the order of [`KINDS`].
fn own() -> Vec<String> {
    let link = |(_, kind)| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    KINDS
        .map(link)
        .map(|link| link.display().to_string())
        .into()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn each_namespace_is_new_where_it_is_asked_for_and_the_hosts_elsewhere() {
    let scene = Scene::new().await;
    let own = own();
    for wanted in [
        &["mount"][..],
        &["mount", "pid", "uts"],
        &KINDS.map(|(kind, _)| kind),
    ] {
        let id = wanted.join("-");
        let mut launch = scene.launch(&id, SCRIPT);
        let list: Vec<Value> = wanted.iter().map(|kind| json!({ "type": kind })).collect();
        change(
            &mut launch,
            json!({ "hostname": null, "linux": { "namespaces": list } }),
        );
        let its = lines(&said(&scene, &mut launch).await);
        assert_eq!(its.len(), KINDS.len(), "{its:?}");
        for ((kind, _), (its, own)) in KINDS.iter().zip(its.iter().zip(&own)) {
            assert_eq!(its != own, wanted.contains(kind), "{kind} of {id}");
        }
    }
}

#[tokio::test]
async fn a_container_joins_the_namespaces_of_another() {
    let scene = Scene::new().await;
    let first = scene.launch("first", "exec sleep 1000");
    let process = scene.client.start(&first, None).await.unwrap().pid;
    let path = |kind: &str| format!("/proc/{process}/ns/{kind}");
    let joined = ["pid", "net", "ipc", "uts"];
    let theirs = joined.map(|kind| {
        std::fs::read_link(path(kind))
            .unwrap()
            .display()
            .to_string()
    });

    let script = "cd /proc/self/ns; for kind in pid net ipc uts mnt; do readlink $kind; done; hostname; pidof sleep";
    let mut second = scene.launch("second", script);
    change(
        &mut second,
        json!({ "hostname": null, "linux": { "namespaces": [
            { "type": "mount" },
            { "type": "pid", "path": path("pid") },
            { "type": "network", "path": path("net") },
            { "type": "ipc", "path": path("ipc") },
            { "type": "uts", "path": path("uts") },
        ] } }),
    );
    let said = lines(&said(&scene, &mut second).await);
    assert_eq!(said[..4], theirs);
    assert_ne!(
        said[4],
        std::fs::read_link(path("mnt"))
            .unwrap()
            .display()
            .to_string()
    );
    assert_eq!(said[5..], ["first", "1"]);
}

#[tokio::test]
async fn names_and_kernel_parameters_are_the_containers_own() {
    check([
        Case {
            name: "names",
            spec: json!({ "hostname": "shore", "domainname": "example" }),
            script: "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname",
            says: "shore\nexample\n",
        },
        Case {
            name: "parameters",
            spec: json!({ "linux": { "sysctl": {
                "net.ipv4.ip_forward": "1", "kernel.msgmax": "4096", "fs.mqueue.msg_max": "7"
            } } }),
            script: "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax fs/mqueue/msg_max",
            says: "1\n4096\n7\n",
        },
    ])
    .await;
}

#[tokio::test]
async fn what_would_change_the_host_is_refused() {
    let scene = Scene::new().await;
    let with_host = |kind| {
        let kinds = ["mount", "pid", "network", "ipc", "uts"].iter();
        let list: Vec<Value> = kinds
            .filter(|other| **other != kind)
            .map(|kind| json!({ "type": kind }))
            .collect();
        json!({ "linux": { "namespaces": list } })
    };
    let parameter = |mut spec: Value, name: &str| {
        spec["linux"]["sysctl"][name] = json!("1");
        spec
    };
    for (spec, message) in [
        (
            with_host("mount"),
            "linux.namespaces: a container needs a mount namespace of its own",
        ),
        (
            parameter(json!({}), "kernel.pid_max"),
            "sysctl \"kernel.pid_max\" is not of a namespace that this container has of its own",
        ),
        (
            parameter(with_host("network"), "net.ipv4.ip_forward"),
            "sysctl \"net.ipv4.ip_forward\" is not of a namespace that this container has of its own",
        ),
        (
            parameter(with_host("ipc"), "kernel.msgmax"),
            "sysctl \"kernel.msgmax\" is not of a namespace that this container has of its own",
        ),
    ] {
        let mut launch = scene.launch("box", "echo ran");
        change(&mut launch, spec);
        let error = scene.client.start(&launch, None).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (StartErrorKind::Invalid, message)
        );
    }
}
