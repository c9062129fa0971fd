//! More instances on a network than a bridge of the kernel takes.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use model::network::Cidr;
use model::subnet::Subnet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::node::{Node, echo, is_cut_off, reach, say};

/// The kernel's limit (`BR_MAX_PORTS`, net/bridge/br_private.h), and some more.
const MANY: usize = 1_030;

/// How many of its bridges the node has.
fn bridges(node: &Node) -> usize {
    let listed = std::process::Command::new("ip")
        .args(["-brief", "link", "show", "type", "bridge"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let ours = listed.lines().filter(|line| line.starts_with(&node.prefix));
    ours.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_instances_than_a_bridge_takes_reach_each_other_and_out() {
    // Each namespace is held by a descriptor.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let mut node = Node::open().await;
    let cidr = Cidr::new(Ipv4Addr::new(10, 232, 0, 0).into(), 16).unwrap();
    let wide = node.network("wide", |spec| {
        spec.subnets = vec![Subnet::new(cidr, cidr.nth(1), Timestamp::now())];
    });
    let other = node.network("other", |_| {});
    let first = node.attach("first", &[&wide], |_| {}).await;
    for number in 0..MANY {
        node.attach(&format!("i{number}"), &[&wide], |_| {}).await;
    }
    let last = node.attach("last", &[&wide], |_| {}).await;
    let mut both = node.attach("both", &[&other], |_| {}).await;
    node.connect(&mut both, &wide).await;
    for sandbox in [&first, &last, &both] {
        echo(sandbox, 80);
    }
    let gateway: IpAddr = cidr.nth(1).unwrap();
    for _ in 0..2 {
        assert_eq!(reach(&first, last.address(0), 80).unwrap(), "last");
        assert_eq!(reach(&last, first.address(0), 80).unwrap(), "first");
        assert_eq!(reach(&last, both.address(1), 80).unwrap(), "both");
        assert!(is_cut_off(&last, both.address(0), 80));
        assert_eq!(say((last.address(0), 80)).unwrap(), "last");
        // Refused, so it was reached.
        let refused = reach(&last, gateway, 9).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(bridges(&node), 3, "one of each network, and an annex");
        // And all of it once more after a restart.
        node.restart(|| {}).await;
    }
    node.close().await;
}
