//! Instances: what there is of them, and what a caller may do with them.
//!
//! [`create`] makes one, [`run`] starts and stops it, [`change`] renames, updates and removes it,
//! and [`wait`] tells when it ends.

mod change;
mod create;
mod defaults;
mod run;
mod wait;

use std::cmp::Reverse;
use std::sync::Arc;

use model::instance::{Instance, InstanceStatus, Phase, Placement, Retry, Run};
use model::restart::will_run_again;
use model::{Id, ProjectId};

pub use change::{RemoveOptions, remove, rename, update};
pub(crate) use create::BUILD_STEP;
pub use create::{BuildStep, Created, NewInstance, ServerRecord, create};
pub(crate) use defaults::completed;
pub(crate) use run::{change_intent, made, newest, within};
pub use run::{kill, pause, restart, start, stop, unpause};
pub use wait::{WaitFor, wait};

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, is_seen, is_visible};

/// All records of one instance, as they are at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for.
    pub instance: Arc<Instance>,
    /// What was seen.
    pub status: Arc<InstanceStatus>,
    /// Where it runs.
    pub placement: Option<Arc<Placement>>,
    /// That it is to run again.
    pub retry: Option<Arc<Retry>>,
}

impl View {
    /// Its processes exist, frozen or not.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.status.phase, Phase::Running | Phase::Paused)
    }

    /// It exited, and its restart policy will start it again, be it asked to already or not.
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        self.status.phase == Phase::Exited
            && will_run_again(&self.instance, &self.status, self.retry.as_deref())
    }

    /// How often its restart policy started it since a user did.
    #[must_use]
    pub fn restart_count(&self) -> u32 {
        match &self.retry {
            Some(retry) if retry.epoch == self.instance.spec.run.epoch => retry.attempt,
            _ => 0,
        }
    }
}

/// The instances of the caller's project, the newest first.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<View> {
    owned_by(cloud, |owner| {
        is_visible(caller, owner) && caller.reads(Action::ListInstances, owner)
    })
}

/// The instances of every project, the newest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`] for anyone but an admin.
pub fn list_all(cloud: &Cloud, caller: &Caller) -> Result<Vec<View>, ActionError> {
    caller.may(Action::ListAllInstances, &Target::SYSTEM)?;
    Ok(owned_by(cloud, |_| true))
}

/// The instances of some projects, the newest first.
pub(crate) fn owned_by(cloud: &Cloud, is_wanted: impl Fn(ProjectId) -> bool) -> Vec<View> {
    let mut views: Vec<View> = cloud
        .store
        .list::<Instance>()
        .into_iter()
        .filter(|(_, found)| is_wanted(found.value.meta.project))
        .map(|(id, found)| view(cloud, id, found.value))
        .collect();
    views.sort_by_key(|view| Reverse(view.instance.meta.created_at));
    views
}

/// One instance.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    allowed(cloud, caller, Action::GetInstance, id)
}

/// One instance, for an action on it. Another project's is missing, except for an admin.
pub(crate) fn allowed(
    cloud: &Cloud,
    caller: &Caller,
    action: Action,
    id: Id,
) -> Result<View, ActionError> {
    let found = cloud
        .store
        .get::<Instance>(id)
        .filter(|found| is_seen(caller, found.value.meta.project))
        .ok_or_else(|| missing(id))?;
    caller.may(action, &Target::project(found.value.meta.project))?;
    Ok(view(cloud, id, found.value))
}

/// The instance of this name.
#[must_use]
pub fn by_name(cloud: &Cloud, caller: &Caller, name: &str) -> Option<View> {
    let project = caller.project();
    if !caller.reads(Action::GetInstance, project) {
        return None;
    }
    let found = cloud.store.by_name::<Instance>(project, name)?;
    Some(view(cloud, found.value.meta.id, found.value))
}

/// The instances whose identity, written without dashes, begins so.
#[must_use]
pub fn by_id_prefix(cloud: &Cloud, caller: &Caller, prefix: &str) -> Vec<View> {
    if let Ok(id) = prefix.parse::<Id>() {
        return get(cloud, caller, id).into_iter().collect();
    }
    if let Ok(id) = prefix.parse::<Id>() {
        return get(cloud, caller, id).into_iter().collect();
    }
    let mut views = list(cloud, caller);
    views.retain(|view| view.instance.meta.id.simple().starts_with(prefix));
    views
}

/// An instance, whoever's it is.
pub(crate) fn find(cloud: &Cloud, id: Id) -> Option<View> {
    let found = cloud.store.get::<Instance>(id)?;
    Some(view(cloud, id, found.value))
}

fn view(cloud: &Cloud, id: Id, instance: Arc<Instance>) -> View {
    let status = cloud
        .store
        .get::<InstanceStatus>(id)
        .map_or_else(|| Arc::new(unseen(&instance)), |found| found.value);
    View {
        instance,
        status,
        placement: cloud.store.get::<Placement>(id).map(|found| found.value),
        retry: cloud.store.get::<Retry>(id).map(|found| found.value),
    }
}

/// The status of an instance that no node has taken note of yet.
fn unseen(instance: &Instance) -> InstanceStatus {
    InstanceStatus {
        generation: instance.meta.generation,
        run: Run::default(),
        phase: Phase::Created,
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

fn missing(id: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("No such container: {}", id.simple()),
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::Meta;
    use model::instance::{Exit, InstanceSpec, RestartPolicy};

    use super::*;

    #[test]
    fn one_that_has_just_exited_is_about_to_run_again_though_nobody_asked_for_it_yet() {
        let mut instance = Instance {
            meta: Meta::new("site", ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            spec: InstanceSpec {
                restart: RestartPolicy::Always,
                ..InstanceSpec::default()
            },
        };
        instance.spec.run.started = true;
        instance.spec.run.epoch = 1;
        let status = InstanceStatus {
            phase: Phase::Exited,
            run: Run {
                epoch: 1,
                attempt: 0,
            },
            exit: Some(Exit {
                code: 1,
                at: Timestamp::UNIX_EPOCH,
                oom_killed: false,
            }),
            ..unseen(&instance)
        };
        let mut view = View {
            instance: Arc::new(instance.clone()),
            status: Arc::new(status),
            placement: None,
            retry: None,
        };
        assert!(view.is_restarting());
        instance.spec.run.stopped_by_user = true;
        view.instance = Arc::new(instance);
        assert!(!view.is_restarting());
    }
}
