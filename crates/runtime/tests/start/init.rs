//! The small process 1 of a container that asks for one.

use super::said;
use crate::keeper::{exit_of, until};
use crate::scene::{Scene, key};

#[tokio::test]
async fn it_reaps_what_others_leave_behind() {
    let scene = Scene::new().await;
    let script = "cat /proc/1/comm; (true &); while ps | grep -q '\\[true\\]'; do :; done; exit 3";
    let mut launch = scene.launch("box", script);
    launch.init = true;
    assert_eq!(said(&scene, &mut launch).await, "memfd:init\n");
    let processes = scene.client.list().await.unwrap();
    assert_eq!(processes[0].exited.unwrap().code, 3);
}

#[tokio::test]
async fn it_forwards_signals() {
    let scene = Scene::new().await;
    let mut launch = scene.launch(
        "box",
        "trap 'exit 5' TERM; echo ready; while :; do sleep 1; done",
    );
    launch.init = true;
    let mut events = scene.client.events();
    scene.client.start(&launch, None).await.unwrap();
    until(async || scene.log_text("box") == "ready\n").await;
    scene
        .client
        .signal(&key("box"), libc::SIGTERM)
        .await
        .unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 5);
}
