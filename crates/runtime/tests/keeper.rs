//! The keeper, through its client.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use runtime::keeper::{CallError, Client, Exited, KeeperEvent, ProcessKey, Refusal};
use runtime::launch::{Launch, LogTarget, StartErrorKind, Stdio};
use tokio::sync::broadcast;

use crate::scene::{Scene, key, program};

/// What an attachment to a process without output gets.
const NOTHING: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
/// Ordinary lines without end.
const CHATTY: &str = "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
/// Far more than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn exit_of(events: &mut broadcast::Receiver<KeeperEvent>, which: &ProcessKey) -> Exited {
    let wait = async {
        loop {
            match events.recv().await.unwrap() {
                KeeperEvent::Exited { key, exited } if key == *which => return exited,
                KeeperEvent::Lost => panic!("the keeper is gone"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it ends")
}

/// Starts it and waits for its end.
async fn run(client: &Client, launch: &Launch) -> Exited {
    let mut events = client.events();
    client.start(launch, None).await.unwrap();
    exit_of(&mut events, &key(&launch.id)).await
}

/// Everything of an attachment, by stream.
fn read_all(output: OwnedFd) -> [Vec<u8>; 2] {
    rustix::io::ioctl_fionbio(&output, false).unwrap();
    let mut file = File::from(output);
    let mut streams = [Vec::new(), Vec::new()];
    let mut header = [0; 5];
    while file.read(&mut header[..1]).unwrap() == 1 {
        file.read_exact(&mut header[1..]).unwrap();
        let [stream, a, b, c, d] = header;
        let mut chunk = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
        file.read_exact(&mut chunk).unwrap();
        streams[usize::from(stream) - 1].extend(chunk);
    }
    streams
}

async fn read_all_later(output: OwnedFd) -> [Vec<u8>; 2] {
    let read = tokio::task::spawn_blocking(|| read_all(output));
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it ends")
        .unwrap()
}

/// Until something is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it comes about");
}

#[tokio::test]
async fn output_is_logged_as_docker_does() {
    let scene = Scene::new().await;
    let script = r#"printf 'a "b" <c>\n\tx\303\050\n'; printf 'err\n' >&2; printf 'no end'"#;
    let before = jiff::Timestamp::now();
    let exited = run(&scene.client, &scene.launch("box", script)).await;
    assert_eq!((exited.code, exited.oom_killed), (0, false));
    let log = std::fs::read_to_string(scene.path("box.log")).unwrap();
    let mut records: Vec<String> = Vec::new();
    for line in log.lines() {
        let (record, time) = line.split_once(r#","time":""#).unwrap();
        let time: jiff::Timestamp = time.strip_suffix("\"}").unwrap().parse().unwrap();
        assert!(before < time && time < jiff::Timestamp::now());
        records.push(record.to_owned());
    }
    // Streams are two pipes, so only the order within one is certain.
    records.sort_by_key(|record| record.contains("stderr"));
    let expected = [
        r#"{"log":"a \"b\" \u003cc\u003e\n","stream":"stdout""#,
        r#"{"log":"\u0009x\ufffd(\n","stream":"stdout""#,
        r#"{"log":"no end","stream":"stdout""#,
        r#"{"log":"err\n","stream":"stderr""#,
    ];
    assert_eq!(records, expected);
}

#[tokio::test]
async fn long_lines_are_cut_where_docker_cuts_them() {
    let scene = Scene::new().await;
    let script = "head -c 16384 /dev/zero | tr '\\0' a; echo; head -c 40000 /dev/zero | tr '\\0' b; echo; echo c";
    run(&scene.client, &scene.launch("box", script)).await;
    let log = std::fs::read_to_string(scene.path("box.log")).unwrap();
    let texts: Vec<String> = log
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["log"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let lengths: Vec<(usize, bool)> = texts
        .iter()
        .map(|text| (text.len(), text.ends_with('\n')))
        .collect();
    let expected = [
        (16384, false),
        (1, true),
        (16384, false),
        (16384, false),
        (7233, true),
        (2, true),
    ];
    assert_eq!(lengths, expected);
}

#[tokio::test]
async fn logs_rotate_at_their_size() {
    let scene = Scene::new().await;
    let mut launch = scene.launch(
        "box",
        "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done",
    );
    launch.log = LogTarget::JsonFile {
        path: scene.path("box.log"),
        max_size_bytes: Some(20_000),
        max_files: 3,
    };
    run(&scene.client, &launch).await;
    let read = |name: &str| std::fs::read_to_string(scene.path(name)).unwrap();
    let all = [read("box.log.2"), read("box.log.1"), read("box.log")].concat();
    let numbers: Vec<u32> = all
        .lines()
        .map(|line| {
            line.split_once("line ")
                .unwrap()
                .1
                .split_once('\\')
                .unwrap()
                .0
                .parse()
                .unwrap()
        })
        .collect();
    let first = numbers[0];
    assert!(first > 0 && numbers == (first..1000).collect::<Vec<_>>());
    assert!(!scene.path("box.log.3").exists());
    for name in ["box.log.1", "box.log.2"] {
        // A record that begins below the limit is still written.
        assert!(
            (20_000..20_200).contains(&read(name).len()),
            "{name} has {}",
            read(name).len()
        );
    }
}

#[tokio::test]
async fn a_full_disk_stops_no_container() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "seq 1 100000; exit 3");
    launch.log = LogTarget::JsonFile {
        path: "/dev/full".into(),
        max_size_bytes: None,
        max_files: 1,
    };
    assert_eq!(run(&scene.client, &launch).await.code, 3);
    assert!(scene.client.list().await.unwrap()[0].log_lost_bytes > 588_895);
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_an_error_of_the_start() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "exit 0");
    launch.log = LogTarget::JsonFile {
        path: scene.path("nowhere/box.log"),
        max_size_bytes: None,
        max_files: 1,
    };
    let error = scene.client.start(&launch, None).await.unwrap_err();
    assert!(error.message.contains("nowhere/box.log"), "{error}");
    assert_eq!(scene.client.list().await.unwrap(), []);
}

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
