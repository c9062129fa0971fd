//! Builds that are under way: what a client asks for over several requests at once, held together by
//! the name that it gave the build.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::request::Export;

/// How long a request waits for the build that it names: a client sends all of them at once.
const PATIENCE: Duration = Duration::from_secs(6);

/// Messages that wait for a client that is slow to hear how its build goes.
const WAITING_STATUSES: usize = 1024;

/// One build.
#[derive(Debug)]
pub(super) struct Job {
    /// The client's name for it.
    pub(super) name: String,
    /// The session of the client.
    pub(super) session: String,
    pub(super) export: Export,
    /// Said of the request, before anything is built.
    pub(super) warnings: Vec<String>,
    /// Nobody waits for it any more.
    pub(super) gone: CancellationToken,
    statuses: Mutex<Option<mpsc::Sender<StatusResponse>>>,
    listener: Mutex<Option<mpsc::Receiver<StatusResponse>>>,
    heard: watch::Sender<bool>,
    answer: Mutex<HashMap<String, String>>,
    returned: watch::Sender<Option<Result<(), Status>>>,
}

/// A build among the others, as long as this is kept; dropping it ends the build.
#[derive(Debug)]
pub(super) struct Open {
    jobs: Arc<Mutex<HashMap<String, Arc<Job>>>>,
    pub(super) job: Arc<Job>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.job.gone.cancel();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.remove(&self.job.name);
    }
}

/// The builds that are under way.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    open: Arc<Mutex<HashMap<String, Arc<Job>>>>,
    changed: watch::Sender<()>,
}

impl Jobs {
    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Arc<Job>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(
        &self,
        name: &str,
        session: &str,
        export: Export,
        warnings: Vec<String>,
    ) -> Result<Open, Status> {
        if name.is_empty() {
            return Err(Status::invalid_argument("Ref: a build needs a name"));
        }
        let (sender, receiver) = mpsc::channel(WAITING_STATUSES);
        let job = Arc::new(Job {
            name: name.to_owned(),
            session: session.to_owned(),
            export,
            warnings,
            gone: CancellationToken::new(),
            statuses: Mutex::new(Some(sender)),
            listener: Mutex::new(Some(receiver)),
            heard: watch::Sender::new(false),
            answer: Mutex::default(),
            returned: watch::Sender::new(None),
        });
        {
            let mut jobs = self.jobs();
            if jobs.contains_key(name) {
                return Err(Status::already_exists(format!("build {name} goes on")));
            }
            jobs.insert(name.to_owned(), Arc::clone(&job));
        }
        self.changed.send_replace(());
        Ok(Open {
            jobs: Arc::clone(&self.open),
            job,
        })
    }

    /// Ends a build; whether there is one of this name.
    pub(super) fn cancel(&self, name: &str) -> bool {
        let job = self.jobs().get(name).cloned();
        job.is_some_and(|job| {
            job.gone.cancel();
            true
        })
    }

    /// The build of this name, as soon as it is asked for.
    pub(super) async fn find(&self, name: &str) -> Result<Arc<Job>, Status> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                let job = self.jobs().get(name).cloned();
                if let Some(job) = job {
                    return Some(job);
                }
                // The sender lives as long as the front end.
                changed.changed().await.ok()?;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await.ok().flatten();
        found.ok_or_else(|| Status::not_found(format!("no such build {name}")))
    }
}

impl Job {
    /// Who listens to it; once only.
    pub(super) fn listen(&self) -> Result<mpsc::Receiver<StatusResponse>, Status> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = listener.take();
        self.heard.send_replace(true);
        taken.ok_or_else(|| Status::already_exists(format!("build {} is listened to", self.name)))
    }

    /// Tells how it goes. As long as nobody listens what is too much is not kept.
    pub(super) async fn tell(&self, status: StatusResponse) {
        let sender = {
            let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
            statuses.clone()
        };
        let Some(sender) = sender else { return };
        if *self.heard.borrow() {
            // Whoever listened may have left.
            drop(sender.send(status).await);
        } else if sender.try_send(status).is_err() {
            tracing::debug!(build = self.name, "nobody listens to a build");
        }
    }

    /// The same, of something that may be left out.
    pub(super) fn mention(&self, status: StatusResponse) {
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = statuses.as_ref()
            && sender.try_send(status).is_err()
        {
            tracing::debug!(build = self.name, "a client is slow to hear of its build");
        }
    }

    /// There is nothing more to be told; waits a little for a client that has not begun to listen.
    pub(super) async fn fall_silent(&self) {
        let mut heard = self.heard.subscribe();
        let listened = heard.wait_for(|heard| *heard);
        drop(tokio::time::timeout(PATIENCE, listened).await);
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        drop(statuses.take());
    }

    /// What the client hears of the image in the end.
    pub(super) fn answer(&self) -> HashMap<String, String> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.clone()
    }

    pub(super) fn set_answer(&self, answer: HashMap<String, String>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The client is through with it, one way or the other.
    pub(super) fn put_back(&self, result: Result<(), Status>) {
        self.returned.send_replace(Some(result));
    }

    /// Waits until the client is.
    pub(super) async fn returned(&self) -> Result<(), Status> {
        let mut returned = self.returned.subscribe();
        let result = returned.wait_for(Option::is_some).await;
        // The sender is this job's.
        result
            .ok()
            .and_then(|result| result.clone())
            .unwrap_or(Ok(()))
    }
}
