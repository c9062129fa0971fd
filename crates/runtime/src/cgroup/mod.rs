//! Control groups: how much a container may use, how much it does use, and which processes it has.
//!
//! Hosts with version 1, version 2 and both are served alike. A container's cgroup has one path,
//! the same in every hierarchy; on version 1 it exists only in those that are of use. The start
//! path makes it, the engine reads and changes it, the keeper removes it.

mod delegation;
mod devices;
mod entry;
mod freeze;
mod host;
mod oom;
mod processes;
mod removal;
mod settings;
mod stats;
mod v1;
mod v2;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

pub(crate) use self::entry::Entry;
use self::host::Hierarchies;
use self::settings::Setting;
pub use self::stats::{BlockIo, Usage};
use crate::sys;

/// Why something could not be done to a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The kernel refused.
    #[error("{attempt} {}", path.display())]
    Refused {
        /// What was tried: `make cgroup`, `read`.
        attempt: &'static str,
        /// The cgroup's directory in one hierarchy, or a file in it.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A limit could not be set.
    #[error("set linux.resources.{field} to {value:?}")]
    Limit {
        /// The limit's name in the OCI runtime specification: `memory.limit`.
        field: &'static str,
        /// What was written.
        value: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// This host has no such controller.
    #[error(
        "linux.resources.{field} cannot be honoured: this host has no cgroup controller {controller}"
    )]
    NoController {
        /// The limit's name in the OCI runtime specification.
        field: &'static str,
        /// What is missing.
        controller: &'static str,
    },
    /// The controller is there, and does not have what a limit is set with.
    #[error("linux.resources.{field} cannot be honoured: this kernel has no {file}")]
    NoFile {
        /// The limit's name in the OCI runtime specification.
        field: &'static str,
        /// What is missing.
        file: String,
    },
    /// Not a path below the root of the hierarchies.
    #[error("linux.cgroupsPath {0:?} names no cgroup")]
    Path(String),
    /// A file has content that is not understood.
    #[error("understand {}: {content:?}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds.
        content: String,
    },
}

impl CgroupError {
    fn refused(attempt: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Refused {
            attempt,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// The limit itself is at fault, rather than the host.
    pub(crate) const fn is_invalid_request(&self) -> bool {
        matches!(
            self,
            Self::Limit { .. } | Self::NoController { .. } | Self::NoFile { .. } | Self::Path(_)
        )
    }
}

/// The cgroup of one container, in every hierarchy of this host.
#[derive(Clone, Debug)]
pub struct Cgroup {
    /// Relative to the root of each hierarchy.
    path: PathBuf,
    host: &'static Hierarchies,
}

/// Controllers whose version 1 hierarchies every container joins.
const ALWAYS_V1: [&str; 6] = ["memory", "cpu", "cpuacct", "blkio", "pids", "devices"];

impl Cgroup {
    /// The cgroup at this path, as in a specification's `linux.cgroupsPath`; it need not exist.
    ///
    /// # Errors
    /// When the path names no cgroup below the root.
    pub fn at(cgroups_path: &str) -> Result<Self, CgroupError> {
        let path = rooted::normalized(Path::new(cgroups_path));
        if path.as_os_str().is_empty() || cgroups_path.contains('\0') {
            return Err(CgroupError::Path(cgroups_path.to_owned()));
        }
        Ok(Self {
            path,
            host: Hierarchies::of_this_host(),
        })
    }

    /// Limits are version 2's on this host.
    #[must_use]
    pub fn is_unified_host() -> bool {
        Hierarchies::of_this_host().is_unified()
    }

    /// Whether containers of this host can have weights of block I/O. The kernel shows the files for
    /// them below the root only, so one cgroup is made to look, and taken away.
    ///
    /// # Errors
    /// When the kernel refuses to make a cgroup.
    pub fn host_has_io_weights() -> Result<bool, CgroupError> {
        let probe = Self::at(&format!("longshore-probe-{}", std::process::id()))?;
        let (controller, files) = if probe.host.is_unified() {
            ("io", ["io.bfq.weight", "io.weight"])
        } else {
            ("blkio", ["blkio.bfq.weight", "blkio.bfq.weight_device"])
        };
        let Some(directory) = probe.directory_of(controller) else {
            return Ok(false);
        };
        if let Some(mount) = probe.host.v1_of(controller) {
            make_v1(mount, &probe.path, controller)?;
        } else {
            let _birthplace = probe.make_birthplace()?;
        }
        let found = files.iter().any(|file| directory.join(file).exists());
        probe.remove()?;
        Ok(found)
    }

    /// Makes what of it a process can be born in (`CLONE_INTO_CGROUP`): its version 2 directory.
    pub(crate) fn make_birthplace(&self) -> Result<Option<OwnedFd>, CgroupError> {
        if let Some(mount) = &self.host.v2 {
            self.make_v2(mount)?;
        }
        self.birthplace()
    }

    /// What [`Cgroup::make_birthplace`] made, where it exists.
    pub(crate) fn birthplace(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let Some(path) = self.v2_directory() else {
            return Ok(None);
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(CgroupError::refused("open", &path, errno)),
        }
    }

    /// Makes the rest of it, and sets its limits. Its birthplace is there already.
    pub(crate) fn make_limits(
        &self,
        resources: Option<&LinuxResources>,
    ) -> Result<(), CgroupError> {
        let mut settings = Vec::new();
        if let Some(resources) = resources {
            settings = self.settings(resources).0;
        }
        if !self.host.is_unified() {
            let mut controllers: Vec<&str> = ALWAYS_V1.to_vec();
            if self.host.v2.is_none() {
                controllers.push("freezer");
            }
            controllers.extend(settings.iter().map(|setting| setting.controller));
            for controller in controllers {
                if let Some(mount) = self.host.v1_of(controller) {
                    make_v1(mount, &self.path, controller)?;
                }
            }
        }
        self.apply(&settings)?;
        if let Some(rules) = resources.and_then(|resources| resources.devices().as_ref()) {
            self.restrict_devices(&devices::rules(rules))?;
        }
        Ok(())
    }

    /// The way into its version 1 directories, where they exist.
    pub(crate) fn entry(&self) -> Result<Entry, CgroupError> {
        let (mut tasks, mut shares) = (Vec::new(), None);
        for v1 in &self.host.v1 {
            let path = v1.mount.join(&self.path).join("tasks");
            match fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
                Ok(fd) if v1.has("cpu") => shares = Some(fd),
                Ok(fd) => tasks.push(fd),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(CgroupError::refused("open", &path, errno)),
            }
        }
        Ok(Entry { tasks, shares })
    }

    /// Changes limits while it runs; what is `None` stays.
    ///
    /// # Errors
    /// When the kernel refuses one; those before it are set then.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let settings = self.settings(resources).0;
        if !self.host.is_unified() {
            for setting in &settings {
                let Some(mount) = self.host.v1_of(setting.controller) else {
                    continue;
                };
                let directory = mount.join(&self.path);
                if !directory.exists() {
                    make_v1(mount, &self.path, setting.controller)?;
                    self.apply(std::slice::from_ref(setting))?;
                    for process in self.processes()? {
                        move_in(&directory, process)?;
                    }
                }
            }
        }
        self.apply(&settings)?;
        if let Some(rules) = resources.devices() {
            self.restrict_devices(&devices::rules(rules))?;
        }
        Ok(())
    }

    /// Names of the cgroups right below it, in whichever hierarchy; a missing one has none.
    ///
    /// # Errors
    /// When the kernel refuses to list them.
    pub fn names_below(&self) -> Result<BTreeSet<String>, CgroupError> {
        let mut names = BTreeSet::new();
        for directory in self.directories() {
            let below = children(&directory)
                .map_err(|errno| CgroupError::refused("list cgroup", &directory, errno))?;
            names.extend(
                below
                    .iter()
                    .filter_map(|path| path.file_name()?.to_str().map(str::to_owned)),
            );
        }
        Ok(names)
    }

    /// What a container sees as its own cgroup: name of the hierarchy (empty for version 2) and
    /// directory on the host, which is missing in version 1 hierarchies that it has not joined.
    /// `wants_v2` leaves those out where there is version 2.
    pub(crate) fn visible(&self, wants_v2: bool) -> Vec<(String, PathBuf)> {
        if let Some(path) = self.v2_directory()
            && (wants_v2 || self.host.is_unified())
        {
            return vec![(String::new(), path)];
        }
        self.host
            .v1
            .iter()
            .map(|v1| (v1.controllers.join(","), v1.mount.join(&self.path)))
            .collect()
    }

    fn settings(&self, resources: &LinuxResources) -> settings::Settings {
        let mut settings = if self.host.is_unified() {
            v2::settings(resources)
        } else {
            v1::settings(resources)
        };
        if self.host.is_unified() {
            for (file, value) in resources.unified().iter().flatten() {
                settings.add("", file.as_str(), Some(value), "unified");
            }
        }
        settings
    }

    fn apply(&self, settings: &[Setting]) -> Result<(), CgroupError> {
        // A limit that would pass the limit of memory and swap waits for that one to be raised.
        let mut waiting: Option<&Setting> = None;
        for setting in settings {
            match self.set(setting) {
                Err(CgroupError::Limit { source, .. })
                    if setting.file == "memory.limit_in_bytes"
                        && matches!(
                            Errno::from_io_error(&source),
                            Some(Errno::INVAL | Errno::BUSY)
                        ) =>
                {
                    waiting = Some(setting);
                }
                answer => answer?,
            }
            if (setting.controller != "memory" || setting.file == "memory.memsw.limit_in_bytes")
                && let Some(waiting) = waiting.take()
            {
                self.set(waiting)?;
            }
        }
        waiting.map_or(Ok(()), |waiting| self.set(waiting))
    }

    fn set(&self, setting: &Setting) -> Result<(), CgroupError> {
        let directory = if self.host.is_unified() {
            self.v2_directory()
        } else {
            self.host
                .v1_of(setting.controller)
                .map(|mount| mount.join(&self.path))
        };
        let Some(directory) = directory else {
            if setting.optional {
                return Ok(());
            }
            return Err(CgroupError::NoController {
                field: setting.field,
                controller: setting.controller,
            });
        };
        let mut written = write(&directory.join(&setting.file), &setting.value);
        if let (Err(Errno::NOENT), Some((file, value))) = (written, &setting.otherwise) {
            written = write(&directory.join(file), value);
        }
        match written {
            Err(Errno::NOENT) if setting.optional => Ok(()),
            Err(Errno::NOENT) if setting.field != "unified" => Err(CgroupError::NoFile {
                field: setting.field,
                file: setting.file.clone(),
            }),
            Err(errno) => Err(CgroupError::Limit {
                field: setting.field,
                value: setting.value.clone(),
                source: errno.into(),
            }),
            Ok(()) => Ok(()),
        }
    }

    fn restrict_devices(&self, rules: &[devices::Rule]) -> Result<(), CgroupError> {
        if let Some(mount) = self.host.v1_of("devices") {
            let directory = mount.join(&self.path);
            // Each opened once: there are some fifteen rules.
            let open = |name: &str| {
                let path = directory.join(name);
                fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|errno| CgroupError::refused("open", &path, errno))
            };
            let (allow, deny) = (open("devices.allow")?, open("devices.deny")?);
            for rule in rules {
                let line = devices::line(rule);
                let list = if rule.allow { &allow } else { &deny };
                rustix::io::write(list, line.as_bytes()).map_err(|errno| CgroupError::Limit {
                    field: "devices",
                    value: line,
                    source: errno.into(),
                })?;
            }
        } else if let Some(directory) = self.v2_directory() {
            let refused = |errno: Errno| {
                CgroupError::refused("restrict the devices of cgroup", &directory, errno)
            };
            let program =
                sys::bpf::load_device_program(&devices::program(rules)).map_err(refused)?;
            let cgroup = open_directory(&directory).map_err(refused)?;
            sys::bpf::attach_device_program(cgroup.as_fd(), program.as_fd()).map_err(refused)?;
        }
        Ok(())
    }

    /// Makes the version 2 directories on the way, with the controllers that a container may need.
    fn make_v2(&self, mount: &Path) -> Result<(), CgroupError> {
        if !self.host.is_unified() && make(&mount.join(&self.path)).is_ok() {
            return Ok(());
        }
        'from_the_top: loop {
            let mut directory = mount.to_owned();
            for part in &self.path {
                if self.host.is_unified() {
                    enable_controllers(&directory)?;
                }
                let is_first = directory == mount;
                directory.push(part);
                match make(&directory) {
                    Ok(()) => {}
                    // Somebody took the one above away while it was empty.
                    Err(Errno::NOENT) if !is_first => continue 'from_the_top,
                    Err(errno) => {
                        return Err(CgroupError::refused("make cgroup", &directory, errno));
                    }
                }
            }
            return Ok(());
        }
    }

    fn v2_directory(&self) -> Option<PathBuf> {
        self.host.v2.as_ref().map(|mount| mount.join(&self.path))
    }

    fn v1_directories(&self) -> impl Iterator<Item = PathBuf> {
        self.host.v1.iter().map(|v1| v1.mount.join(&self.path))
    }

    /// Its directory in every hierarchy, whether it exists there or not.
    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.v1_directories().chain(self.v2_directory())
    }

    /// The directory of a controller: in its version 1 hierarchy, or the version 2 one.
    fn directory_of(&self, controller: &str) -> Option<PathBuf> {
        match self.host.v1_of(controller) {
            Some(mount) => Some(mount.join(&self.path)),
            None => self.v2_directory().filter(|_| self.host.is_unified()),
        }
    }
}

/// Makes a directory, unless it is there. Fails with `ENOENT` when the one above is missing.
fn make(directory: &Path) -> Result<(), Errno> {
    match fs::mkdirat(CWD, directory, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        answer => answer,
    }
}

/// Makes a version 1 directory, with those on the way.
fn make_v1(mount: &Path, path: &Path, controller: &str) -> Result<(), CgroupError> {
    if controller != "cpuset" && make(&mount.join(path)).is_ok() {
        return Ok(());
    }
    'from_the_top: loop {
        let mut parent = mount.to_owned();
        for part in path {
            let directory = parent.join(part);
            match make(&directory) {
                Ok(()) => {}
                // Somebody took the one above away while it was empty.
                Err(Errno::NOENT) if parent != mount => continue 'from_the_top,
                Err(errno) => return Err(CgroupError::refused("make cgroup", &directory, errno)),
            }
            if controller == "cpuset" {
                inherit_cpuset(&parent, &directory)?;
            }
            parent = directory;
        }
        return Ok(());
    }
}

/// A new version 1 cpuset is empty, and takes no process until it has processors and memory.
fn inherit_cpuset(parent: &Path, directory: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = directory.join(file);
        if read(&path)?.trim().is_empty() {
            let inherited = read(&parent.join(file))?;
            write(&path, inherited.trim())
                .map_err(|errno| CgroupError::refused("write", &path, errno))?;
        }
    }
    Ok(())
}

/// Enables, for the cgroups below, those controllers of use that this one has.
fn enable_controllers(directory: &Path) -> Result<(), CgroupError> {
    let available = read(&directory.join("cgroup.controllers"))?;
    let control = directory.join("cgroup.subtree_control");
    let enabled = read(&control)?;
    let missing: Vec<String> = available
        .split_whitespace()
        .filter(|name| {
            v2::WANTED.contains(name) && !enabled.split_whitespace().any(|other| other == *name)
        })
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    write(&control, &missing.join(" "))
        .map_err(|errno| CgroupError::refused("enable controllers in", &control, errno))
}

fn move_in(directory: &Path, process: u32) -> Result<(), CgroupError> {
    let path = directory.join("cgroup.procs");
    match write(&path, &process.to_string()) {
        // It ended meanwhile.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(CgroupError::refused("write", &path, errno)),
    }
}

/// The cgroups right below one.
fn children(directory: &Path) -> Result<Vec<PathBuf>, Errno> {
    use std::os::unix::ffi::OsStrExt as _;
    let opened = match fs::open(
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        answer => answer?,
    };
    let mut found = Vec::new();
    for entry in fs::Dir::new(opened)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if entry.file_type() == fs::FileType::Directory && name != "." && name != ".." {
            found.push(directory.join(name));
        }
    }
    Ok(found)
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn write(path: &Path, value: &str) -> Result<(), Errno> {
    let fd = fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&fd, value.as_bytes()).map(drop)
}

fn read(path: &Path) -> Result<String, CgroupError> {
    std::fs::read_to_string(path).map_err(|error| CgroupError::refused("read", path, error))
}

/// As [`read`]; `None` where there is no such file, because a controller or the cgroup is missing.
fn read_optional(path: &Path) -> Result<Option<String>, CgroupError> {
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::NOENT | Errno::NODEV)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(CgroupError::refused("read", path, error)),
    }
}
