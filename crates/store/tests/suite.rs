//! What every backend must do.

use std::time::Duration;

use model::instance::{InstanceStatus, Phase, Retry, Run};
use model::volume::Volume;
use model::{Id, Kind, ProjectId};
use store::{CommitError, Notice, Part, Revision, Store};
use tokio::time::timeout;

use crate::volume;

/// Runs each case on a fresh store of each backend.
macro_rules! on_every_backend {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $case() { super::$case(store::Store::memory()).await; })+
        }
        mod embedded {
            $(#[tokio::test] async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                super::$case(store::Store::embedded(directory.path()).await.unwrap()).await;
            })+
        }
    };
}

on_every_backend!(
    what_is_written_is_read,
    names_are_unique_in_a_project_and_kind,
    a_name_that_is_given_up_is_free,
    one_batch_may_hand_a_name_on,
    one_batch_cannot_give_a_name_twice,
    an_update_needs_the_newest_revision,
    a_batch_can_rest_on_what_it_does_not_write,
    a_refused_batch_writes_nothing,
    deleting_what_is_not_there,
    parts_of_an_object_are_apart,
    a_watch_tells_every_change_in_order,
    a_slow_watcher_is_told_to_look_again,
    an_object_watch_wakes_for_its_object_only,
    of_many_writers_at_once_one_wins,
    an_empty_batch_is_no_commit,
    a_commit_becomes_durable,
);

async fn insert(store: &Store, volume: &Volume) -> Result<Revision, CommitError> {
    let mut batch = store.transaction();
    batch.insert(volume.meta.id, volume.clone());
    Ok(store.commit(batch).await?.revision)
}

fn status(phase: Phase) -> InstanceStatus {
    InstanceStatus {
        generation: 1,
        run: Run::default(),
        phase,
        pid: 0,
        started_at: None,
        exit: None,
        error: None,
        health: None,
        endpoints: Vec::new(),
        ports: Vec::new(),
        boot_id: String::new(),
    }
}

async fn what_is_written_is_read(store: Store) {
    let (one, two) = (volume("one"), volume("two"));
    let first = insert(&store, &one).await.unwrap();
    let second = insert(&store, &two).await.unwrap();
    assert!(first < second);
    assert_eq!(store.revision(), second);

    let read = store.get::<Volume>(one.meta.id).unwrap();
    assert_eq!((read.revision, &*read.value), (first, &one));
    assert_eq!(
        *store
            .by_name::<Volume>(ProjectId::ADMIN, "two")
            .unwrap()
            .value,
        two
    );
    let mut names: Vec<_> = store
        .list::<Volume>()
        .into_iter()
        .map(|(_, v)| v.value.meta.name.clone())
        .collect();
    names.sort();
    assert_eq!(names, ["one", "two"]);
    assert!(store.get::<Volume>(Id::random()).is_none());
    assert!(
        store
            .by_name::<Volume>(
                ProjectId(model::Id::from_bytes(*b"another project!")),
                "two"
            )
            .is_none()
    );
}

async fn a_batch_can_rest_on_what_it_does_not_write(store: Store) {
    let (base, mut one) = (volume("base"), volume("one"));
    let first = insert(&store, &base).await.unwrap();
    let on_base = |volume: &Volume, revision| {
        let mut batch = store.transaction();
        batch
            .insert(volume.meta.id, volume.clone())
            .require::<Volume>(base.meta.id, revision);
        batch
    };
    store.commit(on_base(&one, first)).await.unwrap();
    assert_eq!(store.get::<Volume>(base.meta.id).unwrap().revision, first);

    let mut batch = store.transaction();
    batch.update(base.meta.id, first, base.clone());
    let second = store.commit(batch).await.unwrap().revision;
    one = volume("two");
    let refused = store.commit(on_base(&one, first)).await.unwrap_err();
    assert!(matches!(refused, CommitError::Conflict { id, .. } if id == base.meta.id));
    assert!(store.get::<Volume>(one.meta.id).is_none());

    let mut batch = store.transaction();
    batch.delete::<Volume>(base.meta.id, Some(second));
    store.commit(batch).await.unwrap();
    let refused = store.commit(on_base(&one, second)).await.unwrap_err();
    assert!(matches!(refused, CommitError::NotFound { id, .. } if id == base.meta.id));
}

async fn names_are_unique_in_a_project_and_kind(store: Store) {
    let one = volume("data");
    insert(&store, &one).await.unwrap();
    let same = volume("data");
    let refused = insert(&store, &same).await.unwrap_err();
    assert!(
        matches!(refused, CommitError::NameTaken { kind: Kind::Volume, holder, .. } if holder == one.meta.id)
    );

    let mut elsewhere = volume("data");
    elsewhere.meta.project = ProjectId(model::Id::from_bytes(*b"another project!"));
    insert(&store, &elsewhere).await.unwrap();
    assert!(matches!(
        insert(&store, &one).await.unwrap_err(),
        CommitError::Exists { .. }
    ));
}

async fn a_name_that_is_given_up_is_free(store: Store) {
    let mut one = volume("old");
    let revision = insert(&store, &one).await.unwrap();
    one.meta.name = "new".into();
    let mut batch = store.transaction();
    batch.update(one.meta.id, revision, one.clone());
    store.commit(batch).await.unwrap();

    assert!(store.by_name::<Volume>(ProjectId::ADMIN, "old").is_none());
    assert_eq!(
        store
            .by_name::<Volume>(ProjectId::ADMIN, "new")
            .unwrap()
            .value
            .meta
            .id,
        one.meta.id
    );
    insert(&store, &volume("old")).await.unwrap();

    let mut batch = store.transaction();
    batch.delete::<Volume>(one.meta.id, None);
    store.commit(batch).await.unwrap();
    insert(&store, &volume("new")).await.unwrap();
}

async fn one_batch_may_hand_a_name_on(store: Store) {
    let mut one = volume("a");
    let mut two = volume("b");
    let first = insert(&store, &one).await.unwrap();
    let second = insert(&store, &two).await.unwrap();
    one.meta.name = "b".into();
    two.meta.name = "a".into();
    let mut batch = store.transaction();
    batch
        .update(one.meta.id, first, one.clone())
        .update(two.meta.id, second, two.clone());
    store.commit(batch).await.unwrap();
    assert_eq!(
        store
            .by_name::<Volume>(ProjectId::ADMIN, "a")
            .unwrap()
            .value
            .meta
            .id,
        two.meta.id
    );
    assert_eq!(
        store
            .by_name::<Volume>(ProjectId::ADMIN, "b")
            .unwrap()
            .value
            .meta
            .id,
        one.meta.id
    );
}

async fn one_batch_cannot_give_a_name_twice(store: Store) {
    let (one, two) = (volume("a"), volume("a"));
    let mut batch = store.transaction();
    batch.insert(one.meta.id, one).insert(two.meta.id, two);
    assert!(matches!(
        store.commit(batch).await.unwrap_err(),
        CommitError::NameTaken { .. }
    ));
    assert!(store.list::<Volume>().is_empty());
}

async fn an_update_needs_the_newest_revision(store: Store) {
    let one = volume("one");
    let revision = insert(&store, &one).await.unwrap();
    let mut batch = store.transaction();
    batch.update(one.meta.id, revision, one.clone());
    let newer = store.commit(batch).await.unwrap().revision;

    let mut stale = store.transaction();
    stale.update(one.meta.id, revision, one.clone());
    let refused = store.commit(stale).await.unwrap_err();
    assert!(
        matches!(refused, CommitError::Conflict { expected, found, .. } if (expected, found) == (revision, newer))
    );

    let mut stale = store.transaction();
    stale.delete::<Volume>(one.meta.id, Some(revision));
    assert!(matches!(
        store.commit(stale).await.unwrap_err(),
        CommitError::Conflict { .. }
    ));

    let mut missing = store.transaction();
    missing.update(Id::random(), revision, volume("two"));
    assert!(matches!(
        store.commit(missing).await.unwrap_err(),
        CommitError::NotFound { .. }
    ));
}

async fn a_refused_batch_writes_nothing(store: Store) {
    let one = volume("one");
    insert(&store, &one).await.unwrap();
    let before = store.revision();
    let mut watch = store.watch();
    let two = volume("two");
    let mut batch = store.transaction();
    batch
        .insert(two.meta.id, two.clone())
        .insert(one.meta.id, one);
    assert!(matches!(
        store.commit(batch).await.unwrap_err(),
        CommitError::Exists { .. }
    ));
    assert!(store.get::<Volume>(two.meta.id).is_none());
    assert!(store.by_name::<Volume>(ProjectId::ADMIN, "two").is_none());
    assert_eq!(store.revision(), before);
    assert!(
        timeout(Duration::from_millis(20), watch.next())
            .await
            .is_err()
    );
}

async fn deleting_what_is_not_there(store: Store) {
    let mut batch = store.transaction();
    batch.delete::<Volume>(Id::random(), None);
    store.commit(batch).await.unwrap();
    let mut batch = store.transaction();
    batch.delete::<Volume>(Id::random(), Some(Revision(1)));
    assert!(matches!(
        store.commit(batch).await.unwrap_err(),
        CommitError::NotFound { .. }
    ));
}

async fn parts_of_an_object_are_apart(store: Store) {
    let id = Id::random();
    let mut batch = store.transaction();
    batch.put(id, status(Phase::Running));
    store.commit(batch).await.unwrap();
    let mut batch = store.transaction();
    batch.put(
        id,
        Retry {
            attempt: 3,
            ..Retry::default()
        },
    );
    store.commit(batch).await.unwrap();
    assert_eq!(
        store.get::<InstanceStatus>(id).unwrap().value.phase,
        Phase::Running
    );
    assert_eq!(store.get::<Retry>(id).unwrap().value.attempt, 3);

    let mut batch = store.transaction();
    batch
        .delete::<Retry>(id, None)
        .put(id, status(Phase::Exited));
    store.commit(batch).await.unwrap();
    assert!(store.get::<Retry>(id).is_none());
    assert_eq!(
        store.get::<InstanceStatus>(id).unwrap().value.phase,
        Phase::Exited
    );
}

async fn a_watch_tells_every_change_in_order(store: Store) {
    let mut watch = store.watch();
    let one = volume("one");
    let id = one.meta.id;
    let first = insert(&store, &one).await.unwrap();
    let mut batch = store.transaction();
    batch
        .put(id, status(Phase::Created))
        .delete::<Volume>(id, None);
    let second = store.commit(batch).await.unwrap().revision;

    for expected in [
        (Kind::Volume, Part::Desired, first, false),
        (Kind::Instance, Part::Observed, second, false),
        (Kind::Volume, Part::Desired, second, true),
    ] {
        let Notice::Changed(change) = watch.next().await else {
            panic!("told to look again")
        };
        assert_eq!(
            (change.kind, change.part, change.revision, change.deleted),
            expected
        );
        assert_eq!(change.id, id);
        // A deletion still shows what was deleted.
        assert_eq!(
            change.value::<Volume>().is_some(),
            change.kind == Kind::Volume
        );
    }
}

async fn a_slow_watcher_is_told_to_look_again(store: Store) {
    let mut watch = store.watch();
    let ids: Vec<Id> = (0..100).map(|_| Id::random()).collect();
    for _ in 0..30 {
        let mut batch = store.transaction();
        for id in &ids {
            batch.put(*id, Retry::default());
        }
        store.commit(batch).await.unwrap();
    }
    assert!(matches!(watch.next().await, Notice::Resync));
    assert!(matches!(watch.next().await, Notice::Changed(_)));
}

async fn an_object_watch_wakes_for_its_object_only(store: Store) {
    let (mine, other) = (Id::random(), Id::random());
    let mut watch = store.watch_object(mine);
    let mut batch = store.transaction();
    batch.put(other, Retry::default());
    store.commit(batch).await.unwrap();
    assert!(
        timeout(Duration::from_millis(20), watch.changed())
            .await
            .is_err()
    );

    let mut batch = store.transaction();
    batch
        .put(mine, Retry::default())
        .put(mine, status(Phase::Created));
    let revision = store.commit(batch).await.unwrap().revision;
    assert_eq!(watch.changed().await, revision);

    // Another's end does not take the channel away.
    drop(store.watch_object(mine));
    let mut batch = store.transaction();
    batch.put(mine, Retry::default());
    let revision = store.commit(batch).await.unwrap().revision;
    assert_eq!(watch.changed().await, revision);
}

async fn of_many_writers_at_once_one_wins(store: Store) {
    let one = volume("counter");
    let revision = insert(&store, &one).await.unwrap();
    let attempts: Vec<_> = (0..16)
        .map(|_| {
            let (store, one) = (store.clone(), one.clone());
            tokio::spawn(async move {
                let mut batch = store.transaction();
                batch.update(one.meta.id, revision, one);
                store.commit(batch).await.is_ok()
            })
        })
        .collect();
    let mut won = 0;
    for attempt in attempts {
        won += u32::from(attempt.await.unwrap());
    }
    assert_eq!(won, 1);
}

async fn an_empty_batch_is_no_commit(store: Store) {
    let before = store.revision();
    let committed = store.commit(store.transaction()).await.unwrap();
    assert_eq!(committed.revision, before);
    committed.durable.wait().await.unwrap();
}

async fn a_commit_becomes_durable(store: Store) {
    for name in ["one", "two", "three"] {
        let one = volume(name);
        let mut batch = store.transaction();
        batch.insert(one.meta.id, one);
        let committed = store.commit(batch).await.unwrap();
        let again = committed.durable.clone();
        committed.durable.wait().await.unwrap();
        // What is durable stays so, and whoever waits late is answered.
        again.wait().await.unwrap();
    }
}
