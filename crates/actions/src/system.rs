//! The whole installation, in figures.

use std::sync::Arc;

use model::node::Node;

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, image, instance};

/// The whole installation, as one caller sees it.
#[derive(Clone, Debug)]
pub struct Info {
    /// The node; the first by name where there are several.
    pub node: Arc<Node>,
    /// Instances that run.
    pub running: usize,
    /// Instances that are frozen.
    pub paused: usize,
    /// Instances that do not run.
    pub stopped: usize,
    /// Images.
    pub images: usize,
}

/// The whole installation, as the caller sees it.
///
/// # Errors
/// [`ErrorKind::Forbidden`] outside the operator's project, [`ErrorKind::Unavailable`] while no node has announced itself.
pub fn info(cloud: &Cloud, caller: &Caller) -> Result<Info, ActionError> {
    caller.may(Action::GetHost, &Target::OPERATOR)?;
    let mut nodes: Vec<_> = cloud
        .store
        .list::<Node>()
        .into_iter()
        .map(|(_, found)| found.value)
        .collect();
    nodes.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    let node = nodes.into_iter().next().ok_or_else(|| {
        ActionError::new(
            ErrorKind::Unavailable,
            "no node has announced itself yet; try again",
        )
    })?;
    let views = instance::list(cloud, caller);
    let paused = views
        .iter()
        .filter(|view| view.status.phase == model::instance::Phase::Paused)
        .count();
    let up = views.iter().filter(|view| view.is_up()).count();
    Ok(Info {
        node,
        running: up - paused,
        paused,
        stopped: views.len() - up,
        images: image::list(cloud, caller).len(),
    })
}
