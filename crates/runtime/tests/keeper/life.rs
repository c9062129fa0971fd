//! Starts, ends, and what is remembered of them.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use oci_spec::runtime::{LinuxMemoryBuilder, LinuxResourcesBuilder};
use runtime::keeper::{CallError, KeeperEvent, Refusal};
use runtime::launch::StartErrorKind;
use rustix::process::{Pid, Signal, kill_process};

use super::{NOTHING, exit_of, read_all_later, run, until};
use crate::scene::{Scene, key};

#[tokio::test]
async fn exits_are_remembered_while_nobody_listens() {
    let scene = Scene::new().await;
    let other = scene.connect().await;
    let launches = [
        ("zero", "exit 0"),
        ("seven", "exit 7"),
        ("killed", "kill -9 $$"),
    ];
    for (id, script) in launches {
        // A shell that is process 1 is not killed by itself.
        let script = if id == "killed" {
            "while :; do sleep 100; done"
        } else {
            script
        };
        other.start(&scene.launch(id, script), None).await.unwrap();
    }
    other.signal(&key("killed"), 9).await.unwrap();
    drop(other);
    until(async || {
        scene
            .client
            .list()
            .await
            .unwrap()
            .iter()
            .all(|process| process.exited.is_some())
    })
    .await;
    let later = scene.connect().await;
    let mut found: Vec<(String, i32)> = Vec::new();
    for process in later.list().await.unwrap() {
        assert_eq!(
            process.note,
            serde_json::json!({ "of": process.key.container })
        );
        let exited = process.exited.unwrap();
        assert!(exited.at >= process.started_at);
        found.push((process.key.container.clone(), exited.code));
        later.forget(&process.key).await.unwrap();
        later.forget(&process.key).await.unwrap();
    }
    found.sort();
    assert_eq!(
        found,
        [
            ("killed".to_owned(), 137),
            ("seven".to_owned(), 7),
            ("zero".to_owned(), 0)
        ]
    );
    assert_eq!(later.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_container_outlives_its_daemon_and_its_log_goes_on() {
    let scene = Scene::new().await;
    let daemon = scene.connect().await;
    let attached = daemon.attach(&key("box"), true, true).await.unwrap();
    // What was only prepared goes with the daemon.
    let prepared = daemon.attach(&key("never"), false, true).await.unwrap();
    let mut launch = scene.launch("box", "echo one; read line; echo $line");
    launch.stdio.stdin = true;
    daemon.start(&launch, None).await.unwrap();
    drop((daemon, attached));
    assert_eq!(read_all_later(prepared.output.unwrap()).await, NOTHING);
    let mut events = scene.client.events();
    let attached = scene.client.attach(&key("box"), true, true).await.unwrap();
    File::from(attached.stdin.unwrap())
        .write_all(b"two\n")
        .unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 0);
    assert_eq!(scene.log_text("box"), "one\ntwo\n");
}

#[tokio::test]
async fn eight_start_at_once() {
    let scene = Scene::new().await;
    let mut events = scene.client.events();
    let launches: Vec<_> = (0..8)
        .map(|number| scene.launch(&format!("box{number}"), &format!("exit {number}")))
        .collect();
    let starts: Vec<_> = launches
        .iter()
        .map(|launch| tokio::spawn(scene.client.start(launch, None)))
        .collect();
    for start in starts {
        assert!(start.await.unwrap().unwrap().pid > 1);
    }
    until(async || {
        scene
            .client
            .list()
            .await
            .unwrap()
            .iter()
            .all(|process| process.exited.is_some())
    })
    .await;
    for (number, launch) in (0..).zip(&launches) {
        let processes = scene.client.list().await.unwrap();
        let process = processes
            .iter()
            .find(|process| process.key == key(&launch.id))
            .unwrap();
        assert_eq!(process.exited.unwrap().code, number);
    }
    // Each was told once.
    for _ in 0..8 {
        assert!(matches!(
            events.recv().await.unwrap(),
            KeeperEvent::Exited { .. }
        ));
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing() {
    let scene = Scene::new().await;
    let attached = scene.client.attach(&key("box"), false, true).await.unwrap();
    let mut launch = scene.launch("box", "");
    launch
        .spec
        .process_mut()
        .as_mut()
        .unwrap()
        .set_args(Some(vec!["nosuch".to_owned()]));
    let error = scene.client.start(&launch, None).await.unwrap_err();
    assert_eq!(error.kind, StartErrorKind::CommandNotFound, "{error}");
    assert_eq!(scene.client.list().await.unwrap(), []);
    assert_eq!(read_all_later(attached.output.unwrap()).await, NOTHING);
    // The key is free again.
    assert_eq!(
        run(&scene.client, &scene.launch("box", "exit 0"))
            .await
            .code,
        0
    );
}

#[tokio::test]
async fn a_child_that_fails_before_anybody_waits_for_it_is_heard_of() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "");
    // Known to be missing as soon as the child looks, while its cgroup is still being made.
    let mounts = launch.spec.mounts_mut().as_mut().unwrap();
    let mut missing = mounts[0].clone();
    missing
        .set_typ(Some("bind".to_owned()))
        .set_source(Some("/nosuch".into()))
        .set_options(Some(vec!["rbind".to_owned()]));
    mounts.push(missing);
    let keeper = scene.client.hello().pid;
    let keeper = Pid::from_raw(keeper.cast_signed()).unwrap();
    // Somewhere between the child's birth and the wait for it the keeper is held up.
    for held_after in (0..2000).step_by(40) {
        let start = tokio::spawn(scene.client.start(&launch, None));
        tokio::time::sleep(Duration::from_micros(held_after)).await;
        kill_process(keeper, Signal::STOP).unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        kill_process(keeper, Signal::CONT).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(60), start).await;
        let error = answer.expect("it is answered").unwrap().unwrap_err();
        assert!(error.to_string().contains("/nosuch"), "{error}");
    }
    assert_eq!(scene.client.list().await.unwrap(), []);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let launch = scene.launch("box", "exec sleep 1000");
    client.start(&launch, None).await.unwrap();
    assert_eq!(
        client.start(&launch, None).await.unwrap_err().kind,
        StartErrorKind::Invalid
    );
    let refusal = |result: Result<(), CallError>| match result {
        Err(CallError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(
        refusal(client.forget(&key("box")).await),
        Refusal::Running(key("box"))
    );
    assert_eq!(
        refusal(client.signal(&key("nosuch"), 15).await),
        Refusal::NoSuchProcess(key("nosuch"))
    );
    assert!(matches!(
        refusal(client.signal(&key("box"), 65).await),
        Refusal::BadRequest(_)
    ));
    assert!(matches!(
        refusal(client.resize(&key("box"), 1, 1).await),
        Refusal::NoStream { .. }
    ));
    client.forget(&key("nosuch")).await.unwrap();
    let exec = scene.exec("nosuch", "1", "exit 0");
    assert_eq!(
        client.exec(&exec).await.unwrap_err().kind,
        StartErrorKind::Invalid
    );
    // Two at once.
    let mut events = client.events();
    let key = key("box");
    let (first, second) = tokio::join!(client.signal(&key, 9), client.signal(&key, 9));
    assert!(first.is_ok() && (second.is_ok() || second.is_err_and(|error| error.is_not_running())));
    assert_eq!(exit_of(&mut events, &key).await.code, 137);
    let (first, second) = tokio::join!(client.forget(&key), client.forget(&key));
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn running_out_of_memory_is_told_when_it_happens_and_with_the_exit() {
    let scene = Scene::new().await;
    let mut launch = scene.launch(
        "box",
        "dd if=/dev/zero of=/dev/null bs=64M; read line; exit 3",
    );
    let memory = LinuxMemoryBuilder::default()
        .limit(16 << 20)
        .build()
        .unwrap();
    let resources = LinuxResourcesBuilder::default()
        .memory(memory)
        .build()
        .unwrap();
    let linux = launch.spec.linux_mut().as_mut().unwrap();
    linux.set_resources(Some(resources));
    launch.stdio.stdin = true;
    let mut events = scene.client.events();
    scene.client.start(&launch, None).await.unwrap();
    // The shell, which is process 1, lives on.
    let told = tokio::time::timeout(super::PATIENCE, events.recv())
        .await
        .unwrap();
    assert_eq!(told.unwrap(), KeeperEvent::Oom { key: key("box") });
    scene.client.close_stdin(&key("box")).await.unwrap();
    let exited = exit_of(&mut events, &key("box")).await;
    assert_eq!((exited.code, exited.oom_killed), (3, true));
}
