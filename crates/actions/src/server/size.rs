//! Gives servers another size while they run, and takes it back or keeps it.

use model::Id;
use model::quota::Resource;
use model::server::{Resize, Server, ServerFlavor, Standing, Task};

use super::create::chosen_flavor;
use super::task::{Doing, Outcome, begin, begin_with, carry_out, change_record, check};
use super::{State, View, invalid, lower, steward};
use crate::policy::Action;
use crate::{ActionError, Caller, Cloud, ErrorKind, flavor, instance, quota};

/// Gives a server another size, which is to be confirmed; `auto_disk` says whether its disk grows by
/// itself from now on.
///
/// # Errors
/// [`ErrorKind::Conflict`] in a state in which it cannot be, [`ErrorKind::Invalid`] without the
/// flavor or where it is the server's already.
pub async fn resize(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    wanted: &str,
    auto_disk: Option<bool>,
) -> Result<(), ActionError> {
    let resizing = Doing {
        action: Action::ResizeServer,
        name: "resize",
        task: Some(Task::Resizing),
        states: &[State::Active, State::Stopped],
    };
    let view = check(cloud, caller, id, &resizing)?;
    let flavor = flavor::get(cloud, caller, wanted).map_err(|error| match error.kind {
        ErrorKind::NotFound => invalid(error.message.clone()).caused_by(error),
        _ => error,
    })?;
    let (old, new) = (view.server.spec.flavor.clone(), chosen_flavor(&flavor));
    if new.id == old.id {
        return Err(invalid(
            "When resizing, instances must change flavor!".to_owned(),
        ));
    }
    if new.disk_gib == 0 && old.disk_gib != 0 {
        return Err(invalid(
            "Resize error: Resize to zero disk flavor is not allowed.",
        ));
    }
    let was_running = view.state() == State::Active;
    let wanted = more(&old, &new);
    // It counts with its new size from now on.
    let view = begin_with(cloud, caller, id, &resizing, |server, transaction| {
        if !wanted.is_empty() {
            quota::claim(cloud, transaction, server.meta.project, &wanted)?;
        }
        server.resized_from = Some(Resize {
            flavor: server.spec.flavor.clone(),
            was_running,
        });
        server.spec.flavor.clone_from(&new);
        Ok(())
    })
    .await?;
    let acting = steward(&view.server, &caller.request_id);
    let behind = cloud.clone();
    carry_out(cloud, id, async move {
        let limited = limit(&behind, &acting, id, &new).await;
        change_record(&behind, id, |server| {
            if limited.is_err() {
                take_back(server);
            } else {
                server.spec.auto_disk = auto_disk.unwrap_or(server.spec.auto_disk);
            }
            Ok(())
        })
        .await?;
        limited.map(|()| Outcome::Stands(Standing::Resized))
    });
    Ok(())
}

/// What a size has more than another one.
fn more(old: &ServerFlavor, new: &ServerFlavor) -> Vec<(Resource, u64)> {
    [
        (Resource::Cores, new.vcpus, old.vcpus),
        (Resource::RamMib, new.ram_mib, old.ram_mib),
    ]
    .into_iter()
    .filter(|(_, new, old)| new > old)
    .map(|(resource, new, old)| (resource, u64::from(new - old)))
    .collect()
}

/// Says that a server has the size that it had.
fn take_back(server: &mut Server) {
    if let Some(before) = server.resized_from.take() {
        server.spec.flavor = before.flavor;
    }
}

/// What a crash left of a resize: the instance tells whether it has its new size.
pub(super) fn settle(cloud: &Cloud, server: &mut Server) {
    let wanted = lower::resources(&server.spec.flavor);
    let view = instance::find(cloud, server.meta.id);
    let is_resized = view.is_some_and(|view| {
        let mut containers = view.instance.spec.containers.iter();
        containers.all(|container| container.resources == wanted)
    });
    if is_resized {
        server.standing = Standing::Resized;
    } else {
        take_back(server);
    }
}

/// Sets the limits of an instance.
async fn limit(
    cloud: &Cloud,
    acting: &Caller,
    id: Id,
    flavor: &ServerFlavor,
) -> Result<(), ActionError> {
    let resources = lower::resources(flavor);
    let change = instance::update(cloud, acting, id, |spec| {
        for container in &mut spec.containers {
            container.resources.clone_from(&resources);
        }
        Ok(())
    });
    change.await.map(drop)
}

/// Keeps the new size.
///
/// # Errors
/// [`ErrorKind::Conflict`] where none was given.
pub async fn confirm_resize(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let confirming = Doing {
        action: Action::ConfirmResize,
        name: "confirmResize",
        task: None,
        states: &[State::Resized],
    };
    begin(cloud, caller, id, &confirming).await?;
    let (_, ticket) = change_record(cloud, id, |server| {
        server.resized_from = None;
        server.standing = Standing::Made;
        Ok(())
    })
    .await?;
    crate::durable(ticket).await
}

/// Takes the new size back.
///
/// # Errors
/// As [`confirm_resize`].
pub async fn revert_resize(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let reverting = Doing {
        action: Action::RevertResize,
        name: "revertResize",
        task: Some(Task::Reverting),
        states: &[State::Resized],
    };
    let View { server, .. } = begin(cloud, caller, id, &reverting).await?;
    let acting = steward(&server, &caller.request_id);
    let before = server.resized_from.as_ref().map(|old| old.flavor.clone());
    let behind = cloud.clone();
    carry_out(cloud, id, async move {
        if let Some(flavor) = before {
            limit(&behind, &acting, id, &flavor).await?;
            change_record(&behind, id, |server| {
                take_back(server);
                Ok(())
            })
            .await?;
        }
        Ok(Outcome::Stands(Standing::Made))
    });
    Ok(())
}
