//! SIGKILL at any moment loses nothing that was acknowledged, and leaves no half of a batch.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use model::instance::Retry;
use model::volume::Volume;
use model::{Id, ProjectId};
use store::Store;

use crate::volume;

/// How often the writer is killed.
const KILLS: u32 = 25;
/// The record that counts the batches.
const COUNTER: Id = Id::from_bytes([7; 16]);

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::child_writes_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after a few batches or after many, in the middle of whatever it does then.
        let patience = 1 + round * round;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < patience {
            let line = lines.next().expect("the writer ended by itself").unwrap();
            if let Some(count) = line
                .strip_prefix("acknowledged ")
                .and_then(|text| text.strip_suffix('.'))
            {
                acknowledged = count.parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            // The last line may be cut short; then its batch counts as not acknowledged.
            if let Some(count) = line
                .strip_prefix("acknowledged ")
                .and_then(|text| text.strip_suffix('.'))
            {
                acknowledged = count.parse().unwrap();
            }
        }
        child.wait().unwrap();

        let store = Store::embedded(directory.path()).await.unwrap();
        let counter = store.get::<Retry>(COUNTER).unwrap().value.attempt;
        assert!(
            counter == acknowledged || counter == acknowledged + 1,
            "{acknowledged} acknowledged, {counter} there"
        );
        for count in 1..=counter {
            let made = store.by_name::<Volume>(ProjectId::ADMIN, &format!("v{count}"));
            assert_eq!(made.is_some(), count + 3 > counter, "v{count} of {counter}");
        }
        assert_eq!(store.revision().0, u64::from(counter));
    }
}

#[tokio::test]
#[ignore = "is the child of what_was_acknowledged_survives_sigkill"]
async fn child_writes_until_it_is_killed() {
    let store = Store::embedded(std::path::Path::new(".")).await.unwrap();
    let mut count = store
        .get::<Retry>(COUNTER)
        .map_or(0, |counter| counter.value.attempt);
    let mut out = std::io::stdout();
    out.write_all(b"\n").unwrap();
    loop {
        count += 1;
        // Each batch counts, makes a volume, and deletes the one made three batches ago.
        let made = volume(&format!("v{count}"));
        let mut batch = store.transaction();
        batch
            .put(
                COUNTER,
                Retry {
                    attempt: count,
                    ..Retry::default()
                },
            )
            .insert(made.meta.id, made);
        let old = format!("v{}", i64::from(count) - 3);
        if let Some(old) = store.by_name::<Volume>(ProjectId::ADMIN, &old) {
            batch.delete::<Volume>(old.value.meta.id, Some(old.revision));
        }
        let committed = store.commit(batch).await.unwrap();
        if count.is_multiple_of(16) {
            committed.durable.wait().await.unwrap();
        }
        out.write_all(format!("acknowledged {count}.\n").as_bytes())
            .unwrap();
    }
}
