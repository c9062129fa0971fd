//! An instance: a sandbox (hostname, addresses, namespaces) with its containers.
//!
//! Its records have one writer each: the spec is written by `actions`, the placement by the
//! placement controller, the retry by the restart controller and the status by the agent of the
//! node that runs it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::container::ContainerSpec;
use crate::guest::Guest;
use crate::meta::{Id, Meta};
use crate::server_group::GroupPolicy;

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Identity and ownership.
    pub meta: Meta,
    /// The sandbox and its containers.
    pub spec: InstanceSpec,
}

/// The sandbox and its containers.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceSpec {
    /// Whether it should run.
    pub run: RunIntent,
    /// Where it may be placed.
    pub site: Site,
    /// Host name inside.
    pub hostname: String,
    /// NIS domain name inside.
    pub domainname: String,
    /// Where its network comes from.
    pub network: NetworkMode,
    /// Networks it is on, the one with the default route first.
    pub attachments: Vec<Attachment>,
    /// Ports of the node that lead inside.
    pub published_ports: Vec<PublishedPort>,
    /// Name look-up inside.
    pub dns: Dns,
    /// Lines added to `/etc/hosts`: host name and address (`host-gateway` is the node).
    pub extra_hosts: Vec<(String, String)>,
    /// Which namespaces are its own.
    pub namespaces: Namespaces,
    /// Cgroup under which its own is made; empty is the engine's.
    pub cgroup_parent: String,
    /// What happens when it exits by itself.
    pub restart: RestartPolicy,
    /// Removed, with its anonymous volumes, when it exits.
    pub auto_remove: bool,
    /// Its containers; one today.
    pub containers: Vec<ContainerSpec>,
    /// What it is told about itself; `None` is told nothing, as Docker's containers are.
    pub guest: Option<Guest>,
    /// Counts how often it was made anew: its next start then begins with what its image has.
    pub renewals: u64,
    /// The group that it is kept together with, or apart from.
    pub companions: Option<Companions>,
    /// Volumes that were attached to it; each is a mount of its first container, too.
    pub attached_volumes: Vec<AttachedVolume>,
    /// What one protocol alone knows of it, by protocol. Read by that front end only.
    pub origin: BTreeMap<String, Value>,
}

impl InstanceSpec {
    /// The names of the volumes that it mounts.
    pub fn volumes(&self) -> impl Iterator<Item = &String> {
        self.containers.iter().flat_map(ContainerSpec::volumes)
    }
}

/// Where an instance may be placed; anywhere, where nothing is said. Once it is placed it stays.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// On a node in this zone.
    pub zone: Option<String>,
    /// On this node, even where no new instances are placed.
    pub node: Option<Id>,
}

/// A group of instances, and how it is spread over nodes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Companions {
    /// Names the group: each of its instances says the same.
    pub group: Id,
    /// Together, or apart.
    pub policy: GroupPolicy,
    /// At most so many on one node, where they are to be apart.
    pub most_per_node: u32,
}

/// Whether an instance should run.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RunIntent {
    /// It should run.
    pub started: bool,
    /// Counts the starts that users asked for; a higher one is a new start.
    pub epoch: u64,
    /// Its processes are frozen.
    pub paused: bool,
    /// How to stop it, where the default is not meant.
    pub stop: Option<StopRequest>,
    /// A user stopped it, so a daemon's start does not start it under `unless-stopped`.
    pub stopped_by_user: bool,
    /// It is stopped only to be started again: one that removes itself when it ends stays.
    pub again: bool,
}

/// How to stop an instance.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct StopRequest {
    /// Signal by name or number; `None` is the container's.
    pub signal: Option<String>,
    /// Seconds until it is killed; `-1` waits for ever; `None` is the container's.
    pub timeout_secs: Option<i64>,
}

/// Where the network of a sandbox comes from.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Its own interfaces, one for each attachment.
    #[default]
    Attached,
    /// Loopback only.
    None,
    /// The node's.
    Host,
    /// Another instance's.
    Instance(Id),
}

/// One network an instance is on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// The network.
    pub network: Id,
    /// The port that it plugs into, which has the addresses; `None` is given addresses of its own.
    #[serde(default)]
    pub port: Option<Id>,
    /// Further names for it on this network.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Names given to other instances on this network: other's name or id, and alias.
    #[serde(default)]
    pub links: Vec<(String, String)>,
    /// A fixed address.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed address.
    #[serde(default)]
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address, `02:42:ac:11:00:02`.
    #[serde(default)]
    pub mac: Option<String>,
    /// Link-local addresses beside its own: nobody gives them out, and no name leads to them.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// Its interface's name inside; `None` is the first free of `eth0`, `eth1`...
    #[serde(default)]
    pub interface: Option<String>,
    /// Which attachment has the default route: the highest, then the first by name.
    #[serde(default)]
    pub gateway_priority: i64,
    /// Options for a network's driver, by name: kept and shown; no driver here reads any.
    #[serde(default)]
    pub driver_options: BTreeMap<String, String>,
}

impl Attachment {
    /// On a network, with whatever addresses it is given.
    #[must_use]
    pub const fn new(network: Id) -> Self {
        Self {
            network,
            port: None,
            aliases: Vec::new(),
            links: Vec::new(),
            ipv4: None,
            ipv6: None,
            mac: None,
            link_local: Vec::new(),
            interface: None,
            gateway_priority: 0,
            driver_options: BTreeMap::new(),
        }
    }
}

/// A volume that was attached to an instance: what its mount does not say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttachedVolume {
    /// Identity of the attachment.
    pub id: Id,
    /// The volume.
    pub volume: Id,
    /// The device that its user has in mind: `/dev/vdb`.
    pub device: String,
    /// Where it is mounted, the target of its mount: `/mnt/vdb`.
    pub target: String,
    /// When it was asked for.
    pub attached_at: Timestamp,
    /// Generation of the spec that attached it.
    pub attached_by: u64,
    /// The volume goes when the instance does.
    #[serde(default)]
    pub delete_with_instance: bool,
    /// A word for programs inside.
    #[serde(default)]
    pub tag: Option<String>,
    /// It is being detached, by the spec of this generation: the mount is gone from it already.
    #[serde(default)]
    pub detached_by: Option<u64>,
}

/// A port of the node that leads to one inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Transport.
    pub protocol: Protocol,
    /// Port inside.
    pub container_port: u16,
    /// Address of the node; `None` is every address.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
    /// First port of the node that may be used; 0 takes a free one.
    #[serde(default)]
    pub host_port: u16,
    /// Last port of the node that may be used; equal to `host_port` unless a range was given.
    #[serde(default)]
    pub host_port_end: u16,
}

/// A transport protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the protocols'")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Name look-up inside. Empty lists take the node's.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of resolv.conf(5)")]
pub struct Dns {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// Which namespaces a sandbox has of its own.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Process ids.
    pub pid: NamespaceMode,
    /// System V and POSIX message queues, semaphores and shared memory.
    pub ipc: NamespaceMode,
    /// Host name: own, or the node's.
    pub uts: NamespaceMode,
    /// Cgroup root: own, or the node's.
    pub cgroup: NamespaceMode,
}

/// Where a namespace comes from.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Own,
    /// The node's.
    Host,
    /// Another instance's.
    Instance(Id),
    /// Its own, and other instances may join it (inter-process communication only).
    Shareable,
    /// Its own, without `/dev/shm` (inter-process communication only).
    Without,
}

/// What happens when an instance exits by itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// It stays down.
    #[default]
    Never,
    /// It starts again after a failure, at most this often; 0 is without limit.
    OnFailure(u32),
    /// It always starts again, also with the daemon.
    Always,
    /// As `Always`, unless a user stopped it.
    UnlessStopped,
}

/// Which run of an instance: a user's start, and how often it was restarted since.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Run {
    /// [`RunIntent::epoch`] of the start.
    pub epoch: u64,
    /// [`Retry::attempt`] of the start.
    pub attempt: u32,
}

/// Where an instance runs, with which addresses. Written by the placement controller only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placement {
    /// The node; `None` where no node fits, and `reason` says why.
    pub node: Option<Id>,
    /// Why it has no node, or no address.
    #[serde(default)]
    pub reason: Option<Failure>,
    /// The start for which this was decided.
    pub epoch: u64,
    /// Generation of the spec for which this was last decided anew.
    #[serde(default)]
    pub generation: u64,
    /// Its addresses, in the order of the spec's attachments.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// Addresses of an instance on one network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network.
    pub network: Id,
    /// Identity of this attachment; the port's, where it plugs into one.
    pub id: Id,
    /// It plugs into a port, which holds the addresses.
    #[serde(default)]
    pub port: bool,
    /// Address and prefix length.
    #[serde(default)]
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Address and prefix length.
    #[serde(default)]
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Further addresses, with their prefix lengths.
    #[serde(default)]
    pub more: Vec<(IpAddr, u8)>,
    /// Hardware address.
    pub mac: String,
}

impl Endpoint {
    /// All its addresses, with their prefix lengths.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        let ipv4 = self.ipv4.map(|(address, prefix)| (address.into(), prefix));
        let ipv6 = self.ipv6.map(|(address, prefix)| (address.into(), prefix));
        ipv4.into_iter()
            .chain(ipv6)
            .chain(self.more.iter().copied())
    }
}

/// That a restart policy asks for another run. Written by the restart controller only.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// The user's start that this belongs to.
    pub epoch: u64,
    /// Counts restarts since that start.
    pub attempt: u32,
    /// Not before this time.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// How long after the exit that is, in milliseconds; the next wait is twice as long.
    #[serde(default)]
    pub back_off_ms: u64,
}

/// What the node saw. Written by that node's agent only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Generation of the spec that the node last acted on.
    pub generation: u64,
    /// The run this speaks of.
    pub run: Run,
    /// What it does.
    pub phase: Phase,
    /// Process 1 of the first container, as the node numbers it; 0 when it does not run.
    #[serde(default)]
    pub pid: u32,
    /// When the run started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// How the last run ended.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Why the last start, stop or change failed.
    #[serde(default)]
    pub error: Option<Failure>,
    /// Found by the health check.
    #[serde(default)]
    pub health: Option<Health>,
    /// Interfaces that exist now.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Ports of the node in use now.
    #[serde(default)]
    pub ports: Vec<BoundPort>,
    /// Boot of the node during which this was seen (`/proc/sys/kernel/random/boot_id`).
    #[serde(default)]
    pub boot_id: String,
}

/// What an instance does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Made, and never started.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It ran and exited.
    Exited,
    /// It could not be removed; see the error.
    Dead,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status; 128 + signal when a signal ended it.
    pub code: i32,
    /// The kernel killed one of its processes for want of memory.
    pub oom_killed: bool,
    /// When it ended.
    pub at: Timestamp,
}

/// Why something could not be done to an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// What failed, on what, and what to do.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Kinds of failure of a start, so that front ends can choose a status and an exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The program does not exist (exit code 127).
    CommandNotFound,
    /// The program cannot be run (exit code 126).
    CommandNotExecutable,
    /// The request asks for what cannot be: a bad mount, user, sysctl or limit.
    Invalid,
    /// Something else has it: a port, an address, a name.
    Conflict,
    /// Something it needs is gone: an image, a volume, another instance.
    NotFound,
    /// No node fits.
    NoCapacity,
    /// The node failed.
    Internal,
}

/// What the health check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// The verdict.
    pub state: HealthState,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The newest checks, oldest first, at most five.
    pub log: Vec<Probe>,
}

impl Health {
    /// Of one that was not checked yet.
    #[must_use]
    pub const fn starting() -> Self {
        Self {
            state: HealthState::Starting,
            failing_streak: 0,
            log: Vec::new(),
        }
    }
}

/// The verdict of a health check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum HealthState {
    Starting,
    Healthy,
    Unhealthy,
}

/// One health check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Its exit status; -1 when it took too long.
    pub exit_code: i32,
    /// The first 4 KiB of what it printed.
    pub output: String,
}

/// A port of the node that leads inside, now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BoundPort {
    /// Transport.
    pub protocol: Protocol,
    /// Port inside.
    pub container_port: u16,
    /// Address of the node.
    pub host_ip: IpAddr,
    /// Port of the node.
    pub host_port: u16,
}
