//! Servers: instances as the users of a cloud of machines know them.
//!
//! [`create`] writes down what is wanted and answers at once; [`build`] carries it on, and again
//! after a crash ([`resume`]). What is done to a server ([`power`], [`size`], [`rebuild`]) is a
//! [`task`]: written down first, then carried out behind the answer. Messages are Nova's.

mod attachment;
mod build;
mod change;
pub mod console;
mod create;
mod diagnostics;
mod greet;
pub mod interface;
mod lower;
mod migration;
mod password;
mod power;
mod rebuild;
mod size;
mod snapshot;
mod task;
mod volumes;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::instance::{Instance, Phase, Site};
use model::network::Network;
use model::node::Node;
use model::port::{FixedAddress, Port};
use model::server::{
    AccessAddresses, Creator, Deed, Server, ServerFlavor, ServerImage, ServerSpec, Standing, Task,
};
use model::usage::Usage;
use model::{Id, ProjectId};

pub use attachment::{attach_volume, detach_volume};
pub use build::resume;
pub use change::{ServerChange, lock, remove, reset, set_metadata, set_tags, unlock, update};
pub use create::{NewNetworks, NewPlace, NewServer, create};
pub use diagnostics::diagnostics;
pub use migration::{Migration, inject_network, migrate};
pub use password::{clear_password, get_password};
pub use power::{
    Reboot, offload, pause, reboot, resume_suspended, shelve, start, stop, suspend, unpause,
    unshelve,
};
pub use rebuild::{Rebuild, rebuild};
pub use size::{confirm_resize, resize, revert_resize};
pub use snapshot::{NewSnapshot, Row, back_up, snapshot};

pub(crate) use lower::COMMAND_PROPERTY;

use crate::policy::{Action, Target};
use crate::{
    ActionError, Caller, Cloud, ErrorKind, Scope, instance, is_seen, is_visible, port, zone,
};

/// How long whoever asks for a server waits for it to be made.
const MOMENT: Duration = Duration::from_millis(500);

/// All there is of one server, at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for, and what is being done.
    pub server: Arc<Server>,
    /// What it is lowered to, once that is made.
    pub instance: Option<instance::View>,
}

/// What a server is, by itself and its instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum State {
    Building,
    Active,
    Paused,
    Suspended,
    Stopped,
    Resized,
    Offloaded,
    Broken,
}

impl State {
    /// The state as messages and clients name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Stopped => "stopped",
            Self::Resized => "resized",
            Self::Offloaded => "shelved_offloaded",
            Self::Broken => "error",
        }
    }
}

impl View {
    /// What it is.
    #[must_use]
    pub fn state(&self) -> State {
        match (self.server.standing, self.phase()) {
            (Standing::Building, _) => State::Building,
            (Standing::Broken, _) => State::Broken,
            (Standing::Resized, _) => State::Resized,
            (Standing::Offloaded, _) => State::Offloaded,
            (Standing::Suspended, Phase::Paused) => State::Suspended,
            (Standing::Made, Phase::Paused) => State::Paused,
            (Standing::Made | Standing::Suspended, Phase::Running) => State::Active,
            (
                Standing::Made | Standing::Suspended,
                Phase::Created | Phase::Exited | Phase::Dead,
            ) => State::Stopped,
        }
    }

    /// What its instance does; one that is not made yet does nothing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.instance
            .as_ref()
            .map_or(Phase::Created, |view| view.status.phase)
    }

    /// What is being done to it.
    #[must_use]
    pub fn task(&self) -> Option<Task> {
        if self.server.meta.deleted_at.is_some() {
            return Some(Task::Deleting);
        }
        self.server.task
    }

    /// Name of the node that it is on.
    #[must_use]
    pub fn host(&self, cloud: &Cloud) -> Option<String> {
        if self.server.standing == Standing::Offloaded {
            return None;
        }
        let placement = self.instance.as_ref()?.placement.as_ref()?;
        let node = cloud.store.get::<Node>(placement.node?)?;
        Some(node.value.meta.name.clone())
    }

    /// The zone of the node that it is on.
    #[must_use]
    pub fn zone(&self, cloud: &Cloud) -> Option<String> {
        if self.server.standing == Standing::Offloaded {
            return None;
        }
        let placement = self.instance.as_ref()?.placement.as_ref()?;
        placement.node.map(|node| zone::of_node(cloud, node))
    }

    /// Its places on networks, in order.
    #[must_use]
    pub fn places(&self, cloud: &Cloud) -> Vec<Place> {
        let Some(instance) = &self.instance else {
            return Vec::new();
        };
        let network = |id: Id| cloud.store.get::<Network>(id).map(|found| found.value);
        let of_port = |id: Id| {
            let port = cloud.store.get::<Port>(id)?.value;
            Some(Place {
                addresses: port::addresses(cloud, id),
                network: network(port.spec.network),
                is_implied: false,
                port,
            })
        };
        let made = instance.instance.spec.attachments.iter();
        let mut places: Vec<_> = made.filter_map(|on| of_port(on.port?)).collect();
        places.extend(
            port::implied(cloud, instance)
                .into_iter()
                .map(|view| Place {
                    addresses: view.addresses,
                    network: network(view.port.spec.network),
                    is_implied: true,
                    port: view.port,
                }),
        );
        places
    }

    /// The firewalls that hold at these places, each once.
    #[must_use]
    pub fn firewalls(places: &[Place]) -> Vec<Id> {
        let mut ids = Vec::new();
        for id in places.iter().flat_map(|place| &place.port.spec.firewalls) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ids
    }
}

/// One of a server's places on networks.
#[derive(Clone, Debug)]
pub struct Place {
    /// The port that it plugs into.
    pub port: Arc<Port>,
    /// The port's addresses.
    pub addresses: Vec<FixedAddress>,
    /// The port's network.
    pub network: Option<Arc<Network>>,
    /// The port is none by itself: it shows a place that another protocol made.
    pub is_implied: bool,
}

/// One server.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    let found = view(cloud, id)
        .filter(|view| is_seen(caller, view.server.meta.project))
        .ok_or_else(|| missing(id))?;
    let owner = Target::project(found.server.meta.project);
    caller.may(Action::GetInstance, &owner)?;
    Ok(found)
}

/// One server; where it is still being made, what becomes of it within a moment, or else what it is
/// then. Clients that find one unfinished right after they made it come back after seconds only.
///
/// # Errors
/// As [`get`].
pub async fn settled(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    let mut watch = cloud.store.watch_object(id);
    let until = tokio::time::Instant::now() + MOMENT;
    loop {
        let found = get(cloud, caller, id)?;
        let is_over = found.state() != State::Building
            || tokio::time::timeout_at(until, watch.changed())
                .await
                .is_err();
        if is_over {
            return Ok(found);
        }
    }
}

/// What was done to a server, the oldest first; with `also_gone`, also to one that is gone, for as
/// long as it is charged for.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn deeds(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    also_gone: bool,
) -> Result<Vec<Deed>, ActionError> {
    match get(cloud, caller, id) {
        Err(error) if error.kind == ErrorKind::NotFound && also_gone => {
            let left = cloud.store.get::<Usage>(id).map(|found| found.value);
            let left = left
                .filter(|left| is_seen(caller, left.project))
                .ok_or(error)?;
            caller.may(Action::GetInstance, &Target::project(left.project))?;
            Ok(left.deeds.clone())
        }
        found => Ok(found?.server.deeds.clone()),
    }
}

/// The servers of the caller's project, or of all of them, the newest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(cloud: &Cloud, caller: &Caller, all_projects: bool) -> Result<Vec<View>, ActionError> {
    let own = Target::project(caller.project());
    caller.may(Action::ListInstances, &own)?;
    if all_projects {
        caller.may(Action::ListAllInstances, &Target::SYSTEM)?;
    }
    let is_wanted = |project: ProjectId| all_projects || is_visible(caller, project);
    let servers = cloud.store.list::<Server>();
    let known: HashSet<Id> = servers.iter().map(|(id, _)| *id).collect();
    let mut views: Vec<View> = servers
        .into_iter()
        .filter(|(_, found)| is_wanted(found.value.meta.project))
        .map(|(id, found)| View {
            server: found.value,
            instance: instance::find(cloud, id),
        })
        .collect();
    let others = cloud.store.list::<Instance>().into_iter();
    views.extend(
        others
            .filter(|(id, found)| !known.contains(id) && is_wanted(found.value.meta.project))
            .filter_map(|(id, _)| view(cloud, id)),
    );
    views.sort_by(|a, b| {
        let of = |view: &View| (view.server.meta.created_at, view.server.meta.id);
        of(b).cmp(&of(a))
    });
    Ok(views)
}

/// Every server that was made as one, whoever's it is.
pub(crate) fn all(cloud: &Cloud) -> Vec<View> {
    let all = cloud.store.list::<Server>().into_iter();
    all.map(|(id, found)| View {
        server: found.value,
        instance: instance::find(cloud, id),
    })
    .collect()
}

/// A server, whoever's it is.
fn view(cloud: &Cloud, id: Id) -> Option<View> {
    let instance = instance::find(cloud, id);
    let server = match cloud.store.get::<Server>(id) {
        Some(found) => found.value,
        None => Arc::new(adopted(&instance.as_ref()?.instance)),
    };
    Some(View { server, instance })
}

/// The server that an instance is which was made by a protocol that has none.
fn adopted(instance: &Instance) -> Server {
    let spec = &instance.spec;
    let container = spec.containers.first();
    let resources = container.map(|container| &container.resources);
    let memory = resources.and_then(|resources| resources.memory_bytes);
    let vcpus = resources
        .and_then(|resources| resources.nano_cpus)
        .map_or(1, |nano| nano.div_ceil(1_000_000_000));
    Server {
        meta: instance.meta.clone(),
        spec: ServerSpec {
            creator: Creator {
                user: Caller::ADMIN_USER,
                user_domain: ProjectId::DEFAULT_DOMAIN.0,
                domain: ProjectId::DEFAULT_DOMAIN.0,
            },
            flavor: ServerFlavor {
                id: "container".to_owned(),
                name: "container".to_owned(),
                vcpus: u32::try_from(vcpus).unwrap_or(u32::MAX),
                ram_mib: memory.map_or(0, |bytes| u32::try_from(bytes >> 20).unwrap_or(u32::MAX)),
                ..ServerFlavor::default()
            },
            image: container.map(|container| ServerImage {
                id: crate::registered_image::id_of(&container.image_id)
                    .map_or_else(String::new, |id| id.to_string()),
                content: container.image_id.clone(),
                properties: BTreeMap::new(),
            }),
            key: None,
            metadata: BTreeMap::new(),
            tags: BTreeSet::new(),
            description: None,
            hostname: spec.hostname.clone(),
            user_data: None,
            config_drive: false,
            zone: None,
            site: Site::default(),
            hints: BTreeMap::new(),
            group: None,
            reservation: String::new(),
            launch_index: 0,
            networks: Vec::new(),
            firewalls: Vec::new(),
            volumes: Vec::new(),
            auto_disk: false,
            access: AccessAddresses::default(),
            lock: None,
        },
        standing: Standing::Made,
        task: None,
        fault: None,
        launched_at: None,
        resized_from: None,
        shelved_as: None,
        greeting_is_due: false,
        deeds: Vec::new(),
    }
}

/// Whoever carries on what was asked of a server: its project's member.
fn steward(server: &Server, request_id: &str) -> Caller {
    let creator = &server.spec.creator;
    Caller {
        user: creator.user,
        user_domain: creator.user_domain,
        scope: Scope::Project {
            project: server.meta.project,
            domain: creator.domain,
        },
        roles: ["member", "reader"].map(str::to_owned).into(),
        delegation: None,
        request_id: request_id.to_owned(),
    }
}

fn missing(id: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Instance {id} could not be found."),
    )
}

fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}

fn conflict(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Conflict, message)
}
