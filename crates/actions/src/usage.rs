//! Usage: for how long a project had which servers, of now and of the last two months.
//!
//! What is there is counted by its own record, what is gone by the [`Usage`] that it left. A server
//! counts from when it first ran until its removal, whatever it did meanwhile, with the size that it
//! had last; as in Nova. What was made by a protocol without flavors does not count, and is not in the
//! quota either.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::server::ServerFlavor;
use model::usage::Usage;
use model::{Id, ProjectId};

use crate::policy::{Action, Target};
use crate::server::{self, State};
use crate::{ActionError, Caller, Cloud};

/// A time, whose end does not belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// One server that was there at some time of a period.
#[derive(Clone, PartialEq, Debug)]
pub struct ServerUse {
    /// Which one.
    pub id: Id,
    /// What it is called.
    pub name: String,
    /// Its size.
    pub flavor: ServerFlavor,
    /// When it first ran.
    pub launched_at: Timestamp,
    /// When it was removed; `None` while it is there.
    pub ended_at: Option<Timestamp>,
    /// What it is, while it is there.
    pub state: Option<State>,
}

impl ServerUse {
    /// How long it was there within a period, in hours.
    #[must_use]
    pub fn hours(&self, period: Period) -> f64 {
        let from = self.launched_at.max(period.start);
        let until = self
            .ended_at
            .map_or(period.end, |ended| ended.min(period.end));
        until.duration_since(from).as_secs_f64().max(0.0) / 3_600.0
    }

    fn is_within(&self, period: Period) -> bool {
        self.launched_at < period.end && self.ended_at.is_none_or(|ended| ended > period.start)
    }
}

/// What every project used within a period, by project.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    period: Period,
) -> Result<BTreeMap<ProjectId, Vec<ServerUse>>, ActionError> {
    caller.may(Action::ListUsage, &Target::SYSTEM)?;
    let mut used: BTreeMap<ProjectId, Vec<ServerUse>> = BTreeMap::new();
    for (project, server) in all(cloud) {
        if server.is_within(period) {
            used.entry(project).or_default().push(server);
        }
    }
    for servers in used.values_mut() {
        sort(servers);
    }
    Ok(used)
}

/// What one project used within a period, the oldest server first.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`] for another project.
pub fn of_project(
    cloud: &Cloud,
    caller: &Caller,
    project: ProjectId,
    period: Period,
) -> Result<Vec<ServerUse>, ActionError> {
    caller.may(Action::GetUsage, &Target::project(project))?;
    let mut used: Vec<ServerUse> = all(cloud)
        .into_iter()
        .filter(|(owner, server)| *owner == project && server.is_within(period))
        .map(|(_, server)| server)
        .collect();
    sort(&mut used);
    Ok(used)
}

fn sort(servers: &mut [ServerUse]) {
    servers.sort_by_key(|server| (server.launched_at, server.id));
}

/// Every server that ever ran, and is known.
fn all(cloud: &Cloud) -> Vec<(ProjectId, ServerUse)> {
    let there = server::all(cloud).into_iter().filter_map(|view| {
        let server = &view.server;
        let used = ServerUse {
            id: server.meta.id,
            name: server.meta.name.clone(),
            flavor: server.spec.flavor.clone(),
            launched_at: server.launched_at?,
            ended_at: None,
            state: Some(view.state()),
        };
        Some((server.meta.project, used))
    });
    let gone = cloud.store.list::<Usage>().into_iter().map(|(id, found)| {
        let usage = &found.value;
        let used = ServerUse {
            id,
            name: usage.name.clone(),
            flavor: usage.flavor.clone(),
            launched_at: usage.launched_at,
            ended_at: Some(usage.ended_at),
            state: None,
        };
        (usage.project, used)
    });
    there.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    fn server(launched: i64, ended: Option<i64>) -> ServerUse {
        ServerUse {
            id: Id::random(),
            name: String::new(),
            flavor: ServerFlavor::default(),
            launched_at: at(launched),
            ended_at: ended.map(at),
            state: None,
        }
    }

    #[test]
    fn only_what_lies_within_the_period_counts() {
        let period = Period {
            start: at(10),
            end: at(20),
        };
        for (launched, ended, hours, is_within) in [
            (0, Some(5), 0.0, false),
            (0, Some(10), 0.0, false),
            (0, Some(12), 2.0, true),
            (12, Some(15), 3.0, true),
            (12, Some(30), 8.0, true),
            (0, None, 10.0, true),
            (19, None, 1.0, true),
            (20, None, 0.0, false),
            (25, None, 0.0, false),
        ] {
            let server = server(launched, ended);
            assert!((server.hours(period) - hours).abs() < 1e-9, "{server:?}");
            assert_eq!(server.is_within(period), is_within, "{server:?}");
        }
    }
}
