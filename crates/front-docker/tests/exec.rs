//! Execs: created, run attached and detached, inspected.

use serde_json::{Value, json};

use crate::house::{House, read_all, unframe};

#[tokio::test]
async fn an_exec_runs_attached_and_leaves_its_exit_code() {
    let house = House::new().await;
    let container = house.run("web", &["sleep", "1000"], json!({})).await;
    let create = json!({ "Cmd": ["sh", "-c", "echo hi; exit 5"], "AttachStdout": true, "AttachStderr": true });
    let created = house.post("/containers/web/exec", create).await;
    assert_eq!(created.status, 201, "{created:?}");
    let exec = created.json()["Id"].as_str().unwrap().to_owned();
    let (head, stream) = house
        .hijack(
            &format!("/exec/{exec}/start"),
            json!({ "Detach": false, "Tty": false }),
        )
        .await;
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED"), "{head}");
    assert_eq!(unframe(&read_all(stream).await).0, "hi\n");
    let shown = house.get(&format!("/exec/{exec}/json")).await.json();
    assert_eq!(
        (&shown["ExitCode"], &shown["Running"]),
        (&json!(5), &json!(false))
    );
    assert_eq!(shown["ContainerID"], json!(container));
    assert_eq!(shown["ProcessConfig"]["entrypoint"], "sh");
    let again = house
        .post(&format!("/exec/{exec}/start"), json!({ "Detach": true }))
        .await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn a_detached_exec_answers_at_once() {
    let house = House::new().await;
    house.run("web", &["sleep", "1000"], json!({})).await;
    let created = house
        .post("/containers/web/exec", json!({ "Cmd": ["sleep", "1000"] }))
        .await
        .json();
    let exec = created["Id"].as_str().unwrap();
    let started = house
        .post(&format!("/exec/{exec}/start"), json!({ "Detach": true }))
        .await;
    assert_eq!((started.status, started.body.len()), (200, 0));
    let shown = house.get("/containers/web/json").await.json();
    assert_eq!(shown["ExecIDs"], json!([exec]));
}

#[tokio::test]
async fn an_exec_goes_from_the_list_with_its_end_and_one_not_begun_with_the_run() {
    let house = House::new().await;
    house.run("web", &["sleep", "1000"], json!({})).await;
    let prepared = house.post("/containers/web/exec", json!({ "Cmd": ["true"] }));
    let prepared = prepared.await.json()["Id"].as_str().unwrap().to_owned();
    let done = house.post("/containers/web/exec", json!({ "Cmd": ["true"] }));
    let done = done.await.json()["Id"].as_str().unwrap().to_owned();
    house
        .post(&format!("/exec/{done}/start"), json!({ "Detach": false }))
        .await;
    let shown = house.get("/containers/web/json").await.json();
    assert_eq!(shown["ExecIDs"], json!([prepared]));
    assert_eq!(house.get(&format!("/exec/{done}/json")).await.status, 200);

    let early = house.post("/containers/web/exec", json!({ "Cmd": ["true"] }));
    let early = early.await.json()["Id"].as_str().unwrap().to_owned();
    let start = format!("/exec/{early}/start");
    house.post("/containers/web/pause", Value::Null).await;
    assert_eq!(house.post(&start, json!({})).await.status, 409);
    house.post("/containers/web/unpause", Value::Null).await;
    assert_eq!(house.post(&start, json!({})).await.status, 200);

    house.post("/containers/web/stop?t=0", Value::Null).await;
    let start = format!("/exec/{prepared}/start");
    assert_eq!(house.post(&start, json!({})).await.status, 404);
    house.post("/containers/web/start", Value::Null).await;
    assert_eq!(house.post(&start, json!({})).await.status, 404);
    let shown = house.get("/containers/web/json").await.json();
    assert_eq!(shown["ExecIDs"], Value::Null);
}

#[tokio::test]
async fn wrong_execs_are_refused() {
    let house = House::new().await;
    let idle = house.create("idle", &["true"], json!({})).await;
    let answer = house
        .post("/containers/idle/exec", json!({ "Cmd": ["true"] }))
        .await;
    assert_eq!(
        (answer.status, answer.message()),
        (409, format!("container {idle} is not running"))
    );
    let answer = house
        .post("/containers/idle/exec", json!({ "Cmd": [] }))
        .await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (400, "No exec command specified")
    );
    let answer = house.get("/exec/nosuch/json").await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (404, "No such exec instance: nosuch")
    );
    let answer = house.post("/exec/nosuch/start", Value::Null).await;
    assert_eq!(answer.status, 404);
}
