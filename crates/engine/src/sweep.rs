//! Frees what a crash of the daemon or of the keeper has left on this machine and no run has on its
//! books: cgroups with whatever processes are in them, sandboxes, memory that was to be shared.
//!
//! Run once, when the host is opened and knows which runs live, and at its end. Interfaces and
//! namespaces that not even a sandbox knows are the networks' own business.

use std::collections::HashSet;
use std::sync::Arc;

use model::Id;
use runtime::cgroup::{Cgroup, CgroupError};

use crate::host::{CGROUP_OF_ALL, Inner};
use crate::instance::unmount_shared_memory;

/// Frees what belongs to no run that lives. What cannot be freed is logged.
pub(crate) async fn sweep(inner: &Arc<Inner>) {
    let lives = inner.runs.all();
    let living: HashSet<Id> = lives
        .iter()
        .filter(|live| live.pid().is_some())
        .map(|live| live.id)
        .collect();
    for id in inner.networks.attached() {
        if !living.contains(&id) {
            inner.networks.detach(id).await;
        }
    }
    let inner = Arc::clone(inner);
    // Processes that are killed are waited for.
    let swept = tokio::task::spawn_blocking(move || {
        sweep_cgroups(&inner, &living);
        sweep_shared_memory(&inner, &living);
    });
    if let Err(error) = swept.await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the sweep did not end"
        );
    }
}

fn sweep_cgroups(inner: &Inner, living: &HashSet<Id>) {
    let below = Cgroup::at(&inner.cgroup_parent).and_then(|parent| parent.names_below());
    let names = below.unwrap_or_else(|error| {
        left_over(&error);
        Default::default()
    });
    let mut unowned: Vec<String> = names
        .into_iter()
        .filter(|name| name.parse().is_ok_and(|id: Id| !living.contains(&id)))
        .map(|name| format!("{}/{name}", inner.cgroup_parent))
        .collect();
    // Users may have put cgroups elsewhere.
    let elsewhere = inner
        .directories
        .instances()
        .into_iter()
        .filter(|id| !living.contains(id))
        .filter_map(|id| {
            let origin = inner.origin(id).ok()?;
            let parent = Some(origin.cgroup_parent).filter(|parent| !parent.is_empty())?;
            inner.cgroups_path(id, &parent).ok()
        });
    unowned.extend(elsewhere);
    // Everything is killed before anything is waited for.
    remove_each(&unowned, |cgroup| cgroup.try_remove().map(drop));
    remove_each(&unowned, Cgroup::remove);
}

fn remove_each(paths: &[String], remove: impl Fn(&Cgroup) -> Result<(), CgroupError>) {
    for path in paths {
        if let Err(error) = Cgroup::at(path).and_then(|cgroup| remove(&cgroup)) {
            left_over(&error);
        }
    }
}

fn sweep_shared_memory(inner: &Inner, living: &HashSet<Id>) {
    for id in inner.directories.instances() {
        if !living.contains(&id)
            && let Err(error) = unmount_shared_memory(&inner.directories.instance(id))
        {
            left_over(&error);
        }
    }
}

/// Frees the cgroups of everything, after the keeper has killed everything.
pub(crate) fn sweep_all(inner: &Inner) {
    for live in inner.runs.all() {
        inner.release(live.id, &live.note);
    }
    let removed = Cgroup::at(&inner.cgroup_parent)
        .and_then(|cgroup| cgroup.remove())
        .and_then(|()| Cgroup::at(CGROUP_OF_ALL)?.remove_if_empty());
    if let Err(error) = removed {
        left_over(&error);
    }
}

fn left_over(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error, "something of a run that is over is left");
}
