//! Takes servers to other nodes. There is none yet that one could go to: whoever may ask, of a server
//! that could go, is told so.

use model::Id;

use super::task::{Doing, check, check_lock};
use super::{State, get, invalid};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// How a server is to be taken elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Migration {
    /// Stopped meanwhile.
    Cold,
    /// While it runs.
    Live,
    /// From a node that is gone.
    Evacuation,
}

/// Takes a server to another node.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] in a state in which it cannot go, else [`crate::ErrorKind::Invalid`].
pub fn migrate(cloud: &Cloud, caller: &Caller, id: Id, how: Migration) -> Result<(), ActionError> {
    let migrating = match how {
        Migration::Cold => Doing {
            action: Action::MigrateServer,
            name: "migrate",
            task: None,
            states: &[State::Active, State::Stopped],
        },
        Migration::Live => Doing {
            action: Action::MigrateServerLive,
            name: "os-migrateLive",
            task: None,
            states: &[State::Active, State::Paused],
        },
        Migration::Evacuation => Doing {
            action: Action::EvacuateServer,
            name: "evacuate",
            task: None,
            states: &[State::Active, State::Stopped, State::Broken],
        },
    };
    check(cloud, caller, id, &migrating)?;
    Err(invalid(
        "No valid host was found. There is no other node to go to",
    ))
}

/// Has a server told anew of its network. It asks for that whenever it wants to know, and is never
/// answered with what was: there is nothing left to do.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] where it is locked.
pub fn inject_network(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let server = get(cloud, caller, id)?.server;
    caller.may(
        Action::InjectServerNetwork,
        &Target::project(server.meta.project),
    )?;
    check_lock(caller, &server)
}
