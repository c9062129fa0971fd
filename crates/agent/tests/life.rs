//! Made, started, ended.

use engine::simulated::Operation;
use futures_util::future::join_all;
use model::instance::{Failure, FailureKind, Phase, StopRequest};

use crate::house::{House, kill};

#[tokio::test]
async fn an_instance_is_made_on_the_node_before_its_start() {
    let house = House::new().await;
    let id = house.create(&["true"], |_| {}).await;
    let status = house
        .until_status(id, "made", |status| status.phase == Phase::Created)
        .await;
    assert_eq!((status.run.epoch, status.pid, &status.error), (0, 0, &None));
    assert_eq!(house.engine.instances(), [id]);
}

#[tokio::test]
async fn a_run_ends_with_its_exit_code() {
    let house = House::new().await;
    let id = house.run(&["sh", "-c", "exit 7"], |_| {}).await;
    let status = house.until_exited(id, (1, 0)).await;
    assert_eq!(status.exit.as_ref().unwrap().code, 7);
    assert_eq!((status.pid, &status.error), (0, &None));
    assert!(status.started_at.is_some());
    // It stays down.
    house
        .until_status(id, "exited still", |status| status.run.attempt == 0)
        .await;
    assert!(house.retry(id).is_none());
}

#[tokio::test]
async fn a_user_stops_it_and_starts_it_again() {
    let house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    let first = house.until_running(id, (1, 0)).await;
    assert!(first.pid > 0);
    house.stop(id, kill()).await;
    assert_eq!(
        house
            .until_exited(id, (1, 0))
            .await
            .exit
            .as_ref()
            .unwrap()
            .code,
        137
    );
    house.start(id).await;
    let second = house.until_running(id, (2, 0)).await;
    assert_eq!(second.exit, None);
    assert!(second.pid != first.pid);
}

#[tokio::test]
async fn a_harder_stop_ends_a_patient_one() {
    let house = House::new().await;
    // Process 1 does not handle TERM, so the first request would wait for an hour.
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    house
        .stop(
            id,
            StopRequest {
                signal: Some("TERM".into()),
                timeout_secs: Some(3600),
            },
        )
        .await;
    tokio::task::yield_now().await;
    assert_eq!(house.status(id).unwrap().phase, Phase::Running);
    house.stop(id, kill()).await;
    house.until_exited(id, (1, 0)).await;
}

#[tokio::test]
async fn a_start_for_a_newer_epoch_replaces_the_run() {
    let house = House::new().await;
    let id = house
        .run(
            &["sh", "-c", "trap 'exit 3' TERM; sleep 1000 & wait"],
            |_| {},
        )
        .await;
    house.until_running(id, (1, 0)).await;
    house.start(id).await;
    house.until_running(id, (2, 0)).await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_told_and_not_tried_again() {
    let house = House::new().await;
    for (args, kind, code) in [
        (["nonsense"], FailureKind::CommandNotFound, 127),
        (["/etc"], FailureKind::CommandNotExecutable, 126),
    ] {
        let id = house.create(&args, |_| {}).await;
        house.engine.put_image_file(id, "/etc/passwd", b"root");
        house.until_status(id, "made", |_| true).await;
        house.engine.put_image_file(id, "/etc/passwd", b"root");
        house.start(id).await;
        let status = house
            .until_status(id, "refused", |status| status.run.epoch == 1)
            .await;
        assert_eq!(status.phase, Phase::Created);
        assert_eq!(status.error.as_ref().unwrap().kind, kind);
        assert_eq!(status.exit.as_ref().unwrap().code, code);
    }
}

#[tokio::test]
async fn what_could_not_be_made_is_made_at_the_start() {
    let house = House::new().await;
    let failure = Failure {
        kind: FailureKind::Internal,
        message: "the disk is full".into(),
    };
    house.engine.fail_next(Operation::Create, failure.clone());
    let id = house.create(&["sleep", "1000"], |_| {}).await;
    let status = house
        .until_status(id, "failed", |status| status.error.is_some())
        .await;
    assert_eq!(
        (status.phase, status.error.clone()),
        (Phase::Created, Some(failure))
    );
    house.start(id).await;
    let status = house.until_running(id, (1, 0)).await;
    assert_eq!(status.error, None);
}

#[tokio::test]
async fn a_failed_start_after_a_run_leaves_it_exited() {
    let house = House::new().await;
    let id = house.run(&["true"], |_| {}).await;
    house.until_exited(id, (1, 0)).await;
    let failure = Failure {
        kind: FailureKind::Conflict,
        message: "port is already allocated".into(),
    };
    house.engine.fail_next(Operation::Start, failure.clone());
    house.start(id).await;
    let status = house
        .until_status(id, "refused", |status| status.error.is_some())
        .await;
    assert_eq!((status.phase, status.run.epoch), (Phase::Exited, 2));
    assert_eq!(
        (status.error.clone(), status.exit.as_ref().unwrap().code),
        (Some(failure), 128)
    );
    house.start(id).await;
    assert_eq!(house.until_exited(id, (3, 0)).await.error, None);
}

#[tokio::test]
async fn many_start_at_once() {
    let house = House::new().await;
    let ids = join_all((0..100).map(|_| house.run(&["sleep", "1000"], |_| {}))).await;
    join_all(ids.iter().map(|id| house.until_running(*id, (1, 0)))).await;
    join_all(ids.iter().map(|id| house.stop(*id, kill()))).await;
    join_all(ids.iter().map(|id| house.until_exited(*id, (1, 0)))).await;
}

#[tokio::test]
async fn a_node_without_room_says_so() {
    let house = House::new().await;
    let id = house.create(&["true"], |spec| {
        spec.containers[0].resources.memory_reservation_bytes = Some(1 << 50);
    });
    let id = id.await;
    house.start(id).await;
    let reason = house
        .until(id, "refused", || house.placement(id)?.reason.clone())
        .await;
    assert_eq!(reason.kind, FailureKind::NoCapacity);
    assert!(
        reason.message.contains("bytes of memory to reserve"),
        "{}",
        reason.message
    );
}
