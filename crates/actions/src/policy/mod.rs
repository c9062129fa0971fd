//! Who may do what: one table for every action of every front end, and the one place that asks it.
//!
//! The table has the secure defaults of today's OpenStack: a reader reads, a member changes what is
//! its project's, an admin does everything. A further service adds its rows to [`table`] and calls
//! [`Caller::may`] first thing in each of its actions.

mod table;

use model::{Id, ProjectId};

pub use table::Action;

use crate::{ActionError, Caller, ErrorKind, Scope};

/// Somebody who may. A row of the table names several; being one of them is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody who is known.
    Anyone,
    /// Role `admin`, wherever it is.
    Admin,
    /// Role `service`, wherever it is.
    Service,
    /// Role `reader` in the system.
    SystemReader,
    /// Role `reader` in the target's domain.
    DomainReader,
    /// Role `manager` in the target's domain.
    DomainManager,
    /// Acts in the target's domain, or in a project of it, in whatever role.
    DomainGuest,
    /// Role `reader` in the target's project.
    ProjectReader,
    /// Role `member` in the target's project.
    ProjectMember,
    /// Acts in the target's project, in whatever role.
    ProjectGuest,
    /// The user whose it is.
    Owner,
    /// The user whose it is, in role `member`.
    OwnerAsMember,
}

/// What an action is about, as far as it matters for who may.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target {
    /// The project whose it is.
    pub project: Option<ProjectId>,
    /// The domain whose it is.
    pub domain: Option<Id>,
    /// The user whose it is.
    pub user: Option<Id>,
}

impl Target {
    /// What belongs to the whole installation.
    pub const SYSTEM: Self = Self {
        project: None,
        domain: None,
        user: None,
    };

    /// What belongs to a project.
    #[must_use]
    pub const fn project(project: ProjectId) -> Self {
        Self {
            project: Some(project),
            ..Self::SYSTEM
        }
    }

    /// The content store and the nodes: the operator's.
    pub const OPERATOR: Self = Self::project(ProjectId::ADMIN);

    /// What belongs to a domain.
    #[must_use]
    pub const fn domain(domain: Id) -> Self {
        Self {
            domain: Some(domain),
            ..Self::SYSTEM
        }
    }

    /// What belongs to a user.
    #[must_use]
    pub const fn user(user: Id) -> Self {
        Self {
            user: Some(user),
            ..Self::SYSTEM
        }
    }
}

impl Caller {
    /// Refuses the caller who may not.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], with the name of the action.
    pub fn may(&self, action: Action, target: &Target) -> Result<(), ActionError> {
        if action.who().iter().any(|who| self.is(*who, target)) {
            return Ok(());
        }
        Err(ActionError::new(
            ErrorKind::Forbidden,
            format!(
                "You are not authorized to perform the requested action: {}.",
                action.as_str()
            ),
        ))
    }

    /// Whether the caller may read what is a project's; what they may not is not there for them.
    pub(crate) fn reads(&self, action: Action, owner: ProjectId) -> bool {
        self.may(action, &Target::project(owner)).is_ok()
    }

    fn is(&self, who: Who, target: &Target) -> bool {
        let in_domain = target
            .domain
            .is_some_and(|domain| self.scope == Scope::Domain(domain));
        let in_project = target.project.is_some_and(
            |wanted| matches!(self.scope, Scope::Project { project, .. } if project == wanted),
        );
        let is_owner = target.user == Some(self.user);
        match who {
            Who::Anyone => true,
            Who::Admin => self.is_admin(),
            Who::Service => self.has_role("service"),
            Who::SystemReader => self.scope == Scope::System && self.has_role("reader"),
            Who::DomainReader => in_domain && self.has_role("reader"),
            Who::DomainManager => in_domain && self.has_role("manager"),
            Who::DomainGuest => {
                in_domain
                    || matches!(self.scope, Scope::Project { domain, .. } if target.domain == Some(domain))
            }
            Who::ProjectReader => in_project && self.has_role("reader"),
            Who::ProjectMember => in_project && self.has_role("member"),
            Who::ProjectGuest => in_project,
            Who::Owner => is_owner,
            Who::OwnerAsMember => is_owner && self.has_role("member"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scope: Scope, roles: &[&str]) -> Caller {
        Caller {
            scope,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..Caller::operator(String::new())
        }
    }

    #[test]
    fn a_reader_reads_and_an_admin_writes() {
        let reader = caller(Scope::System, &["reader"]);
        assert!(reader.may(Action::ListUsers, &Target::SYSTEM).is_ok());
        let refused = reader.may(Action::CreateUser, &Target::SYSTEM).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Forbidden);
        assert!(
            refused.message.ends_with(": identity:create_user."),
            "{refused}"
        );
        let admin = caller(Scope::Unscoped, &["admin"]);
        assert!(admin.may(Action::CreateUser, &Target::SYSTEM).is_ok());
    }

    /// In words: what a reader, a member and an admin may do with what is `project`'s.
    fn rights(action: Action, mine: ProjectId, owner: ProjectId) -> String {
        let scope = Scope::Project {
            project: mine,
            domain: ProjectId::DEFAULT_DOMAIN.0,
        };
        let may = |roles: &[&str]| {
            let caller = caller(scope, roles);
            caller.may(action, &Target::project(owner)).is_ok()
        };
        let of = [
            ("guest", may(&[])),
            ("reader", may(&["reader"])),
            ("member", may(&["member", "reader"])),
            ("admin", may(&["admin", "member", "reader"])),
        ];
        let names: Vec<&str> = of.iter().filter(|one| one.1).map(|one| one.0).collect();
        names.join(" ")
    }

    /// What lies in projects, and is not the network's.
    const READS: [Action; 13] = [
        Action::GetInstance,
        Action::ListInstances,
        Action::ListEvents,
        Action::GetStatistics,
        Action::ListProcesses,
        Action::ListChanges,
        Action::GetHost,
        Action::GetImage,
        Action::ListImages,
        Action::GetVolume,
        Action::ListVolumes,
        Action::GetNetwork,
        Action::PullRepository,
    ];
    const WRITES: [Action; 28] = [
        Action::CreateInstance,
        Action::UpdateInstance,
        Action::DeleteInstance,
        Action::StartInstance,
        Action::StopInstance,
        Action::RebootInstance,
        Action::PauseInstance,
        Action::UnpauseInstance,
        Action::CommitInstance,
        Action::AttachInterface,
        Action::DetachInterface,
        Action::ReadLog,
        Action::AttachStreams,
        Action::SignalInstance,
        Action::ResizeTerminal,
        Action::Execute,
        Action::ReadArchive,
        Action::WriteArchive,
        Action::DownloadImage,
        Action::AddImage,
        Action::ModifyImage,
        Action::DeleteImage,
        Action::CreateVolume,
        Action::DeleteVolume,
        Action::CreateNetwork,
        Action::PushRepository,
        Action::DeleteFromRepository,
        Action::PublicizeRepository,
    ];

    #[test]
    fn a_reader_reads_and_a_member_changes_what_is_its_projects() {
        let (mine, other) = (ProjectId(Id::random()), ProjectId(Id::random()));
        for action in READS {
            assert_eq!(
                rights(action, mine, mine),
                "reader member admin",
                "{action:?}"
            );
            assert_eq!(rights(action, mine, other), "admin", "{action:?}");
        }
        for action in WRITES {
            assert_eq!(rights(action, mine, mine), "member admin", "{action:?}");
            assert_eq!(rights(action, mine, other), "admin", "{action:?}");
        }
        assert_eq!(rights(Action::ListAllInstances, mine, mine), "admin");
    }

    #[test]
    fn the_operator_does_what_docker_does_and_no_more() {
        let operator = Caller::operator(String::new());
        for action in READS.into_iter().chain(WRITES) {
            assert!(
                operator.may(action, &Target::OPERATOR).is_ok(),
                "{action:?}"
            );
            let other = Target::project(ProjectId(Id::random()));
            assert!(operator.may(action, &other).is_err(), "{action:?}");
        }
    }

    #[test]
    fn a_domain_ends_at_its_border() {
        let (mine, other) = (Id::random(), Id::random());
        let reader = caller(Scope::Domain(mine), &["reader"]);
        assert!(reader.may(Action::ListUsers, &Target::domain(mine)).is_ok());
        assert!(
            reader
                .may(Action::ListUsers, &Target::domain(other))
                .is_err()
        );
        assert!(reader.may(Action::ListUsers, &Target::SYSTEM).is_err());
    }
}
