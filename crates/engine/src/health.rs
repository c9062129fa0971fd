//! Health checks: runs a program in an instance every so often and says what to make of it.
//!
//! The verdict is a pure function of the checks ([`Verdict`]); the task around it runs them one
//! after the other, and ends with the run, with a pause, or with the host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use model::Id;
use model::container::HealthCheck;
use model::instance::{Health, HealthState, Probe};
use model::stream::ExecSpec;
use runtime::keeper::ProcessKey;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::host::Inner;
use crate::run::{Live, State};
use crate::{Happening, Output};

/// Source of these numbers: moby, `daemon/health.go`.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 3;
const PROBES_KEPT: usize = 5;
const OUTPUT_BYTES_KEPT: usize = 4096;
/// The exit status of a check that took too long or could not be run.
const NO_ANSWER: i32 = -1;
/// How long the kernel may take to end a check that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What to make of the checks so far.
#[derive(Clone, Debug)]
struct Verdict {
    health: Health,
    check: HealthCheck,
    started_at: Timestamp,
}

impl Verdict {
    /// Goes on from what is `known`, where checks of this run were made before.
    fn new(check: HealthCheck, started_at: Timestamp, known: Option<Health>) -> Self {
        let health = known.unwrap_or(Health {
            state: HealthState::Starting,
            failing_streak: 0,
            log: Vec::new(),
        });
        Self {
            health,
            check,
            started_at,
        }
    }

    fn in_start_period(&self, at: Timestamp) -> bool {
        let age = at.duration_since(self.started_at).as_nanos();
        age < i128::from(self.check.start_period_ns)
    }

    fn pause(&self, now: Timestamp) -> Duration {
        if self.health.state == HealthState::Starting && self.in_start_period(now) {
            or_default(self.check.start_interval_ns, DEFAULT_START_INTERVAL)
        } else {
            or_default(self.check.interval_ns, DEFAULT_INTERVAL)
        }
    }

    /// Takes one more check into account.
    fn add(&mut self, probe: Probe) {
        let retries = if self.check.retries == 0 {
            DEFAULT_RETRIES
        } else {
            self.check.retries
        };
        if probe.exit_code == 0 {
            self.health.failing_streak = 0;
            self.health.state = HealthState::Healthy;
        } else if self.health.state != HealthState::Starting
            || !self.in_start_period(probe.started_at)
        {
            self.health.failing_streak += 1;
            if self.health.failing_streak >= retries {
                self.health.state = HealthState::Unhealthy;
            }
        }
        self.health.log.push(probe);
        let too_many = self.health.log.len().saturating_sub(PROBES_KEPT);
        self.health.log.drain(..too_many);
    }
}

fn or_default(nanoseconds: u64, default: Duration) -> Duration {
    if nanoseconds == 0 {
        default
    } else {
        Duration::from_nanos(nanoseconds)
    }
}

/// Checks that run now, by the identity of their process.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    waiting: Mutex<HashMap<String, oneshot::Sender<i32>>>,
}

impl Probes {
    fn wait(&self, exec: &str) -> oneshot::Receiver<i32> {
        let (sender, receiver) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(exec.to_owned(), sender);
        receiver
    }

    /// A process ended that may be a check.
    pub(crate) fn ended(&self, exec: &str, code: i32) {
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(exec);
        if let Some(waiting) = waiting {
            // Whoever waited may have been told to stop.
            let _told = waiting.send(code);
        }
    }
}

impl Inner {
    /// Goes on with the checks of a run that another daemon began; without one nothing happens.
    pub(crate) fn resume_health(self: &Arc<Self>, id: Id, known: Health) {
        let Some(live) = self.runs.running(id) else {
            return;
        };
        live.set_health(known);
        // A frozen one is checked again when it is thawed.
        if live.state() == State::Running {
            self.watch_health(&live);
        }
    }

    /// Begins the checks of a run, if it has any, or goes on with them.
    pub(crate) fn watch_health(self: &Arc<Self>, live: &Arc<Live>) {
        let Some(check) = live
            .note
            .health_check
            .clone()
            .filter(|check| !check.args.is_empty())
        else {
            return;
        };
        let Some((_, started_at)) = live.started() else {
            return;
        };
        let verdict = Verdict::new(check, started_at, live.health());
        self.happened(Happening::Health(live.id, verdict.health.clone()));
        let task = tokio::spawn(keep_checking(
            Arc::downgrade(self),
            Arc::downgrade(live),
            live.id,
            verdict,
        ));
        live.set_health_task(Some(AbortOnDropHandle::new(task)));
    }

    /// Runs one check to its end.
    async fn probe(self: &Arc<Self>, live: &Arc<Live>, check: &HealthCheck) -> Probe {
        let started_at = Timestamp::now();
        let timeout = or_default(check.timeout_ns, DEFAULT_TIMEOUT);
        let (exit_code, output) = match self.run_probe(live, check, timeout).await {
            Ok(outcome) => outcome,
            Err(failure) => (NO_ANSWER, failure.message),
        };
        Probe {
            started_at,
            ended_at: Timestamp::now(),
            exit_code,
            output,
        }
    }

    async fn run_probe(
        self: &Arc<Self>,
        live: &Arc<Live>,
        check: &HealthCheck,
        timeout: Duration,
    ) -> Result<(i32, String), model::instance::Failure> {
        let exec = hex::encode(rand::random::<[u8; 32]>());
        let spec = ExecSpec {
            args: check.args.clone(),
            stdout: true,
            stderr: true,
            ..ExecSpec::default()
        };
        let wanted = self.wanted(live, &exec, &spec, None, serde_json::Value::Null)?;
        let (mut output, _no_input) = self.exec_streams(live, &exec, &spec).await?;
        let mut ended = self.probes.wait(&exec);
        let key = ProcessKey::exec(live.id.simple(), &exec);
        if let Err(error) = self.keeper().exec(&wanted).await {
            self.probes.ended(&exec, NO_ANSWER);
            return Err(crate::start::start_failure(&error));
        }
        let mut text = Vec::new();
        let in_time =
            tokio::time::timeout(timeout, collect(&mut output, &mut ended, &mut text)).await;
        let outcome = match in_time {
            Ok(code) => (code, String::from_utf8_lossy(&text).into_owned()),
            Err(_elapsed) => {
                // It may have ended at this very moment.
                drop(
                    self.keeper()
                        .signal(&key, rustix::process::Signal::KILL.as_raw())
                        .await,
                );
                drop(tokio::time::timeout(KILL_PATIENCE, &mut ended).await);
                let printed = String::from_utf8_lossy(&text);
                let words = format!("Health check exceeded timeout ({})", go_duration(timeout));
                let words = if printed.is_empty() {
                    words
                } else {
                    format!("{words}: {printed}")
                };
                (NO_ANSWER, words)
            }
        };
        self.probes.ended(&exec, NO_ANSWER);
        // One that cannot be killed stays on the keeper's books until its container ends.
        drop(self.keeper().forget(&key).await);
        Ok(outcome)
    }
}

/// Waits for the end of a check and takes the beginning of what it prints.
async fn collect(
    output: &mut Output,
    ended: &mut oneshot::Receiver<i32>,
    text: &mut Vec<u8>,
) -> i32 {
    let mut open = true;
    let mut take = |piece: &[u8]| {
        let room = OUTPUT_BYTES_KEPT.saturating_sub(text.len());
        text.extend_from_slice(&piece[..piece.len().min(room)]);
    };
    let code = loop {
        tokio::select! {
            piece = output.recv(), if open => match piece {
                Some((_, piece)) => take(&piece),
                None => open = false,
            },
            code = &mut *ended => break code.unwrap_or(NO_ANSWER),
        }
    };
    // What it printed last may still be on its way; what its children print is not waited for.
    while let Ok(Some((_, piece))) =
        tokio::time::timeout(Duration::from_millis(50), output.recv()).await
    {
        take(&piece);
    }
    code
}

/// As Go prints a duration, which clients are used to: `1m30s`, `500ms`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", duration.as_secs_f64() * 1000.0);
    }
    let fraction = duration.as_secs_f64() - (seconds - seconds % 60) as f64;
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{fraction}s"),
        (0, minutes) => format!("{minutes}m{fraction}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{fraction}s"),
    }
}

async fn keep_checking(host: Weak<Inner>, live: Weak<Live>, id: Id, mut verdict: Verdict) {
    loop {
        tokio::time::sleep(verdict.pause(Timestamp::now())).await;
        let (Some(host), Some(live)) = (host.upgrade(), live.upgrade()) else {
            return;
        };
        let probe = host.probe(&live, &verdict.check).await;
        if live.pid().is_none() {
            return;
        }
        verdict.add(probe);
        live.set_health(verdict.health.clone());
        host.happened(Happening::Health(id, verdict.health.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn probe(second: i64, exit_code: i32) -> Probe {
        Probe {
            started_at: at(second),
            ended_at: at(second),
            exit_code,
            output: String::new(),
        }
    }

    fn verdict() -> Verdict {
        let check = HealthCheck {
            args: vec!["check".into()],
            start_period_ns: 10_000_000_000,
            retries: 2,
            ..HealthCheck::default()
        };
        Verdict::new(check, at(0), None)
    }

    #[test]
    fn failures_count_after_the_start_period_only() {
        let mut verdict = verdict();
        verdict.add(probe(5, 1));
        assert_eq!(
            (verdict.health.state, verdict.health.failing_streak),
            (HealthState::Starting, 0)
        );
        verdict.add(probe(11, 1));
        assert_eq!(
            (verdict.health.state, verdict.health.failing_streak),
            (HealthState::Starting, 1)
        );
        verdict.add(probe(12, 1));
        assert_eq!(verdict.health.state, HealthState::Unhealthy);
        verdict.add(probe(13, 0));
        assert_eq!(
            (verdict.health.state, verdict.health.failing_streak),
            (HealthState::Healthy, 0)
        );
    }

    #[test]
    fn once_healthy_failures_count_even_in_the_start_period() {
        let mut verdict = verdict();
        verdict.add(probe(1, 0));
        verdict.add(probe(2, 1));
        verdict.add(probe(3, 1));
        assert_eq!(verdict.health.state, HealthState::Unhealthy);
    }

    #[test]
    fn what_is_known_counts_on() {
        let mut before = verdict();
        before.add(probe(11, 1));
        let mut verdict = Verdict::new(before.check, at(0), Some(before.health));
        verdict.add(probe(12, 1));
        assert_eq!(
            (verdict.health.state, verdict.health.failing_streak),
            (HealthState::Unhealthy, 2)
        );
        assert_eq!(verdict.health.log.len(), 2);
    }

    #[test]
    fn the_start_period_has_its_own_interval() {
        let mut verdict = verdict();
        assert_eq!(verdict.pause(at(1)), Duration::from_secs(5));
        assert_eq!(verdict.pause(at(11)), Duration::from_secs(30));
        verdict.add(probe(1, 0));
        assert_eq!(verdict.pause(at(2)), Duration::from_secs(30));
    }

    #[test]
    fn five_checks_are_kept() {
        let mut verdict = verdict();
        for second in 0..7 {
            verdict.add(probe(second, 0));
        }
        assert_eq!(
            (verdict.health.log.len(), verdict.health.log[0].started_at),
            (5, at(2))
        );
    }

    #[test]
    fn durations_are_written_as_clients_know_them() {
        for (milliseconds, words) in [
            (500, "500ms"),
            (1_500, "1.5s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), words);
        }
    }
}
