//! Routers on the real kernel: between networks, out by an external one, and back by floating
//! addresses; for tenants with the same addresses.

use std::io::Write as _;
use std::net::{IpAddr, TcpListener};

use engine::network::{LegPlan, RouterPlan};
use model::Id;
use model::firewall::{Direction, Firewall, Remote};
use model::network::Network;

use super::guard::{address, firewall, guard, rule, tenant};
use super::node::{Attached, Node, echo, is_cut_off, reach, say};

fn leg(network: &Network, address: IpAddr) -> LegPlan {
    LegPlan {
        port: Id::random(),
        network: network.clone(),
        mac: format!(
            "fa:16:3e:{:02x}:{:02x}:01",
            rand::random::<u8>(),
            rand::random::<u8>()
        ),
        addresses: vec![(address, 24)],
    }
}

/// A router between a tenant's network and an external one.
fn plan(network: &Network, external: &Network, last: u128) -> RouterPlan {
    let way_out = leg(external, external.spec.subnets[0].cidr.nth(last).unwrap());
    RouterPlan {
        id: Id::random(),
        up: true,
        gateway: Some(way_out.port),
        legs: vec![leg(network, address(1)), way_out],
        snat: true,
        routes: Vec::new(),
        floating: Vec::new(),
    }
}

fn external(node: &Node) -> Network {
    node.network("public", |spec| spec.external = true)
}

/// A server of the node that tells whoever comes its address.
fn mirror(address: IpAddr) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let peer = stream.peer_addr().map(|peer| peer.ip().to_string());
            drop(stream.write_all(peer.unwrap_or_default().as_bytes()));
        }
    });
    port
}

/// Sets the default route as a start does where the subnet has a gateway.
async fn tenant_with(node: &Node, name: &str, open: &Firewall) -> (Network, Attached) {
    let network = tenant(node, name);
    let server = node.plug(name, &[(&network, &guard(10, &[open]))]).await;
    echo(&server, 80);
    (network, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_with_the_same_addresses_go_out_and_are_reached() {
    let mut node = Node::open().await;
    let open = firewall(vec![rule(Direction::In, Remote::Any)]);
    node.networks().set_firewall(&open).await.unwrap();
    let public = external(&node);
    node.networks().ensure(&public).await.unwrap();
    let gateway = public.spec.subnets[0].gateway.unwrap();
    let port = mirror(gateway);
    let mut tenants = Vec::new();
    for (name, last) in [("first", 50), ("second", 60)] {
        let (network, server) = tenant_with(&node, name, &open).await;
        let router = plan(&network, &public, last);
        node.networks().set_router(&router).await.unwrap();
        // Out, by the router's own address.
        let own = router.legs[1].addresses[0].0.to_string();
        assert_eq!(reach(&server, gateway, port).unwrap(), own);
        tenants.push((router, server, name));
    }
    // In, by floating addresses; and out by them from then on.
    for (at, (router, server, name)) in tenants.iter_mut().enumerate() {
        let at = u128::try_from(at).unwrap();
        let floating = public.spec.subnets[0].cidr.nth(100 + at).unwrap();
        assert!(is_cut_off(server, floating, 80));
        router.floating = vec![(floating, address(10))];
        node.networks().set_router(router).await.unwrap();
        assert_eq!(say((floating, 80)).unwrap(), *name);
        assert_eq!(reach(server, gateway, port).unwrap(), floating.to_string());
        // Also from inside.
        assert_eq!(reach(server, floating, 80).unwrap(), *name);
    }
    // From one tenant to the other's.
    let (first, second) = (&tenants[0], &tenants[1]);
    assert_eq!(
        reach(&first.1, second.0.floating[0].0, 80).unwrap(),
        "second"
    );

    node.restart(|| {}).await;
    let (router, server, name) = &mut tenants[0];
    assert_eq!(say((router.floating[0].0, 80)).unwrap(), *name);
    let floating = router.floating.remove(0).0;
    node.networks().set_router(router).await.unwrap();
    assert!(say_in_vain(floating));
    assert_eq!(
        reach(server, gateway, port).unwrap(),
        router.legs[1].addresses[0].0.to_string()
    );
    node.networks().remove_router(router.id).await.unwrap();
    assert!(is_cut_off(server, gateway, port));
    node.close().await;
}

fn say_in_vain(address: IpAddr) -> bool {
    let place = std::net::SocketAddr::from((address, 80));
    std::net::TcpStream::connect_timeout(&place, std::time::Duration::from_millis(400)).is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_joins_networks_of_a_tenant() {
    let node = Node::open().await;
    let open = firewall(vec![rule(Direction::In, Remote::Any)]);
    node.networks().set_firewall(&open).await.unwrap();
    let (front, web) = tenant_with(&node, "front", &open).await;
    let back = node.network("back", |spec| {
        spec.routing = model::network::Routing::Routers;
        spec.port_security = true;
    });
    let mut port = guard(20, &[&open]);
    let inner = back.spec.subnets[0].cidr.nth(20).unwrap();
    port.addresses = vec![inner];
    let database = node.plug("database", &[(&back, &port)]).await;
    echo(&database, 80);
    assert!(is_cut_off(&web, inner, 80));
    let router = RouterPlan {
        id: Id::random(),
        up: true,
        gateway: None,
        legs: vec![
            leg(&front, address(1)),
            leg(&back, back.spec.subnets[0].gateway.unwrap()),
        ],
        snat: false,
        routes: Vec::new(),
        floating: Vec::new(),
    };
    node.networks().set_router(&router).await.unwrap();
    assert_eq!(reach(&web, inner, 80).unwrap(), "database");
    let down = RouterPlan {
        up: false,
        ..router.clone()
    };
    node.networks().set_router(&down).await.unwrap();
    assert!(is_cut_off(&web, inner, 80));
    node.networks().set_router(&router).await.unwrap();
    assert_eq!(reach(&web, inner, 80).unwrap(), "database");
    node.close().await;
}
