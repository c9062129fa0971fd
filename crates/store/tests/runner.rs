//! The runner: each object once at a time, again after failures, and an orderly end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::Id;
use model::instance::Retry;
use store::runner::{Next, Reconciler, Runner};
use store::{Change, Store};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

#[derive(Debug, thiserror::Error)]
#[error("not yet")]
struct NotYet;

/// Counts its runs; can be told to fail, to come again later and to take its time.
#[derive(Default)]
struct Counter {
    runs: Mutex<HashMap<Id, Vec<Instant>>>,
    failures: AtomicUsize,
    again_after: Option<Duration>,
    takes: Option<Duration>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    overlapped: AtomicBool,
    busy: Mutex<HashMap<Id, Arc<Semaphore>>>,
}

impl Counter {
    fn runs_of(&self, id: Id) -> Vec<Instant> {
        self.runs
            .lock()
            .unwrap()
            .get(&id)
            .cloned()
            .unwrap_or_default()
    }
}

impl Reconciler for Counter {
    type Error = NotYet;
    const NAME: &'static str = "counter";
    const CONCURRENCY: usize = 2;

    fn all(&self) -> Vec<Id> {
        Vec::new()
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        vec![change.id]
    }

    async fn reconcile(&self, id: Id) -> Result<Next, NotYet> {
        let turn = Arc::clone(
            self.busy
                .lock()
                .unwrap()
                .entry(id)
                .or_insert_with(|| Arc::new(Semaphore::new(1))),
        );
        let Ok(_turn) = turn.try_acquire() else {
            self.overlapped.store(true, Ordering::Relaxed);
            return Ok(Next::Change);
        };
        self.runs
            .lock()
            .unwrap()
            .entry(id)
            .or_default()
            .push(Instant::now());
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(now, Ordering::Relaxed);
        if let Some(takes) = self.takes {
            sleep(takes).await;
        }
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        let fails = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        if fails.is_ok() {
            return Err(NotYet);
        }
        Ok(self.again_after.map_or(Next::Change, Next::After))
    }
}

async fn touch(store: &Store, id: Id) {
    let mut batch = store.transaction();
    batch.put(id, Retry::default());
    store.commit(batch).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn changes_that_come_together_cause_one_run_more_and_never_two_at_once() {
    let store = Store::memory();
    let counter = Arc::new(Counter {
        takes: Some(Duration::from_secs(1)),
        ..Counter::default()
    });
    let runner = Runner::start(&store, Arc::clone(&counter));
    let id = Id::random();
    touch(&store, id).await;
    sleep(Duration::from_millis(500)).await;
    for _ in 0..10 {
        touch(&store, id).await;
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(counter.runs_of(id).len(), 2);
    assert!(!counter.overlapped.load(Ordering::Relaxed));
    runner.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn different_objects_run_side_by_side_up_to_the_limit() {
    let store = Store::memory();
    let counter = Arc::new(Counter {
        takes: Some(Duration::from_secs(1)),
        ..Counter::default()
    });
    let runner = Runner::start(&store, Arc::clone(&counter));
    let ids: Vec<Id> = (0..6).map(|_| Id::random()).collect();
    for id in &ids {
        touch(&store, *id).await;
    }
    sleep(Duration::from_secs(10)).await;
    assert!(ids.iter().all(|id| counter.runs_of(*id).len() == 1));
    assert_eq!(counter.most_at_once.load(Ordering::Relaxed), 2);
    runner.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_later_and_later() {
    let store = Store::memory();
    let counter = Arc::new(Counter {
        failures: AtomicUsize::new(3),
        ..Counter::default()
    });
    let runner = Runner::start(&store, Arc::clone(&counter));
    let id = Id::random();
    runner.wishes().look_at(id);
    sleep(Duration::from_secs(60)).await;
    let waits: Vec<u128> = counter
        .runs_of(id)
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_millis() / 100)
        .collect();
    assert_eq!(waits, [1, 2, 4]);
    runner.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_does_not_wait_for_the_time_that_was_asked_for() {
    let store = Store::memory();
    let counter = Arc::new(Counter {
        again_after: Some(Duration::from_secs(10)),
        ..Counter::default()
    });
    let runner = Runner::start(&store, Arc::clone(&counter));
    let id = Id::random();
    touch(&store, id).await;
    sleep(Duration::from_secs(1)).await;
    touch(&store, id).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counter.runs_of(id).len(), 2);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(counter.runs_of(id).len(), 3);
    runner.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn shutting_down_waits_a_moment_for_what_is_under_way() {
    let store = Store::memory();
    for (takes, waited) in [(1, 1), (3600, 3)] {
        let counter = Arc::new(Counter {
            takes: Some(Duration::from_secs(takes)),
            ..Counter::default()
        });
        let runner = Runner::start(&store, Arc::clone(&counter));
        let id = Id::random();
        touch(&store, id).await;
        sleep(Duration::from_millis(1)).await;
        let began = Instant::now();
        runner.shut_down().await;
        assert!(
            began.elapsed() <= Duration::from_secs(waited),
            "{takes} s took {:?}",
            began.elapsed()
        );
        touch(&store, id).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(counter.runs_of(id).len(), 1);
    }
}
