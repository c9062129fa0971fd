//! From an instance and where it stands to the OCI runtime specification that the keeper carries
//! out. Deciding only: what has to be looked up on the node is in [`Surroundings`].
//!
//! One part a file: [`capability`], [`device`], [`environment`], [`limits`], [`log`], [`mount`],
//! [`sysctl`].

pub(crate) mod capability;
pub(crate) mod device;
pub(crate) mod environment;
pub(crate) mod limits;
mod log;
pub(crate) mod mount;
pub(crate) mod sysctl;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use model::container::{ContainerSpec, LogConfig};
use model::instance::{Instance, NamespaceMode, NetworkMode};
use model::security::{MASKED_PATHS, READ_ONLY_PATHS, Seccomp, Security, UserNamespace};
use oci_spec::runtime::{
    Capabilities, Linux, LinuxCapabilities, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, Process, Root, Spec, User,
};
use runtime::launch::{Launch, LogFile, LogTarget, Rootfs, Stdio};

use crate::directory::InstanceDirectory;

/// Version of the specification that is followed.
const OCI_VERSION: &str = "1.3.0";

/// What was found out about the node for one start.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Files of the instance.
    pub(crate) directory: &'a InstanceDirectory,
    /// The instance whose names it has in the network: another one where that is shared.
    pub(crate) identity_files: &'a InstanceDirectory,
    /// The root file system.
    pub(crate) rootfs: Rootfs,
    /// Path of its cgroup in every hierarchy.
    pub(crate) cgroups_path: String,
    /// Processors that are on.
    pub(crate) online_cpus: u32,
    /// What was read of [`ContainerSpec::env_files`], as `NAME=value`.
    pub(crate) env: &'a [String],
    /// Mounts that the user asked for.
    pub(crate) mounts: &'a [mount::Wanted],
    /// Namespaces of other instances to join.
    pub(crate) joined: &'a Joined,
    /// The compiled system call filter.
    pub(crate) seccomp: Vec<u8>,
}

/// Process 1 of the instances whose namespaces are shared.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) network: Option<u32>,
    pub(crate) pid: Option<u32>,
    pub(crate) ipc: Option<u32>,
    /// The node's path of the other's `/dev/shm`.
    pub(crate) shared_memory: Option<PathBuf>,
}

/// Why an instance cannot be started as it is specified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error(transparent)]
    Capability(#[from] capability::UnknownCapability),
    #[error(transparent)]
    Device(#[from] device::DeviceError),
    #[error(transparent)]
    Limit(#[from] limits::LimitError),
    #[error(transparent)]
    Mount(#[from] mount::MountError),
    #[error(transparent)]
    Sysctl(#[from] sysctl::SysctlError),
    #[error("choose what each line of the log tells")]
    Log(#[from] regex_lite::Error),
    #[error("No command specified")]
    NoCommand,
    #[error("the working directory {path:?} is invalid, it needs to be an absolute path")]
    WorkingDirectory { path: String },
    #[error("Invalid value {value}, range for oom score adj is [-1000, 1000]")]
    OomScore { value: i32 },
    #[error("privileged mode is incompatible with user namespaces")]
    PrivilegedInUserNamespace,
}

/// What the keeper is to carry out.
pub(crate) fn launch(
    instance: &Instance,
    container: &ContainerSpec,
    around: Surroundings<'_>,
    note: serde_json::Value,
) -> Result<Launch, SpecError> {
    let security = &container.security;
    if security.privileged && security.user_namespace != UserNamespace::Host {
        return Err(SpecError::PrivilegedInUserNamespace);
    }
    let files = identity_files(around.identity_files);
    let (mounts, propagation) = mount::mounts(&mount::Plan {
        wanted: around.mounts,
        identity_files: &files,
        read_only_root: container.read_only_root,
        privileged: security.privileged,
        makes_cgroups: container.makes_cgroups,
        writable_cgroups: security.writable_cgroups.unwrap_or(security.privileged),
        in_user_namespace: security.user_namespace != UserNamespace::Host,
        ipc: &instance.spec.namespaces.ipc,
        shared_shm: around.joined.shared_memory.clone(),
        shm_bytes: container.shm_size_bytes.unwrap_or(mount::DEFAULT_SHM_BYTES),
    })?;
    let mut root = Root::default();
    // Not read by the runtime, which takes `Launch::rootfs`; but the specification wants one.
    root.set_path(around.directory.upper())
        .set_readonly(Some(container.read_only_root));
    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned())
        .set_process(Some(process(instance, container, around.env)?))
        .set_root(Some(root))
        .set_mounts(Some(mounts))
        .set_hostname(None)
        .set_domainname(None)
        .set_linux(Some(linux(instance, container, &around, propagation)?));
    if instance.spec.namespaces.uts == NamespaceMode::Own {
        spec.set_hostname(Some(instance.spec.hostname.clone()).filter(|name| !name.is_empty()))
            .set_domainname(Some(instance.spec.domainname.clone()).filter(|name| !name.is_empty()));
    }
    Ok(Launch {
        id: instance.meta.id.simple(),
        spec,
        rootfs: around.rootfs,
        groups: security.groups.clone(),
        seccomp: around.seccomp,
        // An init that is not process 1 of a namespace has nothing to reap.
        init: container.init && matches!(instance.spec.namespaces.pid, NamespaceMode::Own),
        clamp_capabilities: capability::takes_what_there_is(security),
        stdio: Stdio {
            terminal: container.tty.then(|| {
                container
                    .terminal_size
                    .map_or((0, 0), |size| (size.rows, size.columns))
            }),
            stdin: container.open_stdin,
            discard_output: false,
        },
        log: match &container.log {
            LogConfig::JsonFile {
                max_size_bytes,
                max_files,
                compress,
                details,
            } => LogTarget::JsonFile(LogFile {
                path: around.directory.log(),
                max_size_bytes: *max_size_bytes,
                max_files: (*max_files).max(1),
                compressed_by_other: *compress,
                attributes: log::attributes(instance, container, details)?,
            }),
            LogConfig::None => LogTarget::None,
        },
        note,
    })
}

/// Whether the system call filter of this container is the one of [`Seccomp::Default`].
pub(crate) fn effective_seccomp(security: &Security) -> &Seccomp {
    match &security.seccomp {
        Seccomp::Default if security.privileged => &Seccomp::Unconfined,
        other => other,
    }
}

fn identity_files(directory: &InstanceDirectory) -> [(&'static str, PathBuf); 3] {
    [
        ("/etc/resolv.conf", directory.resolv_conf()),
        ("/etc/hostname", directory.hostname()),
        ("/etc/hosts", directory.hosts()),
    ]
}

fn process(
    instance: &Instance,
    container: &ContainerSpec,
    env: &[String],
) -> Result<Process, SpecError> {
    if container.args.first().is_none_or(String::is_empty) {
        return Err(SpecError::NoCommand);
    }
    let security = &container.security;
    if let Some(value) = security
        .oom_score_adj
        .filter(|value| !(-1000..=1000).contains(value))
    {
        return Err(SpecError::OomScore { value });
    }
    let environment = environment::of_container(
        &instance.spec.hostname,
        &instance.spec.domainname,
        container.tty,
        &container.env,
    );
    let environment = environment::overridden(environment, env);
    let mut process = Process::default();
    process
        .set_terminal(Some(container.tty))
        .set_user(user(&container.user))
        .set_args(Some(container.args.clone()))
        .set_env(Some(environment))
        .set_cwd(working_directory(&container.working_dir)?)
        .set_capabilities(Some(capability_sets(&capability::granted(security)?)))
        .set_rlimits(
            Some(limits::ulimits(&container.resources.ulimits)?)
                .filter(|limits| !limits.is_empty()),
        )
        .set_no_new_privileges(Some(security.no_new_privileges))
        .set_apparmor_profile(None)
        .set_selinux_label(None)
        .set_oom_score_adj(Some(oom_score_adj(security)));
    Ok(process)
}

/// How readily the kernel kills a process for want of memory; always said, because a process would
/// inherit what the keeper has for itself.
pub(crate) fn oom_score_adj(security: &Security) -> i32 {
    security.oom_score_adj.unwrap_or(0)
}

/// The user of a process, looked up in the container when it starts; nobody in particular is root.
pub(crate) fn user(wanted: &str) -> User {
    let mut user = User::default();
    user.set_username(Some(
        if wanted.is_empty() { "0" } else { wanted }.to_owned(),
    ));
    user
}

/// Where a process starts: an absolute path, `/` when nothing is said.
pub(crate) fn working_directory(path: &str) -> Result<PathBuf, SpecError> {
    match path {
        "" => Ok(PathBuf::from("/")),
        path if path.starts_with('/') => Ok(PathBuf::from(path)),
        path => Err(SpecError::WorkingDirectory {
            path: path.to_owned(),
        }),
    }
}

/// Never inheritable: that would hand them to programs of other users (CVE-2022-24769).
pub(crate) fn capability_sets(granted: &Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(granted.clone()))
        .set_effective(Some(granted.clone()))
        .set_permitted(Some(granted.clone()))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}

fn linux(
    instance: &Instance,
    container: &ContainerSpec,
    around: &Surroundings<'_>,
    propagation: Option<&'static str>,
) -> Result<Linux, SpecError> {
    let security = &container.security;
    limits::check(&container.resources, around.online_cpus)?;
    let mut resources = limits::resources(&container.resources)?;
    let devices = device::visible(&container.devices, security)?;
    resources.set_devices(Some(devices.rules));
    let in_user_namespace = security.user_namespace != UserNamespace::Host;
    let sysctls = sysctl::settings(
        &container.sysctls,
        instance.spec.network,
        &instance.spec.namespaces.ipc,
    )?;
    let hidden = |wanted: &Option<Vec<String>>, default: &[String]| match wanted {
        Some(paths) => paths.clone(),
        None if security.privileged => Vec::new(),
        None => default.to_vec(),
    };
    let read_only = READ_ONLY_PATHS.map(str::to_owned);
    let mappings = id_mappings(&security.user_namespace);
    let mut linux = Linux::default();
    linux
        .set_uid_mappings(mappings.clone())
        .set_gid_mappings(mappings)
        .set_sysctl(Some(sysctls))
        .set_resources(Some(resources))
        .set_cgroups_path(Some(PathBuf::from(&around.cgroups_path)))
        .set_namespaces(Some(namespaces(instance, around.joined, in_user_namespace)))
        .set_devices(Some(devices.nodes))
        .set_rootfs_propagation(propagation.map(str::to_owned))
        .set_masked_paths(Some(hidden(&security.masked_paths, default_masked())))
        .set_readonly_paths(Some(hidden(&security.read_only_paths, &read_only)));
    Ok(linux)
}

fn namespaces(
    instance: &Instance,
    joined: &Joined,
    in_user_namespace: bool,
) -> Vec<LinuxNamespace> {
    let own = |kind| {
        LinuxNamespaceBuilder::default()
            .typ(kind)
            .build()
            .unwrap_or_default()
    };
    let shared = |kind, pid: u32, name: &str| {
        let path = format!("/proc/{pid}/ns/{name}");
        LinuxNamespaceBuilder::default()
            .typ(kind)
            .path(path)
            .build()
            .unwrap_or_default()
    };
    let wanted = &instance.spec.namespaces;
    let mut namespaces = vec![own(LinuxNamespaceType::Mount)];
    let mut add = |mode: &NamespaceMode, kind, other: Option<u32>, name: &str| match (mode, other) {
        (NamespaceMode::Host, _) => {}
        (_, Some(pid)) => namespaces.push(shared(kind, pid, name)),
        (_, None) => namespaces.push(own(kind)),
    };
    add(&wanted.pid, LinuxNamespaceType::Pid, joined.pid, "pid");
    add(&wanted.ipc, LinuxNamespaceType::Ipc, joined.ipc, "ipc");
    add(&wanted.uts, LinuxNamespaceType::Uts, None, "uts");
    add(&wanted.cgroup, LinuxNamespaceType::Cgroup, None, "cgroup");
    match (instance.spec.network, joined.network) {
        (NetworkMode::Host, _) => {}
        (_, Some(pid)) => namespaces.push(shared(LinuxNamespaceType::Network, pid, "net")),
        (_, None) => namespaces.push(own(LinuxNamespaceType::Network)),
    }
    if in_user_namespace {
        namespaces.push(own(LinuxNamespaceType::User));
    }
    namespaces
}

fn id_mappings(user_namespace: &UserNamespace) -> Option<Vec<LinuxIdMapping>> {
    match *user_namespace {
        UserNamespace::Host => None,
        UserNamespace::Range { first, count } => {
            let mapping = LinuxIdMappingBuilder::default()
                .container_id(0_u32)
                .host_id(first)
                .size(count)
                .build();
            Some(mapping.into_iter().collect())
        }
    }
}

/// The default list of hidden paths, with the counters of every processor that has some.
fn default_masked() -> &'static [String] {
    static MASKED_HERE: OnceLock<Vec<String>> = OnceLock::new();
    MASKED_HERE.get_or_init(|| {
        let mut masked: Vec<String> = MASKED_PATHS.map(str::to_owned).into();
        // Timing side channels (moby advisory GHSA-6fw5-f8r9-fgfm).
        for cpu in possible_cpus() {
            let path = format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
            if Path::new(&path).exists() {
                masked.push(path);
            }
        }
        masked
    })
}

/// Numbers of the processors that this machine may have, from `0-3,5` as the kernel writes lists.
fn possible_cpus() -> Vec<u32> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directories;
    use jiff::Timestamp;
    use model::{Meta, ProjectId};

    fn instance(change: impl FnOnce(&mut Instance, &mut ContainerSpec)) -> Instance {
        let meta = Meta::new("web", ProjectId::ADMIN, Timestamp::UNIX_EPOCH);
        let mut instance = Instance {
            meta,
            spec: model::instance::InstanceSpec::default(),
        };
        instance.spec.hostname = "web".into();
        let mut container = ContainerSpec {
            args: vec!["sh".into()],
            ..ContainerSpec::default()
        };
        change(&mut instance, &mut container);
        instance.spec.containers = vec![container];
        instance
    }

    fn launched(instance: &Instance, joined: &Joined) -> Result<Launch, SpecError> {
        let directory = Directories::below(Path::new("/data")).instance(instance.meta.id);
        let around = Surroundings {
            directory: &directory,
            identity_files: &directory,
            rootfs: Rootfs::Directory("/layer".into()),
            cgroups_path: "/longshore/x".into(),
            online_cpus: 2,
            env: &["TOKEN=read".to_owned()],
            mounts: &[],
            joined,
            seccomp: Vec::new(),
        };
        launch(
            instance,
            &instance.spec.containers[0],
            around,
            serde_json::Value::Null,
        )
    }

    fn spec(change: impl FnOnce(&mut Instance, &mut ContainerSpec)) -> Spec {
        launched(&instance(change), &Joined::default())
            .unwrap()
            .spec
    }

    fn kinds(spec: &Spec) -> Vec<LinuxNamespaceType> {
        let linux = spec.linux().as_ref().unwrap();
        linux
            .namespaces()
            .as_ref()
            .unwrap()
            .iter()
            .map(LinuxNamespace::typ)
            .collect()
    }

    #[test]
    fn an_ordinary_container_has_its_own_everything_and_dockers_defaults() {
        let spec = spec(|_, _| {});
        assert_eq!(kinds(&spec).len(), 6);
        let linux = spec.linux().as_ref().unwrap();
        assert!(
            linux
                .masked_paths()
                .as_ref()
                .unwrap()
                .contains(&"/proc/kcore".to_owned())
        );
        assert_eq!(
            linux.sysctl().as_ref().unwrap()["net.ipv4.ip_unprivileged_port_start"],
            "0"
        );
        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.cwd(), Path::new("/"));
        assert_eq!(
            process.env().as_ref().unwrap()[1..],
            ["HOSTNAME=web", "TOKEN=read"]
        );
        assert_eq!(process.user().username().as_deref(), Some("0"));
        // Or it would have the keeper's.
        assert_eq!(process.oom_score_adj(), Some(0));
        let capabilities = process.capabilities().as_ref().unwrap();
        assert_eq!(capabilities.bounding().as_ref().unwrap().len(), 14);
        assert!(capabilities.inheritable().as_ref().unwrap().is_empty());
        assert_eq!(spec.hostname().as_deref(), Some("web"));
    }

    #[test]
    fn namespaces_of_the_node_and_of_others_are_joined() {
        let shared = instance(|instance, _| {
            instance.spec.namespaces.pid = NamespaceMode::Host;
            instance.spec.namespaces.uts = NamespaceMode::Host;
            instance.spec.network = NetworkMode::Instance(instance.meta.id);
        });
        let joined = Joined {
            network: Some(42),
            ..Joined::default()
        };
        let spec = launched(&shared, &joined).unwrap().spec;
        assert!(!kinds(&spec).contains(&LinuxNamespaceType::Pid));
        assert_eq!(spec.hostname(), &None);
        let network = spec
            .linux()
            .as_ref()
            .unwrap()
            .namespaces()
            .as_ref()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        assert_eq!(
            network.path().as_ref().unwrap(),
            Path::new("/proc/42/ns/net")
        );
    }

    #[test]
    fn the_privileged_have_everything_and_nothing_is_hidden() {
        let launch = launched(
            &instance(|_, c| c.security.privileged = true),
            &Joined::default(),
        )
        .unwrap();
        assert!(launch.clamp_capabilities);
        let linux = launch.spec.linux().as_ref().unwrap();
        assert_eq!(linux.masked_paths().as_ref().unwrap().len(), 0);
        assert_eq!(linux.readonly_paths().as_ref().unwrap().len(), 0);
    }

    #[test]
    fn a_range_of_users_is_mapped_from_zero() {
        let spec = spec(|_, c| {
            c.security.user_namespace = UserNamespace::Range {
                first: 100_000,
                count: 65_536,
            }
        });
        assert!(kinds(&spec).contains(&LinuxNamespaceType::User));
        let mappings = spec
            .linux()
            .as_ref()
            .unwrap()
            .uid_mappings()
            .clone()
            .unwrap();
        assert_eq!(
            (
                mappings[0].container_id(),
                mappings[0].host_id(),
                mappings[0].size()
            ),
            (0, 100_000, 65_536)
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let words = |change: fn(&mut ContainerSpec)| {
            launched(&instance(|_, c| change(c)), &Joined::default())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(words(|c| c.args.clear()), "No command specified");
        assert!(words(|c| c.working_dir = "tmp".into()).contains("\"tmp\" is invalid"));
        assert!(words(|c| c.security.oom_score_adj = Some(1001)).contains("1001"));
    }

    #[test]
    fn lists_of_processors_are_read_as_the_kernel_writes_them() {
        assert!(possible_cpus().contains(&0));
    }
}
