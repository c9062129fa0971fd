//! Who asks the registry, and what they may: the policy's rows on repositories, asked anew for every
//! request, and within what their token was made for.

use std::sync::Arc;

use model::ProjectId;
use model::repository::Repository;
use store::Versioned;

use super::token::Scope;
use super::upstream::{self, Source};
use super::{RegistryError, RepositoryName};
use crate::identity::token::{Session, caller_in};
use crate::policy::{Action, Target};
use crate::{Caller, Cloud};

/// Who asks.
#[derive(Clone, Debug)]
pub struct Visitor {
    who: Who,
    /// All that their token is for; `None` is everything that they may.
    scopes: Option<Vec<Scope>>,
    /// Names the request in logs.
    request_id: String,
}

#[derive(Clone, Debug)]
enum Who {
    Nobody,
    Operator,
    User(Arc<Session>),
}

/// What somebody wants of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says what")]
pub enum Right {
    Pull,
    Push,
    Delete,
    Publicize,
}

impl Right {
    /// Those that tokens are for.
    pub(super) const SCOPED: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// The name in scopes. Who may push may say who may pull.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push | Self::Publicize => "push",
            Self::Delete => "delete",
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::Pull => Action::PullRepository,
            Self::Push => Action::PushRepository,
            Self::Delete => Action::DeleteFromRepository,
            Self::Publicize => Action::PublicizeRepository,
        }
    }
}

/// A repository that somebody may do something to, if it is there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) project: ProjectId,
    pub(super) name: RepositoryName,
    /// Where its content comes from; `None` is from pushes.
    pub(super) source: Option<Source>,
    found: Option<Versioned<Repository>>,
}

impl Place {
    /// The repository.
    pub(super) fn repository(&self) -> Result<&Versioned<Repository>, RegistryError> {
        self.found
            .as_ref()
            .ok_or_else(|| RegistryError::NameUnknown(self.name.to_string()))
    }

    /// Whose what is in the repository is, where it is there by now.
    pub(super) fn current(&self, cloud: &Cloud) -> Option<ProjectId> {
        let found = cloud
            .store
            .by_name::<Repository>(self.project, &self.name.path)?;
        Some(found.value.as_owner())
    }
}

impl Visitor {
    /// Somebody who has not said who they are.
    #[must_use]
    pub const fn nobody(request_id: String) -> Self {
        Self {
            who: Who::Nobody,
            scopes: None,
            request_id,
        }
    }

    /// The operator, as at the Docker socket.
    #[must_use]
    pub const fn operator(request_id: String) -> Self {
        Self {
            who: Who::Operator,
            scopes: None,
            request_id,
        }
    }

    pub(super) fn new(
        session: Option<Arc<Session>>,
        scopes: Option<Vec<Scope>>,
        request_id: String,
    ) -> Self {
        let who = match session {
            Some(session) => Who::User(session),
            None => Who::Nobody,
        };
        Self {
            who,
            scopes,
            request_id,
        }
    }

    /// Whether nobody knows who it is.
    #[must_use]
    pub const fn is_nobody(&self) -> bool {
        matches!(self.who, Who::Nobody)
    }

    /// Whether they have shown a token, be it nobody's.
    #[must_use]
    pub const fn has_token(&self) -> bool {
        self.scopes.is_some()
    }

    /// What they have shown.
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.who {
            Who::Nobody | Who::Operator => None,
            Who::User(session) => Some(session),
        }
    }

    /// As whom they act in a project.
    fn caller(&self, cloud: &Cloud, project: ProjectId) -> Option<Caller> {
        match &self.who {
            Who::Nobody => None,
            Who::Operator => Some(Caller::operator(self.request_id.clone())),
            Who::User(session) => Some(caller_in(cloud, session, project, self.request_id.clone())),
        }
    }

    /// Whether they may, whatever their token is for.
    pub(super) fn has_right(
        &self,
        cloud: &Cloud,
        project: ProjectId,
        is_public: bool,
        right: Right,
    ) -> bool {
        (is_public && right == Right::Pull)
            || self.caller(cloud, project).is_some_and(|caller| {
                caller
                    .may(right.action(), &Target::project(project))
                    .is_ok()
            })
    }

    /// Whether they may pull from a repository.
    pub(super) fn pulls(&self, cloud: &Cloud, repository: &Repository) -> bool {
        let (project, path) = (repository.meta.project, &repository.meta.name);
        let is_public = upstream::is_public(cloud, project, path, Some(repository));
        self.has_right(cloud, project, is_public, Right::Pull)
    }

    /// Whether they may have what the engine keeps, which is the operator's.
    pub(super) fn reads_engine(&self, cloud: &Cloud) -> bool {
        self.caller(cloud, ProjectId::ADMIN)
            .is_some_and(|caller| caller.may(Action::DownloadImage, &Target::OPERATOR).is_ok())
    }

    /// The repository of a name, for whoever may do this to it.
    ///
    /// A project that is not there looks like one in which they may nothing.
    pub(super) fn enter(
        &self,
        cloud: &Cloud,
        name: &RepositoryName,
        right: Right,
    ) -> Result<Place, RegistryError> {
        let refused = || match self.who {
            Who::Nobody => RegistryError::Unauthenticated,
            Who::Operator | Who::User(_) => RegistryError::Denied(name.to_string()),
        };
        let project = name.project_of(cloud).ok_or_else(refused)?.as_owner();
        let found = cloud.store.by_name::<Repository>(project, &name.path);
        let is_public = upstream::is_public(
            cloud,
            project,
            &name.path,
            found.as_ref().map(|found| &*found.value),
        );
        if !self.has_right(cloud, project, is_public, right) {
            return Err(refused());
        }
        let is_open_to_all = is_public && right == Right::Pull;
        if !is_open_to_all && !self.is_in_scope(name, right) {
            return Err(RegistryError::ScopeInsufficient);
        }
        let source = Source::of(cloud, project, &name.path);
        if let (Some(source), Right::Push | Right::Publicize) = (&source, right) {
            return Err(source.refuse_write(name));
        }
        Ok(Place {
            project,
            name: name.clone(),
            source,
            found,
        })
    }

    fn is_in_scope(&self, name: &RepositoryName, right: Right) -> bool {
        self.scopes
            .as_ref()
            .is_none_or(|scopes| scopes.iter().any(|scope| scope.covers(name, right)))
    }

    /// Whether their token, where they have one, is for the catalogue.
    pub(super) fn is_for_catalogue(&self) -> bool {
        self.scopes
            .as_ref()
            .is_none_or(|scopes| scopes.contains(&Scope::Catalogue))
    }
}
