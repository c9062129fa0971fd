//! Who reads a process's output, and writes its input, while it runs.

use std::fs::File;
use std::io::Write;

use runtime::keeper::{CallError, Refusal};
use runtime::launch::Stdio;

use super::{CHATTY, NOTHING, exit_of, read_all_later, run};
use crate::scene::{Scene, key};

#[tokio::test]
async fn an_attachment_before_the_start_gets_the_first_byte_and_the_last() {
    let scene = Scene::new().await;
    let attached = scene.client.attach(&key("box"), false, true).await.unwrap();
    run(
        &scene.client,
        &scene.launch("box", "echo out; echo err >&2; printf end"),
    )
    .await;
    let [out, err] = read_all_later(attached.output.unwrap()).await;
    assert_eq!(
        (out.as_slice(), err.as_slice()),
        (b"out\nend".as_slice(), b"err\n".as_slice())
    );
    // One that comes too late sees the end at once.
    let attached = scene.client.attach(&key("box"), false, true).await.unwrap();
    assert_eq!(read_all_later(attached.output.unwrap()).await, NOTHING);
}

#[tokio::test]
async fn input_reaches_the_process_and_ends_when_it_is_closed() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "cat; echo done");
    launch.stdio.stdin = true;
    // Once before the start, once after it.
    let first = scene.client.attach(&key("box"), true, true).await.unwrap();
    let mut events = scene.client.events();
    scene.client.start(&launch, None).await.unwrap();
    File::from(first.stdin.unwrap())
        .write_all(b"one\n")
        .unwrap();
    let second = scene.client.attach(&key("box"), true, false).await.unwrap();
    let mut stdin = File::from(second.stdin.unwrap());
    stdin.write_all(b"two\n").unwrap();
    scene.client.close_stdin(&key("box")).await.unwrap();
    scene.client.close_stdin(&key("box")).await.unwrap();
    let refused = scene
        .client
        .attach(&key("box"), true, false)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, CallError::Refused(Refusal::NoStream { .. })),
        "{refused}"
    );
    // Open as long as somebody has it.
    stdin.write_all(b"three\n").unwrap();
    drop(stdin);
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 0);
    let [out, _] = read_all_later(first.output.unwrap()).await;
    assert_eq!(out, b"one\ntwo\nthree\ndone\n");
}

#[tokio::test]
async fn input_of_a_container_without_input_is_empty() {
    let scene = Scene::new().await;
    assert_eq!(
        run(&scene.client, &scene.launch("box", "cat")).await.code,
        0
    );
}

#[tokio::test]
async fn a_terminal_has_a_size_and_takes_input_from_before_the_start() {
    let scene = Scene::new().await;
    let mut launch = scene.launch(
        "box",
        "stty size; read line; echo got $line; stty size; exit 5",
    );
    launch
        .spec
        .process_mut()
        .as_mut()
        .unwrap()
        .set_terminal(Some(true));
    launch.stdio = Stdio {
        terminal: Some((24, 80)),
        stdin: true,
        discard_output: false,
    };
    let attached = scene.client.attach(&key("box"), true, true).await.unwrap();
    let mut events = scene.client.events();
    scene.client.start(&launch, None).await.unwrap();
    scene.client.resize(&key("box"), 50, 132).await.unwrap();
    File::from(attached.stdin.unwrap())
        .write_all(b"hello\n")
        .unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 5);
    let [out, err] = read_all_later(attached.output.unwrap()).await;
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("got hello\r\n50 132\r\n"), "{out:?}");
    assert!(err.is_empty());
    let refused = scene.client.resize(&key("box"), 1, 1).await.unwrap_err();
    assert!(refused.is_not_running(), "{refused}");
}

#[tokio::test]
async fn a_terminal_that_nobody_has_open_for_a_while_is_heard_again() {
    let scene = Scene::new().await;
    let script = "trap 'echo again >/dev/console; exit 0' USR1; echo ready; \
                  exec </dev/null >/dev/null 2>&1; sleep 1000 & wait";
    let mut launch = scene.launch("box", script);
    let process = launch.spec.process_mut().as_mut().unwrap();
    process.set_terminal(Some(true));
    launch.stdio = Stdio {
        terminal: Some((24, 80)),
        stdin: false,
        discard_output: false,
    };
    let attached = scene.client.attach(&key("box"), false, true).await.unwrap();
    let mut events = scene.client.events();
    scene.client.start(&launch, None).await.unwrap();
    while !scene.log_text("box").contains("ready") {
        scene.client.list().await.unwrap();
    }
    // Turns of the keeper, in which it sees that the terminal was closed.
    for _ in 0..100 {
        scene.client.list().await.unwrap();
    }
    let signal = libc::SIGUSR1;
    scene.client.signal(&key("box"), signal).await.unwrap();
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 0);
    let [out, _] = read_all_later(attached.output.unwrap()).await;
    assert_eq!(out, b"ready\r\nagain\r\n");
}

#[tokio::test]
async fn a_slow_attachment_slows_its_container_down_and_loses_nothing() {
    const BYTES: usize = 8 << 20;
    let scene = Scene::new().await;
    let attached = scene.client.attach(&key("box"), false, true).await.unwrap();
    let mut events = scene.client.events();
    scene
        .client
        .start(
            &scene.launch("box", &format!("{CHATTY} | head -c {BYTES}")),
            None,
        )
        .await
        .unwrap();
    // Another one is not slowed down. That it takes many turns of the keeper is a kind of clock.
    for number in 0..20 {
        let id = format!("other{number}");
        assert_eq!(
            run(&scene.client, &scene.launch(&id, "exit 0")).await.code,
            0
        );
    }
    let logged = scene.log_text("box").len();
    assert!(
        logged < 2 << 20,
        "{logged} bytes were read while nobody took them"
    );
    let [out, _] = read_all_later(attached.output.unwrap()).await;
    assert_eq!(out.len(), BYTES);
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 0);
    assert_eq!(scene.log_text("box").len(), BYTES);
}

#[tokio::test]
async fn a_slow_attachment_that_goes_sets_its_container_free() {
    let scene = Scene::new().await;
    let attached = scene.client.attach(&key("box"), false, true).await.unwrap();
    let mut events = scene.client.events();
    scene
        .client
        .start(
            &scene.launch("box", &format!("{CHATTY} | head -c 8000000")),
            None,
        )
        .await
        .unwrap();
    drop(attached);
    assert_eq!(exit_of(&mut events, &key("box")).await.code, 0);
    assert_eq!(scene.log_text("box").len(), 8_000_000);
}

#[tokio::test]
async fn the_exit_of_a_container_is_not_hidden_by_a_slow_attachment() {
    let scene = Scene::new().await;
    let attached = scene.client.attach(&key("box"), false, true).await.unwrap();
    // It fits the buffers of attachment and pipe, so the process ends while they are full.
    let exited = run(
        &scene.client,
        &scene.launch("box", &format!("{CHATTY} | head -c 1150000; exit 4")),
    )
    .await;
    assert_eq!(exited.code, 4);
    scene.client.forget(&key("box")).await.unwrap();
    assert_eq!(scene.client.list().await.unwrap(), []);
    let [out, _] = read_all_later(attached.output.unwrap()).await;
    assert_eq!(out.len(), 1_150_000);
}
