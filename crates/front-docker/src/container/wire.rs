//! Shapes of container requests, named as in Go. `null` and a missing field are alike on the way
//! in; on the way out an `Option` that dockerd shows as `null` stays one.
//!
//! Spec: Docker Engine API 1.51, `ContainerConfig`, `HostConfig`, `NetworkingConfig`.

use std::collections::BTreeMap;

use model::instance::InstanceSpec;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::json::{Shape, shape};
use crate::network::wire::EndpointSettings;

type Strings = Option<Vec<String>>;
type StringMap = Option<BTreeMap<String, String>>;
/// Keys with nothing behind them: a set, as Go writes one.
pub(crate) type Set = BTreeMap<String, Nothing>;
/// Bindings by container port, such as `80/tcp`.
pub(crate) type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// What is behind a member of a [`Set`]: `{}`. Clients may write `null`, and some cannot read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Map<String, Value>>", into = "Map<String, Value>")]
pub(crate) struct Nothing;

impl From<Option<Map<String, Value>>> for Nothing {
    fn from(_: Option<Map<String, Value>>) -> Self {
        Self
    }
}

impl From<Nothing> for Map<String, Value> {
    fn from(_: Nothing) -> Self {
        Self::new()
    }
}

/// What is portable about a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Config {
    pub(crate) hostname: String,
    pub(crate) domainname: String,
    pub(crate) user: String,
    pub(crate) attach_stdin: bool,
    pub(crate) attach_stdout: bool,
    pub(crate) attach_stderr: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) exposed_ports: Set,
    pub(crate) tty: bool,
    pub(crate) open_stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) env: Strings,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) cmd: Strings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) args_escaped: bool,
    pub(crate) image: String,
    pub(crate) volumes: Option<Set>,
    pub(crate) working_dir: String,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) entrypoint: Strings,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) network_disabled: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mac_address: String,
    pub(crate) on_build: Strings,
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_timeout: Option<i64>,
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) shell: Strings,
}

impl Shape for Config {
    const NAME: &'static str = "CreateRequest";
}

impl Config {
    /// Whether a create request says anything of a container at all.
    pub(crate) fn is_in(document: &Map<String, Value>) -> bool {
        document
            .keys()
            .any(|key| key != "HostConfig" && key != "NetworkingConfig")
    }
}

/// How health is found out. Times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Healthcheck {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) retries: i64,
}

/// What depends on the host. The order is that of `docker inspect`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct HostConfig {
    pub(crate) binds: Strings,
    #[serde(rename = "ContainerIDFile")]
    pub(crate) container_id_file: String,
    pub(crate) log_config: LogConfig,
    pub(crate) network_mode: String,
    pub(crate) port_bindings: PortMap,
    pub(crate) restart_policy: RestartPolicy,
    pub(crate) auto_remove: bool,
    pub(crate) volume_driver: String,
    pub(crate) volumes_from: Strings,
    pub(crate) console_size: [u32; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: StringMap,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) cap_add: Strings,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) cap_drop: Strings,
    pub(crate) cgroupns_mode: String,
    pub(crate) dns: Strings,
    pub(crate) dns_options: Strings,
    pub(crate) dns_search: Strings,
    pub(crate) extra_hosts: Strings,
    pub(crate) group_add: Strings,
    pub(crate) ipc_mode: String,
    pub(crate) cgroup: String,
    pub(crate) links: Strings,
    pub(crate) oom_score_adj: i32,
    pub(crate) pid_mode: String,
    pub(crate) privileged: bool,
    pub(crate) publish_all_ports: bool,
    pub(crate) readonly_rootfs: bool,
    pub(crate) security_opt: Strings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_opt: StringMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tmpfs: StringMap,
    #[serde(rename = "UTSMode")]
    pub(crate) uts_mode: String,
    pub(crate) userns_mode: String,
    pub(crate) shm_size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sysctls: StringMap,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) runtime: String,
    pub(crate) isolation: String,
    /// Read by [`HostConfig::read`]: a flattened field would lose the path of a wrong type.
    #[serde(flatten, skip_deserializing)]
    pub(crate) resources: Resources,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mounts: Option<Vec<Mount>>,
    pub(crate) masked_paths: Strings,
    pub(crate) readonly_paths: Strings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) init: Option<bool>,
}

impl Shape for HostConfig {
    const NAME: &'static str = "CreateRequest.HostConfig";
}

impl HostConfig {
    pub(crate) fn read(document: Value) -> Result<Self, ApiError> {
        let resources = shape(document.clone())?;
        Ok(Self {
            resources,
            ..shape(document)?
        })
    }
}

/// Limits and devices.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Resources {
    pub(crate) cpu_shares: i64,
    pub(crate) memory: i64,
    pub(crate) nano_cpus: i64,
    pub(crate) cgroup_parent: String,
    pub(crate) blkio_weight: u16,
    pub(crate) blkio_weight_device: Option<Vec<WeightDevice>>,
    pub(crate) blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    pub(crate) blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub(crate) blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub(crate) blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    pub(crate) cpu_period: i64,
    pub(crate) cpu_quota: i64,
    pub(crate) cpu_realtime_period: i64,
    pub(crate) cpu_realtime_runtime: i64,
    pub(crate) cpuset_cpus: String,
    pub(crate) cpuset_mems: String,
    pub(crate) devices: Option<Vec<DeviceMapping>>,
    pub(crate) device_cgroup_rules: Strings,
    pub(crate) device_requests: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) kernel_memory: i64,
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "is_zero")]
    pub(crate) kernel_memory_tcp: i64,
    pub(crate) memory_reservation: i64,
    pub(crate) memory_swap: i64,
    pub(crate) memory_swappiness: Option<i64>,
    pub(crate) oom_kill_disable: Option<bool>,
    pub(crate) pids_limit: Option<i64>,
    pub(crate) ulimits: Option<Vec<Ulimit>>,
    pub(crate) cpu_count: i64,
    pub(crate) cpu_percent: i64,
    #[serde(rename = "IOMaximumIOps")]
    pub(crate) io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth")]
    pub(crate) io_maximum_bandwidth: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct LogConfig {
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    pub(crate) config: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct RestartPolicy {
    pub(crate) name: String,
    pub(crate) maximum_retry_count: i64,
}

impl RestartPolicy {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.name.as_str(), "" | "no")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct PortBinding {
    pub(crate) host_ip: String,
    pub(crate) host_port: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct WeightDevice {
    pub(crate) path: String,
    pub(crate) weight: u16,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct ThrottleDevice {
    pub(crate) path: String,
    pub(crate) rate: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct DeviceMapping {
    pub(crate) path_on_host: String,
    pub(crate) path_in_container: String,
    pub(crate) cgroup_permissions: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Ulimit {
    pub(crate) name: String,
    pub(crate) hard: i64,
    pub(crate) soft: i64,
}

/// A mount in the long form.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Mount {
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) target: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) read_only: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) consistency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bind_options: Option<BindOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume_options: Option<VolumeOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_options: Option<ImageOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tmpfs_options: Option<TmpfsOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_options: Option<Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct BindOptions {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) propagation: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) non_recursive: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) create_mountpoint: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) read_only_non_recursive: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) read_only_force_recursive: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct ImageOptions {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) subpath: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct VolumeOptions {
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) no_copy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) subpath: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) driver_config: Option<VolumeDriver>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct VolumeDriver {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct TmpfsOptions {
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) size_bytes: i64,
    #[serde(skip_serializing_if = "is_zero_mode")]
    pub(crate) mode: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<Vec<String>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct NetworkingConfig {
    pub(crate) endpoints_config: BTreeMap<String, Option<EndpointSettings>>,
}

impl Shape for NetworkingConfig {
    const NAME: &'static str = "CreateRequest.NetworkingConfig";
}

/// What an update may change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Update {
    pub(crate) restart_policy: RestartPolicy,
}

impl Shape for Update {
    const NAME: &'static str = "UpdateConfig";
}

/// The origin document of an instance: what was asked for, which is how Docker shows it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Origin {
    pub(crate) config: Config,
    pub(crate) host_config: HostConfig,
}

impl Origin {
    /// Under which name instances carry it.
    pub(crate) const KEY: &'static str = "docker";

    /// The origin document of an instance; where another front end made it, what the model says of
    /// limits and terminal.
    pub(crate) fn of(spec: &InstanceSpec) -> Self {
        let part = |name| {
            spec.origin
                .get(Self::KEY)
                .and_then(|origin| origin.get(name))
                .cloned()
                .unwrap_or_default()
        };
        let mut origin = Self {
            config: stored(part("Config")),
            host_config: stored_host_config(part("HostConfig")),
        };
        if !spec.origin.contains_key(Self::KEY)
            && let Some(container) = spec.containers.first()
        {
            origin.config.tty = container.tty;
            origin.config.open_stdin = container.open_stdin;
            origin.host_config.resources = (&container.resources).into();
        }
        origin
    }

    /// As it is kept.
    pub(crate) fn into_value(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// What we wrote ourselves, perhaps with an older version: what does not fit counts as missing.
fn stored<T: Shape + Default>(mut document: Value) -> T {
    crate::json::prune(&mut document);
    shape(document).unwrap_or_default()
}

fn stored_host_config(document: Value) -> HostConfig {
    HostConfig {
        resources: stored(document.clone()),
        ..stored(document)
    }
}

/// One string, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Strings, D::Error> {
    struct OneOrMany;

    impl<'de> serde::de::Visitor<'de> for OneOrMany {
        type Value = Strings;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a sequence")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Strings, E> {
            Ok(Some(vec![text.to_owned()]))
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Strings, E> {
            Ok(None)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut items: A,
        ) -> Result<Strings, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = items.next_element()? {
                texts.push(text);
            }
            Ok(Some(texts))
        }
    }

    deserializer.deserialize_any(OneOrMany)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) const fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero_mode(value: &u32) -> bool {
    *value == 0
}
