//! Makes it so: runs a reconciler for every object that changed, until nothing is left to do.
//!
//! A reconciler is told which object to look at, never what happened to it; it reads everything
//! again, so it may run once too often and may be killed in the middle. Changes of one object
//! that come together cause one run, runs of one object never overlap, and failures are tried
//! again, later and later. The controllers and the agents use it; it knows none of them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use model::Id;
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::Store;
use crate::watch::{Change, Notice, Watch};

/// After the first failure; each further one doubles it...
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// ...up to this.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How long runs under way may take to end once the runner is shut down; then they are dropped.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// Makes one kind of thing so.
pub trait Reconciler: Send + Sync + 'static {
    /// Why a run failed; it will be tried again.
    type Error: Error + Send + Sync + 'static;

    /// Its name in logs.
    const NAME: &'static str;
    /// How many objects may be worked on at once.
    const CONCURRENCY: usize;

    /// Every object there is to look at.
    fn all(&self) -> Vec<Id>;

    /// The objects that a change concerns.
    fn concerns(&self, change: &Change) -> Vec<Id>;

    /// Looks at one object and does what is to be done.
    fn reconcile(&self, id: Id) -> impl Future<Output = Result<Next, Self::Error>> + Send;
}

/// When to look at an object again, unless it changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When it changes.
    Change,
    /// After this time.
    After(Duration),
}

/// A runner at work. Dropping it lets it go on.
pub struct Runner {
    wishes: mpsc::UnboundedSender<Id>,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Runner {
    /// Starts with everything there is, then follows what changes.
    pub fn start<R: Reconciler>(store: &Store, reconciler: Arc<R>) -> Self {
        let (wishes, wished) = mpsc::unbounded_channel();
        let (closing, closed) = watch::channel(false);
        // Begun before anything is read, so that nothing is missed.
        let watch = store.watch();
        let task = tokio::spawn(async move {
            Queue::new(reconciler).run(watch, wished, closed).await;
        });
        Self {
            wishes,
            closing,
            task,
        }
    }

    /// A handle by which something other than a change of the store asks for a look at an object.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        Wishes(self.wishes.clone())
    }

    /// Begins nothing more, and waits a moment for what is under way.
    pub async fn shut_down(self) {
        self.closing.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a runner failed");
        }
    }
}

/// Asks a runner to look at objects.
#[derive(Clone)]
pub struct Wishes(mpsc::UnboundedSender<Id>);

impl Wishes {
    /// Asks for a look at an object, soon. In vain once the runner is shut down.
    pub fn look_at(&self, id: Id) {
        // The runner is gone only when nothing is to be done any more.
        let _ = self.0.send(id);
    }
}

/// What is known of an object that is waiting or being worked on.
#[derive(Default)]
struct Entry {
    queued: bool,
    running: bool,
    /// It changed while it was worked on.
    again: bool,
    failures: u32,
    due: Option<Instant>,
}

struct Queue<R: Reconciler> {
    reconciler: Arc<R>,
    entries: HashMap<Id, Entry>,
    ready: VecDeque<Id>,
    delayed: BTreeSet<(Instant, Id)>,
    running: JoinSet<Result<Next, R::Error>>,
    /// Which object each run is of.
    objects: HashMap<task::Id, Id>,
}

impl<R: Reconciler> Queue<R> {
    fn new(reconciler: Arc<R>) -> Self {
        Self {
            reconciler,
            entries: HashMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            running: JoinSet::new(),
            objects: HashMap::new(),
        }
    }

    async fn run(
        mut self,
        mut changes: Watch,
        mut wished: mpsc::UnboundedReceiver<Id>,
        mut closed: watch::Receiver<bool>,
    ) {
        self.add_all();
        loop {
            self.begin();
            let due = self.delayed.first().map(|(due, _)| *due);
            let alarm = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => break,
                Some(ended) = self.running.join_next_with_id() => self.end(ended),
                notice = changes.next() => match notice {
                    Notice::Changed(change) => {
                        for id in self.reconciler.concerns(&change) {
                            self.add(id);
                        }
                    }
                    Notice::Resync => self.add_all(),
                },
                Some(id) = wished.recv() => self.add(id),
                () = alarm => self.add_due(),
            }
        }
        let all = async { while self.running.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_PATIENCE, all).await.is_err() {
            tracing::debug!(
                reconciler = R::NAME,
                count = self.running.len(),
                "left unfinished"
            );
            self.running.shutdown().await;
        }
    }

    fn add_all(&mut self) {
        for id in self.reconciler.all() {
            self.add(id);
        }
    }

    fn add(&mut self, id: Id) {
        let entry = self.entries.entry(id).or_default();
        if let Some(due) = entry.due.take() {
            self.delayed.remove(&(due, id));
        }
        if entry.running {
            entry.again = true;
        } else if !entry.queued {
            entry.queued = true;
            self.ready.push_back(id);
        }
    }

    fn add_due(&mut self) {
        let now = Instant::now();
        while let Some(&(due, id)) = self.delayed.first()
            && due <= now
        {
            self.add(id);
        }
    }

    fn add_later(&mut self, id: Id, delay: Duration) {
        let due = Instant::now() + delay;
        self.entries.entry(id).or_default().due = Some(due);
        self.delayed.insert((due, id));
    }

    /// Begins as many runs as may be.
    fn begin(&mut self) {
        while self.running.len() < R::CONCURRENCY
            && let Some(id) = self.ready.pop_front()
        {
            let entry = self.entries.entry(id).or_default();
            entry.queued = false;
            entry.running = true;
            let reconciler = Arc::clone(&self.reconciler);
            let task = self
                .running
                .spawn(async move { reconciler.reconcile(id).await });
            self.objects.insert(task.id(), id);
        }
    }

    /// Takes note of a run's end.
    fn end(&mut self, ended: Result<(task::Id, Result<Next, R::Error>), JoinError>) {
        let (task, next) = match ended {
            Ok((task, Ok(next))) => (task, Ok(next)),
            Ok((task, Err(error))) => (task, Err(chain(&error))),
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let Some(id) = self.objects.remove(&task) else {
            return;
        };
        let entry = self.entries.entry(id).or_default();
        entry.running = false;
        let again = std::mem::take(&mut entry.again);
        let delay = match next {
            Ok(next) => {
                entry.failures = 0;
                match next {
                    Next::Change => None,
                    Next::After(delay) => Some(delay),
                }
            }
            Err(error) => {
                let delay = FIRST_RETRY
                    .saturating_mul(1 << entry.failures.min(16))
                    .min(LAST_RETRY);
                entry.failures += 1;
                tracing::warn!(reconciler = R::NAME, %id, error, ?delay, "failed, to be tried again");
                Some(delay)
            }
        };
        match delay {
            _ if again => self.add(id),
            Some(delay) => self.add_later(id, delay),
            None => drop(self.entries.remove(&id)),
        }
    }
}

/// An error with everything that led to it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
