//! Renames, updates and removes an instance.

use std::time::Duration;

use model::event::Action;
use model::instance::{Attachment, Instance, InstanceSpec, Phase, StopRequest};
use model::network::Network;
use model::volume::Volume;
use model::{Id, Kind};

use super::run::{Then, change_intent, end_run, newest, within};
use super::{View, allowed, missing};
use crate::observer::instance_event;
use crate::policy;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, isolation};

/// How long a node may take to carry out a change or a removal.
const NODE_ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// How to remove an instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill it first where it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Gives an instance another name, by which those that are linked to it now know it.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when the name is taken.
pub async fn rename(cloud: &Cloud, caller: &Caller, id: Id, name: &str) -> Result<(), ActionError> {
    let view = allowed(cloud, caller, policy::Action::UpdateInstance, id)?;
    let committed = loop {
        let found = cloud.store.get::<Instance>(id).ok_or_else(|| missing(id))?;
        let mut instance = Instance::clone(&found.value);
        let mut transaction = cloud.store.transaction();
        for (other, linked) in cloud.store.list::<Instance>() {
            if let Some(changed) = relinked(cloud, &linked.value, &instance, name) {
                transaction.update(other, linked.revision, changed);
            }
        }
        name.clone_into(&mut instance.meta.name);
        instance.meta.generation += 1;
        transaction.update(id, found.revision, instance);
        match cloud.commit(transaction).await {
            Err(error) if error.kind == ErrorKind::Conflict => {}
            committed => break committed?,
        }
    };
    durable(committed.durable).await?;
    let mut event = instance_event(&view.instance, Action::Renamed);
    event
        .attributes
        .insert("oldName".to_owned(), view.instance.meta.name.clone());
    event.attributes.insert("name".to_owned(), name.to_owned());
    cloud.observer.tell(event);
    Ok(())
}

/// An instance whose links to `other` have its new name; `None` where it has none.
///
/// On a network that answers for names a link is a name that is asked for: it stays, as with dockerd.
fn relinked(cloud: &Cloud, instance: &Instance, other: &Instance, name: &str) -> Option<Instance> {
    if instance.meta.project != other.meta.project {
        return None;
    }
    let is_linked = |attachment: &&mut Attachment| {
        let names = &mut attachment.links.iter();
        names.any(|(linked, _)| *linked == other.meta.name)
            && cloud
                .store
                .get::<Network>(attachment.network)
                .is_some_and(|network| !network.value.spec.dns)
    };
    let has_links = |attachment: &Attachment| !attachment.links.is_empty();
    // Few have any: the rest is not copied.
    if !instance.spec.attachments.iter().any(has_links) {
        return None;
    }
    let mut changed = instance.clone();
    let mut found = false;
    for attachment in changed.spec.attachments.iter_mut().filter(is_linked) {
        for (linked, _) in &mut attachment.links {
            if *linked == other.meta.name {
                name.clone_into(linked);
                found = true;
            }
        }
    }
    changed.meta.generation += 1;
    found.then_some(changed)
}

/// Changes the spec of an instance; a running one has its limits changed while it runs.
///
/// Answers warnings. `change` may be called again when somebody else changed it meanwhile.
///
/// # Errors
/// What `change` or the node says.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&mut InstanceSpec) -> Result<(), ActionError>,
) -> Result<Vec<String>, ActionError> {
    let view = allowed(cloud, caller, policy::Action::UpdateInstance, id)?;
    let waiter = cloud.observer.waiter(id);
    let (generation, ticket) = change_intent(cloud, id, |instance| {
        change(&mut instance.spec)?;
        isolation::check(instance.meta.project, &instance.spec)?;
        instance.meta.generation += 1;
        Ok(instance.meta.generation)
    })
    .await?;
    if view.is_up() {
        let done = waiter.until(|| {
            let Some(status) = newest(cloud, id, waiter.last()) else {
                return Some(Err(missing(id)));
            };
            if status.generation < generation
                && matches!(status.phase, Phase::Running | Phase::Paused)
            {
                return None;
            }
            Some(
                status
                    .error
                    .as_ref()
                    .map_or(Ok(()), |failure| Err(failure.clone().into())),
            )
        });
        if let Err(error) = within(NODE_ANSWERS_WITHIN, done)
            .await
            .and_then(|answer| answer)
        {
            // What the node refused is not kept, so that the next start does not fail for it.
            let before = &view.instance.spec;
            change_intent(cloud, id, |instance| {
                instance.spec.containers.clone_from(&before.containers);
                instance.spec.restart = before.restart;
                instance.meta.generation += 1;
                Ok(())
            })
            .await?;
            return Err(error);
        }
    }
    durable(ticket).await?;
    cloud
        .observer
        .tell(instance_event(&view.instance, Action::Updated));
    Ok(Vec::new())
}

/// Removes an instance. Answers once nothing is left of it.
///
/// # Errors
/// [`ErrorKind::Conflict`] when it runs and `force` is not set, or is being removed already.
pub async fn remove(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    options: RemoveOptions,
) -> Result<(), ActionError> {
    let view = allowed(cloud, caller, policy::Action::DeleteInstance, id)?;
    let short = id.simple();
    if view.instance.meta.deleted_at.is_some() && !options.force {
        return Err(ActionError::new(
            ErrorKind::Conflict,
            format!("removal of container {short} is already in progress"),
        ));
    }
    if view.is_up() || view.is_restarting() {
        if !options.force {
            let (state, remedy) = match view.status.phase {
                Phase::Paused => (
                    "paused",
                    "unpause and then stop the container before removal or force remove",
                ),
                Phase::Exited => (
                    "restarting",
                    "stop the container before removal or force remove",
                ),
                _ => (
                    "running",
                    "stop the container before removal or force remove",
                ),
            };
            return Err(ActionError::new(
                ErrorKind::Conflict,
                format!(
                    "cannot remove container \"{}\": container is {state}: {remedy}",
                    view.instance.meta.name
                ),
            ));
        }
        let at_once = StopRequest {
            signal: Some("KILL".to_owned()),
            timeout_secs: None,
        };
        end_run(cloud, &view, at_once, Then::Rest).await?;
    }
    let waiter = cloud.observer.waiter(id);
    let now = cloud.now();
    let marked = change_intent(cloud, id, |instance| {
        if instance.meta.deleted_at.is_some() && !options.force {
            return Err(ActionError::new(
                ErrorKind::Conflict,
                format!("removal of container {short} is already in progress"),
            ));
        }
        instance.meta.deleted_at.get_or_insert(now);
        Ok(())
    })
    .await;
    let ticket = match marked {
        Ok(((), ticket)) => ticket,
        Err(error) if error.kind == ErrorKind::NotFound && options.force => return Ok(()),
        Err(error) => return Err(error),
    };
    let gone = waiter.until(|| {
        if cloud.store.get::<Instance>(id).is_none() {
            return Some(Ok(()));
        }
        let status = newest(cloud, id, None)?;
        let failure = status
            .error
            .as_ref()
            .filter(|_| status.phase == Phase::Dead)?;
        Some(Err(failure.clone().into()))
    });
    let (gone, flushed) = tokio::join!(within(NODE_ANSWERS_WITHIN, gone), durable(ticket));
    gone.and_then(|answer| answer)?;
    flushed?;
    if options.volumes {
        remove_anonymous_volumes(cloud, &view).await?;
    }
    Ok(())
}

/// Removes the volumes that were made for an instance which is gone.
async fn remove_anonymous_volumes(cloud: &Cloud, gone: &View) -> Result<(), ActionError> {
    let id = gone.instance.meta.id;
    let is_owned = |volume: &Volume| {
        volume
            .meta
            .owners
            .iter()
            .any(|owner| owner.kind == Kind::Instance && owner.id == id)
    };
    for (_, found) in cloud.store.list::<Volume>() {
        if found.value.spec.anonymous && is_owned(&found.value) {
            match crate::volume::remove_unused(cloud, &found.value).await {
                Ok(()) => {}
                // Somebody else uses it by name.
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
