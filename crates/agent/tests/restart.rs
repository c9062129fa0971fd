//! Restart policies, with the daemon and with the machine.

use std::time::Duration;

use model::instance::{Attachment, InstanceSpec, Phase, RestartPolicy};
use model::network::Network;
use tokio::time::sleep;

use crate::house::{House, attachment, kill, policy};

#[tokio::test]
async fn always_runs_again_later_and_later() {
    let house = House::new().await;
    let id = house.run(&["false"], policy(RestartPolicy::Always)).await;
    house.until_exited(id, (1, 2)).await;
    assert_eq!(
        house
            .until(id, "retried", || house
                .retry(id)
                .filter(|retry| retry.attempt == 3))
            .await
            .back_off_ms,
        400
    );
    house.stop(id, kill()).await;
    let seen = house.status(id).unwrap().run;
    sleep(Duration::from_millis(600)).await;
    assert_eq!(
        house.status(id).unwrap().run,
        seen,
        "started after a user stopped it"
    );
}

#[tokio::test]
async fn on_failure_gives_up() {
    let house = House::new().await;
    let id = house
        .run(&["false"], policy(RestartPolicy::OnFailure(1)))
        .await;
    house.until_exited(id, (1, 1)).await;
    sleep(Duration::from_millis(400)).await;
    assert_eq!(house.status(id).unwrap().run.attempt, 1);

    let fine = house
        .run(&["true"], policy(RestartPolicy::OnFailure(0)))
        .await;
    house.until_exited(fine, (1, 0)).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(house.status(fine).unwrap().run.attempt, 0);
}

#[tokio::test]
async fn a_users_start_counts_from_zero() {
    let house = House::new().await;
    let id = house
        .run(&["sleep", "1000"], policy(RestartPolicy::Always))
        .await;
    house.until_running(id, (1, 0)).await;
    assert!(house.engine.exit(id, 1));
    house.until_running(id, (1, 1)).await;
    house.stop(id, kill()).await;
    house.until_exited(id, (1, 1)).await;
    house.start(id).await;
    house.until_running(id, (2, 0)).await;
    assert!(house.engine.exit(id, 1));
    house.until_running(id, (2, 1)).await;
    assert_eq!(house.retry(id).unwrap().back_off_ms, 100);
}

#[tokio::test]
async fn with_the_daemon_start_those_whose_policy_says_so() {
    let mut house = House::new().await;
    let mut ids = Vec::new();
    for restart in [
        RestartPolicy::Always,
        RestartPolicy::UnlessStopped,
        RestartPolicy::Never,
    ] {
        let id = house.run(&["sleep", "1000"], policy(restart)).await;
        house.until_running(id, (1, 0)).await;
        house.stop(id, kill()).await;
        house.until_exited(id, (1, 0)).await;
        ids.push(id);
    }
    let never_started = house
        .create(&["sleep", "1000"], policy(RestartPolicy::Always))
        .await;
    house.stop_daemon().await;
    house.start_daemon().await;
    house.until_running(ids[0], (2, 0)).await;
    sleep(Duration::from_millis(100)).await;
    for id in &ids[1..] {
        assert_eq!(house.status(*id).unwrap().phase, Phase::Exited);
    }
    assert_eq!(house.status(never_started).unwrap().phase, Phase::Created);
}

#[tokio::test]
async fn after_a_reboot_policies_are_honoured() {
    let mut house = House::new().await;
    let mut ids = Vec::new();
    for restart in [
        RestartPolicy::Always,
        RestartPolicy::UnlessStopped,
        RestartPolicy::OnFailure(0),
        RestartPolicy::Never,
    ] {
        let id = house.run(&["sleep", "1000"], policy(restart)).await;
        house.until_running(id, (1, 0)).await;
        ids.push(id);
    }
    house.reboot().await;
    for id in &ids[..3] {
        let status = house.until_running(*id, (1, 1)).await;
        assert_eq!(status.boot_id, "boot 2");
    }
    let down = house.until_exited(ids[3], (1, 0)).await;
    assert_eq!(down.exit.as_ref().unwrap().code, 255);
}

#[tokio::test]
async fn one_that_is_linked_comes_back_after_the_other() {
    let house = House::new().await;
    let network = house.network("plain", "10.5.0.0/24").await;
    let found = house.store.get::<Network>(network).unwrap();
    let mut nameless = Network::clone(&found.value);
    nameless.spec.dns = false;
    let mut batch = house.store.transaction();
    batch.update(network, found.revision, nameless);
    house.store.commit(batch).await.unwrap();
    let restarted = |links: Vec<(String, String)>| {
        move |spec: &mut InstanceSpec| {
            spec.restart = RestartPolicy::Always;
            spec.attachments = vec![Attachment {
                links,
                ..attachment(network)
            }];
        }
    };
    let sleep = ["sleep", "1000"];
    let other = house.run(&sleep, restarted(Vec::new())).await;
    house.until_running(other, (1, 0)).await;
    let name = format!("name-{}", other.simple());
    let links = vec![(name, "other".to_owned())];
    let linked = house.run(&sleep, restarted(links)).await;
    house.until_running(linked, (1, 0)).await;
    // The other takes longer each time, until it comes back after the linked one would.
    for attempt in 1..3 {
        assert!(house.engine.exit(other, 1));
        house.until_running(other, (1, attempt)).await;
    }
    assert!(house.engine.exit(other, 1));
    house.until_exited(other, (1, 2)).await;
    assert!(house.engine.exit(linked, 1));
    house.until_running(linked, (1, 1)).await;
    house.until_running(other, (1, 3)).await;
}
