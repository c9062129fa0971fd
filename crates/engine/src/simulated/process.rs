//! What a process of an instance begins with: the container that it is of, and its variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Id;
use model::container::ContainerSpec;
use model::instance::{Failure, FailureKind, Instance};
use tokio::sync::{mpsc, watch};

use super::console::Console;
use super::program::Process;
use super::{Control, World};
use crate::failure::refused;

impl World {
    /// A process with nothing of its own yet, and the hold on it.
    pub(super) fn process(
        self: &Arc<Self>,
        id: Id,
        console: &Arc<Console>,
        args: &[String],
    ) -> (Control, Process) {
        let (signals, received) = mpsc::unbounded_channel();
        let (freeze, paused) = watch::channel(false);
        let process = Process {
            world: Arc::clone(self),
            id,
            console: Arc::clone(console),
            args: args.to_vec(),
            env: BTreeMap::new(),
            hostname: String::new(),
            working_dir: String::new(),
            is_first: false,
            is_logged: false,
            signals: received,
            paused,
            stdin: console.take_stdin(),
            traps: BTreeMap::new(),
            last_status: 0,
        };
        (
            Control {
                signals,
                paused: freeze,
            },
            process,
        )
    }
}

pub(super) fn container(instance: &Instance) -> Result<&ContainerSpec, Failure> {
    let first = instance.spec.containers.first();
    first.ok_or_else(|| {
        refused(
            FailureKind::Invalid,
            "an instance needs a container: spec.containers is empty",
        )
    })
}

pub(super) fn env<'a>(variables: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, String> {
    let pairs = variables
        .into_iter()
        .filter_map(|variable| variable.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
