//! Ports: addresses from the range that instances share, guarded before anything plugs in, and
//! followed by instances and routers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use model::instance::Attachment;
use model::network::Network;
use model::port::{
    Allotment, AllotmentRefusal, FixedAddress, Port, PortSpec, WantedAddress, owner,
};
use model::router::{
    FloatingAddress, FloatingSpec, FloatingTarget, Router, RouterGateway, RouterSpec, RouterStatus,
};
use model::{Id, Meta, ProjectId};

use crate::house::{House, attachment, kill};

fn meta() -> Meta {
    Meta::new("", ProjectId::ADMIN, Timestamp::now())
}

/// Makes a port that wants an address.
async fn port(house: &House, network: Id, wanted: Option<&str>) -> Port {
    let subnet = house
        .store
        .get::<Network>(network)
        .unwrap()
        .value
        .spec
        .subnets[0]
        .id;
    let port = Port {
        meta: meta(),
        spec: PortSpec {
            network,
            mac: "fa:16:3e:00:00:01".to_owned(),
            wanted: vec![WantedAddress {
                subnet,
                address: wanted.map(|address| address.parse().unwrap()),
            }],
            firewalls: Vec::new(),
            allowed_pairs: Vec::new(),
            port_security: true,
            admin_up: true,
            device_id: String::new(),
            device_owner: String::new(),
            host: String::new(),
            dns_name: String::new(),
            description: String::new(),
            tags: BTreeSet::new(),
            origin: BTreeMap::new(),
        },
    };
    put(house, &port).await;
    port
}

async fn put(house: &House, port: &Port) {
    let mut batch = house.store.transaction();
    batch.put(port.meta.id, port.clone());
    house.store.commit(batch).await.unwrap();
}

async fn allotment(house: &House, port: &Port) -> Allotment {
    let id = port.meta.id;
    let generation = port.meta.generation;
    house
        .until(id, "allotted", || {
            let found = house.store.get::<Allotment>(id)?.value;
            (found.generation >= generation).then(|| Allotment::clone(&found))
        })
        .await
}

fn only(allotment: &Allotment) -> IpAddr {
    let [FixedAddress { address, .. }] = allotment.addresses[..] else {
        panic!("{allotment:?}");
    };
    address
}

#[tokio::test]
async fn ports_and_instances_never_share_an_address() {
    let house = House::new().await;
    let network = house.network("net", "10.1.0.0/29").await;
    let first = port(&house, network, None).await;
    assert_eq!(
        only(&allotment(&house, &first).await).to_string(),
        "10.1.0.2"
    );
    let id = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(attachment(network));
        })
        .await;
    house.until_running(id, (1, 0)).await;
    let taken = port(&house, network, Some("10.1.0.3")).await;
    let refusal = allotment(&house, &taken).await.refusal;
    assert_eq!(
        refusal,
        Some(AllotmentRefusal::InUse("10.1.0.3".parse().unwrap()))
    );
    for last in 4..7 {
        let next = port(&house, network, None).await;
        let given = only(&allotment(&house, &next).await);
        assert_eq!(given.to_string(), format!("10.1.0.{last}"));
    }
    let late = port(&house, network, None).await;
    let refusal = allotment(&house, &late).await.refusal;
    assert!(matches!(refusal, Some(AllotmentRefusal::Exhausted(_))));
    // What a port gives back is free at once.
    let mut batch = house.store.transaction();
    batch
        .delete::<Port>(first.meta.id, None)
        .delete::<Allotment>(first.meta.id, None);
    house.store.commit(batch).await.unwrap();
    let next = port(&house, network, None).await;
    assert_eq!(
        only(&allotment(&house, &next).await).to_string(),
        "10.1.0.2"
    );
}

#[tokio::test]
async fn an_instance_has_its_ports_addresses_and_follows_them() {
    let mut house = House::new().await;
    let network = house.network("net", "10.1.0.0/24").await;
    let mut own = port(&house, network, Some("10.1.0.77")).await;
    allotment(&house, &own).await;
    let id = house
        .create(&["sleep", "1000"], |spec| {
            spec.attachments.push(Attachment {
                port: Some(own.meta.id),
                ..Attachment::new(network)
            });
        })
        .await;
    own.spec.device_id = id.to_string();
    own.spec.device_owner = format!("{}nova", owner::COMPUTE);
    own.meta.generation += 1;
    put(&house, &own).await;
    allotment(&house, &own).await;
    house.start(id).await;
    house.until_running(id, (1, 0)).await;
    let endpoint = house.status(id).unwrap().endpoints[0].clone();
    assert_eq!(endpoint.id, own.meta.id);
    assert_eq!(endpoint.ipv4.unwrap().0.to_string(), "10.1.0.77");
    assert_eq!(endpoint.mac, own.spec.mac);
    assert!(house.engine.guard(own.meta.id).unwrap().secure);

    // Across a restart of the daemon, too.
    house.stop_daemon().await;
    house.start_daemon().await;
    let held = port(&house, network, Some("10.1.0.77")).await;
    assert!(allotment(&house, &held).await.refusal.is_some());

    own.spec.port_security = false;
    own.spec.wanted[0].address = Some("10.1.0.78".parse().unwrap());
    own.meta.generation += 1;
    put(&house, &own).await;
    house
        .until_status(id, "moved", |status| {
            status.endpoints[0]
                .ipv4
                .is_some_and(|(address, _)| address.octets()[3] == 78)
        })
        .await;
    assert!(!house.engine.guard(own.meta.id).unwrap().secure);

    // Its port is free once the instance is gone.
    house.stop(id, kill()).await;
    house.delete(id).await;
    house.until_gone(id).await;
    house
        .until(own.meta.id, "free", || {
            let found = house.store.get::<Port>(own.meta.id)?;
            found.value.spec.device_id.is_empty().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_router_carries_floating_addresses_to_ports() {
    let house = House::new().await;
    let inner = house.network("inner", "10.1.0.0/24").await;
    let public = house.network("public", "10.2.0.0/24").await;
    let target = port(&house, inner, Some("10.1.0.9")).await;
    let router_id = Id::random();
    let owned = |kind: &str, mut port: Port| {
        port.spec.device_id = router_id.to_string();
        kind.clone_into(&mut port.spec.device_owner);
        port.meta.generation += 1;
        port
    };
    let leg = owned(owner::ROUTER_INTERFACE, port(&house, inner, None).await);
    let way_out = owned(owner::ROUTER_GATEWAY, port(&house, public, None).await);
    let held = port(&house, public, Some("10.2.0.200")).await;
    for port in [&leg, &way_out] {
        put(&house, port).await;
    }
    for port in [&target, &leg, &way_out, &held] {
        allotment(&house, port).await;
    }
    let mut router = Router {
        meta: meta(),
        spec: RouterSpec {
            description: String::new(),
            admin_up: true,
            interfaces: vec![leg.meta.id],
            gateway: Some(RouterGateway {
                network: public,
                port: way_out.meta.id,
                snat: true,
            }),
            routes: Vec::new(),
            tags: BTreeSet::new(),
        },
    };
    router.meta.id = router_id;
    let mut floating = FloatingAddress {
        meta: meta(),
        spec: FloatingSpec {
            network: public,
            port: held.meta.id,
            target: Some(FloatingTarget {
                port: target.meta.id,
                address: "10.1.0.9".parse().unwrap(),
                router: router_id,
            }),
            description: String::new(),
            tags: BTreeSet::new(),
        },
    };
    let mut batch = house.store.transaction();
    batch
        .insert(router_id, router)
        .insert(floating.meta.id, floating.clone());
    house.store.commit(batch).await.unwrap();
    let status = |what: &'static str, is_it: fn(&RouterStatus) -> bool| {
        let house = &house;
        async move {
            house
                .until(router_id, what, || {
                    let status = house.store.get::<RouterStatus>(router_id)?;
                    is_it(&status.value).then_some(())
                })
                .await;
        }
    };
    status("carrying", |status| {
        status.floating.len() == 1 && status.ports.len() == 2
    })
    .await;
    let plan = house.engine.router(router_id).unwrap();
    let pair = ["10.2.0.200", "10.1.0.9"].map(|text| text.parse::<IpAddr>().unwrap());
    assert_eq!(plan.floating, [(pair[0], pair[1])]);

    floating.spec.target = None;
    let mut batch = house.store.transaction();
    batch.put(floating.meta.id, floating);
    house.store.commit(batch).await.unwrap();
    status("loose", |status| status.floating.is_empty()).await;
    let mut batch = house.store.transaction();
    batch.delete::<Router>(router_id, None);
    house.store.commit(batch).await.unwrap();
    house
        .until(router_id, "gone", || {
            let status = house.store.get::<RouterStatus>(router_id);
            status.is_none().then_some(())
        })
        .await;
    assert!(house.engine.router(router_id).is_none());
}
