//! Which roles somebody has where: groups, inheritance and implied roles taken together.
//!
//! An index of the assignments, made anew when one of the records that it is made of changed. It is
//! compared with the store's own count of changes, not fed by a watch: whoever reads it after a
//! write has returned sees that write.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use model::assignment::{Actor, Assignment, Grant, Target};
use model::group::Group;
use model::role::Role;
use model::{Id, Kind, ProjectId};
use store::Revision;

use crate::Cloud;

/// What the index is made of.
const KINDS: [Kind; 3] = [Kind::Assignment, Kind::Group, Kind::Role];

/// The newest index.
#[derive(Default)]
pub(super) struct Cache(RwLock<Option<(Revision, Arc<Access>)>>);

/// Who has which role where, by who.
pub(super) struct Access {
    grants: HashMap<Actor, Vec<Grant>>,
    groups: HashMap<Id, Vec<Id>>,
    implied: HashMap<Id, BTreeSet<Id>>,
}

impl Cloud {
    /// Who has which role where, as of now.
    pub(super) fn access(&self) -> Arc<Access> {
        let cache = &self.identity.access.0;
        let newest = self.store.touched(&KINDS);
        if let Some((revision, access)) = &*cache.read().unwrap_or_else(PoisonError::into_inner)
            && *revision == newest
        {
            return Arc::clone(access);
        }
        // Read after the count: what is written meanwhile is read twice, never missed.
        let access = Arc::new(Access::read(self));
        *cache.write().unwrap_or_else(PoisonError::into_inner) =
            Some((newest, Arc::clone(&access)));
        access
    }

    /// The roles that a user has in a target, by identity: those that tokens show.
    pub(super) fn roles_in(&self, user: Id, target: Target) -> BTreeSet<Id> {
        let access = self.access();
        let above = match target {
            Target::Project(id) => self.above(id),
            Target::Domain(_) | Target::System => Vec::new(),
        };
        let granted = access
            .grants_of(user)
            .filter(|grant| {
                if grant.inherited {
                    above.contains(&grant.target)
                } else {
                    grant.target == target
                }
            })
            .map(|grant| grant.role);
        let mut roles = access.with_implied(granted);
        // A role of a domain's own only stands for those that it implies.
        roles.retain(|role| self.is_of_system(*role));
        roles
    }

    /// Whether a role is the system's, not one of a domain's own.
    pub(super) fn is_of_system(&self, role: Id) -> bool {
        self.store
            .get::<Role>(role)
            .is_some_and(|found| found.value.meta.project == ProjectId::SYSTEM)
    }

    /// Where a project inherits from: the projects above it, and its domain.
    pub(super) fn above(&self, project: Id) -> Vec<Target> {
        let mut above = Vec::new();
        let mut next = self.any_project(project);
        while let Some(project) = next {
            let Some(parent) = project.spec.parent else {
                break;
            };
            next = self.any_project(parent);
            above.push(match &next {
                Some(parent) if parent.spec.is_domain => Target::Domain(parent.meta.id),
                Some(_) | None => Target::Project(parent),
            });
        }
        above
    }
}

impl Access {
    fn read(cloud: &Cloud) -> Self {
        let mut grants: HashMap<Actor, Vec<Grant>> = HashMap::new();
        for (_, found) in cloud.store.list::<Assignment>() {
            let grant = found.value.spec;
            grants.entry(grant.actor).or_default().push(grant);
        }
        let mut groups: HashMap<Id, Vec<Id>> = HashMap::new();
        for (group, found) in cloud.store.list::<Group>() {
            for user in found.value.spec.members.keys() {
                groups.entry(*user).or_default().push(group);
            }
        }
        let implied = cloud
            .store
            .list::<Role>()
            .into_iter()
            .filter(|(_, found)| !found.value.spec.implies.is_empty())
            .map(|(role, found)| (role, found.value.spec.implies.clone()))
            .collect();
        Self {
            grants,
            groups,
            implied,
        }
    }

    /// Everything that a user was given, by name or through a group.
    pub(super) fn grants_of(&self, user: Id) -> impl Iterator<Item = &Grant> {
        let groups = self.groups.get(&user).into_iter().flatten();
        std::iter::once(Actor::User(user))
            .chain(groups.map(|group| Actor::Group(*group)))
            .filter_map(|actor| self.grants.get(&actor))
            .flatten()
    }

    /// These roles and those that they imply.
    pub(super) fn with_implied(&self, roles: impl IntoIterator<Item = Id>) -> BTreeSet<Id> {
        let mut all = BTreeSet::new();
        let mut next: Vec<Id> = roles.into_iter().collect();
        while let Some(role) = next.pop() {
            if all.insert(role) {
                next.extend(self.implied.get(&role).into_iter().flatten());
            }
        }
        all
    }
}
