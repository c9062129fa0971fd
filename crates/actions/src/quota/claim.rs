//! The check that whatever counts goes through when it is made.
//!
//! [`claim`] counts, and writes the project's gate in the creating batch; of two at once that both
//! saw the last place free, the second is refused by the store, looks again, and finds it taken.
//! Messages are those of Nova, Neutron and Cinder.

use model::quota::{QuotaGate, Resource};
use model::{Kind, ProjectId};
use store::{CommitError, Committed, Transaction, Versioned};

use super::{Figure, Service, limit, row, used};
use crate::{ActionError, Cloud, ErrorKind};

/// Refuses what would be more than a project may have, and puts the project's gate into the batch
/// that makes it. When the store then refuses that batch and [`is_contended`] says that it was the
/// gate, look again.
///
/// # Errors
/// [`ErrorKind::QuotaExceeded`], in the words of the service that counts.
pub(crate) fn claim(
    cloud: &Cloud,
    transaction: &mut Transaction,
    project: ProjectId,
    wanted: &[(Resource, u64)],
) -> Result<(), ActionError> {
    claim_for(cloud, transaction, project, project, wanted)
}

/// As [`claim`], for what belongs to `owner` and is limited by the quota of `project`.
fn claim_for(
    cloud: &Cloud,
    transaction: &mut Transaction,
    project: ProjectId,
    owner: ProjectId,
    wanted: &[(Resource, u64)],
) -> Result<(), ActionError> {
    let gate = Gate::of(cloud, owner);
    let figure = |resource| Figure {
        limit: limit(cloud, project, resource),
        used: used(cloud, owner, resource),
    };
    let over: Vec<(Resource, u64, Figure)> = wanted
        .iter()
        .map(|(resource, wanted)| (*resource, *wanted, figure(*resource)))
        .filter(|(_, wanted, figure)| {
            u64::try_from(figure.limit).is_ok_and(|limit| figure.used + wanted > limit)
        })
        .collect();
    if !over.is_empty() {
        return Err(ActionError::new(ErrorKind::QuotaExceeded, in_words(&over)));
    }
    gate.pass(transaction);
    Ok(())
}

/// The gate of a project or user, as it was before anything was counted: who makes something
/// meanwhile is noticed.
pub(crate) struct Gate {
    owner: ProjectId,
    before: Option<Versioned<QuotaGate>>,
}

impl Gate {
    /// To be called before anything is counted.
    pub(crate) fn of(cloud: &Cloud, owner: ProjectId) -> Self {
        let before = cloud.store.get::<QuotaGate>(owner.0);
        Self { owner, before }
    }

    /// Puts the gate into the batch that makes what was counted.
    pub(crate) fn pass(self, transaction: &mut Transaction) {
        let id = self.owner.0;
        match self.before {
            Some(found) => {
                let passed = found.value.passed + 1;
                transaction.update(id, found.revision, QuotaGate { passed });
            }
            None => {
                transaction.insert(id, QuotaGate { passed: 1 });
            }
        }
    }
}

/// Whether a batch was refused because somebody else went through the gate meanwhile.
pub(crate) const fn is_contended(error: &CommitError) -> bool {
    matches!(
        error,
        CommitError::Conflict {
            kind: Kind::QuotaGate,
            ..
        } | CommitError::Exists {
            kind: Kind::QuotaGate,
            ..
        }
    )
}

/// Why a batch was not written.
pub(crate) enum Unmade {
    /// The project has too much already.
    Over(ActionError),
    /// The store refused it.
    Refused(CommitError),
}

impl From<Unmade> for ActionError {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::Over(error) => error,
            Unmade::Refused(error) => error.into(),
        }
    }
}

/// Writes what `fill` puts into a batch, which makes so much in a project.
pub(crate) async fn commit(
    cloud: &Cloud,
    project: ProjectId,
    wanted: &[(Resource, u64)],
    fill: impl Fn(&mut Transaction),
) -> Result<Committed, Unmade> {
    commit_for(cloud, project, project, wanted, fill).await
}

/// As [`commit`], for what belongs to `owner` and is limited by the quota of `project`.
pub(crate) async fn commit_for(
    cloud: &Cloud,
    project: ProjectId,
    owner: ProjectId,
    wanted: &[(Resource, u64)],
    fill: impl Fn(&mut Transaction),
) -> Result<Committed, Unmade> {
    loop {
        let mut transaction = cloud.store.transaction();
        claim_for(cloud, &mut transaction, project, owner, wanted).map_err(Unmade::Over)?;
        fill(&mut transaction);
        match cloud.store.commit(transaction).await {
            Err(error) if is_contended(&error) => {}
            done => return done.map_err(Unmade::Refused),
        }
    }
}

/// What the service that counts says of too much.
fn in_words(over: &[(Resource, u64, Figure)]) -> String {
    let joined = |shown: &dyn Fn(&(Resource, u64, Figure)) -> String| {
        let shown: Vec<String> = over.iter().map(shown).collect();
        shown.join(", ")
    };
    let Some((resource, wanted, Figure { limit, used })) = over.first() else {
        return String::new();
    };
    match resource {
        Resource::KeyPairs => "Quota exceeded, too many key pairs.".to_owned(),
        Resource::ServerGroups => "Quota exceeded, too many server groups.".to_owned(),
        Resource::VolumeGib => format!(
            "Requested volume or snapshot exceeds allowed gigabytes quota. Requested {wanted}G, \
             quota is {limit}G and {used}G has been consumed."
        ),
        Resource::Volumes | Resource::Snapshots => {
            let name = row(*resource).1;
            format!("Maximum number of {name} allowed ({limit}) exceeded for quota '{name}'.")
        }
        _ if row(*resource).0 == Service::Network => {
            let names = joined(&|over| format!("'{}'", row(over.0).1));
            format!("Quota exceeded for resources: [{names}].")
        }
        _ => {
            let names = joined(&|over| row(over.0).1.to_owned());
            let wanted = joined(&|over| over.1.to_string());
            let used = joined(&|over| over.2.used.to_string());
            let limits = joined(&|over| over.2.limit.to_string());
            format!(
                "Quota exceeded for {names}: Requested {wanted}, but already used {used} of \
                 {limits} {names}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_told_in_the_words_of_each_service() {
        let figure = Figure { limit: 2, used: 1 };
        let both = [(Resource::Cores, 4, figure), (Resource::RamMib, 8, figure)];
        assert_eq!(
            in_words(&both),
            "Quota exceeded for cores, ram: Requested 4, 8, but already used 1, 1 of 2, 2 cores, ram"
        );
        assert_eq!(
            in_words(&[(Resource::Routers, 2, figure)]),
            "Quota exceeded for resources: ['router']."
        );
        assert_eq!(
            in_words(&[(Resource::Volumes, 2, figure)]),
            "Maximum number of volumes allowed (2) exceeded for quota 'volumes'."
        );
    }
}
