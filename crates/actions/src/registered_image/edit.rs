//! Changes of what is said of an image.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::registered_image::{
    DiskFormat, ImageState, RegisteredImage, RegisteredImageSpec, Visibility, Wrapping,
};
use model::{Id, ProjectId};

use super::{change_record, check_amounts, conflict, derived, forbidden, may_show, owned};
use crate::policy::Action;
use crate::{ActionError, Caller, Cloud};

/// One thing to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Its name.
    Name(Option<String>),
    /// Who may have it.
    Visibility(Visibility),
    /// Whose it is: for admins.
    Owner(ProjectId),
    /// What its data is wrapped in, as long as there is none.
    Wrapping(Option<Wrapping>),
    /// What its data is, as long as there is none.
    Format(Option<DiskFormat>),
    /// GiB of disk that it needs.
    MinDisk(u32),
    /// MiB of memory that it needs.
    MinRam(u32),
    /// It cannot be removed.
    Protected(bool),
    /// It is left out of lists.
    Hidden(bool),
    /// All of its tags.
    Tags(BTreeSet<String>),
    /// One more tag.
    AddTag(String),
    /// One tag less, which must be there.
    RemoveTag(String),
    /// A property.
    SetProperty {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// Whether it must be there, or must not, already.
        must_exist: Option<bool>,
    },
    /// One property less, which must be there.
    RemoveProperty(String),
}

/// Changes an image: all of it, or nothing.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`] for what the caller, or anybody, may not change;
/// [`crate::ErrorKind::Conflict`] where a property is not as it must be.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    edits: &[Edit],
) -> Result<Arc<RegisteredImage>, ActionError> {
    let before = owned(cloud, caller, id, Action::ModifyImage)?;
    let owner = before.meta.project;
    for edit in edits {
        match edit {
            Edit::Visibility(visibility) => may_show(caller, owner, *visibility)?,
            Edit::Owner(project) if *project != owner && !caller.is_admin() => {
                return Err(forbidden("Owner can't be updated by non admin."));
            }
            _ => {}
        }
    }
    let changed = change_record(cloud, id, |image| {
        for edit in edits {
            if let Edit::Owner(project) = edit {
                image.meta.project = *project;
            }
            apply(&mut image.spec, edit)?;
        }
        check_amounts(&image.spec)
    })
    .await?;
    if (&before.spec.name, owner) != (&changed.spec.name, changed.meta.project) {
        derived::unname(cloud, caller, &before).await?;
        derived::name(cloud, caller, &changed).await?;
    }
    Ok(changed)
}

fn apply(spec: &mut RegisteredImageSpec, edit: &Edit) -> Result<(), ActionError> {
    match edit {
        Edit::Name(name) => spec.name.clone_from(name),
        Edit::Visibility(visibility) => spec.visibility = *visibility,
        Edit::Owner(_) => {}
        Edit::Wrapping(wrapping) => {
            check_queued(spec, "container_format", spec.wrapping == *wrapping)?;
            spec.wrapping = *wrapping;
        }
        Edit::Format(format) => {
            check_queued(spec, "disk_format", spec.format == *format)?;
            spec.format = *format;
        }
        Edit::MinDisk(gib) => spec.min_disk_gib = *gib,
        Edit::MinRam(mib) => spec.min_ram_mib = *mib,
        Edit::Protected(protected) => spec.protected = *protected,
        Edit::Hidden(hidden) => spec.hidden = *hidden,
        Edit::Tags(tags) => spec.tags.clone_from(tags),
        Edit::AddTag(tag) => {
            spec.tags.insert(tag.clone());
        }
        Edit::RemoveTag(tag) => {
            if !spec.tags.remove(tag) {
                return Err(ActionError::new(
                    crate::ErrorKind::NotFound,
                    format!("No tag found with value {tag}"),
                ));
            }
        }
        Edit::SetProperty {
            name,
            value,
            must_exist,
        } => {
            let exists = spec.properties.contains_key(name);
            match must_exist {
                Some(true) if !exists => return Err(absent(name)),
                Some(false) if exists => {
                    return Err(conflict(format!("Property {name} already present.")));
                }
                _ => {}
            }
            spec.properties.insert(name.clone(), value.clone());
        }
        Edit::RemoveProperty(name) => {
            spec.properties.remove(name).ok_or_else(|| absent(name))?;
        }
    }
    Ok(())
}

fn absent(name: &str) -> ActionError {
    conflict(format!("Property {name} does not exist."))
}

/// What data is must be said before it is there.
fn check_queued(spec: &RegisteredImageSpec, field: &str, is_same: bool) -> Result<(), ActionError> {
    if is_same || spec.state == ImageState::Queued {
        return Ok(());
    }
    Err(forbidden(format!(
        "Attribute {field} can be only replaced for a queued image."
    )))
}

/// Forbids to use an image.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`] where it has no data.
pub async fn deactivate(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    switch(
        cloud,
        caller,
        id,
        Action::DeactivateImage,
        ImageState::Deactivated,
    )
    .await
}

/// Allows it again.
///
/// # Errors
/// As [`deactivate`].
pub async fn reactivate(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    switch(
        cloud,
        caller,
        id,
        Action::ReactivateImage,
        ImageState::Active,
    )
    .await
}

async fn switch(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    action: Action,
    to: ImageState,
) -> Result<(), ActionError> {
    owned(cloud, caller, id, action)?;
    let switched = change_record(cloud, id, |image| {
        let state = &mut image.spec.state;
        if !matches!(*state, ImageState::Active | ImageState::Deactivated) {
            return Err(forbidden(format!(
                "Not allowed to {} image in status '{}'",
                action.as_str(),
                state.as_str()
            )));
        }
        *state = to;
        Ok(())
    });
    switched.await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn properties_are_as_they_must_be() {
        let mut spec = RegisteredImageSpec::default();
        let set = |must_exist| Edit::SetProperty {
            name: "a".to_owned(),
            value: "1".to_owned(),
            must_exist,
        };
        let refused = apply(&mut spec, &set(Some(true))).unwrap_err();
        assert_eq!(refused.message, "Property a does not exist.");
        apply(&mut spec, &set(Some(false))).unwrap();
        assert!(apply(&mut spec, &set(Some(false))).is_err());
        apply(&mut spec, &set(None)).unwrap();
        apply(&mut spec, &Edit::RemoveProperty("a".to_owned())).unwrap();
        assert_eq!(spec, RegisteredImageSpec::default());
    }

    #[test]
    fn what_data_is_stays_once_it_is_there() {
        let mut spec = RegisteredImageSpec {
            state: ImageState::Active,
            wrapping: Some(Wrapping::Bare),
            ..RegisteredImageSpec::default()
        };
        apply(&mut spec, &Edit::Wrapping(Some(Wrapping::Bare))).unwrap();
        let refused = apply(&mut spec, &Edit::Wrapping(Some(Wrapping::Docker))).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Forbidden);
    }
}
