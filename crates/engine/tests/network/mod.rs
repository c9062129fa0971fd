//! Networks on the real kernel: bridges, sandboxes, published ports and names, and that nothing
//! of them is left. Traffic goes to loopback and to bridges made here only. Needs root.

mod annex;
mod guard;
mod metadata;
mod node;
mod router;

use std::io::ErrorKind;
use std::net::IpAddr;

use engine::network::NetworkError;
use model::instance::{Protocol, PublishedPort};

use node::{Node, ask, echo, inside, is_cut_off, node_state, reach, say};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_reach_their_network_and_no_other() {
    let node = Node::open().await;
    let (front, back) = (node.network("front", |_| {}), node.network("back", |_| {}));
    let web = node.attach("web", &[&front], |_| {}).await;
    let cache = node.attach("cache", &[&front], |_| {}).await;
    let database = node.attach("database", &[&back], |_| {}).await;
    let both = node.attach("both", &[&front, &back], |_| {}).await;
    for sandbox in [&cache, &database, &both] {
        echo(sandbox, 80);
    }
    assert_eq!(reach(&web, cache.address(0), 80).unwrap(), "cache");
    assert_eq!(reach(&web, both.address(0), 80).unwrap(), "both");
    assert_eq!(reach(&database, both.address(1), 80).unwrap(), "both");
    assert_eq!(reach(&both, database.address(0), 80).unwrap(), "database");
    // Another network is out of reach, also by the address that a neighbour has there.
    assert!(is_cut_off(&web, database.address(0), 80));
    assert!(is_cut_off(&web, both.address(1), 80));
    // The node reaches everyone.
    assert_eq!(say((cache.address(0), 80)).unwrap(), "cache");
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_kept_apart_reach_the_node_and_not_each_other() {
    let node = Node::open().await;
    let apart = node.network("apart", |spec| spec.inter_instance = false);
    let one = node.attach("one", &[&apart], |_| {}).await;
    let two = node.attach("two", &[&apart], |_| {}).await;
    echo(&two, 80);
    assert_eq!(say((two.address(0), 80)).unwrap(), "two");
    assert!(is_cut_off(&one, two.address(0), 80));
    let gateway = apart.spec.subnets[0].gateway.unwrap();
    // Refused, so it was reached.
    assert_eq!(
        reach(&one, gateway, 9).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_network_has_no_way_out() {
    let node = Node::open().await;
    let closed = node.network("closed", |spec| spec.internal = true);
    let open = node.network("open", |_| {});
    let one = node.attach("one", &[&closed], |_| {}).await;
    let other = node.attach("other", &[&closed, &open], |_| {}).await;
    echo(&other, 80);
    assert_eq!(reach(&one, other.address(0), 80).unwrap(), "other");
    assert_eq!(
        reach(&one, other.address(1), 80).unwrap_err().kind(),
        ErrorKind::NetworkUnreachable
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_loopback_is_out_of_reach() {
    let node = Node::open().await;
    let network = node.network("net", |_| {});
    let sandbox = node.attach("hostile", &[&network], |_| {}).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // What an attacker with the right to change routes would do inside.
    inside(&sandbox, || {
        std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
        for arguments in [
            vec!["addr", "del", "127.0.0.1/8", "dev", "lo"],
            vec![
                "route",
                "add",
                "127.0.0.1/32",
                "via",
                &network.spec.subnets[0].gateway.unwrap().to_string(),
            ],
        ] {
            std::process::Command::new("ip")
                .args(arguments)
                .output()
                .unwrap();
        }
    });
    assert!(is_cut_off(&sandbox, "127.0.0.1".parse().unwrap(), port));
    // And what one does who claims another's address.
    inside(&sandbox, || {
        std::process::Command::new("ip")
            .args(["addr", "add", "10.255.255.1/32", "dev", "eth0"])
            .output()
            .unwrap();
    });
    let gateway = network.spec.subnets[0].gateway.unwrap();
    let heard = std::net::UdpSocket::bind((gateway, 0)).unwrap();
    heard.set_nonblocking(true).unwrap();
    let place = heard.local_addr().unwrap();
    let from = |source: &str| {
        let source: IpAddr = source.parse().unwrap();
        inside(&sandbox, || {
            std::net::UdpSocket::bind((source, 0))
                .unwrap()
                .send_to(b"?", place)
                .unwrap()
        });
    };
    from("10.255.255.1");
    from(&sandbox.address(0).to_string());
    let mut buffer = [0; 8];
    heard.set_nonblocking(false).unwrap();
    let (_, sender) = heard.recv_from(&mut buffer).unwrap();
    assert_eq!(
        sender.ip(),
        sandbox.address(0),
        "a claimed source was let through"
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_port_leads_inside_from_everywhere() {
    let node = Node::open().await;
    let (front, back) = (node.network("front", |_| {}), node.network("back", |_| {}));
    let web = node
        .attach("web", &[&front], |spec| {
            spec.published_ports = vec![port(80, 0)];
        })
        .await;
    let neighbour = node.attach("neighbour", &[&front], |_| {}).await;
    let stranger = node.attach("stranger", &[&back], |_| {}).await;
    echo(&web, 80);
    assert!(!web.ports.is_empty());
    let host_port = web.ports[0].host_port;
    assert!(
        web.ports
            .iter()
            .all(|port| port.host_port == host_port && port.container_port == 80)
    );
    let gateway = front.spec.subnets[0].gateway.unwrap();
    for place in ["127.0.0.1".parse().unwrap(), gateway] {
        assert_eq!(say((place, host_port)).unwrap(), "web", "{place}");
    }
    if web.ports.iter().any(|port| port.host_ip.is_ipv6()) {
        assert_eq!(
            say(("::1".parse::<IpAddr>().unwrap(), host_port)).unwrap(),
            "web"
        );
    }
    // A neighbour, the instance itself, and an instance that cannot reach it otherwise.
    for sandbox in [&neighbour, &web, &stranger] {
        assert_eq!(
            reach(sandbox, gateway, host_port).ok().as_deref(),
            Some("web"),
            "{sandbox:?}"
        );
    }
    node.networks().detach(web.id).await;
    assert_eq!(
        say(("127.0.0.1".parse::<IpAddr>().unwrap(), host_port))
            .unwrap_err()
            .kind(),
        ErrorKind::ConnectionRefused
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_names_an_address_answers_there_only() {
    let node = Node::open().await;
    let network = node.network("net", |_| {});
    let loopback = PublishedPort {
        host_ip: Some("127.0.0.1".parse().unwrap()),
        ..port(80, 0)
    };
    let web = node
        .attach("web", &[&network], |spec| {
            spec.published_ports = vec![loopback.clone()];
        })
        .await;
    echo(&web, 80);
    let [bound] = web.ports.as_slice() else {
        panic!("{:?}", web.ports)
    };
    assert_eq!(say((bound.host_ip, bound.host_port)).unwrap(), "web");
    assert!(say((network.spec.subnets[0].gateway.unwrap(), bound.host_port)).is_err());
    assert!(is_cut_off(
        &web,
        network.spec.subnets[0].gateway.unwrap(),
        bound.host_port
    ));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_refused_in_dockers_words() {
    let node = Node::open().await;
    let network = node.network("net", |_| {});
    let first = node
        .attach("first", &[&network], |spec| {
            spec.published_ports = vec![port(80, 0)];
        })
        .await;
    let taken = first.ports[0].host_port;
    let error = node
        .try_attach("second", &[&network], |spec| {
            spec.published_ports = vec![port(80, taken)];
        })
        .await
        .unwrap_err();
    assert!(matches!(error, NetworkError::PortAllocated { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with("driver failed programming external connectivity on endpoint second ("),
        "{text}"
    );
    assert!(
        text.ends_with(&format!(
            "Bind for 0.0.0.0:{taken} failed: port is already allocated"
        )),
        "{text}"
    );

    let foreign = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let taken = foreign.local_addr().unwrap().port();
    let error = node
        .try_attach("third", &[&network], |spec| {
            spec.published_ports = vec![port(80, taken)];
        })
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("failed to bind host port for 0.0.0.0:{taken}:")),
        "{text}"
    );
    assert!(text.ends_with("/tcp: address already in use"), "{text}");
    // A range goes past what is taken; UDP has ports of its own.
    let range = PublishedPort {
        host_port_end: taken.saturating_add(20),
        ..port(80, taken)
    };
    let udp = PublishedPort {
        protocol: Protocol::Udp,
        ..port(53, taken)
    };
    let fourth = node
        .attach("fourth", &[&network], |spec| {
            spec.published_ports = vec![range.clone(), udp.clone()];
        })
        .await;
    assert!(
        fourth
            .ports
            .iter()
            .filter(|port| port.protocol == Protocol::Tcp)
            .all(|port| port.host_port > taken)
    );
    assert!(
        fourth
            .ports
            .iter()
            .any(|port| port.protocol == Protocol::Udp && port.host_port == taken)
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_answered_on_networks_that_have_them() {
    let node = Node::open().await;
    let (front, plain) = (
        node.network("front", |_| {}),
        node.network("plain", |spec| spec.dns = false),
    );
    let web = node.attach("web", &[&front], |_| {}).await;
    let one = node
        .attach("one", &[&front], |spec| {
            spec.attachments[0].aliases = vec!["service".to_owned()];
        })
        .await;
    let two = node
        .attach("two", &[&front], |spec| {
            spec.attachments[0].aliases = vec!["service".to_owned()];
        })
        .await;
    let outside = node.attach("outside", &[&plain], |_| {}).await;
    assert!(
        web.resolv_conf.starts_with("nameserver 127.0.0.11\n"),
        "{}",
        web.resolv_conf
    );
    assert!(
        web.resolv_conf.contains("options ndots:0"),
        "{}",
        web.resolv_conf
    );
    assert!(
        !outside.resolv_conf.contains("127.0.0.11"),
        "{}",
        outside.resolv_conf
    );
    assert!(
        web.hosts
            .contains(&format!("{}\tweb-host\n", web.address(0))),
        "{}",
        web.hosts
    );
    for tcp in [false, true] {
        assert_eq!(ask(&web, "one", tcp), vec![one.address(0)]);
        assert_eq!(ask(&web, "ONE.front", tcp), vec![one.address(0)]);
        assert_eq!(ask(&web, &one.id.simple()[..12], tcp), vec![one.address(0)]);
        let mut service = ask(&web, "service", tcp);
        service.sort();
        assert_eq!(service, vec![one.address(0), two.address(0)]);
    }
    node.change(&two, |instance| "deux".clone_into(&mut instance.meta.name))
        .await;
    assert_eq!(ask(&web, "deux", false), vec![two.address(0)]);
    node.change(&web, |instance| {
        instance.spec.attachments[0].links = vec![("deux".to_owned(), "zwei".to_owned())];
    })
    .await;
    assert_eq!(ask(&web, "zwei", false), vec![two.address(0)]);
    node.networks().detach(one.id).await;
    assert_eq!(ask(&web, "service", false), vec![two.address(0)]);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_joins_and_leaves_networks_while_it_runs() {
    let node = Node::open().await;
    let (front, back) = (node.network("front", |_| {}), node.network("back", |_| {}));
    let mut web = node
        .attach("web", &[&front], |spec| {
            spec.published_ports = vec![port(80, 0)];
        })
        .await;
    let database = node.attach("database", &[&back], |_| {}).await;
    echo(&web, 80);
    echo(&database, 80);
    let host_port = web.ports[0].host_port;
    assert!(is_cut_off(&web, database.address(0), 80));
    node.connect(&mut web, &back).await;
    assert_eq!(reach(&web, database.address(0), 80).unwrap(), "database");
    assert_eq!(ask(&web, "database", false), vec![database.address(0)]);
    assert_eq!(ask(&database, "web", false), vec![web.address(1)]);
    node.disconnect(&mut web, &front).await;
    assert_eq!(web.endpoints.len(), 1);
    assert_eq!(reach(&database, web.address(0), 80).unwrap(), "web");
    assert_eq!(web.ports[0].host_port, host_port);
    assert_eq!(
        say(("127.0.0.1".parse::<IpAddr>().unwrap(), host_port)).unwrap(),
        "web"
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_daemon_takes_over_and_sweeps() {
    let mut node = Node::open().await;
    let network = node.network("net", |_| {});
    let web = node
        .attach("web", &[&network], |spec| {
            spec.published_ports = vec![port(80, 0)];
        })
        .await;
    let other = node.attach("other", &[&network], |_| {}).await;
    echo(&web, 80);
    let host_port = web.ports[0].host_port;
    let place = ("127.0.0.1".parse::<IpAddr>().unwrap(), host_port);
    // While no daemon runs, traffic does.
    node.restart(|| assert_eq!(say(place).unwrap(), "web"))
        .await;
    let mut attached = node.networks().attached();
    attached.sort();
    let mut expected = vec![web.id, other.id];
    expected.sort();
    assert_eq!(attached, expected);
    let again = node.networks().sandbox(web.id).await.unwrap().unwrap();
    assert_eq!(
        (&again.endpoints, &again.ports, &again.hosts),
        (&web.endpoints, &web.ports, &web.hosts)
    );
    assert_eq!(say(place).unwrap(), "web");
    assert_eq!(
        std::net::TcpListener::bind(("0.0.0.0", host_port))
            .unwrap_err()
            .kind(),
        ErrorKind::AddrInUse
    );
    assert_eq!(ask(&other, "web", false), vec![web.address(0)]);
    // A third instance fits in.
    let third = node.attach("third", &[&network], |_| {}).await;
    assert_eq!(reach(&third, web.address(0), 80).unwrap(), "web");
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_come_and_go_and_leave_nothing() {
    let node = Node::open().await;
    let network = node.network("net", |_| {});
    let names: Vec<String> = (0..24).map(|at| format!("many{at}")).collect();
    let networks = [&network];
    let sandboxes = futures_util::future::join_all(names.iter().map(|name| {
        node.attach(name, &networks, |spec| {
            spec.published_ports = vec![port(80, 0)];
        })
    }))
    .await;
    let mut ports: Vec<u16> = sandboxes
        .iter()
        .map(|sandbox| sandbox.ports[0].host_port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), names.len());
    futures_util::future::join_all(
        sandboxes
            .iter()
            .map(|sandbox| node.networks().detach(sandbox.id)),
    )
    .await;
    assert_eq!(node.networks().attached(), []);
    let prefix = node.prefix.clone();
    node.close().await;
    assert_eq!(node_state(&prefix), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_works_at_once() {
    let node = Node::open().await;
    let network = node.network("six", |spec| spec.subnets.push(node::ipv6_subnet()));
    let one = node
        .attach("one", &[&network], |spec| {
            spec.published_ports = vec![port(80, 0)];
        })
        .await;
    let two = node.attach("two", &[&network], |_| {}).await;
    echo(&one, 80);
    let address: IpAddr = one.endpoints[0].ipv6.unwrap().0.into();
    assert_eq!(reach(&two, address, 80).unwrap(), "one");
    let host_port = one.ports[0].host_port;
    assert_eq!(
        say(("::1".parse::<IpAddr>().unwrap(), host_port)).unwrap(),
        "one"
    );
    let gateway = network.spec.subnets[1].gateway.unwrap();
    assert_eq!(say((gateway, host_port)).unwrap(), "one");
    assert_eq!(reach(&two, gateway, host_port).unwrap(), "one");
    node.close().await;
}

fn port(container_port: u16, host_port: u16) -> PublishedPort {
    PublishedPort {
        protocol: Protocol::Tcp,
        container_port,
        host_ip: None,
        host_port,
        host_port_end: host_port,
    }
}
