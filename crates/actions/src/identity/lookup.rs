//! Finding who and what is meant: by identity, or by name in a domain.

use std::sync::Arc;

use model::group::Group;
use model::project::Project;
use model::role::Role;
use model::user::User;
use model::{Id, Meta, ProjectId};

use crate::Cloud;

/// What is meant: one of the two ways to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By identity.
    Id(Id),
    /// By name.
    Name(String),
}

impl Cloud {
    /// A project that is no domain, or a domain: whatever has the identity.
    pub(super) fn any_project(&self, id: Id) -> Option<Arc<Project>> {
        self.store.get::<Project>(id).map(|found| found.value)
    }

    /// A domain.
    pub(super) fn domain(&self, named: &Named) -> Option<Arc<Project>> {
        match named {
            Named::Id(id) => self.any_project(*id),
            Named::Name(name) => self
                .store
                .by_name::<Project>(ProjectId::SYSTEM, name)
                .map(|found| found.value),
        }
        .filter(|project| project.spec.is_domain)
    }

    /// A project; a name is one of `domain`.
    pub(super) fn project(&self, named: &Named, domain: Option<&Named>) -> Option<Arc<Project>> {
        match named {
            Named::Id(id) => self.any_project(*id),
            Named::Name(name) => {
                let domain = self.domain(domain?)?;
                self.store
                    .by_name::<Project>(domain.as_owner(), name)
                    .map(|found| found.value)
            }
        }
    }

    /// A user; a name is one of `domain`.
    pub(super) fn user(&self, named: &Named, domain: Option<&Named>) -> Option<Arc<User>> {
        match named {
            Named::Id(id) => self.store.get::<User>(*id),
            Named::Name(name) => {
                let domain = self.domain(domain?)?;
                self.store.by_name::<User>(domain.as_owner(), name)
            }
        }
        .map(|found| found.value)
    }

    /// Whether a project, what is above it, and its domain are enabled.
    pub(crate) fn is_open(&self, project: &Project) -> bool {
        project.spec.enabled
            && (project.spec.is_domain
                || project
                    .spec
                    .parent
                    .and_then(|parent| self.any_project(parent))
                    .is_some_and(|parent| self.is_open(&parent)))
    }
}

/// A name, and the identity and name of the domain that it is one of, where it is of any.
pub type NameInDomain = (String, Option<(Id, String)>);

impl Cloud {
    /// What a user, group, project, domain or role is called, for lists that show names.
    #[must_use]
    pub fn name_of(&self, noun: &str, id: Id) -> Option<NameInDomain> {
        let (name, owner) = match noun {
            "user" => named(&self.store.get::<User>(id)?.value.meta),
            "group" => named(&self.store.get::<Group>(id)?.value.meta),
            "role" => named(&self.store.get::<Role>(id)?.value.meta),
            _ => named(&self.any_project(id)?.meta),
        };
        let domain = self
            .any_project(owner.0)
            .map(|domain| (domain.meta.id, domain.meta.name.clone()));
        Some((name, domain))
    }
}

fn named(meta: &Meta) -> (String, ProjectId) {
    (meta.name.clone(), meta.project)
}
