//! Members: projects that an image is shared with, and what they say to that.

use std::sync::Arc;

use model::registered_image::{Consent, Member, RegisteredImage, Visibility};
use model::{Id, ProjectId};

use super::{change_record, conflict, forbidden, get, owned};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// Most members of an image.
const MOST_MEMBERS: usize = 128;

/// The members of an image that the caller may know of: all for its owner, oneself for a member.
///
/// # Errors
/// [`ErrorKind::Forbidden`] where the image is not one to be shared.
pub fn list(
    cloud: &Cloud,
    caller: &Caller,
    image: Id,
) -> Result<Vec<(ProjectId, Member)>, ActionError> {
    let found = get(cloud, caller, image)?;
    check_shared(&found).map_err(|error| {
        forbidden(format!(
            "Not allowed to list members for image {image}: {error}"
        ))
    })?;
    let is_owner = crate::is_seen(caller, found.meta.project);
    let members = found.spec.members.iter();
    Ok(members
        .filter(|(project, _)| is_owner || **project == caller.project())
        .map(|(project, member)| (*project, member.clone()))
        .collect())
}

/// One member.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn show(
    cloud: &Cloud,
    caller: &Caller,
    image: Id,
    project: ProjectId,
) -> Result<Member, ActionError> {
    let members = list(cloud, caller, image)
        .map_err(|error| ActionError::new(ErrorKind::NotFound, error.message))?;
    let found = members.into_iter().find(|(member, _)| *member == project);
    found
        .map(|(_, member)| member)
        .ok_or_else(|| absent(image, project))
}

/// Shares an image with a project, which has said nothing to that yet.
///
/// # Errors
/// [`ErrorKind::Forbidden`] where the image is not one to be shared, or not the caller's to share;
/// [`ErrorKind::AlreadyExists`] where it is already.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    image: Id,
    project: ProjectId,
) -> Result<Member, ActionError> {
    let refused = || forbidden(format!("Not allowed to create members for image {image}."));
    let found = get(cloud, caller, image)?;
    check_shared(&found).map_err(|_| refused())?;
    caller
        .may(Action::AddMember, &Target::project(found.meta.project))
        .map_err(|_| refused())?;
    let now = cloud.now();
    let member = Member {
        consent: Consent::Pending,
        created_at: now,
        updated_at: now,
    };
    change_record(cloud, image, |image| {
        let id = image.meta.id;
        let members = &mut image.spec.members;
        if members.contains_key(&project) {
            return Err(ActionError::new(
                ErrorKind::AlreadyExists,
                format!("Member {project} is duplicated for image {id}"),
            ));
        }
        if members.len() == MOST_MEMBERS {
            return Err(ActionError::new(
                ErrorKind::QuotaExceeded,
                format!(
                    "Image member limit exceeded for image {id}: The limit has been exceeded on the number of allowed image members for this image. Attempted: {}, Maximum: {MOST_MEMBERS}",
                    MOST_MEMBERS + 1
                ),
            ));
        }
        members.insert(project, member.clone());
        Ok(())
    })
    .await?;
    Ok(member)
}

/// Says what a project says to an image that is shared with it: for that project itself.
///
/// # Errors
/// [`ErrorKind::Forbidden`] for its owner.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    image: Id,
    project: ProjectId,
    consent: Consent,
) -> Result<Member, ActionError> {
    show(cloud, caller, image, project)?;
    caller
        .may(Action::ModifyMember, &Target::project(project))
        .map_err(|_| forbidden(format!("Not allowed to update members for image {image}.")))?;
    let now = cloud.now();
    let changed = change_record(cloud, image, |image| {
        let id = image.meta.id;
        let member = image.spec.members.get_mut(&project);
        let member = member.ok_or_else(|| absent(id, project))?;
        member.consent = consent;
        member.updated_at = now;
        Ok(())
    })
    .await?;
    let member = changed.spec.members.get(&project).cloned();
    member.ok_or_else(|| absent(image, project))
}

/// Shares an image no more with a project.
///
/// # Errors
/// [`ErrorKind::NotFound`] where it is not shared with it.
pub async fn remove(
    cloud: &Cloud,
    caller: &Caller,
    image: Id,
    project: ProjectId,
) -> Result<(), ActionError> {
    show(cloud, caller, image, project)?;
    owned(cloud, caller, image, Action::DeleteMember)
        .map_err(|_| forbidden(format!("Not allowed to delete members for image {image}.")))?;
    change_record(cloud, image, |found| {
        let member = found.spec.members.remove(&project);
        member.map(drop).ok_or_else(|| absent(image, project))
    })
    .await
    .map(drop)
}

fn check_shared(image: &Arc<RegisteredImage>) -> Result<(), ActionError> {
    if image.spec.visibility == Visibility::Shared {
        return Ok(());
    }
    Err(conflict("Only shared images have members."))
}

fn absent(image: Id, project: ProjectId) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("{project} not found in the member list of the image {image}."),
    )
}
