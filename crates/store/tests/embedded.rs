//! What only the embedded backend promises: it outlives the process, and one process has it.

use std::process::Command;

use model::instance::Retry;
use model::volume::Volume;
use model::{Id, ProjectId};
use store::{CommitError, OpenError, Store};
use tempfile::tempdir;

use crate::volume;

#[tokio::test]
async fn everything_is_there_after_it_is_opened_again() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("made/on/demand");
    let (kept, gone) = (volume("kept"), volume("gone"));
    let last = {
        let store = Store::embedded(&path).await.unwrap();
        let mut batch = store.transaction();
        batch
            .insert(kept.meta.id, kept.clone())
            .insert(gone.meta.id, gone.clone());
        store.commit(batch).await.unwrap();
        let mut batch = store.transaction();
        batch.delete::<Volume>(gone.meta.id, None);
        store.commit(batch).await.unwrap().revision
    };

    let store = Store::embedded(&path).await.unwrap();
    assert_eq!(
        store.revision(),
        last,
        "a deletion's revision is not given out again"
    );
    assert_eq!(*store.get::<Volume>(kept.meta.id).unwrap().value, kept);
    assert!(store.get::<Volume>(gone.meta.id).is_none());

    let mut taken = store.transaction();
    taken.insert(Id::random(), volume("kept"));
    assert!(matches!(
        store.commit(taken).await.unwrap_err(),
        CommitError::NameTaken { .. }
    ));
    assert!(store.by_name::<Volume>(ProjectId::ADMIN, "gone").is_none());
}

#[tokio::test]
async fn a_second_opener_is_refused_while_the_first_lives() {
    let directory = tempdir().unwrap();
    let store = Store::embedded(directory.path()).await.unwrap();
    let Err(refused) = Store::embedded(directory.path()).await else {
        panic!("opened twice")
    };
    assert!(matches!(&refused, OpenError::InUse { path } if path == directory.path()));
    drop(store);
    Store::embedded(directory.path()).await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let directory = tempdir().unwrap();
    let store = Store::embedded(directory.path()).await.unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "embedded::child_opens_its_working_directory",
            "--ignored",
            "--nocapture",
        ])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        output.contains("is in use: another daemon runs"),
        "{output}"
    );
    drop(store);
}

#[tokio::test]
#[ignore = "is the child of a_second_process_is_refused"]
async fn child_opens_its_working_directory() {
    match Store::embedded(std::path::Path::new(".")).await {
        Ok(_) => println!("opened"),
        Err(error) => println!("{error}"),
    }
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("records.sqlite");
    std::fs::write(
        &file,
        "this is not a database, it only lies where one should be",
    )
    .unwrap();
    let Err(refused) = Store::embedded(directory.path()).await else {
        panic!("opened a text file")
    };
    assert!(matches!(refused, OpenError::Database { .. }));
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("this is not")
    );
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let directory = tempdir().unwrap();
    drop(Store::embedded(directory.path()).await.unwrap());
    let raw = rusqlite::Connection::open(directory.path().join("records.sqlite")).unwrap();
    raw.pragma_update(None, "user_version", 7).unwrap();
    drop(raw);
    let Err(refused) = Store::embedded(directory.path()).await else {
        panic!("opened a newer format")
    };
    assert!(matches!(
        refused,
        OpenError::Newer {
            found: 7,
            known: 1,
            ..
        }
    ));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_changes_nothing() {
    let directory = tempdir().unwrap();
    // A file system of its own in a mount namespace of its own: gone with the child.
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-ec"])
        .arg("mount -t tmpfs -o size=512k none . && cd . && cd \"$PWD\" && exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "embedded::child_fills_its_disk",
            "--ignored",
            "--nocapture",
        ])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{output}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(output.contains("1 passed"), "{output}");
}

#[tokio::test]
#[ignore = "is the child of a_full_disk_refuses_writes_and_changes_nothing"]
async fn child_fills_its_disk() {
    let path = std::path::Path::new("store");
    let store = Store::embedded(path).await.unwrap();
    let mut written = Vec::new();
    let refused = loop {
        let mut one = volume(&format!("volume-{}", written.len()));
        one.meta.labels.insert("ballast".into(), "x".repeat(2_000));
        let mut batch = store.transaction();
        batch
            .insert(one.meta.id, one.clone())
            .put(one.meta.id, Retry::default());
        let before = store.revision();
        match store.commit(batch).await {
            Ok(_) => written.push(one),
            Err(error) => {
                assert_eq!(store.revision(), before);
                assert!(store.get::<Volume>(one.meta.id).is_none());
                assert!(store.get::<Retry>(one.meta.id).is_none());
                assert!(
                    store
                        .by_name::<Volume>(ProjectId::ADMIN, &one.meta.name)
                        .is_none()
                );
                break error;
            }
        }
        assert!(written.len() < 1_000, "a disk of 512 KiB takes no 2 MB");
    };
    assert!(matches!(refused, CommitError::Full(_)), "{refused}");
    assert!(written.len() > 10, "it was full at once");

    // What was acknowledged is there after the daemon's death, and can be deleted to make room.
    drop(store);
    let store = Store::embedded(path).await.unwrap();
    assert_eq!(store.list::<Volume>().len(), written.len());
    for one in &written {
        assert_eq!(*store.get::<Volume>(one.meta.id).unwrap().value, *one);
    }
}
