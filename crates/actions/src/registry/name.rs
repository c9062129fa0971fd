//! Names of repositories, and which project's they are.
//!
//! An address is `<project>/<path>`. The project is that of this name in the domain `Default`, or the
//! one with this identity (32 hexadecimal digits): projects of other domains, and those whose names a
//! repository cannot have, are reached by identity only.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use model::project::Project;
use model::{Id, ProjectId};

use super::RegistryError;
use crate::Cloud;

/// Characters of the longest name; more, with a host and a tag, do not fit into what clients keep.
const LONGEST: usize = 255;
/// Digits of an identity.
const ID_DIGITS: usize = 32;

/// The address of a repository: valid, but perhaps of nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryName {
    /// How the project is named.
    pub project: String,
    /// The name within the project; may have slashes.
    pub path: String,
}

impl FromStr for RepositoryName {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let invalid = |reason| RegistryError::NameInvalid {
            name: text.to_owned(),
            reason,
        };
        if text.len() > LONGEST {
            return Err(invalid("it has more than 255 characters"));
        }
        if !text.split('/').all(is_component) {
            return Err(invalid(
                "use lower-case letters and digits, with `.`, `_`, `__` or `-` between them",
            ));
        }
        let (project, path) = text
            .split_once('/')
            .ok_or_else(|| invalid("it must have a project before a slash"))?;
        Ok(Self {
            project: project.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.path)
    }
}

impl RepositoryName {
    /// The project, where there is one that is enabled.
    pub(super) fn project_of(&self, cloud: &Cloud) -> Option<Arc<Project>> {
        // What has the identity goes first: nobody can take an address by a name.
        let by_id = (self.project.len() == ID_DIGITS)
            .then(|| self.project.parse::<Id>().ok())
            .flatten()
            .and_then(|id| cloud.store.get::<Project>(id));
        let found = by_id.or_else(|| {
            cloud
                .store
                .by_name::<Project>(ProjectId::DEFAULT_DOMAIN, &self.project)
        })?;
        Some(found.value).filter(|project| !project.spec.is_domain && cloud.is_open(project))
    }

    /// The name of what is `path` in a project: by the project's name where that leads to it.
    pub(super) fn of(cloud: &Cloud, project: ProjectId, path: &str) -> Self {
        let found = cloud.store.get::<Project>(project.0);
        let name = found
            .map(|found| found.value)
            .filter(|project| project.meta.project == ProjectId::DEFAULT_DOMAIN)
            .map(|project| project.meta.name.clone())
            .filter(|name| is_component(name))
            .unwrap_or_else(|| project.0.simple());
        Self {
            project: name,
            path: path.to_owned(),
        }
    }
}

/// Lower-case letters and digits, with separators (`.`, `_`, `__` or dashes) between them.
///
/// Source: OCI Distribution Specification v1.1, "Pulling manifests".
fn is_component(component: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    bytes.first().is_some_and(is_word)
        && bytes.last().is_some_and(is_word)
        && bytes.split(is_word).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__")
                || separator.iter().all(|byte| *byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_project_and_a_path() {
        let name: RepositoryName = "admin/web/app-1.x__y--z".parse().unwrap();
        assert_eq!(name.project, "admin");
        assert_eq!(name.path, "web/app-1.x__y--z");
        assert_eq!(name.to_string(), "admin/web/app-1.x__y--z");
    }

    #[test]
    fn what_breaks_the_grammar_is_no_name() {
        let long = format!("a/{}", "b".repeat(254));
        for text in [
            "", "busybox", "a//b", "/a", "a/", "A/b", "a/B", "a/b_", "a/.b", "a/b..c", "a/b___c",
            "a/../b", "a/b%2fc", "a/b c", "a/ü", &long,
        ] {
            let refused = text.parse::<RepositoryName>();
            assert!(
                matches!(refused, Err(RegistryError::NameInvalid { .. })),
                "{text}"
            );
        }
    }
}
