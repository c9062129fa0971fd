//! The mounts of a container: kernel file systems, what users asked for, and the files that name
//! the machine.

use std::path::{Path, PathBuf};

use model::container::Propagation;
use model::instance::NamespaceMode;
use oci_spec::runtime::{Mount, MountBuilder};

/// Size of `/dev/shm` unless the user says otherwise, in bytes.
pub(crate) const DEFAULT_SHM_BYTES: u64 = 64 << 20;

/// File systems that a read-only root leaves writable, because programs do not start without.
const WRITABLE_ON_READ_ONLY_ROOT: [&str; 5] =
    ["/proc", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"];

/// Options of `tmpfs` that are flags, each with its opposite. Source: mount(8), tmpfs(5).
const TMPFS_FLAGS: [(&str, &str); 12] = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("sync", "async"),
    ("dirsync", ""),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
    ("mand", "nomand"),
    ("swap", "noswap"),
];
/// Options of `tmpfs` that take a value.
const TMPFS_VALUES: [&str; 8] = [
    "mode",
    "uid",
    "gid",
    "size",
    "nr_inodes",
    "nr_blocks",
    "mpol",
    "huge",
];
/// Propagation types, which tmpfs mounts may name too.
const PROPAGATIONS: [&str; 8] = [
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
];

/// A mount that a user asked for, its source found on the node.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Absolute path inside.
    pub(crate) target: String,
    /// What is there.
    pub(crate) what: What,
    /// Writes are refused.
    pub(crate) read_only: bool,
}

impl Wanted {
    /// It is the root file system.
    pub(crate) fn is_root(&self) -> bool {
        self.target == model::container::Mount::ROOT
    }
}

/// What a mount shows.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A file or directory of the node.
    Path {
        path: PathBuf,
        propagation: Propagation,
        non_recursive: bool,
        read_only_non_recursive: bool,
    },
    /// A disk of ours, which gets a device when it is opened.
    Disk { image: PathBuf },
    /// Another file system, by type, device and options as mount(8) takes them.
    FileSystem {
        kind: String,
        device: String,
        options: Vec<String>,
    },
    /// What is at a path of an image's layers, the topmost first; an empty path is all of it.
    Image {
        layers: Vec<PathBuf>,
        subpath: PathBuf,
    },
    /// Memory.
    Tmpfs {
        size_bytes: Option<u64>,
        mode: Option<u32>,
        options: Vec<String>,
    },
}

/// Why a container cannot have the mounts it asks for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MountError {
    #[error("invalid mount target {target:?}: the path must be absolute and not the root")]
    Target { target: String },
    #[error("Duplicate mount point: {target}")]
    Duplicate { target: String },
    #[error("Invalid tmpfs option {option:?}")]
    TmpfsOption { option: String },
    #[error("the disk {image} is not open")]
    DiskNotOpen { image: PathBuf },
}

/// What the mounts of a container depend on.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) wanted: &'a [Wanted],
    /// Files of the instance that become `/etc/resolv.conf`, `/etc/hostname` and `/etc/hosts`.
    pub(crate) identity_files: &'a [(&'static str, PathBuf)],
    pub(crate) read_only_root: bool,
    pub(crate) privileged: bool,
    /// It makes cgroups in its own.
    pub(crate) makes_cgroups: bool,
    pub(crate) writable_cgroups: bool,
    /// Its ids are not the node's: what it sees of the node's files is mapped.
    pub(crate) in_user_namespace: bool,
    pub(crate) ipc: &'a NamespaceMode,
    /// Where another instance's `/dev/shm` is seen, when its namespace is shared.
    pub(crate) shared_shm: Option<PathBuf>,
    pub(crate) shm_bytes: u64,
}

/// The mounts in the order they are made, and the propagation that the root needs for them.
pub(crate) fn mounts(plan: &Plan<'_>) -> Result<(Vec<Mount>, Option<&'static str>), MountError> {
    let mut targets: Vec<PathBuf> = Vec::new();
    for wanted in plan.wanted {
        let target = rooted::normalized(Path::new(&wanted.target));
        if !wanted.target.starts_with('/') || target.as_os_str().is_empty() {
            return Err(MountError::Target {
                target: wanted.target.clone(),
            });
        }
        let target = Path::new("/").join(target);
        if targets.contains(&target) {
            return Err(MountError::Duplicate {
                target: wanted.target.clone(),
            });
        }
        targets.push(target);
    }
    let mut mounts: Vec<Mount> = kernel_mounts(plan)
        .into_iter()
        .filter(|mount| {
            let destination = mount.destination();
            let under_dev = targets.iter().any(|target| target == Path::new("/dev"))
                && destination.starts_with("/dev")
                && destination != Path::new("/dev");
            !targets.contains(destination) && !under_dev
        })
        .collect();
    let mut propagation = None;
    let mut further: Vec<Mount> = Vec::new();
    for (wanted, target) in plan.wanted.iter().zip(&targets) {
        propagation = stronger(propagation, wanted);
        further.push(wanted_mount(wanted, target, plan.in_user_namespace)?);
    }
    for (target, source) in plan.identity_files {
        if !targets.iter().any(|wanted| wanted == Path::new(target)) {
            let mut options = vec!["rbind", "rprivate"];
            if plan.read_only_root {
                options.push("ro");
            }
            if plan.in_user_namespace {
                options.push("idmap");
            }
            further.push(mount(target, "bind", source, &options));
        }
    }
    // A mount below another one must come after it.
    further.sort_by_key(|mount| mount.destination().components().count());
    mounts.extend(further);
    Ok((mounts, propagation))
}

fn kernel_mounts(plan: &Plan<'_>) -> Vec<Mount> {
    let writable = if plan.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount(
            "/proc",
            "proc",
            Path::new("proc"),
            &["nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev",
            "tmpfs",
            Path::new("tmpfs"),
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            Path::new("devpts"),
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/sys",
            "sysfs",
            Path::new("sysfs"),
            &["nosuid", "noexec", "nodev", writable],
        ),
        cgroup_mount(plan),
        mount(
            "/dev/mqueue",
            "mqueue",
            Path::new("mqueue"),
            &["nosuid", "noexec", "nodev"],
        ),
    ];
    match (plan.ipc, &plan.shared_shm) {
        (NamespaceMode::Without, _) => {}
        (_, Some(shared)) => mounts.push(mount("/dev/shm", "bind", shared, &["rbind", "rprivate"])),
        (_, None) => {
            let size = format!("size={}", plan.shm_bytes);
            let options = ["nosuid", "noexec", "nodev", "mode=1777", size.as_str()];
            mounts.push(mount("/dev/shm", "tmpfs", Path::new("shm"), &options));
        }
    }
    if plan.read_only_root {
        for mount in &mut mounts {
            let stays = WRITABLE_ON_READ_ONLY_ROOT
                .iter()
                .any(|path| mount.destination() == Path::new(path));
            let mut options = mount.options().clone().unwrap_or_default();
            if !stays
                && !options
                    .iter()
                    .any(|option| option == "ro" || option == "rw")
            {
                options.push("ro".to_owned());
                mount.set_options(Some(options));
            }
        }
    }
    mounts
}

/// Its own control groups. Those that are given away are version 2's: no others can be.
fn cgroup_mount(plan: &Plan<'_>) -> Mount {
    let (kind, access) = match (plan.makes_cgroups, plan.writable_cgroups) {
        (true, _) => ("cgroup2", "rw"),
        (false, true) => ("cgroup", "rw"),
        (false, false) => ("cgroup", "ro"),
    };
    let options = [access, "nosuid", "noexec", "nodev"];
    mount("/sys/fs/cgroup", kind, Path::new("cgroup"), &options)
}

fn mount(target: &str, kind: &str, source: &Path, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .unwrap_or_default()
}

fn wanted_mount(
    wanted: &Wanted,
    target: &Path,
    in_user_namespace: bool,
) -> Result<Mount, MountError> {
    let (kind, source, options) = match &wanted.what {
        What::Path {
            path,
            propagation,
            non_recursive,
            read_only_non_recursive,
        } => {
            let mut options = vec![if *non_recursive { "bind" } else { "rbind" }.to_owned()];
            if wanted.read_only {
                let flat = *read_only_non_recursive || *non_recursive;
                options.push(if flat { "ro" } else { "rro" }.to_owned());
            }
            options.push(name(*propagation).to_owned());
            if in_user_namespace {
                options.push("idmap".to_owned());
            }
            ("bind", path.clone(), options)
        }
        What::Disk { image } => {
            return Err(MountError::DiskNotOpen {
                image: image.clone(),
            });
        }
        What::FileSystem {
            kind,
            device,
            options,
        } => {
            let mut options = options.clone();
            if wanted.read_only {
                options.push("ro".to_owned());
            }
            (kind.as_str(), PathBuf::from(device), options)
        }
        What::Image { layers, subpath } => {
            let layers = layers
                .iter()
                .map(|layer| format!("lowerdir+={}", layer.display()));
            let mut options: Vec<String> = layers.collect();
            if !subpath.as_os_str().is_empty() {
                options.push(format!("X-mount.subdir={}", subpath.display()));
            }
            options.push("ro".to_owned());
            if in_user_namespace {
                options.push("idmap".to_owned());
            }
            ("overlay", PathBuf::from("overlay"), options)
        }
        What::Tmpfs {
            size_bytes,
            mode,
            options,
        } => {
            let options = tmpfs_options(*size_bytes, *mode, wanted.read_only, options)?;
            ("tmpfs", PathBuf::from("tmpfs"), options)
        }
    };
    Ok(MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .unwrap_or_default())
}

/// The default options of a `tmpfs` with the user's over them.
fn tmpfs_options(
    size_bytes: Option<u64>,
    mode: Option<u32>,
    read_only: bool,
    further: &[String],
) -> Result<Vec<String>, MountError> {
    let mut options: Vec<String> = ["noexec", "nosuid", "nodev", "rprivate"]
        .map(str::to_owned)
        .into();
    let mut add = |option: String| -> Result<(), MountError> {
        let unknown = || MountError::TmpfsOption {
            option: option.clone(),
        };
        if let Some((name, value)) = option.split_once('=') {
            if !TMPFS_VALUES.contains(&name) || value.is_empty() {
                return Err(unknown());
            }
            let prefix = format!("{name}=");
            options.retain(|known| !known.starts_with(&prefix));
        } else if PROPAGATIONS.contains(&option.as_str()) {
            options.retain(|known| !PROPAGATIONS.contains(&known.as_str()));
        } else {
            let pair = TMPFS_FLAGS
                .iter()
                .find(|(on, off)| *on == option || *off == option);
            let (on, off) = pair.filter(|_| !option.is_empty()).ok_or_else(unknown)?;
            options.retain(|known| known != on && known != off);
        }
        options.push(option);
        Ok(())
    };
    if let Some(bytes) = size_bytes {
        add(format!("size={bytes}"))?;
    }
    if let Some(mode) = mode {
        add(format!("mode={mode:o}"))?;
    }
    if read_only {
        add("ro".to_owned())?;
    }
    for option in further
        .iter()
        .flat_map(|text| text.split(','))
        .filter(|option| !option.is_empty())
    {
        add(option.to_owned())?;
    }
    Ok(options)
}

/// The name in mount_namespaces(7).
fn name(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Private => "private",
        Propagation::Rprivate => "rprivate",
        Propagation::Shared => "shared",
        Propagation::Rshared => "rshared",
        Propagation::Slave => "slave",
        Propagation::Rslave => "rslave",
    }
}

/// Propagation of the root that lets mounts travel as this mount, too, needs it.
fn stronger(so_far: Option<&'static str>, wanted: &Wanted) -> Option<&'static str> {
    let What::Path { propagation, .. } = &wanted.what else {
        return so_far;
    };
    match propagation {
        Propagation::Shared | Propagation::Rshared => Some("shared"),
        Propagation::Slave | Propagation::Rslave => so_far.or(Some("rslave")),
        Propagation::Private | Propagation::Rprivate => so_far,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(wanted: &[Wanted]) -> Plan<'_> {
        Plan {
            wanted,
            identity_files: &[],
            read_only_root: false,
            privileged: false,
            makes_cgroups: false,
            writable_cgroups: false,
            in_user_namespace: false,
            ipc: &NamespaceMode::Own,
            shared_shm: None,
            shm_bytes: DEFAULT_SHM_BYTES,
        }
    }

    fn bind(target: &str, propagation: Propagation, read_only: bool) -> Wanted {
        let what = What::Path {
            path: "/srv".into(),
            propagation,
            non_recursive: false,
            read_only_non_recursive: false,
        };
        Wanted {
            target: target.into(),
            what,
            read_only,
        }
    }

    fn tmpfs(options: &[&str]) -> Result<Vec<String>, MountError> {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        tmpfs_options(Some(1024), Some(0o1777), false, &options)
    }

    #[test]
    fn a_users_mount_replaces_the_default_one_and_comes_after_its_parent() {
        let wanted = [
            bind("/a/b", Propagation::Rprivate, true),
            bind("/a", Propagation::Rprivate, false),
            bind("/dev/shm", Propagation::Rprivate, false),
        ];
        let (mounts, propagation) = mounts(&plan(&wanted)).unwrap();
        let targets: Vec<_> = mounts
            .iter()
            .map(|mount| mount.destination().to_str().unwrap())
            .collect();
        assert_eq!(
            targets
                .iter()
                .filter(|target| **target == "/dev/shm")
                .count(),
            1
        );
        assert!(
            targets.iter().position(|t| *t == "/a") < targets.iter().position(|t| *t == "/a/b")
        );
        let nested = mounts
            .iter()
            .find(|mount| mount.destination() == Path::new("/a/b"))
            .unwrap();
        assert_eq!(
            nested.options().as_ref().unwrap(),
            &["rbind", "rro", "rprivate"]
        );
        assert_eq!(propagation, None);
    }

    #[test]
    fn ones_own_dev_brings_nothing_below_it() {
        let wanted = [bind("/dev", Propagation::Rslave, false)];
        let (mounts, propagation) = mounts(&plan(&wanted)).unwrap();
        assert_eq!(
            mounts
                .iter()
                .filter(|mount| mount.destination().starts_with("/dev"))
                .count(),
            1
        );
        assert_eq!(propagation, Some("rslave"));
    }

    #[test]
    fn the_same_target_twice_and_targets_outside_are_refused() {
        let twice = [
            bind("/a", Propagation::Rprivate, false),
            bind("/a/../a/", Propagation::Rprivate, false),
        ];
        assert_eq!(
            mounts(&plan(&twice)).unwrap_err().to_string(),
            "Duplicate mount point: /a/../a/"
        );
        for target in ["a", "", "/", "/.."] {
            assert!(matches!(
                mounts(&plan(&[bind(target, Propagation::Rprivate, false)])),
                Err(MountError::Target { .. })
            ));
        }
    }

    #[test]
    fn tmpfs_options_of_the_user_win_and_unknown_ones_are_refused() {
        let options = tmpfs(&["exec,size=2k"]).unwrap();
        assert_eq!(
            options,
            [
                "nosuid",
                "nodev",
                "rprivate",
                "mode=1777",
                "exec",
                "size=2k"
            ]
        );
        assert_eq!(
            tmpfs(&["evil=1"]).unwrap_err().to_string(),
            "Invalid tmpfs option \"evil=1\""
        );
        assert!(tmpfs(&["size="]).is_err());
    }

    #[test]
    fn a_read_only_root_makes_sys_and_the_identity_files_read_only() {
        let files = [("/etc/hosts", PathBuf::from("/x/hosts"))];
        let plan = Plan {
            read_only_root: true,
            identity_files: &files,
            ..plan(&[])
        };
        let (mounts, _) = mounts(&plan).unwrap();
        let options = |target: &str| {
            let mount = mounts
                .iter()
                .find(|mount| mount.destination() == Path::new(target))
                .unwrap();
            mount.options().clone().unwrap()
        };
        assert!(options("/etc/hosts").contains(&"ro".to_owned()));
        assert!(options("/sys").contains(&"ro".to_owned()));
        assert!(!options("/dev/shm").contains(&"ro".to_owned()));
    }
}
