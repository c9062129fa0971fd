//! Makes servers anew from an image: what they wrote is gone, what they are plugged into stays.

use std::collections::BTreeMap;

use model::Id;
use model::container::{ContainerSpec, Mount, MountSource};
use model::instance::{Instance, StopRequest};
use model::server::{Server, Standing, Task, WantedVolume};

use super::create::{check_metadata, chosen_image, chosen_key};
use super::task::{Doing, Outcome, begin, carry_out, change_record, check};
use super::{State, View, build, conflict, greet, invalid, lower, missing, steward, volumes};
use crate::policy::Action;
use crate::{ActionError, Caller, Cloud, ErrorKind, flavor, instance};

/// What a server is to be made anew from, and what else to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a server")]
pub struct Rebuild {
    pub image: Option<Id>,
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub key_name: Option<Option<String>>,
    pub user_data: Option<Option<String>>,
    pub hostname: Option<String>,
    pub auto_disk: Option<bool>,
    /// A server that starts from a volume has that made anew, too.
    pub renews_volume: bool,
}

/// Makes a server anew.
///
/// # Errors
/// [`ErrorKind::Conflict`] in a state in which it cannot be, [`ErrorKind::Invalid`] for an image or
/// a key that is not there.
pub async fn rebuild(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    wanted: Rebuild,
) -> Result<View, ActionError> {
    let rebuilding = Doing {
        action: Action::RebuildServer,
        name: "rebuild",
        task: Some(Task::Rebuilding),
        states: &[State::Active, State::Stopped, State::Broken],
    };
    let view = check(cloud, caller, id, &rebuilding)?;
    let was_running = view.state() != State::Stopped;
    let spec = &view.server.spec;
    let image = match (wanted.image, spec.root_volume()) {
        (None, _) => spec.image.clone(),
        (Some(image), Some(root)) => {
            check_kept(cloud, root, image, wanted.renews_volume)?;
            None
        }
        (Some(image), None) => {
            let flavor = flavor::get(cloud, caller, &spec.flavor.id);
            Some(chosen_image(cloud, caller, image, flavor.ok().as_deref())?)
        }
    };
    let key = match &wanted.key_name {
        None => spec.key.clone(),
        Some(None) => None,
        Some(Some(name)) => Some(chosen_key(cloud, caller, name)?),
    };
    if let Some(metadata) = &wanted.metadata {
        check_metadata(cloud, view.server.meta.project, metadata)?;
    }
    begin(cloud, caller, id, &rebuilding).await?;
    let (server, _) = change_record(cloud, id, |server| {
        server.spec.image.clone_from(&image);
        server.spec.key.clone_from(&key);
        server.fault = None;
        server.greeting_is_due = true;
        say(server, &wanted);
        Ok(())
    })
    .await?;
    let acting = steward(&server, &caller.request_id);
    let behind = cloud.clone();
    carry_out(cloud, id, async move {
        renew(&behind, &acting, id).await?;
        if was_running {
            instance::start(&behind, &acting, id).await?;
            greet::if_due(&behind, &acting, id).await?;
        }
        Ok(Outcome::Stands(Standing::Made))
    });
    super::get(cloud, caller, id)
}

/// A server that starts from a volume keeps it: no other image can be meant.
fn check_kept(
    cloud: &Cloud,
    root: &WantedVolume,
    image: Id,
    renews_volume: bool,
) -> Result<(), ActionError> {
    if volumes::root_image(cloud, root) != Some(image.to_string()) {
        return Err(invalid(
            "Unable to rebuild with a different image for a volume-backed server.",
        ));
    }
    if renews_volume {
        return Err(invalid(
            "A volume is not made anew. Rebuild the server up to microversion 2.92, which keeps its volume.",
        ));
    }
    Ok(())
}

/// Changes what is said of the server.
fn say(server: &mut Server, wanted: &Rebuild) {
    let Rebuild {
        image: _,
        name,
        description,
        metadata,
        key_name: _,
        user_data,
        hostname,
        auto_disk,
        renews_volume: _,
    } = wanted.clone();
    let spec = &mut server.spec;
    if let Some(name) = name {
        server.meta.name = name;
    }
    spec.description = description.unwrap_or_else(|| spec.description.take());
    spec.metadata = metadata.unwrap_or_else(|| std::mem::take(&mut spec.metadata));
    spec.user_data = user_data.unwrap_or_else(|| spec.user_data.take());
    spec.auto_disk = auto_disk.unwrap_or(spec.auto_disk);
    spec.hostname = hostname.unwrap_or_else(|| std::mem::take(&mut spec.hostname));
}

/// Ends the instance, and has its next start begin with an empty writable layer over the image.
async fn renew(cloud: &Cloud, acting: &Caller, id: Id) -> Result<(), ActionError> {
    if instance::find(cloud, id).is_none() {
        return build::make_instance(cloud, id).await;
    }
    let kill = StopRequest {
        signal: Some("KILL".to_owned()),
        timeout_secs: None,
    };
    match instance::stop(cloud, acting, id, kill).await {
        Err(error) if error.kind != ErrorKind::NotModified => return Err(error),
        _ => {}
    }
    let server = cloud.store.get::<Server>(id).ok_or_else(|| missing(id))?;
    let base = volumes::base(cloud, &server.value)?;
    let lowered = lower::lowered(&server.value, Vec::new(), &base);
    let Some(container) = lowered.spec.containers.into_iter().next() else {
        return Err(conflict("the server has no container"));
    };
    let (entrypoint, command) = (lowered.entrypoint, lowered.command);
    let container = instance::completed(container, entrypoint, command, &base.defaults)?;
    let (_, ticket) =
        instance::change_intent(cloud, id, |instance| replace(instance, container.clone())).await?;
    crate::durable(ticket).await
}

fn replace(instance: &mut Instance, mut container: ContainerSpec) -> Result<(), ActionError> {
    let Some(old) = instance.spec.containers.first() else {
        return Err(conflict("the instance has no container"));
    };
    // What is on volumes stays.
    let is_volume = |mount: &&Mount| matches!(mount.source, MountSource::Volume { .. });
    container.mounts.retain(|mount| !is_volume(&mount));
    container
        .mounts
        .extend(old.mounts.iter().filter(is_volume).cloned());
    container.resources.clone_from(&old.resources);
    instance.spec.containers = vec![container];
    instance.spec.renewals += 1;
    instance.meta.generation += 1;
    Ok(())
}
