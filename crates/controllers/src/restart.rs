//! Asks for another run of an instance that exited, as its restart policy says.
//!
//! Reads the instance's spec and status; writes its [`Retry`]. The agent carries it out. At the
//! daemon's start it also stands in for the user of an instance that is to start with the daemon
//! though it was stopped (`always`), and writes the intent as a user's start would.
//! When and how late is dockerd's: moby v28, `restartmanager/restartmanager.go`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::instance::{Instance, InstanceStatus, Phase, RestartPolicy, Retry};
use model::restart::{unanswered_exit, will_run_again};
use model::{Id, Kind};
use store::runner::{Next, Reconciler};
use store::{Change, CommitError, Part, Store};

/// The first wait.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
/// The longest wait.
const LAST_BACK_OFF: Duration = Duration::from_secs(60);
/// A run of this length was a good one: the next wait is the first again.
const GOOD_RUN: SignedDuration = SignedDuration::from_secs(10);

/// Asks for another run.
pub struct Controller {
    store: Store,
    /// Instances that were there when the daemon started and have not been looked at since.
    unseen: Mutex<HashSet<Id>>,
}

impl Controller {
    /// For the instances of a store, at the start of a daemon.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let unseen = store
            .list::<Instance>()
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        Self {
            store,
            unseen: Mutex::new(unseen),
        }
    }

    /// Starts an instance again as a user would.
    async fn revive(&self, id: Id, found: &store::Versioned<Instance>) -> Result<(), CommitError> {
        let mut instance = Instance::clone(&found.value);
        let run = &mut instance.spec.run;
        run.started = true;
        run.epoch += 1;
        run.paused = false;
        run.stop = None;
        run.stopped_by_user = false;
        let mut batch = self.store.transaction();
        batch.update(id, found.revision, instance);
        self.store.commit(batch).await.map(drop)
    }
}

impl Reconciler for Controller {
    type Error = CommitError;
    const NAME: &'static str = "restart";
    const CONCURRENCY: usize = 4;

    fn all(&self) -> Vec<Id> {
        self.store
            .list::<Instance>()
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        let concerns = change.kind == Kind::Instance
            && matches!(change.part, Part::Desired | Part::Observed)
            && !change.deleted;
        if concerns {
            vec![change.id]
        } else {
            Vec::new()
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, CommitError> {
        let is_first_look = self
            .unseen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        let (Some(instance), Some(status)) = (
            self.store.get::<Instance>(id),
            self.store.get::<InstanceStatus>(id),
        ) else {
            return Ok(Next::Change);
        };
        let before = self.store.get::<Retry>(id).map(|found| found.value);
        if is_first_look
            && starts_with_the_daemon(&instance.value, &status.value, before.as_deref())
        {
            self.revive(id, &instance).await?;
        } else if let Some(retry) = next_retry(&instance.value, &status.value, before.as_deref()) {
            let mut batch = self.store.transaction();
            batch.put(id, retry);
            self.store.commit(batch).await?;
        }
        Ok(Next::Change)
    }
}

/// The retry that an exit calls for, where it was not asked for yet.
fn next_retry(
    instance: &Instance,
    status: &InstanceStatus,
    before: Option<&Retry>,
) -> Option<Retry> {
    let exit = unanswered_exit(instance, status, before)?;
    let run = &instance.spec.run;
    let before = before.filter(|retry| retry.epoch == run.epoch);
    let ran = status.started_at.map_or(SignedDuration::ZERO, |started| {
        exit.at.duration_since(started)
    });
    let back_off = back_off(
        before.map(|retry| Duration::from_millis(retry.back_off_ms)),
        ran,
    );
    Some(Retry {
        epoch: run.epoch,
        attempt: status.run.attempt + 1,
        not_before: Some(later(exit.at, back_off)),
        back_off_ms: u64::try_from(back_off.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Whether an instance that does not run, and that nothing else will start, starts with the daemon.
fn starts_with_the_daemon(
    instance: &Instance,
    status: &InstanceStatus,
    retry: Option<&Retry>,
) -> bool {
    let run = &instance.spec.run;
    let is_up = matches!(status.phase, Phase::Running | Phase::Paused);
    let was_never_started = status.run.epoch == 0;
    let is_about_to_start = run.started && status.run.epoch < run.epoch;
    if is_up || was_never_started || is_about_to_start || instance.meta.deleted_at.is_some() {
        return false;
    }
    if will_run_again(instance, status, retry) {
        return false;
    }
    let code = status.exit.as_ref().map_or(0, |exit| exit.code);
    match instance.spec.restart {
        RestartPolicy::Always => true,
        policy => !run.stopped_by_user && policy.allows(code, status.run.attempt),
    }
}

fn back_off(before: Option<Duration>, ran: SignedDuration) -> Duration {
    match before {
        Some(before) if ran < GOOD_RUN => (before * 2).clamp(FIRST_BACK_OFF, LAST_BACK_OFF),
        _ => FIRST_BACK_OFF,
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use model::instance::{Exit, Failure, FailureKind, InstanceSpec, Run};
    use model::{Meta, ProjectId};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn instance(policy: RestartPolicy) -> Instance {
        let mut spec = InstanceSpec {
            restart: policy,
            ..InstanceSpec::default()
        };
        spec.run.started = true;
        spec.run.epoch = 1;
        Instance {
            meta: Meta::new("it", ProjectId::ADMIN, at(0)),
            spec,
        }
    }

    /// Started at 100 s and ended after `ran` seconds.
    fn exited(code: i32, attempt: u32, ran: i64) -> InstanceStatus {
        InstanceStatus {
            generation: 1,
            run: Run { epoch: 1, attempt },
            phase: Phase::Exited,
            pid: 0,
            started_at: Some(at(100)),
            exit: Some(Exit {
                code,
                oom_killed: false,
                at: at(100 + ran),
            }),
            error: None,
            health: None,
            endpoints: Vec::new(),
            ports: Vec::new(),
            boot_id: String::new(),
        }
    }

    #[test]
    fn policies_decide_by_exit_code_and_count() {
        use RestartPolicy::{Always, Never, OnFailure, UnlessStopped};
        for (policy, code, attempt, again) in [
            (Never, 1, 0, false),
            (Always, 0, 9, true),
            (UnlessStopped, 0, 9, true),
            (OnFailure(0), 0, 0, false),
            (OnFailure(0), 1, 99, true),
            (OnFailure(2), 1, 1, true),
            (OnFailure(2), 1, 2, false),
        ] {
            let retry = next_retry(&instance(policy), &exited(code, attempt, 1), None);
            assert_eq!(
                retry.is_some(),
                again,
                "{policy:?} after exit {code}, attempt {attempt}"
            );
        }
    }

    #[test]
    fn waits_double_and_a_good_run_resets_them() {
        let it = instance(RestartPolicy::Always);
        let mut before = None;
        let mut waits = Vec::new();
        for attempt in 0..12 {
            let retry = next_retry(&it, &exited(1, attempt, 1), before.as_ref()).unwrap();
            assert_eq!((retry.epoch, retry.attempt), (1, attempt + 1));
            assert_eq!(
                retry
                    .not_before
                    .unwrap()
                    .duration_since(at(101))
                    .as_millis(),
                i128::from(retry.back_off_ms)
            );
            waits.push(retry.back_off_ms);
            before = Some(retry);
        }
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
        );
        let after_a_good_run = next_retry(&it, &exited(1, 12, 10), before.as_ref()).unwrap();
        assert_eq!(after_a_good_run.back_off_ms, 100);
    }

    #[test]
    fn a_users_stop_and_a_failed_start_end_it() {
        let status = exited(1, 0, 1);
        let mut stopped = instance(RestartPolicy::Always);
        stopped.spec.run.started = false;
        assert_eq!(next_retry(&stopped, &status, None), None);
        let mut killed = instance(RestartPolicy::Always);
        killed.spec.run.stopped_by_user = true;
        assert_eq!(next_retry(&killed, &status, None), None);
        let mut failed = status;
        failed.error = Some(Failure {
            kind: FailureKind::Internal,
            message: "no".into(),
        });
        assert_eq!(
            next_retry(&instance(RestartPolicy::Always), &failed, None),
            None
        );
    }

    #[test]
    fn a_retry_is_asked_for_once() {
        let it = instance(RestartPolicy::Always);
        let status = exited(1, 0, 1);
        let retry = next_retry(&it, &status, None).unwrap();
        assert_eq!(next_retry(&it, &status, Some(&retry)), None);
        assert!(will_run_again(&it, &status, Some(&retry)));
        let mut stopped = it;
        stopped.spec.run.started = false;
        assert!(!will_run_again(&stopped, &status, Some(&retry)));
    }

    #[test]
    fn with_the_daemon_start_those_that_should_run() {
        use RestartPolicy::{Always, Never, OnFailure, UnlessStopped};
        for (policy, stopped_by_user, starts) in [
            (Always, true, true),
            (UnlessStopped, true, false),
            (OnFailure(0), true, false),
            (Never, true, false),
        ] {
            let mut it = instance(policy);
            it.spec.run.started = !stopped_by_user;
            it.spec.run.stopped_by_user = stopped_by_user;
            assert_eq!(
                starts_with_the_daemon(&it, &exited(143, 0, 1), None),
                starts,
                "{policy:?}"
            );
        }
        // Its last start failed, so nothing else would start it.
        let mut failed = exited(1, 0, 1);
        failed.error = Some(Failure {
            kind: FailureKind::Conflict,
            message: "the port is taken".into(),
        });
        assert!(starts_with_the_daemon(
            &instance(UnlessStopped),
            &failed,
            None
        ));
        assert!(!starts_with_the_daemon(&instance(Never), &failed, None));
        // Those that run, or were never started, stay as they are.
        let mut up = exited(0, 0, 1);
        up.phase = Phase::Running;
        assert!(!starts_with_the_daemon(&instance(Always), &up, None));
        let mut fresh = exited(0, 0, 1);
        fresh.run = Run::default();
        assert!(!starts_with_the_daemon(&instance(Always), &fresh, None));
    }
}
