//! The keeper itself: how it begins, goes on as another program, bears nonsense, and ends.

use std::fs::File;
use std::io::{Read, Write};

use runtime::keeper::{CallError, KeeperEvent, Refusal};
use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::{CHATTY, PATIENCE, exit_of, read_all_later, run, until};
use crate::scene::{Scene, install_script, key, program};

#[tokio::test]
async fn garbage_hurts_only_its_sender() {
    let scene = Scene::new().await;
    let mut events = scene.client.events();
    scene
        .client
        .start(&scene.launch("box", "read line"), None)
        .await
        .unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 1);
    let say = async |bytes: Vec<u8>| {
        let socket = scene.socket();
        let answer = tokio::task::spawn_blocking(move || {
            let mut socket = std::os::unix::net::UnixStream::connect(socket).unwrap();
            // It may be hung up on.
            drop(socket.write_all(&bytes));
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            drop(socket.read_to_end(&mut answer));
            String::from_utf8_lossy(&answer).into_owned()
        });
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap()
            .unwrap()
    };
    let frame = |body: &str| {
        [
            &u32::try_from(body.len()).unwrap().to_be_bytes(),
            [0u8; 4].as_slice(),
            body.as_bytes(),
        ]
        .concat()
    };
    assert!(
        say(b"GET / HTTP/1.1\r\nHost: keeper\r\n\r\n".to_vec())
            .await
            .contains("hello")
    );
    say(vec![0xff; 100_000]).await;
    say(frame("not json")).await;
    say(frame(r#"{"call":"list"}"#)).await;
    let answer = say(frame(r#"{"id":7,"call":{"dance":{"to":"music"}}}"#)).await;
    assert!(
        answer.contains(r#""id":7"#) && answer.contains("bad_request") && answer.contains("dance"),
        "{answer}"
    );
    let answer = say(frame(r#"{"id":8,"call":{"signal":{"key":1}}}"#)).await;
    assert!(
        answer.contains(r#""id":8"#) && answer.contains("bad_request"),
        "{answer}"
    );
    // A field from the future is skipped.
    let answer = say(frame(
        r#"{"id":9,"call":{"forget":{"key":{"container":"x","of":2}}},"since":3}"#,
    ))
    .await;
    assert!(answer.contains(r#""id":9,"answer":"done""#), "{answer}");
    assert_eq!(scene.client.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_upgrade_keeps_everything() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut events = client.events();
    let pending = run(client, &scene.launch("pending", "exit 9")).await;
    // Each line waits for input, so that output goes on across the upgrade.
    let mut launch = scene.launch(
        "box",
        "while read line; do echo $line; printf half; done; exit 6",
    );
    launch.stdio.stdin = true;
    let attached = client.attach(&key("box"), true, true).await.unwrap();
    let mut stdin = File::from(attached.stdin.unwrap());
    let spawned = client.start(&launch, None).await.unwrap();
    // A chatty one that waits for a slow reader.
    let slow = client.attach(&key("chatty"), false, true).await.unwrap();
    client
        .start(
            &scene.launch("chatty", &format!("{CHATTY} | head -c 3000000")),
            None,
        )
        .await
        .unwrap();
    stdin.write_all(b"before\n").unwrap();
    let prepared = client.attach(&key("later"), false, true).await.unwrap();

    let keeper = client.hello().pid;
    client.upgrade(&program()).await.unwrap();
    client.upgrade(&program()).await.unwrap();

    stdin.write_all(b"after\n").unwrap();
    drop(stdin);
    let processes = scene.connect().await.list().await.unwrap();
    let state_of = |id: &str| {
        processes
            .iter()
            .find(|process| process.key == key(id))
            .unwrap()
    };
    assert_eq!(state_of("pending").exited, Some(pending));
    assert_eq!(
        (state_of("box").pid, state_of("box").started_at),
        (spawned.pid, spawned.started_at)
    );
    assert_eq!(state_of("box").note, launch.note);
    client.close_stdin(&key("box")).await.unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 6);
    assert_eq!(scene.log_text("box"), "before\nhalfafter\nhalf");
    assert_eq!(
        read_all_later(attached.output.unwrap()).await[0],
        b"before\nhalfafter\nhalf"
    );
    assert_eq!(
        read_all_later(slow.output.unwrap()).await[0].len(),
        3_000_000
    );
    assert_eq!(exit_of(&mut events, &key("chatty")).await.code, 0);
    assert_eq!(
        run(client, &scene.launch("later", "echo here")).await.code,
        0
    );
    assert_eq!(read_all_later(prepared.output.unwrap()).await[0], b"here\n");
    assert_eq!(scene.connect().await.hello().pid, keeper);
    assert!(!client.is_lost());
}

#[tokio::test]
async fn a_program_that_is_no_keeper_does_not_take_over() {
    let scene = Scene::new().await;
    scene
        .client
        .start(&scene.launch("box", "exec sleep 1000"), None)
        .await
        .unwrap();
    for exe in ["/bin/true", "/bin/false", "/nonexistent", "/etc/passwd"] {
        let error = scene.client.upgrade(exe.as_ref()).await.unwrap_err();
        assert!(
            matches!(error, CallError::Refused(Refusal::Failed { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(exe), "{error}");
    }
    assert_eq!(scene.client.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_directory_has_one_keeper() {
    let scene = Scene::new().await;
    let dir = scene.path("other");
    let program = program();
    let (first, second) = tokio::join!(
        runtime::keeper::ensure(&program, &dir),
        runtime::keeper::ensure(&program, &dir)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.hello().pid, second.hello().pid);
    let mut events = second.events();
    first.shutdown().await.unwrap();
    let lost = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    assert_eq!(lost.unwrap(), KeeperEvent::Lost);
    assert!(second.is_lost());
    assert!(matches!(second.list().await, Err(CallError::Lost)));
    until(async || !dir.join("socket").exists()).await;
}

#[tokio::test]
async fn one_that_comes_second_does_not_wait_for_its_turn() {
    let scene = Scene::new().await;
    let dir = scene.path("other");
    let fifo = scene.path("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, 0o600.into(), 0).unwrap();
    // A machine so busy that it does not get far before another is the keeper.
    let slow = scene.path("slow.sh");
    let script = format!(
        "#!/bin/sh\nread line < {}\nexec {} \"$@\"\n",
        fifo.display(),
        program().display()
    );
    install_script(&slow, &script);
    let second = tokio::spawn({
        let dir = dir.clone();
        async move { runtime::keeper::ensure(&slow, &dir).await.unwrap() }
    });
    let mut go = None;
    until(async || {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        go = rustix::fs::open(&fifo, flags, Mode::empty()).ok();
        go.is_some()
    })
    .await;
    let first = runtime::keeper::ensure(&program(), &dir).await.unwrap();
    let second = second.await.unwrap();
    assert_eq!(first.hello().pid, second.hello().pid);
    // It is gone, so that nobody reads.
    let told = rustix::io::write(go.unwrap(), b"go\n");
    assert_eq!(told, Err(rustix::io::Errno::PIPE));
    first.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_leaves_no_process() {
    let scene = Scene::new().await;
    let mut pids = Vec::new();
    for number in 0..4 {
        let launch = scene.launch(
            &format!("box{number}"),
            "trap '' TERM; while :; do sleep 1000; done",
        );
        pids.push(scene.client.start(&launch, None).await.unwrap().pid);
    }
    scene.client.shutdown().await.unwrap();
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    until(async || scene.client.is_lost()).await;
}

#[tokio::test]
async fn asked_to_terminate_it_goes_after_its_last_container() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut launch = scene.launch("box", "read line; exit 8");
    launch.stdio.stdin = true;
    client.start(&launch, None).await.unwrap();
    let keeper = rustix::process::Pid::from_raw(client.hello().pid.cast_signed()).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::TERM).unwrap();
    let mut events = client.events();
    client.close_stdin(&key("box")).await.unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 8);
    let last = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    assert_eq!(last.unwrap(), KeeperEvent::Lost);
}
