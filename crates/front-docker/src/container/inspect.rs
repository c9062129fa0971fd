//! `GET /containers/{name}/json`: the origin document together with what was seen.

use std::collections::BTreeMap;

use actions::instance::View;
use actions::{exec, image, stream};
use axum::response::{IntoResponse, Response};
use model::instance::{Health, NetworkMode, Phase};
use model::security::{MASKED_PATHS, READ_ONLY_PATHS};
use serde::Serialize;

use super::list::known_networks;
use super::lookup::find;
use super::show::{self, MountPoint, Networks};
use super::translate;
use super::wire::{Config, HostConfig, Origin, PortMap};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::id::{docker_id, short};
use crate::network::wire::EndpointSettings;
use crate::time::rfc3339;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: State,
    image: String,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    mount_label: &'static str,
    process_label: &'static str,
    app_armor_profile: &'static str,
    #[serde(rename = "ExecIDs")]
    exec_ids: Option<Vec<String>>,
    host_config: HostConfig,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<MountPoint>,
    config: Config,
    network_settings: NetworkSettings,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i32,
    error: String,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthState>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthState {
    status: &'static str,
    failing_streak: u32,
    log: Vec<HealthResult>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthResult {
    start: String,
    end: String,
    exit_code: i32,
    output: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    data: BTreeMap<&'static str, String>,
    name: &'static str,
}

/// The legacy fields repeat those of the default network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    bridge: &'static str,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: PortMap,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: &'static str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: Option<()>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: Option<()>,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    mac_address: String,
    networks: BTreeMap<String, EndpointSettings>,
}

pub(crate) async fn inspect(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let view = find(&at, &name)?;
    let id = view.instance.meta.id;
    let Origin {
        config,
        mut host_config,
    } = Origin::of(&view.instance.spec);
    show_hidden_paths(&mut host_config);
    let container = view
        .instance
        .spec
        .containers
        .first()
        .cloned()
        .unwrap_or_default();
    let networks = known_networks(&at);
    let own = &view.instance.meta.name;
    let links: Vec<String> = show::links(&view, &networks)
        .map(|(other, alias)| format!("/{other}:/{own}/{alias}"))
        .collect();
    host_config.links = Some(links).filter(|links| !links.is_empty());
    let paths = stream::host_paths(&at.cloud, &at.caller, id)?;
    let execs = exec::list(&at.cloud, &at.caller, id).await?;

    let config = Config {
        hostname: hostname(&view),
        labels: view.instance.meta.labels.clone(),
        ..translate::config::shown(config, &container)
    };
    let (size_rw, size_root_fs) = if at.form.is_true("size") {
        let writable = stream::writable_size(&at.cloud, &at.caller, id).await?;
        let image = image::get(&at.cloud, &at.caller, &container.image_id)
            .map_or(0, |image| image.size_bytes);
        (Some(writable), Some(image + writable))
    } else {
        (None, None)
    };
    let text = |path: std::path::PathBuf| path.display().to_string();
    // Only the files of `json-file` are for others to read.
    let log_path = match host_config.log_config.kind.as_str() {
        "json-file" => text(paths.log),
        _ => String::new(),
    };
    let mut data = BTreeMap::from([
        ("ID", docker_id(id)),
        ("UpperDir", text(paths.upper.clone())),
    ]);
    if let Some(directory) = paths.upper.parent() {
        data.insert("WorkDir", text(directory.join("work")));
    }
    let answer = Container {
        id: docker_id(id),
        created: rfc3339(Some(view.instance.meta.created_at)),
        path: container.args.first().cloned().unwrap_or_default(),
        args: container.args.iter().skip(1).cloned().collect(),
        state: state(&view),
        image: container.image_id.clone(),
        resolv_conf_path: text(paths.resolv_conf),
        hostname_path: text(paths.hostname),
        hosts_path: text(paths.hosts),
        log_path,
        name: format!("/{}", view.instance.meta.name),
        restart_count: view.restart_count(),
        driver: "overlay2",
        platform: "linux",
        mount_label: "",
        process_label: "",
        app_armor_profile: "",
        exec_ids: Some(execs).filter(|execs| !execs.is_empty()),
        host_config,
        graph_driver: GraphDriver {
            data,
            name: "overlay2",
        },
        size_rw,
        size_root_fs,
        mounts: show::mounts(&view, &at.settings.data_dir),
        network_settings: network_settings(&at, &view, &config, &networks),
        config,
    };
    Ok(axum::Json(answer).into_response())
}

/// What is hidden from a container that does not say otherwise.
fn show_hidden_paths(host_config: &mut HostConfig) {
    if host_config.privileged {
        return;
    }
    let list = |paths: &[&str]| paths.iter().copied().map(str::to_owned).collect();
    host_config
        .masked_paths
        .get_or_insert_with(|| list(&MASKED_PATHS));
    host_config
        .readonly_paths
        .get_or_insert_with(|| list(&READ_ONLY_PATHS));
}

/// The name inside; one that shares another's network has none of its own.
fn hostname(view: &View) -> String {
    let spec = &view.instance.spec;
    match spec.network {
        _ if !spec.hostname.is_empty() => spec.hostname.clone(),
        NetworkMode::Attached | NetworkMode::None => short(view.instance.meta.id),
        NetworkMode::Host | NetworkMode::Instance(_) => String::new(),
    }
}

fn state(view: &View) -> State {
    let status = &view.status;
    let word = show::state(view);
    State {
        status: word,
        running: view.is_up() || view.is_restarting(),
        paused: status.phase == Phase::Paused,
        restarting: word == "restarting",
        oom_killed: status.exit.as_ref().is_some_and(|exit| exit.oom_killed) && !view.is_up(),
        dead: status.phase == Phase::Dead,
        pid: if view.is_up() { status.pid } else { 0 },
        exit_code: show::exit_code(view),
        error: status
            .error
            .as_ref()
            .map(|error| error.message.clone())
            .unwrap_or_default(),
        started_at: rfc3339(status.started_at),
        finished_at: rfc3339(status.exit.as_ref().map(|exit| exit.at)),
        health: status.health.as_ref().map(health),
    }
}

fn health(health: &Health) -> HealthState {
    let log = health.log.iter().map(|probe| HealthResult {
        start: rfc3339(Some(probe.started_at)),
        end: rfc3339(Some(probe.ended_at)),
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    });
    HealthState {
        status: show::health_word(health.state),
        failing_streak: health.failing_streak,
        log: log.collect(),
    }
}

fn network_settings(at: &At, view: &View, config: &Config, known: &Networks) -> NetworkSettings {
    let mut networks = show::networks(view, known);
    // Older versions add its own names once it was started.
    if !at.version.has(45) && view.instance.spec.run.epoch > 0 {
        let own = [short(view.instance.meta.id), config.hostname.clone()];
        for (name, endpoint) in &mut networks {
            if translate::network::is_user_defined(name) {
                let aliases = endpoint.aliases.get_or_insert_default();
                for alias in &own {
                    if !aliases.contains(alias) {
                        aliases.push(alias.clone());
                    }
                }
            }
        }
    }
    let default = networks
        .get(translate::network::DEFAULT)
        .cloned()
        .unwrap_or_default();
    let is_up = view.is_up();
    NetworkSettings {
        bridge: "",
        sandbox_id: if is_up {
            docker_id(view.instance.meta.id)
        } else {
            String::new()
        },
        // Seen from the host, this is the network namespace.
        sandbox_key: if is_up {
            format!("/proc/{}/ns/net", view.status.pid)
        } else {
            String::new()
        },
        ports: show::ports(view),
        hairpin_mode: false,
        link_local_ipv6_address: "",
        link_local_ipv6_prefix_len: 0,
        secondary_ip_addresses: None,
        secondary_ipv6_addresses: None,
        endpoint_id: default.endpoint_id,
        gateway: default.gateway,
        global_ipv6_address: default.global_ipv6_address,
        global_ipv6_prefix_len: default.global_ipv6_prefix_len,
        ip_address: default.ip_address,
        ip_prefix_len: default.ip_prefix_len,
        ipv6_gateway: default.ipv6_gateway,
        mac_address: default.mac_address,
        networks,
    }
}
