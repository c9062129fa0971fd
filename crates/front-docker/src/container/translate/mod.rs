//! A create request, checked and turned into the model.
//!
//! [`check`] holds what needs no image, in dockerd's order and words; [`to_model`] the rest. What
//! surrounds the request (networks, other containers, the host) comes in through [`Surroundings`],
//! so that all of this is pure. What the daemon cannot honour is refused by the field's name.
//!
//! Source: moby, `runconfig/`, `daemon/container.go`, `daemon/create.go`.

pub(crate) mod config;
#[cfg(any(test, fuzzing))]
pub(crate) mod fixture;
mod log;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod resources;
mod security;

use std::collections::BTreeMap;
use std::sync::Arc;

use actions::instance::NewInstance;
use model::container::{ContainerSpec, TerminalSize};
use model::image::Image;
use model::instance::{
    Instance, InstanceSpec, NamespaceMode, Namespaces, NetworkMode, RestartPolicy,
};
use model::network::Network;
use serde_json::Value;

use super::signal;
use super::wire::{self, Config, HostConfig, NetworkingConfig, Origin};
use crate::error::ApiError;
use crate::id::docker_id;
use crate::json::{Shape, shape};
use crate::version::Version;
pub(crate) use mounts::WantedVolume;

/// Names of the one runtime: the one that clients expect, and shown where they name none, first.
pub(crate) const RUNTIMES: [&str; 2] = ["runc", "longshore"];

const DEFAULT_SHM_BYTES: i64 = 64 * 1024 * 1024;
const MILLISECOND_NS: i64 = 1_000_000;

/// What the host has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) cpus: u32,
    pub(crate) cgroup_version: u8,
    pub(crate) has_io_weights: bool,
}

/// What a request may refer to.
pub(crate) trait Surroundings {
    /// The network of this name or identifier.
    fn network(&self, term: &str) -> Result<Arc<Network>, ApiError>;
    /// The container of this name or identifier.
    fn instance(&self, term: &str) -> Result<Arc<Instance>, ApiError>;
    /// Whether there is something at a path of the node.
    fn node_has_path(&self, path: &str) -> bool;
    /// What the host has.
    fn host(&self) -> Host;
}

/// A create request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Create {
    pub(crate) name: Option<String>,
    pub(crate) config: Config,
    pub(crate) host: HostConfig,
    pub(crate) networking: NetworkingConfig,
}

/// A create request in the model's words.
#[derive(Clone, Debug)]
pub(crate) struct Translated {
    pub(crate) new: NewInstance,
    /// Volumes to make first.
    pub(crate) volumes: Vec<WantedVolume>,
    pub(crate) warnings: Vec<String>,
}

impl Create {
    /// Reads the body of a create request.
    pub(crate) fn read(name: &str, document: Option<Value>) -> Result<Self, ApiError> {
        let Some(document) = document else {
            return Err(ApiError::invalid(
                "invalid JSON: got EOF while reading request body",
            ));
        };
        let Value::Object(mut fields) = document else {
            let kind = match document {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Number(_) | Value::Null | Value::Object(_) => "number",
            };
            return Err(ApiError::invalid(format!(
                "invalid JSON: json: cannot unmarshal {kind} into Go value of type container.CreateRequest"
            )));
        };
        let host = fields
            .remove("HostConfig")
            .map(HostConfig::read)
            .transpose()?
            .unwrap_or_default();
        let networking = fields
            .remove("NetworkingConfig")
            .map(shape)
            .transpose()?
            .unwrap_or_default();
        if !Config::is_in(&fields) {
            return Err(ApiError::invalid(
                "config cannot be empty in order to create a container",
            ));
        }
        let name = Some(name)
            .filter(|name| !name.is_empty())
            .map(container_name)
            .transpose()?;
        Ok(Self {
            name,
            config: shape(Value::Object(fields))?,
            host,
            networking,
        })
    }
}

/// A container's name without a leading slash.
pub(crate) fn container_name(name: &str) -> Result<String, ApiError> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let is_valid = bare.len() > 1
        && bare.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_valid {
        return Ok(bare.to_owned());
    }
    Err(ApiError::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// The container that a mode such as `container:web` joins.
pub(crate) fn joined(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:")
}

/// Checks what needs no image, and settles what versions say differently. Answers warnings.
pub(crate) fn check(
    create: &mut Create,
    version: Version,
    host: &Host,
) -> Result<Vec<String>, ApiError> {
    let mut warnings = Vec::new();
    let Create {
        config,
        host: host_config,
        networking,
        ..
    } = create;
    network::check(config, host_config)?;
    if !matches!(host_config.isolation.as_str(), "" | "default") {
        return Err(ApiError::invalid(format!(
            "invalid isolation ({}): linux only supports 'default'",
            host_config.isolation
        )));
    }
    settle_version(config, host_config, version, host);
    network::settle(config, host_config, networking, version, &mut warnings)?;
    check_config(config)?;
    check_host_config(host_config)?;
    resources::check(&mut host_config.resources, host, false, &mut warnings)?;
    settle_defaults(host_config, host);
    Ok(warnings)
}

/// Takes away what an older version of the API did not have.
fn settle_version(
    config: &mut Config,
    host_config: &mut HostConfig,
    version: Version,
    host: &Host,
) {
    if !version.has(25) {
        host_config.auto_remove = false;
    }
    if !version.has(40) {
        host_config.resources.kernel_memory_tcp = 0;
        host_config.resources.pids_limit = None;
        if host_config.ipc_mode.is_empty() {
            "shareable".clone_into(&mut host_config.ipc_mode);
        }
    }
    if !version.has(41) && host.cgroup_version != 2 && host_config.cgroupns_mode.is_empty() {
        "host".clone_into(&mut host_config.cgroupns_mode);
    }
    if version.has(42) {
        host_config.resources.kernel_memory = 0;
    } else {
        host_config.console_size = [0, 0];
    }
    if !version.has(43) {
        host_config.annotations = None;
    }
    if let Some(check) = config.healthcheck.as_mut().filter(|_| !version.has(44)) {
        check.start_interval = 0;
    }
}

fn check_config(config: &mut Config) -> Result<(), ApiError> {
    if !config.working_dir.is_empty() {
        if !config.working_dir.starts_with('/') {
            return Err(ApiError::invalid(format!(
                "the working directory '{}' is invalid, it needs to be an absolute path",
                config.working_dir
            )));
        }
        config.working_dir = mounts::clean(&config.working_dir);
    }
    if !config.stop_signal.is_empty() && !signal::is_known(&config.stop_signal) {
        return Err(ApiError::invalid(format!(
            "invalid signal: {}",
            config.stop_signal
        )));
    }
    if let Some(entry) = config
        .env
        .iter()
        .flatten()
        .find(|entry| entry.is_empty() || entry.starts_with('='))
    {
        return Err(ApiError::invalid(format!(
            "invalid environment variable: {entry}"
        )));
    }
    for port in config.exposed_ports.keys() {
        network::port(port)?;
    }
    let Some(check) = &config.healthcheck else {
        return Ok(());
    };
    for (name, time) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if time != 0 && time < MILLISECOND_NS {
            return Err(ApiError::invalid(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    if check.retries < 0 {
        return Err(ApiError::invalid(
            "Retries in Healthcheck cannot be negative",
        ));
    }
    Ok(())
}

fn check_host_config(host: &mut HostConfig) -> Result<(), ApiError> {
    if host.auto_remove && !host.restart_policy.is_none() {
        return Err(ApiError::invalid(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    restart_policy(&host.restart_policy)?;
    if host
        .annotations
        .iter()
        .flatten()
        .any(|(key, _)| key.is_empty())
    {
        return Err(ApiError::invalid(
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ));
    }
    let is_joined = |mode: &str| joined(mode).is_some_and(|name| !name.is_empty());
    if !matches!(
        host.ipc_mode.as_str(),
        "" | "none" | "private" | "host" | "shareable"
    ) && !is_joined(&host.ipc_mode)
    {
        return Err(ApiError::invalid(format!(
            "invalid IPC mode: {}",
            host.ipc_mode
        )));
    }
    if !matches!(host.pid_mode.as_str(), "" | "host") && !is_joined(&host.pid_mode) {
        return Err(ApiError::invalid(format!(
            "invalid PID mode: {}",
            host.pid_mode
        )));
    }
    if host.shm_size < 0 {
        return Err(ApiError::invalid("SHM size can not be less than 0"));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return Err(ApiError::invalid(format!(
            "invalid UTS mode: {}",
            host.uts_mode
        )));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "private" | "host") {
        return Err(ApiError::invalid(format!(
            "invalid cgroup namespace mode: {}",
            host.cgroupns_mode
        )));
    }
    if !host.cgroup.is_empty() {
        return Err(ApiError::invalid(
            "HostConfig.Cgroup: joining another container's cgroup is not supported",
        ));
    }
    if !host.runtime.is_empty() && !RUNTIMES.contains(&host.runtime.as_str()) {
        return Err(ApiError::invalid(format!(
            "unknown or invalid runtime name: {}",
            host.runtime
        )));
    }
    if host
        .storage_opt
        .as_ref()
        .is_some_and(|options| !options.is_empty())
    {
        return Err(ApiError::invalid(
            "HostConfig.StorageOpt: --storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ));
    }
    log::to_model(&host.log_config).map(|_| ())
}

/// Writes down the defaults that inspect shows.
fn settle_defaults(host_config: &mut HostConfig, host: &Host) {
    let set = |field: &mut String, value: &str| {
        if field.is_empty() {
            value.clone_into(field);
        }
    };
    set(&mut host_config.restart_policy.name, "no");
    set(&mut host_config.log_config.kind, "json-file");
    set(&mut host_config.ipc_mode, "private");
    set(
        &mut host_config.cgroupns_mode,
        if host.cgroup_version == 2 {
            "private"
        } else {
            "host"
        },
    );
    set(&mut host_config.runtime, RUNTIMES[0]);
    if host_config.shm_size == 0 {
        host_config.shm_size = DEFAULT_SHM_BYTES;
    }
    let resources = &mut host_config.resources;
    if resources.memory > 0 && resources.memory_swap == 0 {
        resources.memory_swap = resources.memory.saturating_mul(2);
    }
    if host.cgroup_version != 2 {
        resources.oom_kill_disable.get_or_insert(false);
    }
}

/// A restart policy as the model has it.
pub(crate) fn restart_policy(policy: &wire::RestartPolicy) -> Result<RestartPolicy, ApiError> {
    let count = policy.maximum_retry_count;
    let without_count = |restart| {
        if count == 0 {
            return Ok(restart);
        }
        let more = if count < 0 {
            " and cannot be negative"
        } else {
            ""
        };
        Err(ApiError::invalid(format!(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'{more}"
        )))
    };
    match policy.name.as_str() {
        "" => Ok(RestartPolicy::Never),
        "no" => without_count(RestartPolicy::Never),
        "always" => without_count(RestartPolicy::Always),
        "unless-stopped" => without_count(RestartPolicy::UnlessStopped),
        "on-failure" => u32::try_from(count)
            .map(RestartPolicy::OnFailure)
            .map_err(|_| {
                ApiError::invalid("invalid restart policy: maximum retry count cannot be negative")
            }),
        name => Err(ApiError::invalid(format!(
            "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        ))),
    }
}

/// The instance to make, once [`check`] has passed and the image is known.
pub(crate) fn to_model(
    create: Create,
    image: &Image,
    version: Version,
    mut warnings: Vec<String>,
    around: &dyn Surroundings,
) -> Result<Translated, ApiError> {
    let Create {
        name,
        mut config,
        mut host,
        networking,
    } = create;
    let (mounts, volumes) = mounts::to_model(&config, &host, version, around)?;
    config::declare(&mut config, &image.defaults);
    let (mode, attachments) = network::attachments(&config, &host, &networking, around)?;
    let published_ports = network::published(&config, &host, mode, &mut warnings)?;
    let namespaces = namespaces(&mut host, around)?;
    if let NetworkMode::Instance(id) = mode {
        host.network_mode = format!("container:{}", docker_id(id));
    }
    let [rows, columns] = host
        .console_size
        .map(|cells| u16::try_from(cells).unwrap_or(u16::MAX));
    let container = ContainerSpec {
        image: config.image.clone(),
        env: config.env.clone().unwrap_or_default(),
        exposed_ports: config
            .exposed_ports
            .keys()
            .map(|text| network::port(text))
            .collect::<Result<_, _>>()?,
        working_dir: config.working_dir.clone(),
        user: config.user.clone(),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        terminal_size: (config.tty && rows > 0 && columns > 0)
            .then_some(TerminalSize { rows, columns }),
        init: host.init.unwrap_or(false),
        stop_signal: Some(config.stop_signal.clone()).filter(|signal| !signal.is_empty()),
        stop_timeout_secs: config.stop_timeout,
        mounts,
        devices: resources::devices(&host.resources),
        read_only_root: host.readonly_rootfs,
        shm_size_bytes: u64::try_from(host.shm_size).ok(),
        sysctls: host.sysctls.clone().unwrap_or_default(),
        resources: resources::to_model(&host.resources),
        security: security::to_model(&host)?,
        health_check: config::health_check(&config),
        log: log::to_model(&host.log_config)?,
        ..ContainerSpec::default()
    };
    let spec = InstanceSpec {
        hostname: config.hostname.clone(),
        domainname: config.domainname.clone(),
        network: mode,
        attachments,
        published_ports,
        dns: network::dns(&host)?,
        extra_hosts: network::extra_hosts(&host)?,
        namespaces,
        cgroup_parent: host.resources.cgroup_parent.clone(),
        restart: restart_policy(&host.restart_policy)?,
        auto_remove: host.auto_remove,
        containers: vec![container],
        ..InstanceSpec::default()
    };
    let labels = config.labels.clone();
    let (entrypoint, command) = config::arguments(&config);
    let origin = Origin {
        config,
        host_config: host,
    }
    .into_value();
    let new = NewInstance {
        server: None,
        step: None,
        without_image: None,
        name,
        labels,
        spec: InstanceSpec {
            origin: BTreeMap::from([(Origin::KEY.to_owned(), origin)]),
            ..spec
        },
        entrypoint,
        command,
    };
    Ok(Translated {
        new,
        volumes,
        warnings,
    })
}

/// Namespaces; names of other containers become their identifiers, which outlive a renaming.
fn namespaces(host: &mut HostConfig, around: &dyn Surroundings) -> Result<Namespaces, ApiError> {
    let join = |mode: &mut String| -> Result<Option<NamespaceMode>, ApiError> {
        let Some(name) = joined(mode) else {
            return Ok(None);
        };
        let id = around.instance(name)?.meta.id;
        *mode = format!("container:{}", docker_id(id));
        Ok(Some(NamespaceMode::Instance(id)))
    };
    let own_or_host = |mode: &str| {
        if mode == "host" {
            NamespaceMode::Host
        } else {
            NamespaceMode::Own
        }
    };
    let pid = join(&mut host.pid_mode)?.unwrap_or_else(|| own_or_host(&host.pid_mode));
    let ipc = match join(&mut host.ipc_mode)? {
        Some(joined) => joined,
        None => match host.ipc_mode.as_str() {
            "shareable" => NamespaceMode::Shareable,
            "none" => NamespaceMode::Without,
            mode => own_or_host(mode),
        },
    };
    Ok(Namespaces {
        pid,
        ipc,
        uts: own_or_host(&host.uts_mode),
        cgroup: own_or_host(&host.cgroupns_mode),
    })
}

impl Shape for wire::Resources {
    const NAME: &'static str = "CreateRequest.HostConfig";
}

#[cfg(test)]
mod tests;
