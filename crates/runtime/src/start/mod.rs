//! Starts a process in a new container, or one more in a container that runs.
//!
//! One `clone3`, no process in between: the child builds its own world and becomes the program.
//! The parent returns as soon as the child exists; what becomes of it is read from
//! [`Spawned::status`]. Nothing here waits, reaps or copies output: that is the caller's
//! (the keeper, or the OCI command line).
//!
//! The caller must be single-threaded, because the child goes on with a copy of its memory, in
//! which a lock held by another thread would stay locked for ever. That is checked.

mod child;
pub(crate) mod hooks;
mod joining;
mod lookup;
mod program;
mod release;
mod sources;
pub mod status;

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{Linux, Process};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space};

use self::program::Program;
use self::release::Opened;
use self::sources::Sources;
use self::status::Reporter;
use crate::capabilities::Sets;
use crate::cgroup::{Cgroup, CgroupError};
use crate::console::Slave;
use crate::idmap::Mappings;
use crate::init::Init;
use crate::launch::{Exec, Launch, StartError, StartErrorKind};
use crate::namespaces::{Namespaces, inside};
use crate::overlay::IdMapping;
use crate::procfs::Proc;
use crate::sys::fork::{Child, fork};
use crate::sysctl;
use crate::target::Target;

/// The standard streams of a process to be.
#[derive(Debug)]
pub enum ChildIo {
    /// Three descriptors, each the child's end.
    Streams {
        /// Read by the process.
        stdin: OwnedFd,
        /// Written by the process.
        stdout: OwnedFd,
        /// Written by the process.
        stderr: OwnedFd,
    },
    /// A pseudo-terminal, made by [`crate::console::for_container`] or
    /// [`crate::console::for_exec`], which also answer the master that the caller keeps.
    Terminal(Slave),
}

/// A process that exists, and may or may not succeed in becoming the program.
#[derive(Debug)]
pub struct Spawned {
    /// Its id, as the caller sees it.
    pub pid: u32,
    /// A handle on it, for signals and for waiting (`P_PIDFD`).
    pub pidfd: OwnedFd,
    /// Reports of its set-up, to be fed to [`status::Reader`]; ends when the program runs.
    pub status: OwnedFd,
}

/// Who starts a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The keeper: straight through.
    Keeper,
    /// The OCI command line, which holds the start up and runs hooks.
    CommandLine,
}

/// Where the OCI command line holds a start up.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) purpose: Purpose,
    /// Read by the child once everything is made: a byte says go on, the end says give up.
    pub(crate) created: Option<OwnedFd>,
    /// A handle on a FIFO that the child opens for writing before it executes the program; it goes
    /// on when somebody opens it for reading. Of the container's root, in a user namespace.
    pub(crate) fifo: Option<OwnedFd>,
    /// The container's state in JSON with `"pid":0`, for hooks that the child runs.
    pub(crate) state: String,
    /// The root is pivoted to, rather than changed to.
    pub(crate) pivot: bool,
    /// Descriptors from 3 on that the program inherits.
    pub(crate) inherited: u32,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            purpose: Purpose::Keeper,
            created: None,
            fifo: None,
            state: String::new(),
            pivot: true,
            inherited: 0,
        }
    }
}

/// Starts a container.
///
/// `netns` is joined if given, and wins over a network namespace in the specification. The
/// container's cgroup is made here, with its limits, and is the caller's to remove after the exit
/// ([`crate::cgroup::Cgroup::remove`]), also when the start fails.
///
/// # Errors
/// What fails before the child exists. Later failures come through [`Spawned::status`].
pub fn container(
    launch: &Launch,
    io: ChildIo,
    netns: Option<OwnedFd>,
) -> Result<Spawned, StartError> {
    container_in_stages(launch, io, netns, &Stages::default())
}

/// As [`container`], held up where `stages` says.
pub(crate) fn container_in_stages(
    launch: &Launch,
    io: ChildIo,
    netns: Option<OwnedFd>,
    stages: &Stages,
) -> Result<Spawned, StartError> {
    sources::refuse_unsupported(&launch.spec, stages.purpose)?;
    let process = launch
        .spec
        .process()
        .as_ref()
        .ok_or_else(|| missing("process"))?;
    let linux = launch
        .spec
        .linux()
        .as_ref()
        .ok_or_else(|| missing("linux"))?;
    let cgroup = cgroup_of(launch, linux)?;
    let wanted = linux.namespaces().as_deref().unwrap_or_default();
    let namespaces =
        Namespaces::plan(wanted, netns).map_err(|error| StartError::invalid(&error))?;
    sysctl::check(
        linux.sysctl().iter().flatten().map(|(name, _)| name),
        &namespaces,
    )
    .map_err(|error| StartError::invalid(&error))?;
    let program = Program {
        process,
        groups: &launch.groups,
        capabilities: capabilities(process, launch.clamp_capabilities)?,
        clamp: launch.clamp_capabilities,
        seccomp: &launch.seccomp,
        inherited: stages.inherited,
        init: launch
            .init
            .then(Init::load)
            .transpose()
            .map_err(refused("load the init program"))?,
    };
    let proc = Proc::open().map_err(|error| StartError::internal(&error))?;
    let (status, report) = pipe()?;
    let mut reporter = Reporter::new(report);
    reporter.ended("plan");
    let mappings = if namespaces.new_user() {
        let mappings = Mappings::new(linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref());
        Some(mappings.map_err(|error| StartError::invalid(&error))?)
    } else {
        None
    };
    let birthplace = cgroup.make_birthplace().map_err(cgroup_refused)?;
    // The cgroup takes as long to make as the child's own file system: it is made meanwhile. One
    // without rights over the host must wait for it, and so must one that all of its limits hold
    // from its birth.
    let is_limited_first = namespaces.new_user() || Cgroup::is_unified_host();
    let make_limits = || -> Result<Opened, StartError> {
        cgroup
            .make_limits(linux.resources().as_ref())
            .map_err(cgroup_refused)?;
        Ok(Opened {
            entry: cgroup.entry().map_err(cgroup_refused)?,
            hierarchies: sources::open_cgroup(&launch.spec, &cgroup)?,
        })
    };
    let mut opened = None;
    if is_limited_first {
        opened = Some(make_limits()?);
        reporter.ended("limits");
    }
    let mut sources = None;
    if let Some(mappings) = &mappings {
        let users = mappings
            .namespace(&proc)
            .map_err(|error| StartError::internal(&error))?;
        let root = (
            mappings.host_user(0).unwrap_or(0),
            mappings.host_group(0).unwrap_or(0),
        );
        let mut own = Sources::open(
            launch,
            Some(IdMapping {
                users: users.as_fd(),
                root,
            }),
        )?;
        if namespaces.new_cgroup && own.writes_cgroup() {
            cgroup.delegate(root.0, root.1).map_err(cgroup_refused)?;
        }
        if let Some(network) = namespaces.joined_network() {
            inside(&proc, network, || {
                own.open_sysfs()?;
                of_network(linux)
                    .try_for_each(|(name, value)| sysctl::set(&proc, name, value))
                    .map_err(|error| StartError::invalid(&error))
            })
            .map_err(|error| StartError::internal(&error))??;
        }
        sources = Some(own);
    }
    let (ready, release) =
        release::pair().map_err(refused("make a socket to the container's first process"))?;
    // Of the child's copy it takes this end out, so that it hears of the parent's end.
    let release = Cell::new(Some(release));
    let (entry, hierarchies) = opened
        .map(|opened| (opened.entry, opened.hierarchies))
        .unzip();
    let birth = child::Birth {
        launch,
        linux,
        process,
        program,
        namespaces: &namespaces,
        entry,
        hierarchies: hierarchies.unwrap_or_default().into(),
        proc: &proc,
        stages,
        sources,
        ready: Some(ready),
        is_in_cgroup: false,
        io,
    };
    let pid_namespace = namespaces
        .pid
        .as_ref()
        .map(|fd| Joined::Namespace(fd.as_fd()));
    let birth = || {
        born(
            &proc,
            pid_namespace,
            namespaces.new,
            birthplace.as_ref().map(AsFd::as_fd),
            || {
                drop(release.take());
                child::live(birth, reporter)
            },
        )
    };
    let child = match namespaces.joined_network() {
        // Over the host's network namespace the child has no rights, not even to join it.
        Some(network) if namespaces.new_user() => inside(&proc, network, birth)
            .map_err(|error| StartError::internal(&error))
            .flatten()?,
        _ => birth()?,
    };
    let finish = || -> Result<(), StartError> {
        if let Some(mappings) = &mappings {
            mappings
                .write(&proc, child.pid)
                .map_err(|error| StartError::internal(&error))?;
            if let Some(adjustment) = process.oom_score_adj() {
                let path = PathBuf::from(child.pid.to_string()).join("oom_score_adj");
                proc.write(&path, &adjustment.to_string())
                    .map_err(|error| StartError::invalid(&error))?;
            }
        }
        let opened = if is_limited_first {
            Opened::default()
        } else {
            make_limits()?
        };
        match release.take().map(|release| release.send(&opened)) {
            // A child that has failed meanwhile says so by its status.
            None | Some(Ok(()) | Err(Errno::PIPE)) => Ok(()),
            Some(Err(errno)) => Err(refused("release the container's first process")(errno)),
        }
    };
    if let Err(error) = finish() {
        child.end();
        return Err(error);
    }
    Ok(Spawned {
        pid: child.pid,
        pidfd: child.pidfd,
        status,
    })
}

/// Starts a further process in the container whose process 1 is `target` (a pidfd).
///
/// `cgroups_path` is the container's, as in its specification's `linux.cgroupsPath`.
///
/// # Errors
/// As [`container`].
pub fn exec(
    exec: &Exec,
    target: BorrowedFd<'_>,
    cgroups_path: &str,
    io: ChildIo,
) -> Result<Spawned, StartError> {
    exec_inheriting(exec, target, cgroups_path, io, 0)
}

/// As [`exec`]; the program also inherits so many descriptors from 3 on.
pub(crate) fn exec_inheriting(
    exec: &Exec,
    target: BorrowedFd<'_>,
    cgroups_path: &str,
    io: ChildIo,
    inherited: u32,
) -> Result<Spawned, StartError> {
    let proc = Proc::open().map_err(|error| StartError::internal(&error))?;
    let target = Target::new(&proc, target).map_err(|error| error.start_error())?;
    let joins_users = target
        .has_own_users(&proc)
        .map_err(|error| error.start_error())?;
    let cgroup = Cgroup::at(cgroups_path).map_err(|error| StartError::invalid(&error))?;
    let entry = cgroup
        .entry()
        .map_err(|error| StartError::internal(&error))?;
    let program = Program {
        process: &exec.process,
        groups: &exec.groups,
        capabilities: capabilities(&exec.process, exec.clamp_capabilities)?,
        clamp: exec.clamp_capabilities,
        seccomp: &exec.seccomp,
        inherited,
        init: None,
    };
    let (status, report) = pipe()?;
    let birth = joining::Birth {
        process: &exec.process,
        program,
        target: &target,
        joins_users,
        entry: &entry,
        proc: &proc,
        io,
    };
    let joined = Some(Joined::Process(&target));
    let birthplace = cgroup
        .beside(target.pid)
        .and_then(|cgroup| cgroup.birthplace())
        .map_err(|error| StartError::internal(&error))?;
    let child = born(
        &proc,
        joined,
        0,
        birthplace.as_ref().map(AsFd::as_fd),
        move || joining::live(birth, Reporter::new(report)),
    )?;
    Ok(Spawned {
        pid: child.pid,
        pidfd: child.pidfd,
        status,
    })
}

/// Where a child's process namespace comes from, if it is neither its parent's nor a new one.
enum Joined<'a> {
    Namespace(BorrowedFd<'a>),
    Process(&'a Target<'a>),
}

/// Makes the child, with this process's namespace for children changed meanwhile if need be.
fn born(
    proc: &Proc,
    joined: Option<Joined<'_>>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    life: impl FnOnce() -> std::convert::Infallible,
) -> Result<Child, StartError> {
    let Some(joined) = joined else {
        return fork(namespaces, cgroup, life).map_err(refused("create the process"));
    };
    let own = proc
        .open_link("self/ns/pid".as_ref(), rustix::fs::OFlags::RDONLY)
        .map_err(|error| StartError::internal(&error))?;
    match joined {
        Joined::Process(target) => {
            target
                .join(ThreadNameSpaceType::PROCESS_ID)
                .map_err(|error| error.start_error())?;
        }
        Joined::Namespace(namespace) => {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::ProcessID))
                .map_err(refused("join process namespace"))?;
        }
    }
    let child = fork(namespaces, cgroup, life);
    // It was this process's a moment ago; without it every later child would be misplaced.
    move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID))
        .map_err(refused("return to own process namespace"))?;
    child.map_err(refused("create the process"))
}

/// Why a container's cgroup was not made.
fn cgroup_refused(error: CgroupError) -> StartError {
    let kind = if error.is_invalid_request() {
        StartErrorKind::Invalid
    } else {
        StartErrorKind::Internal
    };
    StartError::caused(kind, &error)
}

/// The kernel parameters that belong to a network namespace.
fn of_network(linux: &Linux) -> impl Iterator<Item = (&String, &String)> {
    let all = linux.sysctl().iter().flatten();
    all.filter(|(name, _)| sysctl::is_networks(name))
}

/// The cgroup of a container: by its path, or by its key where there is none.
fn cgroup_of(launch: &Launch, linux: &Linux) -> Result<Cgroup, StartError> {
    let path = linux.cgroups_path().as_ref().map_or_else(
        || launch.id.clone(),
        |path| path.to_string_lossy().into_owned(),
    );
    Cgroup::at(&path).map_err(|error| StartError::invalid(&error))
}

fn capabilities(process: &Process, clamp: bool) -> Result<Sets, StartError> {
    Sets::asked(process.capabilities().as_ref(), clamp).map_err(|error| StartError::invalid(&error))
}

fn missing(field: &str) -> StartError {
    StartError {
        kind: StartErrorKind::Invalid,
        message: format!("{field} is missing"),
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), StartError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(refused("make a pipe"))
}

#[derive(Debug, thiserror::Error)]
#[error("{attempt}")]
struct StepError {
    attempt: &'static str,
    source: Errno,
}

/// A step that the kernel refused, as a failure of the host.
fn refused(attempt: &'static str) -> impl Fn(Errno) -> StartError {
    move |source| StartError::internal(&StepError { attempt, source })
}
