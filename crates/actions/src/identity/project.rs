//! Projects, and domains, which are projects too.

use std::sync::Arc;

use model::Id;
use model::project::Project;

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// The projects and domains that fit, by name.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&Project) -> bool,
) -> Result<Vec<Arc<Project>>, ActionError> {
    caller.may(Action::ListProjects, &Target::SYSTEM)?;
    let mut projects: Vec<_> = cloud
        .store
        .list::<Project>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|project| fits(project))
        .collect();
    projects.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    Ok(projects)
}

/// One project, or domain.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Project>, ActionError> {
    let found = cloud.any_project(id);
    let target = found.as_ref().map_or(Target::SYSTEM, |project| Target {
        project: Some(project.as_owner()),
        domain: Some(project.domain()),
        user: None,
    });
    caller.may(Action::GetProject, &target)?;
    found.ok_or_else(|| {
        ActionError::new(
            ErrorKind::NotFound,
            format!("Could not find project: {}.", id.simple()),
        )
    })
}
