//! Stories of what is kept of output.

use std::time::Duration;

use model::stream::LogOptions;

use super::{Subject, both, log, output_until, soon, text};

pub(super) async fn logs_are_cut_and_followed(subject: &Subject<'_>) {
    let instance = subject
        .created(
            "logs",
            &[
                "sh",
                "-c",
                "trap 'echo bye; exit 0' TERM; seq 5; echo ready; sleep 1000 & wait",
            ],
        )
        .await;
    let id = instance.meta.id;
    let (mut output, _) = subject.engine.attach(id, false, true).await.unwrap();
    subject.start(&instance, 1).await;
    output_until(&mut output, "ready").await;
    assert_eq!(
        text(&log(subject, id, both()).await),
        "1\n2\n3\n4\n5\nready\n"
    );
    assert_eq!(
        text(
            &log(
                subject,
                id,
                LogOptions {
                    tail: Some(2),
                    ..both()
                }
            )
            .await
        ),
        "5\nready\n"
    );
    assert_eq!(
        text(
            &log(
                subject,
                id,
                LogOptions {
                    tail: Some(0),
                    ..both()
                }
            )
            .await
        ),
        ""
    );
    let lines = log(subject, id, both()).await;
    let since = LogOptions {
        since: Some(lines[5].at),
        ..both()
    };
    assert!(text(&log(subject, id, since).await).ends_with("ready\n"));
    let until = LogOptions {
        until: Some(lines[0].at - Duration::from_nanos(1)),
        ..both()
    };
    assert_eq!(text(&log(subject, id, until).await), "");

    let mut followed = subject
        .engine
        .logs(
            id,
            &LogOptions {
                follow: true,
                tail: Some(1),
                ..both()
            },
        )
        .await
        .unwrap();
    assert_eq!(
        text(&soon(followed.recv()).await.unwrap().unwrap()),
        "ready\n"
    );
    subject.engine.signal(id, "TERM").await.unwrap();
    let mut rest = Vec::new();
    while let Some(batch) = soon(followed.recv()).await {
        rest.extend(batch.unwrap());
    }
    assert_eq!(text(&rest), "bye\n");
    subject.kill_and_remove(&instance).await;
}
