//! Further processes in a container.

use std::fs::File;
use std::io::Write;

use runtime::keeper::ProcessKey;
use runtime::launch::{StartErrorKind, Stdio};

use super::{NOTHING, exit_of, read_all_later};
use crate::scene::{Scene, key};

#[tokio::test]
async fn a_further_process_has_streams_and_an_end_of_its_own() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut events = client.events();
    client
        .start(&scene.launch("box", "while :; do sleep 1000; done"), None)
        .await
        .unwrap();
    let one = ProcessKey::exec("box", "one");
    let attached = client.attach(&one, true, true).await.unwrap();
    let mut exec = scene.exec("box", "one", "hostname; cat; echo err >&2; exit 5");
    exec.stdio.stdin = true;
    let spawned = client.exec(&exec).await.unwrap();
    assert_eq!(
        client.exec(&exec).await.unwrap_err().kind,
        StartErrorKind::Invalid
    );
    File::from(attached.stdin.unwrap())
        .write_all(b"in\n")
        .unwrap();
    client.close_stdin(&one).await.unwrap();
    assert_eq!(exit_of(&mut events, &one).await.code, 5);
    let [out, err] = read_all_later(attached.output.unwrap()).await;
    assert_eq!(
        (out.as_slice(), err.as_slice()),
        (b"box\nin\n".as_slice(), b"err\n".as_slice())
    );
    // Not in the container's log.
    assert_eq!(scene.log_text("box"), "");
    let processes = client.list().await.unwrap();
    assert!(
        processes
            .iter()
            .any(|process| process.key == one && process.pid == spawned.pid)
    );
    client.forget(&one).await.unwrap();

    // It ends with its container, and the next one finds none.
    let two = ProcessKey::exec("box", "two");
    client
        .exec(&scene.exec("box", "two", "sleep 1000"))
        .await
        .unwrap();
    client.signal(&key("box"), 9).await.unwrap();
    assert_eq!(exit_of(&mut events, &two).await.code, 137);
    let exec = scene.exec("box", "three", "exit 0");
    assert_eq!(
        client.exec(&exec).await.unwrap_err().kind,
        StartErrorKind::Invalid
    );
}

#[tokio::test]
async fn a_further_process_can_have_a_terminal() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut events = client.events();
    client
        .start(&scene.launch("box", "while :; do sleep 1000; done"), None)
        .await
        .unwrap();
    let one = ProcessKey::exec("box", "one");
    let attached = client.attach(&one, false, true).await.unwrap();
    let mut exec = scene.exec("box", "one", "tty; stty size; exit 1");
    exec.process.set_terminal(Some(true));
    exec.stdio = Stdio {
        terminal: Some((30, 90)),
        ..Stdio::default()
    };
    client.exec(&exec).await.unwrap();
    assert_eq!(exit_of(&mut events, &one).await.code, 1);
    let [out, _] = read_all_later(attached.output.unwrap()).await;
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.starts_with("/dev/pts/") && out.ends_with("30 90\r\n"),
        "{out:?}"
    );
}

#[tokio::test]
async fn an_exit_does_not_wait_for_whoever_inherited_the_output() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut events = client.events();
    client
        .start(&scene.launch("box", "while :; do sleep 1000; done"), None)
        .await
        .unwrap();
    let one = ProcessKey::exec("box", "one");
    let attached = client.attach(&one, false, true).await.unwrap();
    client
        .exec(&scene.exec("box", "one", "sleep 1000 & echo out; exit 3"))
        .await
        .unwrap();
    assert_eq!(exit_of(&mut events, &one).await.code, 3);
    assert_eq!(read_all_later(attached.output.unwrap()).await[0], b"out\n");
}

#[tokio::test]
async fn output_that_nobody_wants_is_not_kept() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut events = client.events();
    client
        .start(&scene.launch("box", "while :; do sleep 1000; done"), None)
        .await
        .unwrap();
    let one = ProcessKey::exec("box", "one");
    let mut exec = scene.exec("box", "one", "sleep 1000 & seq 1 100000; exit 4");
    exec.stdio.discard_output = true;
    client.exec(&exec).await.unwrap();
    assert_eq!(exit_of(&mut events, &one).await.code, 4);
    let attached = client.attach(&one, false, true).await.unwrap();
    assert_eq!(read_all_later(attached.output.unwrap()).await, NOTHING);
}
