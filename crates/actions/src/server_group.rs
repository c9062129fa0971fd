//! Groups of servers: made before the servers, which join when they are made. Messages are Nova's.

use std::sync::Arc;

use model::instance::Companions;
use model::quota::Resource;
use model::server::Server;
use model::server_group::{GroupPolicy, ServerGroup};
use model::{Id, Meta, ProjectId};

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, is_seen, quota};

/// A group to make.
#[derive(Clone, Debug)]
pub struct NewServerGroup {
    /// Its name; need not be unique.
    pub name: String,
    /// Together, or apart.
    pub policy: GroupPolicy,
    /// At most so many on one node; for [`GroupPolicy::AntiAffinity`] only.
    pub most_per_node: Option<u32>,
}

/// Makes a group.
///
/// # Errors
/// [`ErrorKind::QuotaExceeded`], [`ErrorKind::Invalid`] for a rule that the policy does not have.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewServerGroup,
) -> Result<Arc<ServerGroup>, ActionError> {
    let project = caller.project();
    caller.may(Action::CreateServerGroup, &Target::project(project))?;
    if new.most_per_node.is_some() && new.policy != GroupPolicy::AntiAffinity {
        return Err(ActionError::new(
            ErrorKind::Invalid,
            "Only anti-affinity policy supports rules.",
        ));
    }
    let group = ServerGroup {
        meta: Meta::new(new.name, project, cloud.now()),
        user: caller.user,
        policy: new.policy,
        most_per_node: new.most_per_node,
    };
    let wanted = [(Resource::ServerGroups, 1)];
    let committed = quota::commit(cloud, project, &wanted, |transaction| {
        transaction.insert(group.meta.id, group.clone());
    });
    durable(committed.await?.durable).await?;
    Ok(Arc::new(group))
}

/// The groups of the caller's project, or of everybody's where an admin wants them; the oldest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    everybodys: bool,
) -> Result<Vec<Arc<ServerGroup>>, ActionError> {
    let project = caller.project();
    caller.may(Action::ListServerGroups, &Target::project(project))?;
    let sees_all = everybodys && caller.is_admin();
    let all = cloud.store.list::<ServerGroup>().into_iter();
    let mut found: Vec<Arc<ServerGroup>> = all
        .map(|(_, found)| found.value)
        .filter(|group| sees_all || group.meta.project == project)
        .collect();
    found.sort_by_key(|group| group.meta.created_at);
    Ok(found)
}

/// One group.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<ServerGroup>, ActionError> {
    let found = find(cloud, caller, id)?;
    let target = Target::project(found.meta.project);
    caller.may(Action::GetServerGroup, &target)?;
    Ok(found)
}

fn find(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<ServerGroup>, ActionError> {
    let found = cloud.store.get::<ServerGroup>(id);
    found
        .map(|found| found.value)
        .filter(|group| is_seen(caller, group.meta.project))
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("Instance group {id} could not be found."),
            )
        })
}

/// The servers that were made in a group and are still there, by identity.
#[must_use]
pub fn members(cloud: &Cloud, group: Id) -> Vec<Id> {
    let all = cloud.store.list::<Server>().into_iter();
    let is_in = |server: &Server| {
        let its = server.spec.group.as_ref();
        its.is_some_and(|its| its.group == group)
    };
    all.filter(|(_, found)| is_in(&found.value))
        .map(|(id, _)| id)
        .collect()
}

/// The group that a server was made in, while that is there.
#[must_use]
pub fn of(cloud: &Cloud, server: &Server) -> Option<Id> {
    let group = server.spec.group.as_ref()?.group;
    cloud.store.get::<ServerGroup>(group).map(|_| group)
}

/// The rule for servers that are to be made in a group.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the caller sees no such group.
pub(crate) fn rule(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Companions, ActionError> {
    let found = find(cloud, caller, id).map_err(|mut error| {
        error.kind = ErrorKind::Invalid;
        error
    })?;
    Ok(Companions {
        group: id,
        policy: found.policy,
        most_per_node: found.most_per_node.unwrap_or(1),
    })
}

/// Refuses so many more servers than a group of a project may have.
pub(crate) fn check_room(
    cloud: &Cloud,
    project: ProjectId,
    group: Id,
    more: u64,
) -> Result<(), ActionError> {
    let most = quota::limit(cloud, project, Resource::ServerGroupMembers);
    let wanted = members(cloud, group).len() as u64 + more;
    if u64::try_from(most).is_ok_and(|most| wanted > most) {
        return Err(ActionError::new(
            ErrorKind::QuotaExceeded,
            "Quota exceeded, too many servers in group",
        ));
    }
    Ok(())
}

/// Removes a group; its servers stay.
///
/// # Errors
/// As [`get`].
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let found = find(cloud, caller, id)?;
    let target = Target::project(found.meta.project);
    caller.may(Action::DeleteServerGroup, &target)?;
    let mut transaction = cloud.store.transaction();
    transaction.delete::<ServerGroup>(id, None);
    cloud.commit_durably(transaction).await
}
