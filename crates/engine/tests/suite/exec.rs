//! Stories of further processes in an instance.

use std::time::Duration;

use model::instance::FailureKind;
use model::stream::ExecSpec;
use tokio::io::AsyncWriteExt as _;

use super::{Subject, drained, exec_spec, soon};

pub(super) async fn an_exec_runs_beside_and_tells_its_status(subject: &Subject<'_>) {
    let instance = subject.running("exec", &["sleep", "1000"]).await;
    let id = instance.meta.id;
    let (exec, stdout) = subject
        .exec(id, &["sh", "-c", "echo $GREETING; exit 5"])
        .await;
    assert_eq!(stdout, b"hello\n");
    assert_eq!(exec.len(), 64);
    let status = soon(async {
        loop {
            let (whose, status) = subject.engine.exec_status(&exec).await.unwrap();
            assert_eq!(whose, id);
            if !status.running {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(status.exit_code, Some(5));
    assert_eq!(subject.engine.execs(id).await, [""; 0]);
    assert!(
        subject.engine.exec_start(&exec, false, None).await.is_err(),
        "an exec runs once"
    );

    let spec = ExecSpec {
        stdin: true,
        ..exec_spec(&["cat"])
    };
    let exec = subject.engine.exec_create(id, &spec).await.unwrap();
    assert_eq!(subject.engine.execs(id).await, [exec.as_str()]);
    let (mut output, input) = subject.engine.exec_start(&exec, false, None).await.unwrap();
    let mut input = input.unwrap();
    input.write_all(b"echoed").await.unwrap();
    input.shutdown().await.unwrap();
    assert_eq!(drained(&mut output).await.0, b"echoed");

    let exec = subject
        .engine
        .exec_create(id, &exec_spec(&["nosuch"]))
        .await
        .unwrap();
    let failure = subject
        .engine
        .exec_start(&exec, false, None)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::CommandNotFound, "{failure}");
    subject.kill_and_remove(&instance).await;
}

pub(super) async fn an_exec_dies_with_its_instance(subject: &Subject<'_>) {
    let instance = subject.running("family", &["sleep", "1000"]).await;
    let exec = subject
        .engine
        .exec_create(instance.meta.id, &exec_spec(&["sleep", "1000"]))
        .await
        .unwrap();
    let engine = &subject.engine;
    engine.set_paused(instance.meta.id, true).await.unwrap();
    let frozen = engine.exec_start(&exec, false, None).await;
    assert_eq!(
        frozen.map(drop).unwrap_err().kind,
        FailureKind::Conflict,
        "it may be started later"
    );
    engine.set_paused(instance.meta.id, false).await.unwrap();
    let (mut output, _) = engine.exec_start(&exec, false, None).await.unwrap();
    let spec = exec_spec(&["true"]);
    let prepared = engine.exec_create(instance.meta.id, &spec).await.unwrap();
    engine.signal(instance.meta.id, "KILL").await.unwrap();
    drained(&mut output).await;
    soon(async {
        while engine.exec_status(&prepared).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    subject.kill_and_remove(&instance).await;
}
