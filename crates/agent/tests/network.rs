//! Addresses: given at the start, kept while it may run, free when it is over.

use model::Id;
use model::instance::{FailureKind, NetworkMode, Phase, RestartPolicy};
use model::network::Network;

use crate::house::{House, attachment, kill};

fn address(house: &House, id: Id) -> String {
    house.status(id).unwrap().endpoints[0]
        .ipv4
        .unwrap()
        .0
        .to_string()
}

#[tokio::test]
async fn addresses_are_given_in_order_and_given_again() {
    let house = House::new().await;
    let network = house.network("net", "10.1.0.0/24").await;
    let mut ids = Vec::new();
    for last in 2..5 {
        let id = house
            .run(&["sleep", "1000"], |spec| {
                spec.attachments.push(attachment(network));
            })
            .await;
        house.until_running(id, (1, 0)).await;
        assert_eq!(address(&house, id), format!("10.1.0.{last}"));
        ids.push(id);
    }
    house.stop(ids[1], kill()).await;
    house
        .until(ids[1], "released", || {
            house.placement(ids[1])?.endpoints.is_empty().then_some(())
        })
        .await;
    let next = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(attachment(network));
        })
        .await;
    house.until_running(next, (1, 0)).await;
    assert_eq!(address(&house, next), "10.1.0.3");
    // The one that was stopped takes what is free when it starts again.
    house.start(ids[1]).await;
    house.until_running(ids[1], (2, 0)).await;
    assert_eq!(address(&house, ids[1]), "10.1.0.5");
}

#[tokio::test]
async fn a_restart_keeps_the_address() {
    let house = House::new().await;
    let network = house.network("net", "10.1.0.0/24").await;
    let id = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(attachment(network));
            spec.restart = RestartPolicy::Always;
        })
        .await;
    let first = house.until_running(id, (1, 0)).await.endpoints.clone();
    assert!(house.engine.exit(id, 1));
    assert_eq!(house.until_running(id, (1, 1)).await.endpoints, first);
}

#[tokio::test]
async fn two_cannot_have_one_fixed_address() {
    let house = House::new().await;
    let network = house.network("net", "10.1.0.0/24").await;
    let mut fixed = attachment(network);
    fixed.ipv4 = Some("10.1.0.77".parse().unwrap());
    let first = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(fixed.clone());
        })
        .await;
    house.until_running(first, (1, 0)).await;
    assert_eq!(address(&house, first), "10.1.0.77");
    let second = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(fixed.clone());
        })
        .await;
    let status = house
        .until_status(second, "refused", |status| status.error.is_some())
        .await;
    assert_eq!(status.phase, Phase::Created);
    assert_eq!(status.error.as_ref().unwrap().kind, FailureKind::Conflict);
    house.stop(first, kill()).await;
    house
        .until(first, "released", || {
            house.placement(first)?.endpoints.is_empty().then_some(())
        })
        .await;
    house.start(second).await;
    house.until_running(second, (2, 0)).await;
    assert_eq!(address(&house, second), "10.1.0.77");
}

#[tokio::test]
async fn the_hosts_network_needs_no_address() {
    let house = House::new().await;
    let id = house
        .run(&["sleep", "1000"], |spec| spec.network = NetworkMode::Host)
        .await;
    assert!(house.until_running(id, (1, 0)).await.endpoints.is_empty());
}

#[tokio::test]
async fn a_network_is_made_at_once_and_removed_whole() {
    let house = House::new().await;
    let network = house.network("net", "10.1.0.0/24").await;
    while house.engine.networks() != [network] {
        tokio::task::yield_now().await;
    }
    let found = house.store.get::<Network>(network).unwrap();
    let mut marked = Network::clone(&found.value);
    marked.meta.deleted_at = Some(jiff::Timestamp::now());
    let mut batch = house.store.transaction();
    batch.update(network, found.revision, marked);
    house.store.commit(batch).await.unwrap();
    house
        .until(network, "gone", || {
            house.store.get::<Network>(network).is_none().then_some(())
        })
        .await;
    assert!(house.engine.networks().is_empty());

    let id = house
        .run(&["true"], |spec| spec.attachments.push(attachment(network)))
        .await;
    let status = house
        .until_status(id, "refused", |status| status.error.is_some())
        .await;
    assert_eq!(status.error.as_ref().unwrap().kind, FailureKind::NotFound);
}

#[tokio::test]
async fn after_a_daemons_restart_no_address_is_given_twice() {
    let mut house = House::new().await;
    let network = house.network("net", "10.1.0.0/24").await;
    let first = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(attachment(network));
        })
        .await;
    house.until_running(first, (1, 0)).await;
    house.stop_daemon().await;
    house.start_daemon().await;
    let second = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(attachment(network));
        })
        .await;
    house.until_running(second, (1, 0)).await;
    assert_eq!(
        (address(&house, first), address(&house, second)),
        ("10.1.0.2".into(), "10.1.0.3".into())
    );
}
