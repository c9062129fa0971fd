//! Stories of the files of an instance: archives in and out, and what has changed.

use model::instance::FailureKind;
use model::stream::{ChangeKind, ExtractOptions};
use tokio::io::AsyncReadExt as _;

use super::{Subject, exited, packed, soon, unpacked};

pub(super) async fn files_go_in_and_out(subject: &Subject<'_>) {
    let instance = subject.created("files", &["sleep", "1000"]).await;
    let id = instance.meta.id;
    // Of one that never ran, then of one that runs.
    for turn in ["stopped", "running"] {
        let archive = packed(&format!("{turn}.txt"), turn.as_bytes());
        subject
            .engine
            .write_archive(
                id,
                "/tmp",
                Box::new(std::io::Cursor::new(archive)),
                ExtractOptions::default(),
            )
            .await
            .unwrap();
        let path = format!("/tmp/{turn}.txt");
        let stat = subject.engine.stat_path(id, &path).await.unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.size_bytes, stat.mode & 0o170_777),
            (&path[5..], turn.len() as u64, 0o100_640)
        );
        let (stat, mut archive) = subject.engine.read_archive(id, &path).await.unwrap();
        assert_eq!(stat.name, path[5..]);
        let mut bytes = Vec::new();
        soon(archive.read_to_end(&mut bytes)).await.unwrap();
        assert_eq!(
            unpacked(&bytes),
            [(path[5..].to_owned(), turn.as_bytes().to_vec())]
        );
        if turn == "stopped" {
            subject.start(&instance, 1).await;
        }
    }
    assert_eq!(
        subject.exec(id, &["cat", "/tmp/stopped.txt"]).await.1,
        b"stopped"
    );

    let missing = subject.engine.stat_path(id, "/no/such").await.unwrap_err();
    assert_eq!(missing.kind, FailureKind::NotFound, "{missing}");
    let name = &instance.meta.name;
    assert_eq!(
        missing.message,
        format!("Could not find the file /no/such in container {name}")
    );
    let archive = packed("file", b"");
    let refused = subject
        .engine
        .write_archive(
            id,
            "/tmp/stopped.txt",
            Box::new(std::io::Cursor::new(archive)),
            ExtractOptions::default(),
        )
        .await;
    assert_eq!(
        refused.unwrap_err().message,
        "extraction point is not a directory"
    );
    let archive = packed("tmp", b"");
    let careful = ExtractOptions {
        no_overwrite_dir_non_dir: true,
        ..ExtractOptions::default()
    };
    let refused = subject
        .engine
        .write_archive(id, "/", Box::new(std::io::Cursor::new(archive)), careful)
        .await
        .unwrap_err();
    assert!(
        refused
            .message
            .starts_with("cannot overwrite directory \"/tmp\" with non-directory"),
        "{refused}"
    );
    subject.kill_and_remove(&instance).await;
}

pub(super) async fn changes_are_listed(subject: &Subject<'_>) {
    let mut happenings = subject.engine.happenings();
    let instance = subject
        .running(
            "changes",
            &["sh", "-c", "echo 12345 > /tmp/new; rm /etc/group"],
        )
        .await;
    let id = instance.meta.id;
    exited(&mut happenings, id).await;
    let changes = subject.engine.changes(id).await.unwrap();
    let has = |path: &str, kind| {
        changes
            .iter()
            .any(|change| change.path == path && change.kind == kind)
    };
    for (path, kind) in [
        ("/tmp", ChangeKind::Modified),
        ("/tmp/new", ChangeKind::Added),
        ("/etc", ChangeKind::Modified),
        ("/etc/group", ChangeKind::Deleted),
    ] {
        assert!(has(path, kind), "{path} in {changes:?}");
    }
    assert_eq!(subject.engine.writable_size(id).await.unwrap(), 6);
    let mut exported = Vec::new();
    soon(
        subject
            .engine
            .export(id)
            .await
            .unwrap()
            .read_to_end(&mut exported),
    )
    .await
    .unwrap();
    let files = unpacked(&exported);
    assert!(files.contains(&("tmp/new".to_owned(), b"12345\n".to_vec())));
    assert!(!files.iter().any(|(name, _)| name == "etc/group"));
    let mut layer = Vec::new();
    let archive = subject.engine.layer(id, true).await;
    soon(archive.unwrap().read_to_end(&mut layer))
        .await
        .unwrap();
    let files = unpacked(&layer);
    assert!(files.contains(&("tmp/new".to_owned(), b"12345\n".to_vec())));
    assert!(
        files.contains(&("etc/.wh.group".to_owned(), Vec::new())),
        "{files:?}"
    );
    assert!(!files.iter().any(|(name, _)| name == "etc/passwd"));
    subject.kill_and_remove(&instance).await;
}
