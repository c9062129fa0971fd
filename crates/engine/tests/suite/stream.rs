//! Stories of attached streams: output, input, terminals.

use model::stream::{LogOptions, Stream};
use tokio::io::AsyncWriteExt as _;

use super::{Subject, both, drained, log, text};

pub(super) async fn output_reaches_an_early_attachment_and_the_log(subject: &Subject<'_>) {
    let instance = subject
        .created(
            "output",
            &["sh", "-c", "echo $GREETING; echo oh >&2; printf part"],
        )
        .await;
    let (mut output, input) = subject
        .engine
        .attach(instance.meta.id, true, true)
        .await
        .unwrap();
    assert!(input.is_none(), "it has no standard input");
    subject.start(&instance, 1).await;
    assert_eq!(
        drained(&mut output).await,
        (b"hello\npart".to_vec(), b"oh\n".to_vec())
    );
    let lines = log(
        subject,
        instance.meta.id,
        LogOptions {
            follow: true,
            ..both()
        },
    )
    .await;
    assert_eq!(lines.len(), 3);
    let only = |stream| {
        lines
            .iter()
            .filter(|line| line.stream == stream)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (text(&only(Stream::Stdout)), text(&only(Stream::Stderr))),
        ("hello\npart".to_owned(), "oh\n".to_owned())
    );
    let stderr = LogOptions {
        stdout: false,
        ..both()
    };
    assert_eq!(text(&log(subject, instance.meta.id, stderr).await), "oh\n");
    subject.kill_and_remove(&instance).await;
}

pub(super) async fn input_reaches_the_program_and_its_end_too(subject: &Subject<'_>) {
    let mut instance = subject.instance("input", &["cat"]);
    instance.spec.containers[0].open_stdin = true;
    instance.spec.containers[0].stdin_once = true;
    subject.engine.create(&instance).await.unwrap();
    let (mut output, input) = subject
        .engine
        .attach(instance.meta.id, true, true)
        .await
        .unwrap();
    subject.start(&instance, 1).await;
    let mut input = input.unwrap();
    input.write_all(b"one\ntwo\n").await.unwrap();
    input.shutdown().await.unwrap();
    assert_eq!(drained(&mut output).await.0, b"one\ntwo\n");
    subject.kill_and_remove(&instance).await;
}

pub(super) async fn a_terminal_merges_the_streams(subject: &Subject<'_>) {
    let mut instance = subject.instance("terminal", &["sh", "-c", "echo out; echo err >&2"]);
    instance.spec.containers[0].tty = true;
    subject.engine.create(&instance).await.unwrap();
    let mut output = subject.output(&instance).await;
    subject.start(&instance, 1).await;
    assert_eq!(
        drained(&mut output).await,
        (b"out\r\nerr\r\n".to_vec(), Vec::new())
    );
    subject.kill_and_remove(&instance).await;
}
