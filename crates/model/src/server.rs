//! A server: an instance as the users of a cloud of machines know it, with the flavor, key and image
//! that it was made with, what is being done to it, and what was done.
//!
//! It is lowered to one [`crate::instance::Instance`] of the same identity, and says only what that
//! does not. An instance without one was made by a protocol that has no servers; it is a server to
//! those who ask for one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::instance::{Companions, Site};
use crate::meta::{Id, Meta};

/// What a user asked for, and how far it is. Written by `actions` only; removed by the garbage
/// controller.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Server {
    /// Identity and ownership. Names need not be unique; the instance has one of its own.
    pub meta: Meta,
    /// What was asked for.
    pub spec: ServerSpec,
    /// What its instance does not say of it.
    pub standing: Standing,
    /// What is being done to it.
    #[serde(default)]
    pub task: Option<Task>,
    /// Why it is broken.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// When it first ran.
    #[serde(default)]
    pub launched_at: Option<Timestamp>,
    /// The size that it had, until the new one is confirmed or taken back.
    #[serde(default)]
    pub resized_from: Option<Resize>,
    /// The image that keeps it while it is put away.
    #[serde(default)]
    pub shelved_as: Option<Id>,
    /// It was made anew while it was stopped: its next start tells it its keys and runs its script.
    #[serde(default)]
    pub greeting_is_due: bool,
    /// What was done to it, the oldest first; only the newest are kept.
    #[serde(default)]
    pub deeds: Vec<Deed>,
}

/// What a user asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServerSpec {
    /// Who made it.
    pub creator: Creator,
    /// Its size, as it was when it was chosen.
    pub flavor: ServerFlavor,
    /// What it was made from; `None` where it starts from a volume.
    pub image: Option<ServerImage>,
    /// Who may log in.
    #[serde(default)]
    pub key: Option<ServerKey>,
    /// The user's own words, by name.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// For selection.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Host name inside.
    pub hostname: String,
    /// What it is told at its first start, in Base64.
    #[serde(default)]
    pub user_data: Option<String>,
    /// It finds what it is told in a file system, too.
    #[serde(default)]
    pub config_drive: bool,
    /// The zone that its user chose.
    #[serde(default)]
    pub zone: Option<String>,
    /// Where it is to be placed.
    #[serde(default)]
    pub site: Site,
    /// What the scheduler was told, by name.
    #[serde(default)]
    pub hints: BTreeMap<String, Value>,
    /// The group that it was made in, as that was.
    #[serde(default)]
    pub group: Option<Companions>,
    /// Names the request that it was made by, with others perhaps.
    pub reservation: String,
    /// Which of that request's it is, from 0.
    #[serde(default)]
    pub launch_index: u32,
    /// Networks that it is to be on, the one with the default route first.
    #[serde(default)]
    pub networks: Vec<WantedNetwork>,
    /// Firewalls of the ports that are made for it.
    #[serde(default)]
    pub firewalls: Vec<Id>,
    /// Volumes that it is to have from the start.
    #[serde(default)]
    pub volumes: Vec<WantedVolume>,
    /// Its disk grows by itself.
    #[serde(default)]
    pub auto_disk: bool,
    /// Addresses that its user says it is reached by.
    #[serde(default)]
    pub access: AccessAddresses,
    /// Nobody may change it but by this.
    #[serde(default)]
    pub lock: Option<Lock>,
}

/// Who made something, and on whose behalf it is carried on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Creator {
    /// The user.
    pub user: Id,
    /// The user's domain.
    pub user_domain: Id,
    /// The project's domain.
    pub domain: Id,
}

/// A flavor as it was when it was chosen.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerFlavor {
    /// What users call it by.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Processors.
    pub vcpus: u32,
    /// Memory.
    pub ram_mib: u32,
    /// The root file system.
    pub disk_gib: u32,
    /// Further scratch space.
    pub ephemeral_gib: u32,
    /// Swap.
    pub swap_mib: u32,
    /// What else is said of it.
    pub extra_specs: BTreeMap<String, String>,
}

/// An image as it was when it was chosen.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerImage {
    /// What users know it by.
    pub id: String,
    /// The engine's image that it runs as: `sha256:...`.
    pub content: String,
    /// What is said of it.
    pub properties: BTreeMap<String, String>,
}

/// A public key as it was when it was chosen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerKey {
    /// Its name.
    pub name: String,
    /// One line, as OpenSSH writes it.
    pub public_key: String,
}

/// A network that a server is to be on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WantedNetwork {
    /// The network.
    pub network: Id,
    /// The port that it plugs into; `None` makes one for it, which goes with it.
    #[serde(default)]
    pub port: Option<Id>,
    /// A fixed address for a port that is made.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// A word for programs inside.
    #[serde(default)]
    pub tag: Option<String>,
}

/// A volume that a server is to have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WantedVolume {
    /// The volume.
    pub volume: Id,
    /// The volume is made with the server; `None` is there already.
    #[serde(default)]
    pub made: Option<MadeVolume>,
    /// The device that its user has in mind.
    #[serde(default)]
    pub device: Option<String>,
    /// The server starts from it: it is the root file system, in the place of an image's.
    #[serde(default)]
    pub root: bool,
    /// It goes when the server does.
    #[serde(default)]
    pub delete_with_server: bool,
    /// A word for programs inside.
    #[serde(default)]
    pub tag: Option<String>,
}

/// A volume that is made with a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MadeVolume {
    /// Its size; `None` is that of what it holds.
    #[serde(default)]
    pub size_gib: Option<u32>,
    /// What it holds at first.
    pub content: Content,
    /// Its type, by identity or name; `None` is the default one.
    #[serde(default)]
    pub volume_type: Option<String>,
}

/// What a volume that is made with a server holds at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Nothing.
    Blank,
    /// The root file system of an image.
    Image(Id),
    /// What a snapshot holds.
    Snapshot(Id),
}

/// Addresses that a server's user says it is reached by.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AccessAddresses {
    pub ipv4: Option<IpAddr>,
    pub ipv6: Option<IpAddr>,
}

/// That a server must not be changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// An operator locked it: its owner cannot unlock it.
    pub by_admin: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a server is, as far as its instance does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is being made.
    Building,
    /// As its instance.
    Made,
    /// Its processes are frozen for a long time.
    Suspended,
    /// It has a new size that is to be confirmed.
    Resized,
    /// It is put away.
    Offloaded,
    /// It could not be made, or is not what it was to be.
    Broken,
}

/// What is being done to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Task {
    Building,
    Starting,
    Stopping,
    Rebooting,
    RebootingHard,
    Pausing,
    Unpausing,
    Suspending,
    Resuming,
    Shelving,
    Unshelving,
    Rebuilding,
    Resizing,
    Confirming,
    Reverting,
    Imaging,
    Deleting,
}

/// Why a server is broken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// As in HTTP.
    pub code: u16,
    /// What failed, on what.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// What a server was before its size changed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Resize {
    /// Its size then.
    pub flavor: ServerFlavor,
    /// It ran.
    pub was_running: bool,
}

/// Something that was done to a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deed {
    /// Names the request.
    pub request: String,
    /// What was asked for, as its protocol calls it: `create`.
    pub action: String,
    /// Who asked.
    pub user: Id,
    /// In which project.
    pub project: Id,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<String>,
}

impl ServerSpec {
    /// The volume that it starts from; `None` where that is its image.
    #[must_use]
    pub fn root_volume(&self) -> Option<&WantedVolume> {
        self.volumes.iter().find(|wanted| wanted.root)
    }
}

impl Server {
    /// Most deeds that are remembered.
    pub const MOST_DEEDS: usize = 100;

    /// Whether it stays when its instance is gone: it is about to have one.
    #[must_use]
    pub fn outlives_instance(&self) -> bool {
        self.meta.deleted_at.is_none()
            && (self.task == Some(Task::Building) || self.standing == Standing::Broken)
    }
}
