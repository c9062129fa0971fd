//! Removal: by a user, by itself, twice, in the middle.

use engine::simulated::Operation;
use model::instance::{Failure, FailureKind, Phase};
use model::volume::Volume;

use crate::house::{House, kill, mount};

#[tokio::test]
async fn what_is_deleted_leaves_nothing() {
    let house = House::new().await;
    let made = house.create(&["true"], |_| {}).await;
    let exited = house.run(&["true"], |_| {}).await;
    house.until_exited(exited, (1, 0)).await;
    let running = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(running, (1, 0)).await;
    for id in [made, exited, running] {
        house.delete(id).await;
        house.until_gone(id).await;
    }
}

#[tokio::test]
async fn deleting_twice_at_once_is_fine() {
    let house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    tokio::join!(house.delete(id), house.delete(id), house.stop(id, kill()));
    house.until_gone(id).await;
}

#[tokio::test]
async fn a_removal_that_fails_is_told_and_tried_again() {
    let house = House::new().await;
    let id = house.run(&["true"], |_| {}).await;
    house.until_exited(id, (1, 0)).await;
    let failure = Failure {
        kind: FailureKind::Internal,
        message: "device or resource busy".into(),
    };
    house.engine.fail_next(Operation::Remove, failure.clone());
    house.delete(id).await;
    let status = house
        .until_status(id, "dead", |status| status.phase == Phase::Dead)
        .await;
    assert_eq!(status.error, Some(failure));
    house.until_gone(id).await;
}

#[tokio::test]
async fn it_removes_itself_with_the_volumes_that_only_it_uses() {
    let house = House::new().await;
    let id = house
        .create(&["sh", "-c", "exit 3"], |spec| spec.auto_remove = true)
        .await;
    let volumes = [
        house.volume("own", Some(id)).await,
        house.volume("shared", Some(id)).await,
        house.volume("named", None).await,
    ];
    house
        .intend(id, |instance| {
            instance.spec.containers[0].mounts = vec![
                mount("own", true),
                mount("shared", true),
                mount("named", false),
            ];
        })
        .await;
    let other = house
        .create(&["true"], |spec| {
            spec.containers[0].mounts = vec![mount("shared", true)];
        })
        .await;
    // Attached to and copied into before it starts, so it is made before.
    house
        .until_status(id, "made", |status| status.phase == Phase::Created)
        .await;
    house.start(id).await;
    house.until_gone(id).await;
    house
        .until(volumes[0], "gone", || {
            house
                .store
                .get::<Volume>(volumes[0])
                .is_none()
                .then_some(())
        })
        .await;
    assert!(
        house
            .store
            .get::<Volume>(volumes[1])
            .unwrap()
            .value
            .meta
            .deleted_at
            .is_none()
    );
    assert!(
        house
            .store
            .get::<Volume>(volumes[2])
            .unwrap()
            .value
            .meta
            .deleted_at
            .is_none()
    );
    assert!(!house.engine.volumes().contains(&volumes[0]));
    assert!(house.engine.instances().contains(&other));
}

#[tokio::test]
async fn it_removes_itself_when_it_cannot_be_started() {
    let house = House::new().await;
    let id = house
        .run(&["nonsense"], |spec| spec.auto_remove = true)
        .await;
    house.until_gone(id).await;
    let too_large = house
        .run(&["true"], |spec| {
            spec.auto_remove = true;
            spec.containers[0].resources.memory_reservation_bytes = Some(1 << 50);
        })
        .await;
    house.until_gone(too_large).await;
}
