//! What instance a server is: its image's program as an application container, or its image's init
//! as a machine container, within the limits of its flavor. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use model::aggregate::DEFAULT_ZONE;
use model::container::{ContainerSpec, Mount, MountSource};
use model::guest::{Guest, PublicKey};
use model::image::Defaults;
use model::instance::{Attachment, InstanceSpec, NetworkMode};
use model::resources::Resources;
use model::server::{Server, ServerFlavor};

/// Processes and threads of a server, whatever its size: enough for a machine, and not all of the
/// node's.
const MOST_PROCESSES: i64 = 4_096;
/// Weight of one processor, as the kernel counts shares.
const SHARES_PER_CPU: u64 = 1_024;
/// Characters of the longest host name, as in `sethostname`.
const MOST_HOSTNAME: usize = 64;
/// The program of an image that names none.
const DEFAULT_INIT: &str = "/sbin/init";
/// What systemd takes as the wish to power off.
const POWER_OFF_SIGNAL: &str = "SIGRTMIN+3";
/// The image's property with the command to run instead of its own, as nova-docker read it.
pub(crate) const COMMAND_PROPERTY: &str = "os_command_line";
/// The image's property with the seconds that a stop may take.
const TIMEOUT_PROPERTY: &str = "os_shutdown_timeout";

/// What a server starts from: an image, or a volume that was made from one.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    /// The engine's image: `sha256:...`; empty where it is a volume.
    pub(super) content: String,
    /// What it is called where it is a volume.
    pub(super) volume: String,
    /// What it brings.
    pub(super) defaults: Defaults,
    /// What is said of it.
    pub(super) properties: BTreeMap<String, String>,
}

/// An instance, and the arguments that it is made with instead of its image's.
pub(super) struct Lowered {
    pub(super) spec: InstanceSpec,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) command: Option<Vec<String>>,
}

/// What is empty at every start of a machine, with its permission bits and options. Who is the init
/// finds them there, and need not mount them.
const MEMORY: [(&str, u32, &[&str]); 3] = [
    ("/run", 0o755, &[]),
    ("/run/lock", 0o1777, &[]),
    ("/tmp", 0o1777, &["exec"]),
];

fn in_memory((target, mode, options): (&str, u32, &[&str])) -> Mount {
    Mount {
        target: target.to_owned(),
        source: MountSource::Tmpfs {
            size_bytes: None,
            mode: Some(mode),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        },
        read_only: false,
    }
}

/// The instance of a server with these places on networks.
pub(super) fn lowered(server: &Server, attachments: Vec<Attachment>, base: &Base) -> Lowered {
    let spec = &server.spec;
    let image = &base.defaults;
    let (entrypoint, command) = arguments(base);
    let program = [entrypoint.as_deref(), command.as_deref()]
        .into_iter()
        .flatten()
        .flatten()
        .next();
    let is_machine = program
        .or(image.entrypoint.first())
        .or(image.command.first())
        .is_some_and(|program| is_init(program));
    let property = |name: &str| base.properties.get(name);
    let mut container = ContainerSpec {
        image: [&*base.content, &*base.volume].concat(),
        image_id: base.content.clone(),
        env: environment(server),
        // Its console, which a user attaches to and a shell stays alive with.
        tty: true,
        open_stdin: true,
        init: !is_machine,
        stop_timeout_secs: property(TIMEOUT_PROPERTY).and_then(|text| text.parse().ok()),
        resources: resources(&spec.flavor),
        ..ContainerSpec::default()
    };
    if is_machine {
        container.env.push("container=longshore".to_owned());
        // By this cloud-init tells OpenStack in a container, which has no firmware to ask
        // (cloud-init, "OpenStack", "Discovery").
        container.env.push("product_name=OpenStack Nova".to_owned());
        container.stop_signal = image
            .stop_signal
            .clone()
            .or_else(|| Some(POWER_OFF_SIGNAL.to_owned()));
        container.makes_cgroups = true;
        container.mounts.extend(MEMORY.map(in_memory));
    }
    let network = if attachments.is_empty() {
        NetworkMode::None
    } else {
        NetworkMode::Attached
    };
    Lowered {
        spec: InstanceSpec {
            site: spec.site.clone(),
            hostname: kernel_hostname(&spec.hostname).to_owned(),
            network,
            attachments,
            containers: vec![container],
            guest: Some(guest(server)),
            companions: spec.group.clone(),
            ..InstanceSpec::default()
        },
        entrypoint,
        command,
    }
}

/// What a server is told about itself.
fn guest(server: &Server) -> Guest {
    let spec = &server.spec;
    let key = spec.key.as_ref().map(|key| PublicKey {
        name: key.name.clone(),
        kind: "ssh".to_owned(),
        data: key.public_key.clone(),
    });
    Guest {
        name: server.meta.name.clone(),
        user_data: spec.user_data.clone(),
        public_keys: key.into_iter().collect(),
        metadata: spec.metadata.clone(),
        config_drive: spec.config_drive,
        launch_index: spec.launch_index,
        reservation: spec.reservation.clone(),
        flavor: spec.flavor.name.clone(),
        availability_zone: spec.zone.clone().unwrap_or_else(|| DEFAULT_ZONE.to_owned()),
        password: String::new(),
    }
}

/// The arguments that a server asks for instead of its image's.
fn arguments(base: &Base) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let image = &base.defaults;
    let wanted = base.properties.get(COMMAND_PROPERTY);
    if let Some(words) = wanted.and_then(|line| shlex::split(line)) {
        return (None, Some(words));
    }
    if image.entrypoint.is_empty() && image.command.is_empty() {
        return (None, Some(vec![DEFAULT_INIT.to_owned()]));
    }
    (None, None)
}

/// Whether a program is the first of a whole system.
fn is_init(program: &str) -> bool {
    let name = Path::new(program)
        .file_name()
        .and_then(|name| name.to_str());
    matches!(
        name,
        Some("init" | "systemd" | "openrc-init" | "runit-init")
    )
}

/// The user's own words as variables, where they can be some.
fn environment(server: &Server) -> Vec<String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || one == '_')
    };
    let metadata = server.spec.metadata.iter();
    metadata
        .filter(|(name, _)| is_name(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// What a flavor lets a server use.
pub(super) fn resources(flavor: &ServerFlavor) -> Resources {
    let mib = |mib: u32| u64::from(mib) << 20;
    let memory = mib(flavor.ram_mib);
    let with_swap = i64::try_from(memory + mib(flavor.swap_mib)).ok();
    let vcpus = u64::from(flavor.vcpus.max(1));
    Resources {
        memory_bytes: Some(memory).filter(|bytes| *bytes > 0),
        memory_swap_bytes: with_swap.filter(|bytes| *bytes > 0),
        cpu_shares: Some((vcpus * SHARES_PER_CPU).min(262_144)),
        cpu_period_us: Some(100_000),
        cpu_quota_us: i64::try_from(vcpus * 100_000).ok(),
        pids_limit: Some(MOST_PROCESSES),
        ..Resources::default()
    }
}

/// A host name as the kernel takes it, which has no room for every name with its domain.
fn kernel_hostname(name: &str) -> &str {
    if name.len() <= MOST_HOSTNAME {
        return name;
    }
    name.split('.').next().unwrap_or(name)
}

/// A host name of what a user calls a server: what DNS does not allow is left out.
pub(super) fn hostname(name: &str, id: model::Id) -> String {
    let lower = name.to_ascii_lowercase();
    let dashed = lower.chars().map(|one| match one {
        ' ' | '_' | '.' => '-',
        other => other,
    });
    let kept: String = dashed
        .filter(|one| one.is_ascii_alphanumeric() || *one == '-')
        .take(63)
        .collect();
    match kept.trim_matches('-') {
        "" => format!("server-{id}"),
        kept => kept.to_owned(),
    }
}

/// A name for the instance of what a user calls a server.
pub(super) fn instance_name(name: &str, id: model::Id) -> String {
    let kept: String = name
        .chars()
        .map(|one| if one == ' ' { '-' } else { one })
        .filter(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '.' | '-'))
        .take(128)
        .collect();
    let kept = kept.trim_start_matches(['_', '.', '-']);
    if kept.len() < 2 {
        return format!("server-{id}");
    }
    kept.to_owned()
}

#[cfg(test)]
mod tests {
    use model::Id;

    use super::*;

    #[test]
    fn names_are_made_to_fit_hosts_and_instances() {
        let id = Id::from_bytes([7; 16]);
        assert_eq!(hostname("My Web_server.1", id), "my-web-server-1");
        assert_eq!(hostname("--é--", id), format!("server-{id}"));
        assert_eq!(instance_name("web 1", id), "web-1");
        assert_eq!(instance_name("..a", id), format!("server-{id}"));
    }

    #[test]
    fn a_flavor_is_a_limit() {
        let flavor = ServerFlavor {
            vcpus: 2,
            ram_mib: 128,
            swap_mib: 64,
            ..ServerFlavor::default()
        };
        let limits = resources(&flavor);
        assert_eq!(limits.memory_bytes, Some(128 << 20));
        assert_eq!(limits.memory_swap_bytes, Some(192 << 20));
        assert_eq!(
            (limits.cpu_quota_us, limits.cpu_shares),
            (Some(200_000), Some(2_048))
        );
    }

    #[test]
    fn an_init_makes_a_machine() {
        assert!(is_init("/lib/systemd/systemd") && is_init("/sbin/init"));
        assert!(!is_init("/bin/sh") && !is_init("/init.sh"));
    }
}
