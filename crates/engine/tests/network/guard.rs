//! Firewalls and guards on the real kernel: what passes, what does not, and that the hostile gain
//! nothing by what they may do inside.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use engine::network::Guard;
use jiff::Timestamp;
use model::firewall::{Direction, Family, Firewall, FirewallSpec, Remote, Rule};
use model::network::{Network, Routing};
use model::port::AddressPair;
use model::{Id, Meta, ProjectId};

use super::node::{Attached, Node, echo, inside, is_cut_off, reach};

/// A network of a tenant: always the same range.
pub(super) fn tenant(node: &Node, name: &str) -> Network {
    node.network(name, |spec| {
        spec.routing = Routing::Routers;
        spec.port_security = true;
        let subnet = &mut spec.subnets[0];
        subnet.cidr = "10.230.0.0/24".parse().unwrap();
        subnet.gateway = subnet.cidr.nth(1);
    })
}

pub(super) fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 230, 0, last])
}

/// A firewall that lets everything out.
pub(super) fn firewall(rules: Vec<Rule>) -> Firewall {
    let mut all = vec![rule(Direction::Out, Remote::Any)];
    all.extend(rules);
    Firewall {
        meta: Meta::new("firewall", ProjectId::ADMIN, Timestamp::now()),
        spec: FirewallSpec {
            description: String::new(),
            default: false,
            shared: false,
            rules: all,
            tags: BTreeSet::new(),
        },
    }
}

pub(super) fn rule(direction: Direction, remote: Remote) -> Rule {
    Rule::new(direction, Family::Ipv4, remote, Timestamp::now())
}

/// A firewall that lets in what comes from its own ports.
fn own_only() -> Firewall {
    let mut firewall = firewall(Vec::new());
    let own = Remote::Firewall(firewall.meta.id);
    firewall.spec.rules.push(rule(Direction::In, own));
    firewall
}

pub(super) fn guard(last: u8, firewalls: &[&Firewall]) -> Guard {
    Guard {
        port: Id::random(),
        mac: format!(
            "fa:16:3e:{:02x}:{:02x}:{last:02x}",
            rand::random::<u8>(),
            rand::random::<u8>()
        ),
        addresses: vec![address(last)],
        pairs: Vec::new(),
        secure: true,
        up: true,
        firewalls: firewalls.iter().map(|firewall| firewall.meta.id).collect(),
    }
}

fn tcp(port: u16) -> Rule {
    Rule {
        protocol: Some("tcp".to_owned()),
        port_min: Some(port),
        port_max: Some(port),
        ..rule(Direction::In, Remote::Any)
    }
}

fn run(sandbox: &Attached, program: &str, arguments: &[&str]) {
    inside(sandbox, || {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firewalls_let_pass_what_their_rules_say() {
    let node = Node::open().await;
    let network = tenant(&node, "net");
    let (own, mut other) = (own_only(), firewall(Vec::new()));
    for firewall in [&own, &other] {
        node.networks().set_firewall(firewall).await.unwrap();
    }
    let web = node.plug("web", &[(&network, &guard(10, &[&own]))]).await;
    let database = node
        .plug("database", &[(&network, &guard(11, &[&own]))])
        .await;
    let stranger = node
        .plug("stranger", &[(&network, &guard(12, &[&other]))])
        .await;
    for sandbox in [&web, &database, &stranger] {
        echo(sandbox, 80);
    }
    // Members reach each other; nobody else reaches them, and answers pass.
    assert_eq!(reach(&web, address(11), 80).unwrap(), "database");
    assert!(is_cut_off(&stranger, address(11), 80));
    assert!(is_cut_off(&web, address(12), 80));

    // A rule holds at once, for its port only, and its removal too.
    other.spec.rules.push(tcp(80));
    node.networks().set_firewall(&other).await.unwrap();
    echo(&stranger, 81);
    assert_eq!(reach(&web, address(12), 80).unwrap(), "stranger");
    assert!(is_cut_off(&web, address(12), 81));
    other.spec.rules.pop();
    node.networks().set_firewall(&other).await.unwrap();
    assert!(is_cut_off(&web, address(12), 80));

    // Without a rule that lets it out nothing leaves.
    other.spec.rules.clear();
    other.spec.rules.push(rule(Direction::In, Remote::Any));
    node.networks().set_firewall(&other).await.unwrap();
    assert_eq!(reach(&web, address(12), 80).unwrap(), "stranger");
    let open = Guard {
        firewalls: vec![own.meta.id, other.meta.id],
        ..guard(13, &[])
    };
    let guest = node.plug("guest", &[(&network, &open)]).await;
    echo(&guest, 80);
    assert!(is_cut_off(&stranger, address(13), 80));
    assert_eq!(reach(&database, address(13), 80).unwrap(), "guest");

    // A port changes its firewalls while it is used.
    let closed = Guard {
        firewalls: vec![own.meta.id],
        port: open.port,
        mac: open.mac.clone(),
        ..guard(13, &[])
    };
    node.networks().guard(&closed).await.unwrap();
    assert_eq!(reach(&database, address(13), 80).unwrap(), "guest");
    node.networks()
        .guard(&Guard {
            up: false,
            ..closed
        })
        .await
        .unwrap();
    assert!(is_cut_off(&database, address(13), 80));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_have_the_same_addresses() {
    let node = Node::open().await;
    let (one, two) = (tenant(&node, "one"), tenant(&node, "two"));
    let own = own_only();
    node.networks().set_firewall(&own).await.unwrap();
    let mut pairs = Vec::new();
    for (network, name) in [(&one, "first"), (&two, "second")] {
        let client = node.plug("client", &[(network, &guard(10, &[&own]))]).await;
        let server = node.plug(name, &[(network, &guard(11, &[&own]))]).await;
        echo(&server, 80);
        pairs.push((client, server, name));
    }
    for _ in 0..3 {
        for (client, _, name) in &pairs {
            assert_eq!(reach(client, address(11), 80).unwrap(), *name);
        }
    }
    node.close().await;
}

/// Whether a datagram that claims a source arrives.
fn arrives(from: &Attached, source: &str, heard: &UdpSocket, to: SocketAddr) -> bool {
    let source: IpAddr = source.parse().unwrap();
    let message = rand::random::<[u8; 8]>();
    let sent = inside(from, || {
        let socket = UdpSocket::bind((source, 0)).unwrap();
        socket.send_to(&message, to)
    });
    if sent.is_err() {
        return false;
    }
    let mut buffer = [0; 8];
    while heard.recv(&mut buffer).is_ok() {
        if buffer == message {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sends_as_somebody_else() {
    let node = Node::open().await;
    let network = tenant(&node, "net");
    let open = firewall(vec![rule(Direction::In, Remote::Any)]);
    node.networks().set_firewall(&open).await.unwrap();
    let mut port = guard(10, &[&open]);
    let hostile = node.plug("hostile", &[(&network, &port)]).await;
    let victim = node
        .plug("victim", &[(&network, &guard(11, &[&open]))])
        .await;
    let heard = inside(&victim, || UdpSocket::bind((address(11), 0)).unwrap());
    heard
        .set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    let to = heard.local_addr().unwrap();
    assert!(arrives(&hostile, "10.230.0.10", &heard, to));
    run(
        &hostile,
        "ip",
        &["addr", "add", "10.230.0.99/24", "dev", "eth0"],
    );
    assert!(!arrives(&hostile, "10.230.0.99", &heard, to));

    // An allowed pair lets it pass, and so does a port without security.
    port.pairs = vec![AddressPair {
        cidr: "10.230.0.99/32".parse().unwrap(),
        mac: None,
        single: true,
    }];
    node.networks().guard(&port).await.unwrap();
    assert!(arrives(&hostile, "10.230.0.99", &heard, to));
    port.pairs.clear();
    node.networks().guard(&port).await.unwrap();
    assert!(!arrives(&hostile, "10.230.0.99", &heard, to));
    port.secure = false;
    node.networks().guard(&port).await.unwrap();
    assert!(arrives(&hostile, "10.230.0.99", &heard, to));
    port.secure = true;
    node.networks().guard(&port).await.unwrap();
    assert!(!arrives(&hostile, "10.230.0.99", &heard, to));

    // Another hardware address is as little use, nor are rules of one's own.
    run(&hostile, "nft", &["flush", "ruleset"]);
    assert!(!arrives(&hostile, "10.230.0.99", &heard, to));
    run(
        &hostile,
        "ip",
        &["link", "set", "eth0", "address", "fa:16:3e:99:99:99"],
    );
    assert!(!arrives(&hostile, "10.230.0.10", &heard, to));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_has_no_part_in_a_tenants_network() {
    let node = Node::open().await;
    let network = tenant(&node, "net");
    let open = firewall(vec![rule(Direction::In, Remote::Any)]);
    node.networks().set_firewall(&open).await.unwrap();
    let hostile = node
        .plug("hostile", &[(&network, &guard(10, &[&open]))])
        .await;
    let docker = node.network("docker", |_| {});
    let neighbour = node.attach("neighbour", &[&docker], |_| {}).await;
    echo(&neighbour, 80);
    let gateway = docker.spec.subnets[0].gateway.unwrap();
    let heard = std::net::TcpListener::bind((gateway, 0)).unwrap();
    let port = heard.local_addr().unwrap().port();
    // By the bridge's hardware address, as one who knows it would.
    let mac = bridge_mac(&node, &network);
    run(
        &hostile,
        "ip",
        &[
            "neigh",
            "replace",
            "10.230.0.1",
            "lladdr",
            &mac,
            "dev",
            "eth0",
        ],
    );
    assert!(is_cut_off(&hostile, gateway, port));
    assert!(is_cut_off(&hostile, neighbour.address(0), 80));
    node.close().await;
}

fn bridge_mac(node: &Node, network: &Network) -> String {
    let name = format!("{}{}", node.prefix, &network.meta.id.simple()[..8]);
    let mac = std::fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap();
    mac.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_hold_across_a_restart() {
    let mut node = Node::open().await;
    let network = tenant(&node, "net");
    let (own, other) = (own_only(), firewall(Vec::new()));
    for firewall in [&own, &other] {
        node.networks().set_firewall(firewall).await.unwrap();
    }
    let server = node
        .plug("server", &[(&network, &guard(11, &[&own]))])
        .await;
    let member = node
        .plug("member", &[(&network, &guard(10, &[&own]))])
        .await;
    let stranger = node
        .plug("stranger", &[(&network, &guard(12, &[&other]))])
        .await;
    echo(&server, 80);
    node.restart(|| {
        assert!(is_cut_off(&stranger, address(11), 80));
    })
    .await;
    assert!(is_cut_off(&stranger, address(11), 80));
    assert_eq!(reach(&member, address(11), 80).unwrap(), "server");
    node.networks().detach(member.id).await;
    node.close().await;
}
