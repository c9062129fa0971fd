//! The life of a container's first process, from its birth to the program.
//!
//! It runs in a copy of the parent's memory and never returns. Until [`root::enter`] it sees the
//! host's files; every step on the container's own goes through `rooted`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Hook, Linux, LinuxPersonalityDomain, Process};
use rooted::Root;
use rustix::fs::{self, Mode};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::program::{Labels, Program, take_streams};
use super::release::Ready;
use super::sources::{Sources, shows_cgroup};
use super::status::{Record, Reporter, Stage};
use super::{ChildIo, Purpose, Stages, hooks};
use crate::cgroup::Entry;
use crate::devices::{self, Means};
use crate::launch::{Launch, StartError, StartErrorKind};
use crate::mounts::cgroup::Hierarchies;
use crate::mounts::options::{Change, Recursion, propagation};
use crate::mounts::{MountError, Planned, change, set_propagation};
use crate::namespaces::Namespaces;
use crate::procfs::Proc;
use crate::sys::fork::exit_now;
use crate::{console, masked, root, sys, sysctl};

/// From `linux/personality.h`.
const PER_LINUX: u64 = 0;
const PER_LINUX32: u64 = 8;

/// What the parent found out, and hands over by the copy of its memory.
#[derive(Debug)]
pub(super) struct Birth<'launch> {
    pub(super) launch: &'launch Launch,
    pub(super) linux: &'launch Linux,
    pub(super) process: &'launch Process,
    pub(super) program: Program<'launch>,
    pub(super) namespaces: &'launch Namespaces,
    /// The way into the cgroup; `None` where the parent hands that over with its word.
    pub(super) entry: Option<Entry>,
    pub(super) proc: &'launch Proc,
    pub(super) stages: &'launch Stages,
    /// Opened by the parent, for a child without rights over the host's files.
    pub(super) sources: Option<Sources<'launch>>,
    /// Heard of once the parent has mapped the ids of the child's user namespace and made the
    /// cgroup. `None` once it has been waited for.
    pub(super) ready: Option<Ready>,
    /// It has joined its cgroup.
    pub(super) is_in_cgroup: bool,
    /// The cgroup as files, for each mount that is still to show it.
    pub(super) hierarchies: VecDeque<Hierarchies>,
    pub(super) io: ChildIo,
}

/// Lives that life.
pub(super) fn live(birth: Birth<'_>, mut reporter: Reporter) -> Infallible {
    let Err(error) = birth.become_program(&mut reporter);
    let status = match error.kind {
        StartErrorKind::CommandNotFound => 127,
        StartErrorKind::CommandNotExecutable => 126,
        StartErrorKind::Invalid | StartErrorKind::Internal => 128,
    };
    reporter.flush();
    reporter.send(&Record::Failed(error));
    exit_now(status)
}

impl Birth<'_> {
    fn become_program(mut self, reporter: &mut Reporter) -> Result<Infallible, StartError> {
        reporter.ended("clone");
        sys::signals::reset();
        // No process of the container may look into this one while it still is the host's.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("become private"))?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        if self.namespaces.new_user() {
            self.become_root()?;
        } else if let Some(adjustment) = self.process.oom_score_adj() {
            self.proc
                .write(Path::new("self/oom_score_adj"), &adjustment.to_string())
                .map_err(|error| StartError::invalid(&error))?;
        }
        self.namespaces
            .enter()
            .map_err(|error| StartError::invalid(&error))?;
        self.name()?;
        let by_parent = self.namespaces.new_user() && self.namespaces.joined_network().is_some();
        for (name, value) in self.linux.sysctl().iter().flatten() {
            if by_parent && sysctl::is_networks(name) {
                continue;
            }
            sysctl::set(self.proc, name, value).map_err(|error| StartError::invalid(&error))?;
        }
        if let Some(personality) = self.linux.personality() {
            let domain = match personality.domain() {
                LinuxPersonalityDomain::PerLinux => PER_LINUX,
                LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
            };
            sys::identity::set_personality(domain).map_err(step("set linux.personality"))?;
        }
        let labels = Labels::open(self.proc, self.process)?;
        // For the start FIFO: a filter may know nothing of the call that looks up safely.
        let descriptors = match self.stages.fifo {
            Some(_) => Some(self.own_descriptors()?),
            None => None,
        };
        reporter.ended("namespaces");

        let sources = match self.sources.take() {
            Some(sources) => sources,
            None => Sources::open(self.launch, None)?,
        };
        reporter.ended("sources");
        let tree = self.lay_out(sources, reporter)?;
        self.wait_created(reporter)?;
        let spec_hooks = self.launch.spec.hooks().as_ref();
        self.run_hooks(
            spec_hooks.and_then(|hooks| hooks.create_container().as_deref()),
            "createContainer",
        )?;
        root::enter(tree.as_fd(), self.stages.pivot)
            .map_err(|error| StartError::internal(&error))?;
        self.finish_root(&tree)
            .map_err(|error| StartError::internal(&error))?;
        reporter.ended("root");

        if !self.is_held_up() {
            self.join_shares()?;
            reporter.ended("shares");
        }
        take_streams(&self.io)?;
        let hooks = spec_hooks.and_then(|hooks| hooks.start_container().as_deref());
        if self.stages.fifo.is_some() && hooks.is_some() {
            // These hooks have the runtime's privileges, so they run before any are given up.
            self.wait_ready(descriptors.as_ref(), reporter)?;
            self.run_hooks(hooks, "startContainer")?;
            let prepared = self.program.prepare(&labels, reporter)?;
            return self.program.execute(&prepared, reporter);
        }
        let prepared = self.program.prepare(&labels, reporter)?;
        self.wait_ready(descriptors.as_ref(), reporter)?;
        self.program.execute(&prepared, reporter)
    }

    /// Joins the cgroup once the parent has made it, but for the container's share of processor
    /// time; does nothing a second time. Late, so that both work meanwhile.
    fn join_cgroup(&mut self) -> Result<(), StartError> {
        if self.is_in_cgroup {
            return Ok(());
        }
        self.is_in_cgroup = true;
        self.wait_for_parent()?;
        if let Some(entry) = &self.entry {
            entry.join().map_err(|error| StartError::internal(&error))?;
        }
        // Whoever looks at a container that is held up finds it in all of its cgroup.
        if self.is_held_up() {
            self.join_shares()?;
        }
        Ok(())
    }

    /// Joins what is left of the cgroup, and makes that the root of what is seen of cgroups.
    fn join_shares(&self) -> Result<(), StartError> {
        if let Some(entry) = &self.entry {
            entry
                .join_shares()
                .map_err(|error| StartError::internal(&error))?;
        }
        self.namespaces
            .enter_cgroup()
            .map_err(|error| StartError::internal(&error))
    }

    fn is_held_up(&self) -> bool {
        self.stages.purpose == Purpose::CommandLine
    }

    /// Waits until the parent has done its part. A parent that could not tells why itself.
    fn wait_for_parent(&mut self) -> Result<(), StartError> {
        let Some(ready) = self.ready.take() else {
            return Ok(());
        };
        let Some(opened) = ready.wait().map_err(step("wait for the runtime"))? else {
            exit_now(128);
        };
        self.entry.get_or_insert(opened.entry);
        self.hierarchies.extend(opened.hierarchies);
        Ok(())
    }

    /// Waits for its ids to be mapped, and is root of its user namespace then.
    fn become_root(&mut self) -> Result<(), StartError> {
        self.wait_for_parent()?;
        let (uid, gid) = (fs::Uid::ROOT, fs::Gid::ROOT);
        rustix::thread::set_thread_groups(&[]).map_err(step("drop the host's groups"))?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .map_err(step("become group 0 of the user namespace"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .map_err(step("become user 0 of the user namespace"))
    }

    fn own_descriptors(&self) -> Result<OwnedFd, StartError> {
        let flags = fs::OFlags::PATH | fs::OFlags::DIRECTORY;
        self.proc
            .open_file(Path::new("self/fd"), flags)
            .map_err(|error| StartError::internal(&error))
    }

    fn name(&self) -> Result<(), StartError> {
        if let Some(hostname) = self.launch.spec.hostname() {
            rustix::system::sethostname(hostname.as_bytes()).map_err(step("set the host name"))?;
        }
        if let Some(domainname) = self.launch.spec.domainname() {
            rustix::system::setdomainname(domainname.as_bytes())
                .map_err(step("set the domain name"))?;
        }
        Ok(())
    }

    /// Attaches everything; answers the root of it.
    fn lay_out(
        &mut self,
        sources: Sources<'_>,
        reporter: &mut Reporter,
    ) -> Result<OwnedFd, StartError> {
        let mounts = |error: MountError| StartError::caused(error.kind(), &error);
        detach_from_host().map_err(mounts)?;
        let tree = sources.root;
        root::attach_over(tree.as_fd()).map_err(mounts)?;
        let container = Root::from_fd(
            tree.try_clone()
                .map_err(|error| StartError::internal(&error))?,
        );
        let mut devpts = match &mut self.io {
            ChildIo::Terminal(slave) => slave.devpts.take(),
            ChildIo::Streams { .. } => None,
        };
        let dev_is_the_hosts = sources.mounts.iter().any(|planned| {
            planned.is_bind() && rooted::normalized(planned.mount.destination()) == Path::new("dev")
        });
        let has_devpts = sources
            .mounts
            .iter()
            .any(|planned| planned.mount.typ().as_deref() == Some("devpts"));
        // What shows the cgroup comes last, if nothing else is in its place: the parent makes the
        // cgroup meanwhile.
        let mut showing: Vec<Planned<'_>> = Vec::new();
        for mut planned in sources.mounts {
            if shows_cgroup(&planned) {
                showing.push(planned);
                continue;
            }
            if showing.iter().any(|shown| overlap(shown, &planned)) {
                let showing = std::mem::take(&mut showing);
                self.show_cgroup(&container, showing)?;
            }
            if planned.mount.typ().as_deref() == Some("devpts") && !planned.is_bind() {
                planned.opened = devpts.take();
            }
            if planned.opened.is_none() {
                planned.open_file_system().map_err(mounts)?;
            }
            planned.attach(&container).map_err(mounts)?;
        }
        reporter.ended("mounts");
        if !dev_is_the_hosts {
            let means = if self.namespaces.new_user() {
                Means::Bind
            } else {
                Means::Make
            };
            let wanted = self.linux.devices().as_deref().unwrap_or_default();
            devices::make(&container, wanted, means)
                .map_err(|error| StartError::invalid(&error))?;
            devices::link(&container, has_devpts).map_err(|error| StartError::invalid(&error))?;
        }
        if let ChildIo::Terminal(slave) = &self.io
            && !dev_is_the_hosts
        {
            console::show(&container, &slave.fd).map_err(mounts)?;
        }
        reporter.ended("devices");
        self.show_cgroup(&container, showing)?;
        self.join_cgroup()?;
        reporter.ended("cgroup");
        container
            .create_dir_all(self.process.cwd(), Mode::from_raw_mode(0o755))
            .map_err(|error| StartError::invalid(&error))?;
        let list = |paths: &Option<Vec<String>>| paths.clone().unwrap_or_default();
        masked::protect(&container, &list(self.linux.readonly_paths())).map_err(mounts)?;
        masked::mask(&container, &list(self.linux.masked_paths()), sources.null).map_err(mounts)?;
        reporter.ended("masks");
        Ok(tree)
    }

    /// Mounts what shows the cgroup, once that is made and joined.
    fn show_cgroup(
        &mut self,
        container: &Root,
        showing: Vec<Planned<'_>>,
    ) -> Result<(), StartError> {
        for planned in showing {
            self.join_cgroup()?;
            if let Some(hierarchies) = self.hierarchies.pop_front() {
                hierarchies
                    .attach(container, planned.mount.destination(), &planned.options)
                    .map_err(|error| StartError::caused(error.kind(), &error))?;
            }
        }
        Ok(())
    }

    /// Attributes of the root itself, which would be in the way before: a shared root cannot be
    /// pivoted to. Mounts below it have their own.
    fn finish_root(&self, tree: &OwnedFd) -> Result<(), MountError> {
        let slash = Path::new("/");
        if self
            .launch
            .spec
            .root()
            .as_ref()
            .is_some_and(|root| root.readonly().unwrap_or(false))
        {
            let read_only = Change {
                set: libc::MOUNT_ATTR_RDONLY,
                clear: 0,
            };
            change(tree.as_fd(), Recursion::No, read_only, slash)?;
        }
        if let Some((propagation, _)) = self
            .linux
            .rootfs_propagation()
            .as_deref()
            .and_then(propagation)
        {
            set_propagation(tree.as_fd(), propagation, Recursion::No, slash)?;
        }
        Ok(())
    }

    /// Tells the parent that everything is made, and waits for its hooks.
    fn wait_created(&self, reporter: &mut Reporter) -> Result<(), StartError> {
        let Some(go) = &self.stages.created else {
            return Ok(());
        };
        reporter.send(&Record::Waits(Stage::Created));
        let mut answer = [0];
        match rustix::io::read(go, &mut answer).map_err(step("wait for hooks"))? {
            0 => exit_now(128),
            _ => Ok(()),
        }
    }

    /// Tells the parent that the program can run, and waits until someone says so.
    ///
    /// `descriptors` is the directory of its own ones; `None` where nobody holds the start up.
    fn wait_ready(
        &self,
        descriptors: Option<&OwnedFd>,
        reporter: &mut Reporter,
    ) -> Result<(), StartError> {
        let (Some(fifo), Some(descriptors)) = (&self.stages.fifo, descriptors) else {
            return Ok(());
        };
        reporter.flush();
        reporter.send(&Record::Waits(Stage::Ready));
        // Blocks until it is opened for reading; what comes now is that reader's to know.
        let fifo = fs::openat(
            descriptors,
            fifo.as_raw_fd().to_string(),
            fs::OFlags::WRONLY | fs::OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(step("wait for the start"))?;
        reporter.switch(fifo);
        Ok(())
    }

    fn run_hooks(&self, hooks: Option<&[Hook]>, stage: &'static str) -> Result<(), StartError> {
        for hook in hooks.unwrap_or_default() {
            let state = self.stages.state.replace(
                "\"pid\":0",
                &format!("\"pid\":{}", rustix::process::getpid().as_raw_nonzero()),
            );
            hooks::run(hook, stage, &state).map_err(|error| StartError::invalid(&error))?;
        }
        Ok(())
    }
}

/// One covers the other, or lies below it: their order matters.
fn overlap(one: &Planned<'_>, other: &Planned<'_>) -> bool {
    let (one, other) = (one.mount.destination(), other.mount.destination());
    let (one, other) = (rooted::normalized(one), rooted::normalized(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// Nothing that is mounted or unmounted here reaches the host from now on.
fn detach_from_host() -> Result<(), MountError> {
    let slash = Path::new("/");
    let flags = fs::OFlags::PATH | fs::OFlags::CLOEXEC;
    let host = fs::open(slash, flags, Mode::empty())
        .map_err(|errno| MountError::new("open", slash, errno))?;
    set_propagation(host.as_fd(), libc::MS_PRIVATE, Recursion::Yes, slash)
}

#[derive(Debug, thiserror::Error)]
#[error("{attempt}")]
struct StepError {
    attempt: &'static str,
    source: Errno,
}

fn step(attempt: &'static str) -> impl Fn(Errno) -> StartError {
    move |source| StartError::internal(&StepError { attempt, source })
}
