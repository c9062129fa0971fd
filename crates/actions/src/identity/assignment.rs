//! Who has which role where: granting and taking back, and the lists of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::assignment::{Actor, Assignment, Grant, Target as Place};
use model::group::Group;
use model::project::Project;
use model::role::Role;
use model::user::User;
use model::{Id, Meta, ProjectId};

use super::project::{of_callers_domain, within};
use super::record::{invalid, not_found};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// Which of the actions on grants it is, where the place is the system or anywhere else.
struct Actions {
    anywhere: Action,
    user_in_system: Action,
    group_in_system: Action,
}

const CREATE: Actions = Actions {
    anywhere: Action::CreateGrant,
    user_in_system: Action::CreateSystemGrantForUser,
    group_in_system: Action::CreateSystemGrantForGroup,
};
const REVOKE: Actions = Actions {
    anywhere: Action::RevokeGrant,
    user_in_system: Action::RevokeSystemGrantForUser,
    group_in_system: Action::RevokeSystemGrantForGroup,
};
const CHECK: Actions = Actions {
    anywhere: Action::CheckGrant,
    user_in_system: Action::CheckSystemGrantForUser,
    group_in_system: Action::CheckSystemGrantForGroup,
};
const LIST: Actions = Actions {
    anywhere: Action::ListGrants,
    user_in_system: Action::ListSystemGrantsForUser,
    group_in_system: Action::ListSystemGrantsForGroup,
};

/// Refuses whoever may not, and what names nobody or nowhere.
fn check_ends(
    cloud: &Cloud,
    caller: &Caller,
    actions: &Actions,
    actor: Actor,
    place: Place,
) -> Result<(), ActionError> {
    let (action, id) = match (place, actor) {
        (Place::System, Actor::User(_)) => (actions.user_in_system, None),
        (Place::System, Actor::Group(_)) => (actions.group_in_system, None),
        (Place::Project(id) | Place::Domain(id), _) => (actions.anywhere, Some(id)),
    };
    let project = id.and_then(|id| cloud.any_project(id));
    let place_domain = project.as_deref().map(Project::domain);
    let actor_domain = match actor {
        Actor::User(id) => cloud
            .store
            .get::<User>(id)
            .map(|found| found.value.meta.project.0),
        Actor::Group(id) => cloud
            .store
            .get::<Group>(id)
            .map(|found| found.value.meta.project.0),
    };
    // Who acts in a domain may only where both ends are of it.
    let domain = place_domain.filter(|domain| actor_domain == Some(*domain));
    caller.may(
        action,
        &Target {
            domain,
            ..Target::SYSTEM
        },
    )?;
    match actor {
        Actor::User(id) => drop(cloud.find::<User>(id)?),
        Actor::Group(id) => drop(cloud.find::<Group>(id)?),
    }
    match (place, project) {
        (Place::Domain(id), None) => Err(not_found("domain", &id.simple())),
        (Place::Project(id), None) => Err(not_found("project", &id.simple())),
        _ => Ok(()),
    }
}

/// Grants a role; what is granted already stays so.
///
/// # Errors
/// [`ErrorKind::Forbidden`], and [`ErrorKind::NotFound`] for what is not there.
pub async fn grant(cloud: &Cloud, caller: &Caller, grant: Grant) -> Result<(), ActionError> {
    check_ends(cloud, caller, &CREATE, grant.actor, grant.target)?;
    let role = cloud.find::<Role>(grant.role)?.value;
    if role.meta.project != ProjectId::SYSTEM && !is_of_domain(cloud, &role, grant.target) {
        return Err(ActionError::new(
            ErrorKind::Forbidden,
            format!(
                "Project must be in the same domain as the role {} being assigned.",
                role.meta.id.simple()
            ),
        ));
    }
    let meta = Meta::new(grant.name(), ProjectId::SYSTEM, cloud.now());
    let mut transaction = cloud.store.transaction();
    transaction.insert(meta.id, Assignment { meta, spec: grant });
    match cloud.commit_durably(transaction).await {
        Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn is_of_domain(cloud: &Cloud, role: &Role, place: Place) -> bool {
    match place {
        Place::System => false,
        Place::Project(id) | Place::Domain(id) => cloud
            .any_project(id)
            .is_some_and(|project| ProjectId(project.domain()) == role.meta.project),
    }
}

/// Takes a role back.
///
/// # Errors
/// [`ErrorKind::NotFound`] where it is not granted.
pub async fn revoke(cloud: &Cloud, caller: &Caller, grant: Grant) -> Result<(), ActionError> {
    check_ends(cloud, caller, &REVOKE, grant.actor, grant.target)?;
    cloud.find::<Role>(grant.role)?;
    let id = assignment(cloud, &grant)?.meta.id;
    let mut transaction = cloud.store.transaction();
    transaction.delete::<Assignment>(id, None);
    cloud.commit_durably(transaction).await
}

/// Whether a role is granted.
///
/// # Errors
/// As [`revoke`].
pub fn check(cloud: &Cloud, caller: &Caller, grant: &Grant) -> Result<(), ActionError> {
    check_ends(cloud, caller, &CHECK, grant.actor, grant.target)?;
    cloud.find::<Role>(grant.role)?;
    assignment(cloud, grant).map(drop)
}

fn assignment(cloud: &Cloud, grant: &Grant) -> Result<Arc<Assignment>, ActionError> {
    cloud
        .store
        .by_name::<Assignment>(ProjectId::SYSTEM, &grant.name())
        .map(|found| found.value)
        .ok_or_else(|| {
            not_found(
                "role assignment with role",
                &format!("{}, {}", grant.role.simple(), grant.name()),
            )
        })
}

/// The roles that somebody was given somewhere, themselves.
///
/// # Errors
/// As [`grant`].
pub fn granted(
    cloud: &Cloud,
    caller: &Caller,
    actor: Actor,
    place: Place,
    inherited: bool,
) -> Result<Vec<Arc<Role>>, ActionError> {
    check_ends(cloud, caller, &LIST, actor, place)?;
    let wanted = |grant: &Grant| {
        grant.actor == actor && grant.target == place && grant.inherited == inherited
    };
    let grants = cloud.all::<Assignment>(|assignment| wanted(&assignment.spec));
    Ok(grants
        .iter()
        .filter_map(|assignment| cloud.store.get::<Role>(assignment.spec.role))
        .map(|found| found.value)
        .collect())
}

/// Which assignments are wanted; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of this user, or the groups that they are in where `effective`.
    pub user: Option<Id>,
    /// Of this group.
    pub group: Option<Id>,
    /// Of this role.
    pub role: Option<Id>,
    /// In this place.
    pub place: Option<Place>,
    /// And in all projects below it.
    pub subtree: bool,
    /// Inherited ones only, or none of them.
    pub inherited: Option<bool>,
    /// What comes of them rather than what was said: users for groups, projects for what they
    /// inherit, implied roles.
    pub effective: bool,
}

/// One assignment as a list shows it, with what it comes from where it is effective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// Who has which role where.
    pub grant: Grant,
    /// The group through which a user has it.
    pub through: Option<Id>,
    /// The place that it is inherited from.
    pub from: Option<Place>,
    /// The role that implies it.
    pub implied_by: Option<Id>,
}

/// The assignments that fit.
///
/// # Errors
/// [`ErrorKind::Forbidden`], and [`ErrorKind::Invalid`] for filters that make no sense together.
pub fn list(cloud: &Cloud, caller: &Caller, filter: &Filter) -> Result<Vec<Listed>, ActionError> {
    if filter.subtree {
        let Some(Place::Project(root)) = filter.place else {
            return Err(invalid(
                "Specify a project to list the role assignments of its tree.",
            ));
        };
        let domain = cloud.any_project(root).map(|project| project.domain());
        let target = Target {
            project: Some(ProjectId(root)),
            domain,
            user: None,
        };
        caller.may(Action::ListRoleAssignmentsForTree, &target)?;
    } else {
        caller.may(Action::ListRoleAssignments, &of_callers_domain(caller))?;
    }
    if filter.effective && filter.group.is_some() {
        return Err(invalid(
            "Combining effective and group filter will always result in an empty list.",
        ));
    }
    let said: Vec<Listed> = cloud
        .store
        .list::<Assignment>()
        .into_iter()
        .map(|(_, found)| Listed {
            grant: found.value.spec,
            through: None,
            from: None,
            implied_by: None,
        })
        .collect();
    let mut listed = if filter.effective {
        let mut effective: Vec<Listed> = Vec::new();
        for one in said {
            effective.extend(expand(cloud, one.grant));
        }
        effective
    } else {
        said
    };
    let places = filter.place.map(|place| {
        let mut places = vec![place];
        if let (true, Place::Project(root)) = (filter.subtree, place) {
            let below = cloud.below(root).into_iter();
            places.extend(below.map(|project| Place::Project(project.meta.id)));
        }
        places
    });
    let within = within(caller);
    listed.retain(|one| {
        let grant = &one.grant;
        filter
            .user
            .is_none_or(|user| grant.actor == Actor::User(user))
            && filter
                .group
                .is_none_or(|group| grant.actor == Actor::Group(group))
            && filter.role.is_none_or(|role| grant.role == role)
            && places
                .as_ref()
                .is_none_or(|places| places.contains(&grant.target))
            && filter.inherited.is_none_or(|inherited| {
                inherited == (grant.inherited || (filter.effective && one.from.is_some()))
            })
            && within.is_none_or(|domain| is_in(cloud, grant.target, domain))
    });
    Ok(listed)
}

fn is_in(cloud: &Cloud, place: Place, domain: Id) -> bool {
    match place {
        Place::System => false,
        Place::Project(id) | Place::Domain(id) => cloud
            .any_project(id)
            .is_some_and(|project| project.domain() == domain),
    }
}

/// What comes of one grant.
fn expand(cloud: &Cloud, grant: Grant) -> Vec<Listed> {
    let actors: Vec<(Actor, Option<Id>)> = match grant.actor {
        Actor::User(_) => vec![(grant.actor, None)],
        Actor::Group(id) => cloud
            .store
            .get::<Group>(id)
            .into_iter()
            .flat_map(|found| found.value.spec.members.keys().copied().collect::<Vec<_>>())
            .map(|user| (Actor::User(user), Some(id)))
            .collect(),
    };
    let places: Vec<(Place, Option<Place>)> = match (grant.inherited, grant.target) {
        (true, Place::Project(id) | Place::Domain(id)) => cloud
            .below(id)
            .into_iter()
            .map(|project| (Place::Project(project.meta.id), Some(grant.target)))
            .collect(),
        _ => vec![(grant.target, None)],
    };
    let access = cloud.access();
    let mut roles = access.with_implied([grant.role]);
    // A role of a domain's own only stands for those that it implies.
    roles.retain(|role| cloud.is_of_system(*role));
    let mut listed = Vec::with_capacity(actors.len() * places.len() * roles.len());
    for (actor, through) in actors {
        for (target, from) in &places {
            for role in &roles {
                listed.push(Listed {
                    grant: Grant {
                        actor,
                        target: *target,
                        role: *role,
                        inherited: false,
                    },
                    through,
                    from: *from,
                    implied_by: Some(grant.role).filter(|prior| prior != role),
                });
            }
        }
    }
    listed
}

impl Cloud {
    /// The projects in which a user has a role, by name.
    pub(super) fn projects_of(&self, user: Id) -> Vec<Arc<Project>> {
        let mut ids = BTreeSet::new();
        for grant in self.access().grants_of(user) {
            match (grant.target, grant.inherited) {
                (Place::Project(id), false) => drop(ids.insert(id)),
                (Place::Project(id) | Place::Domain(id), true) => {
                    ids.extend(self.below(id).iter().map(|project| project.meta.id));
                }
                (Place::Domain(_), false) | (Place::System, _) => {}
            }
        }
        let mut projects: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.any_project(id))
            .collect();
        projects.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        projects
    }
}

/// The projects in which the caller can act.
#[must_use]
pub fn own_projects(cloud: &Cloud, caller: &Caller) -> Vec<Arc<Project>> {
    let mut projects = cloud.projects_of(caller.user);
    projects.retain(|project| cloud.is_open(project));
    projects
}

/// The domains in which the caller can act.
#[must_use]
pub fn own_domains(cloud: &Cloud, caller: &Caller) -> Vec<Arc<Project>> {
    let access = cloud.access();
    let domains: BTreeSet<Id> = access
        .grants_of(caller.user)
        .filter_map(|grant| match (grant.target, grant.inherited) {
            (Place::Domain(id), false) => Some(id),
            _ => None,
        })
        .collect();
    let domains = domains.into_iter().filter_map(|id| cloud.any_project(id));
    domains.filter(|domain| domain.spec.enabled).collect()
}

/// Whether the caller can act in the system.
#[must_use]
pub fn is_in_system(cloud: &Cloud, caller: &Caller) -> bool {
    !cloud.roles_in(caller.user, Place::System).is_empty()
}
