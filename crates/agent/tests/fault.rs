//! The daemon goes away and comes back.

use engine::Engine as _;
use model::instance::Phase;

use crate::house::{House, attachment};

#[tokio::test]
async fn what_runs_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut house = House::in_directory(directory.path()).await;
    let network = house.network("net", "10.1.0.0/24").await;
    let id = house
        .run(&["sleep", "1000"], |spec| {
            spec.attachments.push(attachment(network));
        })
        .await;
    let before = house.until_running(id, (1, 0)).await;
    house.stop_daemon().await;
    house.start_daemon().await;
    assert_eq!(house.until_running(id, (1, 0)).await, before);
    assert!(house.engine.exit(id, 4));
    assert_eq!(
        house
            .until_exited(id, (1, 0))
            .await
            .exit
            .as_ref()
            .unwrap()
            .code,
        4
    );
}

#[tokio::test]
async fn an_exit_that_nobody_saw_has_its_true_code() {
    let mut house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    house.stop_daemon().await;
    assert!(house.engine.exit(id, 42));
    house.start_daemon().await;
    let status = house.until_exited(id, (1, 0)).await;
    assert_eq!(status.exit.as_ref().unwrap().code, 42);
    assert!(status.started_at.is_some());
}

#[tokio::test]
async fn what_was_asked_for_while_it_was_away_is_done() {
    let mut house = House::new().await;
    let (stopped, deleted) = (
        house.run(&["sleep", "1000"], |_| {}).await,
        house.run(&["sleep", "1000"], |_| {}).await,
    );
    house.until_running(stopped, (1, 0)).await;
    house.until_running(deleted, (1, 0)).await;
    house.stop_daemon().await;
    house.stop(stopped, crate::house::kill()).await;
    house.delete(deleted).await;
    let started = house.run(&["sleep", "1000"], |_| {}).await;
    house.start_daemon().await;
    house.until_exited(stopped, (1, 0)).await;
    house.until_gone(deleted).await;
    house.until_running(started, (1, 0)).await;
}

#[tokio::test]
async fn a_start_that_was_not_written_down_is_not_made_twice() {
    let mut house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    let before = house.until_running(id, (1, 0)).await;
    house.stop_daemon().await;
    // As if the daemon had died between the start and its record.
    let mut lost = (*before).clone();
    lost.run.epoch = 0;
    lost.phase = Phase::Created;
    lost.pid = 0;
    let mut batch = house.store.transaction();
    batch.put(id, lost);
    house.store.commit(batch).await.unwrap();
    house.start_daemon().await;
    let after = house.until_running(id, (1, 0)).await;
    assert_eq!(after.pid, before.pid);
}

#[tokio::test]
async fn what_has_no_record_is_removed() {
    let mut house = House::new().await;
    let id = house.run(&["sleep", "1000"], |_| {}).await;
    house.until_running(id, (1, 0)).await;
    house.stop_daemon().await;
    // The records are lost: another store, the same machine.
    house.store = store::Store::memory();
    assert_eq!(house.engine.found().await.unwrap().len(), 1);
    house.start_daemon().await;
    for _ in 0..2_000 {
        if house.engine.instances().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("left on the node: {:?}", house.engine.instances());
}
