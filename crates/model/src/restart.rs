//! Whether an instance that exited runs again, as its restart policy says. A controller asks for it
//! by a [`Retry`], which its agent carries out; in between it is known to all who ask here.

use crate::instance::{Exit, Instance, InstanceStatus, Phase, RestartPolicy, Retry, Run};

impl RestartPolicy {
    /// Whether it lets an instance run again after an exit that no user asked for, when it was
    /// restarted `attempts` times before.
    #[must_use]
    pub const fn allows(self, code: i32, attempts: u32) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure(most) => code != 0 && (most == 0 || attempts < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }
}

/// Whether an instance exited and will run again by itself: it was asked for, or it will be.
#[must_use]
pub fn will_run_again(instance: &Instance, status: &InstanceStatus, retry: Option<&Retry>) -> bool {
    is_pending(instance, status, retry) || unanswered_exit(instance, status, retry).is_some()
}

/// Whether another run was asked for that the agent has not begun.
fn is_pending(instance: &Instance, status: &InstanceStatus, retry: Option<&Retry>) -> bool {
    let run = &instance.spec.run;
    run.started
        && !run.stopped_by_user
        && instance.meta.deleted_at.is_none()
        && retry.is_some_and(|retry| {
            let asked = Run {
                epoch: retry.epoch,
                attempt: retry.attempt,
            };
            asked.epoch == run.epoch && asked > status.run
        })
}

/// The exit after which another run has to be asked for, where it was not yet.
#[must_use]
pub fn unanswered_exit<'a>(
    instance: &Instance,
    status: &'a InstanceStatus,
    retry: Option<&Retry>,
) -> Option<&'a Exit> {
    let run = &instance.spec.run;
    let exit = status.exit.as_ref()?;
    let is_over = status.phase == Phase::Exited && status.run.epoch == run.epoch;
    // A start that failed is not tried again, only a run that ended.
    let is_wanted = is_over
        && status.error.is_none()
        && run.started
        && !run.stopped_by_user
        && instance.meta.deleted_at.is_none();
    let runs_again = is_wanted
        && !is_pending(instance, status, retry)
        && instance.spec.restart.allows(exit.code, status.run.attempt);
    runs_again.then_some(exit)
}
