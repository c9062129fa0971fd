//! Networks, and the quotas that some of them go through.

use std::collections::BTreeMap;
use std::net::IpAddr;

use actions::network::{self, NewNetwork, NewSubnet};
use actions::quota::{self, Service};
use actions::{ActionError, ErrorKind};
use model::Id;
use model::network::{Cidr, NetworkSpec, Routing};
use model::quota::Resource;

use crate::house::{House, admin, kind};

async fn create(house: &House, number: u8, routing: Routing) -> Result<Id, ActionError> {
    let cidr = Cidr::new(IpAddr::from([10, 77, number, 0]), 24).unwrap();
    let subnet = NewSubnet {
        cidr,
        gateway: None,
        pool: None,
        reserved: BTreeMap::new(),
    };
    let new = NewNetwork {
        name: format!("n{number}"),
        labels: BTreeMap::new(),
        spec: NetworkSpec {
            routing,
            ..NetworkSpec::default()
        },
        ipv4: false,
        ipv6: false,
        subnets: vec![subnet],
    };
    network::create(&house.cloud, &admin(), new).await
}

#[tokio::test]
async fn networks_of_the_node_are_in_no_quota() {
    let house = House::new().await;
    let admin = admin();
    let project = admin.project();
    let used = |resource| {
        let figures = quota::figures(&house.cloud, &admin, Service::Network, project);
        figures.unwrap()[&resource].used
    };
    let kinds = [Resource::Networks, Resource::Subnets];
    let before = kinds.map(used);
    let limits = BTreeMap::from(kinds.map(|kind| (kind, i64::try_from(used(kind)).unwrap() + 1)));
    quota::set(
        &house.cloud,
        &admin,
        Service::Network,
        project,
        &limits,
        true,
    )
    .await
    .unwrap();
    for number in 0..3 {
        create(&house, number, Routing::Node).await.unwrap();
    }
    create(&house, 3, Routing::Routers).await.unwrap();
    let refusal = create(&house, 4, Routing::Routers).await;
    assert_eq!(kind(refusal), ErrorKind::QuotaExceeded);
    assert_eq!(kinds.map(used), before.map(|used| used + 1));
}
