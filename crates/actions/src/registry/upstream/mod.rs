//! Other registries behind this one: repositories below a prefix, whose content comes from an upstream
//! when somebody asks for it, and is kept.
//!
//! What is kept are ordinary records and shelved content of an ordinary project, so who may pull, what
//! the catalogue shows and what is freed are decided where they are for all repositories. Nobody
//! pushes there. [`manifest`] keeps tags true, [`blob`] lets content through while it is kept, [`limit`]
//! frees what was not used for long. Credentials for an upstream stay here. Callers are the registry's
//! own operations on manifests, blobs and tags.

pub mod blob;
pub(super) mod limit;
pub(super) mod manifest;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::image::reference::Reference;
pub use ::image::registry::RegistryError as UpstreamError;
use ::image::registry::{Access, Credentials, Repository};
use model::ProjectId;
use model::repository::Repository as Record;

use super::{RegistryError, RepositoryName};
use crate::Cloud;

pub use limit::Limits;

/// How long a conversation is gone on with, which keeps the upstream's token.
const TALKS_FOR: Duration = Duration::from_secs(300);
/// Conversations that are kept at most.
const MOST_TALKS: usize = 1000;

/// A registry behind this one.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Below which its repositories are found here.
    pub prefix: Prefix,
    /// Which registry: the host in names of images, `docker.io` or `HOST:PORT`.
    pub registry: Host,
    /// Who we are there.
    pub credentials: Option<Credentials>,
    /// Also for clients that take this registry for a copy of that one, and so ask without the prefix.
    pub is_mirror: bool,
    /// Everybody may pull, and not only the project's readers.
    pub is_public: bool,
    /// How long a tag is believed without asking the upstream; nothing asks each time.
    pub fresh_for: Duration,
    /// What is kept at most.
    pub limits: Limits,
}

/// The project that an upstream's repositories are in, and perhaps a path in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    project: String,
    path: String,
}

/// The host of a registry, as in names of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

/// A text that is no host of a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no registry: use its host as in names of images, such as docker.io or HOST:PORT")]
pub struct HostError(String);

impl FromStr for Prefix {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let _has_room: RepositoryName = format!("{text}/x").parse()?;
        let (project, path) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self {
            project: project.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        match Reference::parse(&format!("{text}/x")) {
            Ok(reference) if reference.domain() == text => Ok(Self(text.to_owned())),
            _ => Err(HostError(text.to_owned())),
        }
    }
}

impl Prefix {
    /// What comes after the prefix in the path of a repository of its project.
    fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.path.is_empty() {
            return Some(path);
        }
        path.strip_prefix(self.path.as_str())?.strip_prefix('/')
    }

    /// The name here of what the upstream calls `path`.
    fn before(&self, path: &str) -> Result<RepositoryName, RegistryError> {
        let Self {
            project,
            path: own_path,
        } = self;
        let separator = if own_path.is_empty() { "" } else { "/" };
        format!("{project}/{own_path}{separator}{path}").parse()
    }

    fn project(&self, cloud: &Cloud) -> Option<ProjectId> {
        let name = RepositoryName {
            project: self.project.clone(),
            path: self.path.clone(),
        };
        name.project_of(cloud).map(|project| project.as_owner())
    }
}

/// What is kept in memory about upstreams.
#[derive(Default)]
pub(super) struct Upstreams {
    talks: Mutex<HashMap<(String, String), Talk>>,
    checks: manifest::Checks,
    flights: blob::Flights,
}

/// A conversation with an upstream about one repository.
struct Talk {
    since: Instant,
    repository: Arc<Repository>,
}

impl Upstreams {
    fn talks(&self) -> MutexGuard<'_, HashMap<(String, String), Talk>> {
        self.talks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the content of a repository comes from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) upstream: Arc<Upstream>,
    /// What the upstream calls the repository.
    path: String,
}

impl Source {
    /// Where the repository `path` of a project comes from; `None` is from pushes.
    pub(super) fn of(cloud: &Cloud, project: ProjectId, path: &str) -> Option<Self> {
        let upstreams = cloud.registry.settings.upstreams.iter();
        upstreams
            .filter_map(|upstream| Some((upstream, upstream.prefix.strip(path)?)))
            // The longest prefix leaves the shortest rest.
            .min_by_key(|(_, rest)| rest.len())
            .filter(|(upstream, _)| upstream.prefix.project(cloud) == Some(project))
            .map(|(upstream, rest)| Self {
                upstream: Arc::clone(upstream),
                path: rest.to_owned(),
            })
    }

    /// The upstream's repository.
    async fn talk(&self, cloud: &Cloud) -> Result<Arc<Repository>, UpstreamError> {
        let registry = &self.upstream.registry.0;
        let key = (registry.clone(), self.path.clone());
        let talks = &cloud.registry.upstreams;
        if let Some(talk) = talks.talks().get(&key)
            && talk.since.elapsed() < TALKS_FOR
        {
            return Ok(Arc::clone(&talk.repository));
        }
        let text = format!("{registry}/{}", self.path);
        let reference = Reference::parse(&text).map_err(|_| UpstreamError::Name { name: text })?;
        let credentials = self.upstream.credentials.clone();
        let repository = cloud
            .registries
            .repository(&reference, Access::Pull, credentials)
            .await?;
        let repository = Arc::new(repository);
        let mut talks = talks.talks();
        if talks.len() >= MOST_TALKS {
            talks.clear();
        }
        let talk = Talk {
            since: Instant::now(),
            repository: Arc::clone(&repository),
        };
        talks.insert(key, talk);
        Ok(repository)
    }

    /// That nobody pushes there.
    pub(super) fn refuse_write(&self, name: &RepositoryName) -> RegistryError {
        RegistryError::IsCopy {
            repository: name.to_string(),
            registry: self.upstream.registry.0.clone(),
        }
    }

    /// Why the upstream did not give something; `unknown` where it has no such thing.
    fn failed(
        &self,
        error: UpstreamError,
        unknown: impl FnOnce() -> RegistryError,
    ) -> RegistryError {
        if error.is_not_found() {
            return unknown();
        }
        RegistryError::Upstream {
            registry: self.upstream.registry.0.clone(),
            source: Arc::new(error),
        }
    }
}

/// Whether everybody may pull from a repository, which may be not there yet.
pub(super) fn is_public(
    cloud: &Cloud,
    project: ProjectId,
    path: &str,
    found: Option<&Record>,
) -> bool {
    match Source::of(cloud, project, path) {
        Some(source) => source.upstream.is_public,
        None => found.is_some_and(|found| found.public),
    }
}

/// The repository that a client means. `mirrored` is the registry that it takes this one for a copy of,
/// where it says so, as containerd does; dockerd does not, and means what is no project here.
///
/// # Errors
/// [`RegistryError::NameInvalid`].
pub fn meant(
    cloud: &Cloud,
    name: &str,
    mirrored: Option<&str>,
) -> Result<RepositoryName, RegistryError> {
    let mut mirrors = cloud.registry.settings.upstreams.iter();
    if let Some(mirrored) = mirrored {
        let mirror = mirrors.find(|upstream| upstream.is_mirror && upstream.registry.0 == mirrored);
        return match mirror {
            Some(mirror) => mirror.prefix.before(name),
            None => name.parse(),
        };
    }
    let Some(mirror) = mirrors.find(|upstream| upstream.is_mirror) else {
        return name.parse();
    };
    match name.parse::<RepositoryName>() {
        Ok(own) if own.project_of(cloud).is_some() => Ok(own),
        _ => mirror.prefix.before(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_project_and_perhaps_a_path() {
        let whole: Prefix = "hub".parse().unwrap();
        assert_eq!(whole.strip("library/busybox"), Some("library/busybox"));
        let name = whole.before("library/busybox").unwrap();
        assert_eq!(name.to_string(), "hub/library/busybox");
        let part: Prefix = "admin/copies".parse().unwrap();
        assert_eq!(part.strip("copies/app"), Some("app"));
        assert_eq!(part.strip("copies"), None);
        assert_eq!(part.strip("copiesx/app"), None);
        assert_eq!(part.before("app").unwrap().to_string(), "admin/copies/app");
        for text in ["", "Hub", "hub/", "/hub", "a//b"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_registry_is_named_as_in_images() {
        for text in ["docker.io", "127.0.0.1:5000", "localhost", "ghcr.io"] {
            assert!(text.parse::<Host>().is_ok(), "{text}");
        }
        for text in ["", "library", "https://ghcr.io", "ghcr.io/team"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
