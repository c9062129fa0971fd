//! Who asks: every action is told, and asks [`crate::policy`] whether they may.
//!
//! Front ends get one from [`crate::identity::token::validate`]; the Docker socket is the operator.

use std::collections::BTreeSet;

use model::delegation::Delegation;
use model::{Id, ProjectId};

/// Who asks, and where they act.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: Id,
    /// The domain that the user belongs to.
    pub user_domain: Id,
    /// Where they act.
    pub scope: Scope,
    /// Names of the roles that they have there, implied ones included.
    pub roles: BTreeSet<String>,
    /// What their right to act was lent by, where they did not prove who they are themselves.
    pub delegation: Option<Delegation>,
    /// Names the request in logs.
    pub request_id: String,
}

/// Where a caller acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nowhere: only what concerns the caller's own person.
    Unscoped,
    /// In a project.
    Project {
        /// The project.
        project: ProjectId,
        /// Its domain.
        domain: Id,
    },
    /// In a domain, without its projects.
    Domain(Id),
    /// In the whole installation.
    System,
}

impl Caller {
    /// The user that is there from the first start.
    pub const ADMIN_USER: Id = Id::well_known(3);

    /// The operator, who acts in a project of their own and sees no other: the Docker socket, and
    /// what the daemon makes for itself.
    #[must_use]
    pub fn operator(request_id: String) -> Self {
        Self {
            user: Self::ADMIN_USER,
            user_domain: ProjectId::DEFAULT_DOMAIN.0,
            scope: Scope::Project {
                project: ProjectId::ADMIN,
                domain: ProjectId::DEFAULT_DOMAIN.0,
            },
            roles: ["member", "reader"].map(str::to_owned).into(),
            delegation: None,
            request_id,
        }
    }

    /// Whose objects the caller sees and makes: the project's. Whoever acts in no project gets the
    /// system, which owns none of the objects that projects share.
    #[must_use]
    pub const fn project(&self) -> ProjectId {
        match self.scope {
            Scope::Project { project, .. } => project,
            Scope::Unscoped | Scope::Domain(_) | Scope::System => ProjectId::SYSTEM,
        }
    }

    /// Whether the caller has a role of this name where they act.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.contains(name)
    }

    /// Whether the caller sees and changes what is others'.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.has_role("admin")
    }
}
