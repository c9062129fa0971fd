//! Makes an image of an instance: its image, and what it changed as a further layer.

use std::sync::Arc;

use ::image::{CommitError, CommitOptions, Held};
use model::event::Action;
use model::image::{Defaults, Image};
use model::{Id, instance::Phase};

use crate::error::with_causes;
use crate::observer::instance_event;
use crate::policy::{self, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, instance};

/// What a committed image is to be.
#[derive(Clone, Debug, Default)]
pub struct NewCommit {
    /// The name it gets: `name[:tag]`.
    pub reference: Option<String>,
    /// Who made it.
    pub author: String,
    /// A remark.
    pub message: String,
    /// Instructions of a Dockerfile that change what containers start with, one a line.
    pub changes: Vec<String>,
    /// Hold the instance still meanwhile.
    pub pause: bool,
    /// What containers start with; what it leaves empty is as `own`.
    pub wanted: Defaults,
    /// What the instance itself was started with.
    pub own: Defaults,
}

/// Makes an image of an instance.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`] for a name by anyone but the operator, whose
/// names are, [`ErrorKind::Conflict`] while it is removed, [`ErrorKind::Invalid`]
/// when the name or a change is wrong, and what the node says.
pub async fn commit(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: NewCommit,
) -> Result<Arc<Image>, ActionError> {
    let (image, _held) = commit_held(cloud, caller, id, new, false).await?;
    Ok(image)
}

/// As [`commit`]; with `hidden`, the image is not listed, and stays only for who uses it.
pub(crate) async fn commit_held(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: NewCommit,
    hidden: bool,
) -> Result<(Arc<Image>, Held), ActionError> {
    let view = instance::allowed(cloud, caller, policy::Action::CommitInstance, id)?;
    if new.reference.is_some() {
        caller.may(policy::Action::ModifyImage, &Target::OPERATOR)?;
    }
    let state = match view.status.phase {
        Phase::Dead => Some("Dead"),
        _ if view.instance.meta.deleted_at.is_some() => Some("being removed"),
        _ => None,
    };
    if let Some(state) = state {
        return Err(ActionError::new(
            ErrorKind::Conflict,
            format!(
                "You cannot commit container {} which is {state}",
                id.simple()
            ),
        ));
    }
    let mut defaults = new.wanted;
    ::image::changes::apply(&new.changes, &mut defaults)
        .map_err(|error| ActionError::new(ErrorKind::Invalid, error.to_string()))?;
    inherit(&mut defaults, &new.own);
    let container = view.instance.spec.containers.first();
    let options = CommitOptions {
        parent: container.map_or_else(String::new, |container| container.image_id.clone()),
        reference: new.reference.clone(),
        author: new.author,
        message: new.message.clone(),
        created_by: container.map_or_else(String::new, |container| container.args.join(" ")),
        defaults,
        hidden,
    };
    instance::made(cloud, id).await;
    let layer = cloud.nodes.layer(id, new.pause).await?;
    let (image, held) = cloud
        .images
        .commit(layer, options)
        .await
        .map_err(|error| ActionError::new(kind_of(&error), with_causes(&error)))?;
    let mut event = instance_event(&view.instance, Action::Committed);
    event.attributes.extend([
        ("comment".to_owned(), new.message),
        ("imageID".to_owned(), image.id.clone()),
        ("imageRef".to_owned(), new.reference.unwrap_or_default()),
    ]);
    cloud.observer.tell(event);
    Ok((image, held))
}

const fn kind_of(error: &CommitError) -> ErrorKind {
    match error {
        CommitError::Target(_) => ErrorKind::Invalid,
        CommitError::Parent(_) => ErrorKind::NotFound,
        CommitError::Configuration { .. }
        | CommitError::Read(_)
        | CommitError::Layer(_)
        | CommitError::Content(_) => ErrorKind::Internal,
    }
}

/// Fills in what is left empty from what the instance was started with.
///
/// Source: moby, `daemon/commit.go`, `merge`.
fn inherit(wanted: &mut Defaults, own: &Defaults) {
    let text = |field: &mut String, from: &String| {
        if field.is_empty() {
            field.clone_from(from);
        }
    };
    text(&mut wanted.user, &own.user);
    text(&mut wanted.working_dir, &own.working_dir);
    wanted
        .exposed_ports
        .extend(own.exposed_ports.iter().cloned());
    wanted.volumes.extend(own.volumes.iter().cloned());
    let name_of = |entry: &str| entry.split('=').next().map(str::to_owned);
    for entry in &own.env {
        if !wanted
            .env
            .iter()
            .any(|known| name_of(known) == name_of(entry))
        {
            wanted.env.push(entry.clone());
        }
    }
    for (key, value) in &own.labels {
        wanted
            .labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    if wanted.entrypoint.is_empty() {
        if wanted.command.is_empty() {
            wanted.command.clone_from(&own.command);
        }
        wanted.entrypoint.clone_from(&own.entrypoint);
    }
    if wanted.stop_signal.is_none() {
        wanted.stop_signal.clone_from(&own.stop_signal);
    }
    if wanted.health_check.is_none() {
        wanted.health_check.clone_from(&own.health_check);
    }
    if wanted.shell.is_empty() {
        wanted.shell.clone_from(&own.shell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn what_is_asked_for_wins_and_the_rest_is_the_instances() {
        let own = Defaults {
            user: "app".to_owned(),
            env: strings(&["A=1", "B=2"]),
            entrypoint: strings(&["/init"]),
            command: strings(&["serve"]),
            ..Defaults::default()
        };
        let mut wanted = Defaults {
            env: strings(&["B=3"]),
            command: strings(&["bash"]),
            ..Defaults::default()
        };
        inherit(&mut wanted, &own);
        assert_eq!(wanted.user, "app");
        assert_eq!(wanted.env, ["B=3", "A=1"]);
        assert_eq!(
            (wanted.entrypoint, wanted.command),
            (strings(&["/init"]), strings(&["bash"]))
        );
    }
}
