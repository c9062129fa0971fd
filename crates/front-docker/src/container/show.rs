//! What list and inspect both show of an instance: state, ports, networks, mounts. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use actions::instance::View;
use jiff::Timestamp;
use model::Id;
use model::container::{Mount, MountSource, Propagation};
use model::instance::{Attachment, FailureKind, HealthState, InstanceSpec, NetworkMode, Phase};
use model::network::Network;
use serde::Serialize;
use serde_json::Value;

use super::translate::mounts::clean;
use super::wire::{Origin, PortBinding, PortMap};
use crate::id::{docker_id, short};
use crate::network::wire::{EndpointIpam, EndpointSettings};
use crate::time::human_duration;

/// Networks by identity, so that a list of containers looks each up once.
pub(crate) type Networks = HashMap<Id, Arc<Network>>;

/// One word for what a container does.
pub(crate) fn state(view: &View) -> &'static str {
    if view.instance.meta.deleted_at.is_some() {
        return "removing";
    }
    if view.is_restarting() {
        return "restarting";
    }
    match view.status.phase {
        Phase::Created => "created",
        Phase::Running => "running",
        Phase::Paused => "paused",
        Phase::Exited => "exited",
        Phase::Dead => "dead",
    }
}

/// The exit status; a start that failed has one too.
pub(crate) fn exit_code(view: &View) -> i32 {
    if view.is_up() {
        return 0;
    }
    match (&view.status.error, &view.status.exit) {
        (Some(error), _) if view.status.phase == Phase::Created => match error.kind {
            FailureKind::CommandNotFound => 127,
            FailureKind::CommandNotExecutable => 126,
            FailureKind::Invalid
            | FailureKind::Conflict
            | FailureKind::NotFound
            | FailureKind::NoCapacity
            | FailureKind::Internal => 128,
        },
        (_, Some(exit)) => exit.code,
        (_, None) => 0,
    }
}

/// The verdict of the health check, in one word.
pub(crate) const fn health_word(state: HealthState) -> &'static str {
    match state {
        HealthState::Starting => "starting",
        HealthState::Healthy => "healthy",
        HealthState::Unhealthy => "unhealthy",
    }
}

/// What `docker ps` shows as the status: `Up 2 minutes (healthy)`.
pub(crate) fn status(view: &View, now: Timestamp) -> String {
    let since =
        |at: Option<Timestamp>| human_duration(at.map_or(0, |at| now.duration_since(at).as_secs()));
    let ended = || since(view.status.exit.as_ref().map(|exit| exit.at));
    match state(view) {
        "removing" => "Removal In Progress".to_owned(),
        "restarting" => format!("Restarting ({}) {} ago", exit_code(view), ended()),
        "created" => "Created".to_owned(),
        "dead" => "Dead".to_owned(),
        "exited" => format!("Exited ({}) {} ago", exit_code(view), ended()),
        "paused" => format!("Up {} (Paused)", since(view.status.started_at)),
        _ => {
            let up = since(view.status.started_at);
            match &view.status.health {
                Some(health) if health.state == HealthState::Starting => {
                    format!("Up {up} (health: starting)")
                }
                Some(health) => format!("Up {up} ({})", health_word(health.state)),
                None => format!("Up {up}"),
            }
        }
    }
}

/// A part of the origin document, read in place.
pub(crate) fn origin<'a>(spec: &'a InstanceSpec, pointer: &str) -> Option<&'a Value> {
    spec.origin.get(Origin::KEY)?.pointer(pointer)
}

/// Ports that lead inside and ports that might, while it runs.
pub(crate) fn ports(view: &View) -> PortMap {
    let mut ports = PortMap::new();
    if !view.is_up() {
        return ports;
    }
    let containers = &view.instance.spec.containers;
    for (number, protocol) in containers.iter().flat_map(|one| &one.exposed_ports) {
        ports.insert(format!("{number}/{}", protocol.as_str()), None);
    }
    for bound in &view.status.ports {
        let key = format!("{}/{}", bound.container_port, bound.protocol.as_str());
        ports
            .entry(key)
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: bound.host_ip.to_string(),
                host_port: bound.host_port.to_string(),
            });
    }
    ports
}

/// The networks a container is on, by name.
pub(crate) fn networks(view: &View, known: &Networks) -> BTreeMap<String, EndpointSettings> {
    let spec = &view.instance.spec;
    let special = match spec.network {
        NetworkMode::Attached => {
            return spec
                .attachments
                .iter()
                .filter_map(|attachment| {
                    let network = known.get(&attachment.network)?;
                    Some((
                        network.meta.name.clone(),
                        endpoint(view, attachment, network),
                    ))
                })
                .collect();
        }
        NetworkMode::None => "none",
        NetworkMode::Host => "host",
        NetworkMode::Instance(_) => return BTreeMap::new(),
    };
    let network_id = known
        .values()
        .find(|network| network.meta.name == special)
        .map(|network| network.meta.id);
    let settings = EndpointSettings {
        network_id: network_id.map(docker_id).unwrap_or_default(),
        ..EndpointSettings::default()
    };
    BTreeMap::from([(special.to_owned(), settings)])
}

/// The links on the default network: the other's name, and the own name for it.
pub(crate) fn links<'a>(
    view: &'a View,
    known: &'a Networks,
) -> impl Iterator<Item = &'a (String, String)> {
    let attachments = view.instance.spec.attachments.iter();
    let unnamed = attachments.filter(|attachment| {
        let network = known.get(&attachment.network);
        network.is_some_and(|network| !network.spec.dns)
    });
    unnamed.flat_map(|attachment| &attachment.links)
}

fn endpoint(view: &View, attachment: &Attachment, network: &Network) -> EndpointSettings {
    let list = |items: Vec<String>| Some(items).filter(|items| !items.is_empty());
    let ipam = EndpointIpam {
        ipv4_address: attachment
            .ipv4
            .map(|address| address.to_string())
            .unwrap_or_default(),
        ipv6_address: attachment
            .ipv6
            .map(|address| address.to_string())
            .unwrap_or_default(),
        link_local_ips: attachment
            .link_local
            .iter()
            .map(IpAddr::to_string)
            .collect(),
    };
    // Those of the default network are its host configuration's.
    let links = attachment.links.iter().filter(|_| network.spec.dns);
    let links = links
        .map(|(name, alias)| format!("{name}:{alias}"))
        .collect();
    let mut settings = EndpointSettings {
        ipam_config: Some(ipam).filter(|ipam| *ipam != EndpointIpam::default()),
        links: list(links),
        aliases: list(attachment.aliases.clone()),
        gw_priority: attachment.gateway_priority,
        driver_opts: Some(attachment.driver_options.clone()).filter(|options| !options.is_empty()),
        mac_address: attachment.mac.clone().unwrap_or_default(),
        network_id: docker_id(network.meta.id),
        dns_names: network.spec.dns.then(|| dns_names(view, attachment)),
        ..EndpointSettings::default()
    };
    let Some(own) = view
        .status
        .endpoints
        .iter()
        .find(|own| own.network == network.meta.id)
    else {
        return settings;
    };
    settings.endpoint_id = docker_id(own.id);
    settings.mac_address.clone_from(&own.mac);
    let gateway = |is_v4: bool| {
        let gateway = network.spec.gateway(is_v4);
        gateway
            .filter(|_| !network.spec.internal)
            .map(|gateway| gateway.to_string())
            .unwrap_or_default()
    };
    if let Some((address, prefix)) = own.ipv4 {
        settings.ip_address = address.to_string();
        settings.ip_prefix_len = prefix;
        settings.gateway = gateway(true);
    }
    if let Some((address, prefix)) = own.ipv6 {
        settings.global_ipv6_address = address.to_string();
        settings.global_ipv6_prefix_len = prefix;
        settings.ipv6_gateway = gateway(false);
    }
    settings
}

/// What others on the network may call it.
fn dns_names(view: &View, attachment: &Attachment) -> Vec<String> {
    let meta = &view.instance.meta;
    let mut names = vec![meta.name.clone()];
    let further = attachment
        .aliases
        .iter()
        .cloned()
        .chain([short(meta.id), view.instance.spec.hostname.clone()]);
    for name in further {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A mount as list and inspect show it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MountPoint {
    #[serde(rename = "Type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) driver: &'static str,
    pub(crate) mode: String,
    #[serde(rename = "RW")]
    pub(crate) rw: bool,
    pub(crate) propagation: &'static str,
}

/// The mounts that users asked for, but for tmpfs in the short form, which dockerd leaves out too.
pub(crate) fn mounts(view: &View, data_dir: &Path) -> Vec<MountPoint> {
    let spec = &view.instance.spec;
    let of_spec = spec
        .containers
        .iter()
        .flat_map(|container| &container.mounts);
    of_spec
        .filter_map(|mount| mount_point(view, mount, data_dir))
        .collect()
}

fn mount_point(view: &View, mount: &Mount, data_dir: &Path) -> Option<MountPoint> {
    let spec = &view.instance.spec;
    let point = |kind, name: &str, source: String, driver, mode: String, propagation| MountPoint {
        kind,
        name: name.to_owned(),
        source,
        destination: mount.target.clone(),
        driver,
        mode,
        rw: !mount.read_only,
        propagation,
    };
    Some(match &mount.source {
        MountSource::Bind {
            path, propagation, ..
        } => {
            let mode = bind_mode(spec, &mount.target).unwrap_or_default();
            point(
                "bind",
                "",
                path.clone(),
                "",
                mode,
                propagation_word(*propagation),
            )
        }
        MountSource::Volume {
            name, anonymous, ..
        } => {
            let project = view.instance.meta.project.to_string();
            let source = data_dir
                .join("volumes")
                .join(project)
                .join(name)
                .join("_data")
                .display()
                .to_string();
            let is_short = *anonymous && !is_long(spec, &mount.target);
            let default = if is_short { "" } else { "z" };
            let mode = bind_mode(spec, &mount.target).filter(|mode| !mode.is_empty());
            point(
                "volume",
                name,
                source,
                "local",
                mode.unwrap_or_else(|| default.to_owned()),
                "",
            )
        }
        MountSource::Image { name, .. } => {
            let (mode, propagation) = (String::new(), propagation_word(Propagation::default()));
            point("image", name, String::new(), "", mode, propagation)
        }
        MountSource::Tmpfs { .. } => {
            if !is_long(spec, &mount.target) {
                return None;
            }
            point("tmpfs", "", String::new(), "", String::new(), "")
        }
    })
}

/// The mount was asked for in the long form.
fn is_long(spec: &InstanceSpec, target: &str) -> bool {
    let long = origin(spec, "/HostConfig/Mounts").and_then(Value::as_array);
    let mut targets = long.into_iter().flatten().map(|long| &long["Target"]);
    targets.any(|long| long.as_str().map(clean).as_deref() == Some(target))
}

/// The mode that a short form gave, where the mount came from one.
fn bind_mode(spec: &InstanceSpec, target: &str) -> Option<String> {
    let binds = origin(spec, "/HostConfig/Binds")?.as_array()?;
    binds.iter().filter_map(Value::as_str).find_map(|bind| {
        let mut parts = bind.splitn(3, ':').skip(1);
        let is_it = parts.next()?.trim_end_matches('/') == target;
        is_it.then(|| parts.next().unwrap_or_default().to_owned())
    })
}

const fn propagation_word(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Private => "private",
        Propagation::Rprivate => "rprivate",
        Propagation::Shared => "shared",
        Propagation::Rshared => "rshared",
        Propagation::Slave => "slave",
        Propagation::Rslave => "rslave",
    }
}
