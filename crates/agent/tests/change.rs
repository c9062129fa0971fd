//! Changes of what runs.

use engine::simulated::Operation;
use engine::{Engine as _, Happening};
use model::instance::{Failure, FailureKind, Health, HealthState, Phase};

use crate::house::{House, attachment};

#[tokio::test]
async fn it_is_frozen_and_thawed() {
    let house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    house
        .intend(id, |instance| instance.spec.run.paused = true)
        .await;
    house
        .until_status(id, "paused", |status| status.phase == Phase::Paused)
        .await;
    house
        .intend(id, |instance| instance.spec.run.paused = false)
        .await;
    house.until_running(id, (1, 0)).await;
}

#[tokio::test]
async fn a_change_is_acknowledged_by_its_generation() {
    let house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    let failure = Failure {
        kind: FailureKind::Invalid,
        message: "less than it uses".into(),
    };
    house.engine.fail_next(Operation::Update, failure.clone());
    let generation = house
        .intend(id, |instance| {
            instance.spec.containers[0].resources.memory_bytes = Some(1);
        })
        .await;
    let status = house
        .until_status(id, "told", |status| status.generation == generation)
        .await;
    assert_eq!(
        (status.error.clone(), status.phase),
        (Some(failure), Phase::Running)
    );
    let generation = house
        .intend(id, |instance| {
            instance.spec.containers[0].resources.memory_bytes = Some(1 << 30);
        })
        .await;
    let status = house
        .until_status(id, "told", |status| status.generation == generation)
        .await;
    assert_eq!(status.error, None);
}

#[tokio::test]
async fn networks_come_and_go_while_it_runs() {
    let house = House::new().await;
    let (one, two) = (
        house.network("one", "10.1.0.0/24").await,
        house.network("two", "10.2.0.0/24").await,
    );
    let id = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(attachment(one));
        })
        .await;
    house.until_running(id, (1, 0)).await;
    let generation = house
        .intend(id, |instance| {
            instance.spec.attachments.push(attachment(two));
        })
        .await;
    let status = house
        .until_status(id, "connected", |status| status.generation == generation)
        .await;
    let networks: Vec<_> = status
        .endpoints
        .iter()
        .map(|endpoint| endpoint.network)
        .collect();
    assert_eq!(networks, [one, two]);
    let generation = house
        .intend(id, |instance| {
            instance
                .spec
                .attachments
                .retain(|attachment| attachment.network == two);
        })
        .await;
    let status = house
        .until_status(id, "disconnected", |status| status.generation == generation)
        .await;
    let networks: Vec<_> = status
        .endpoints
        .iter()
        .map(|endpoint| endpoint.network)
        .collect();
    assert_eq!((networks, status.error.clone()), (vec![two], None));
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_to_who_connects() {
    let house = House::new().await;
    let network = house.network("one", "10.1.0.0/24").await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    let mut gateway = attachment(network);
    gateway.ipv4 = Some("10.1.0.1".parse().unwrap());
    let generation = house
        .intend(id, |instance| {
            instance.spec.attachments.push(gateway.clone());
        })
        .await;
    let status = house
        .until_status(id, "told", |status| status.generation == generation)
        .await;
    assert_eq!(status.error.as_ref().unwrap().kind, FailureKind::Conflict);
    assert!(status.endpoints.is_empty());
    // Once it is taken back, all is well.
    let generation = house
        .intend(id, |instance| instance.spec.attachments.clear())
        .await;
    let status = house
        .until_status(id, "told", |status| status.generation == generation)
        .await;
    assert_eq!((status.error.clone(), status.phase), (None, Phase::Running));
}

#[tokio::test]
async fn its_health_is_written_down_and_forgotten_at_the_next_start() {
    let house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    let health = Health {
        state: HealthState::Unhealthy,
        failing_streak: 3,
        log: Vec::new(),
    };
    house.engine.set_health(id, health.clone());
    house
        .until_status(id, "unhealthy", |status| {
            status.health.as_ref() == Some(&health)
        })
        .await;
    assert!(house.engine.exit(id, 0));
    assert_eq!(house.until_exited(id, (1, 0)).await.health, Some(health));
    house.start(id).await;
    assert_eq!(house.until_running(id, (2, 0)).await.health, None);
}

#[tokio::test]
async fn its_health_checks_go_on_where_another_daemon_left_them() {
    let mut house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    let health = Health {
        state: HealthState::Unhealthy,
        failing_streak: 3,
        log: Vec::new(),
    };
    house.engine.set_health(id, health.clone());
    house
        .until_status(id, "unhealthy", |status| {
            status.health.as_ref() == Some(&health)
        })
        .await;
    house.stop_daemon().await;
    let mut happenings = house.engine.happenings();
    house.start_daemon().await;
    assert_eq!(
        happenings.try_recv().unwrap(),
        Happening::Health(id, health)
    );
}
