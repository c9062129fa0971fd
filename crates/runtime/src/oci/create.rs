//! `create` and `run`: a container out of a bundle.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use clap::Args;
use oci_spec::runtime::Spec;
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::record::{FIFO, Record, Status, started_ticks};
use super::{OciError, console_socket, start};
use crate::console;
use crate::launch::{Launch, LogTarget, Rootfs, StartError, Stdio};
use crate::seccomp;
use crate::start::status::{Reader, Stage};
use crate::start::{ChildIo, Purpose, Spawned, Stages, container_in_stages, hooks};

/// Arguments of `create`.
#[derive(Args, Clone, Debug)]
pub(super) struct Create {
    /// Directory with `config.json` and the root file system.
    #[arg(long, short, default_value = ".")]
    bundle: PathBuf,
    /// Where the master of the process's terminal is sent.
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Where the id of the process is written.
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Changes the root directory instead of pivoting to it.
    #[arg(long)]
    no_pivot: bool,
    /// Accepted: no session keyring is made.
    #[arg(long)]
    no_new_keyring: bool,
    /// How many descriptors from 3 on the program inherits.
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    /// Name of the container.
    id: String,
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    create: Create,
    /// Return once the program runs.
    #[arg(long, short)]
    detach: bool,
    /// Do not remove what is left of it at the end.
    #[arg(long)]
    keep: bool,
}

impl Create {
    /// Makes the container; its process waits at the FIFO.
    pub(super) fn carry_out(&self, root: &Path) -> Result<(), OciError> {
        self.create(root).map(drop)
    }

    fn create(&self, root: &Path) -> Result<OwnedFd, OciError> {
        let directory = Record::reserve(root, &self.id)?;
        let made = self.create_in(root, &directory);
        if made.is_err() {
            Record::forget(root, &self.id)?;
        }
        made
    }

    fn create_in(&self, root: &Path, directory: &Path) -> Result<OwnedFd, OciError> {
        let bundle = std::fs::canonicalize(&self.bundle).map_err(|source| OciError::Bundle {
            path: self.bundle.clone(),
            source,
        })?;
        let launch = self.launch(&bundle)?;
        let linux = launch.spec.linux().as_ref();
        let cgroups_path = linux.and_then(|linux| linux.cgroups_path().as_ref());
        let mut record = Record {
            id: self.id.clone(),
            rootfs: match &launch.rootfs {
                Rootfs::Directory(path) => path.clone(),
                Rootfs::Overlay { .. } | Rootfs::Device { .. } => PathBuf::new(),
            },
            bundle,
            pid: 0,
            started_ticks: 0,
            created: jiff::Timestamp::now().to_string(),
            cgroups_path: cgroups_path
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            hooks: launch.spec.hooks().clone(),
            annotations: launch.spec.annotations().clone().unwrap_or_default(),
            owner: rustix::process::getuid().as_raw(),
        };
        record.store(root)?;
        fs::mknodat(
            CWD,
            directory.join(FIFO),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .map_err(OciError::host("make the start FIFO"))?;
        // Opened by the program's user, whoever that is; nobody else reaches the directory.
        fs::chmod(directory.join(FIFO), Mode::from_raw_mode(0o622))
            .map_err(OciError::host("let the container open the start FIFO"))?;
        let made = self.spawn(root, directory, &launch, &mut record);
        if made.is_err() {
            record.cgroup()?.remove()?;
        }
        made
    }

    fn spawn(
        &self,
        root: &Path,
        directory: &Path,
        launch: &Launch,
        record: &mut Record,
    ) -> Result<OwnedFd, OciError> {
        let (master, io) = streams(launch, self.console_socket.as_deref())?;
        let (go_read, go) = pipe_with(PipeFlags::CLOEXEC).map_err(OciError::host("make a pipe"))?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fifo = directory.join(FIFO);
        if let Some(owner) = root_of(launch) {
            let owner = Some(fs::Uid::from_raw(owner));
            fs::chownat(CWD, &fifo, owner, None, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(OciError::host("give the start FIFO to the container"))?;
        }
        let fifo =
            fs::open(&fifo, flags, Mode::empty()).map_err(OciError::host("open the start FIFO"))?;
        let stages = Stages {
            purpose: Purpose::CommandLine,
            created: Some(go_read),
            fifo: Some(fifo),
            state: record.state(Status::Creating).to_string(),
            pivot: !self.no_pivot,
            inherited: self.preserve_fds,
        };
        let Spawned { pid, pidfd, status } =
            container_in_stages(launch, io, None, &stages).map_err(OciError::Start)?;
        drop(stages);
        let ready = self.accompany(root, record, pid, status, &go);
        if ready.is_err() {
            let _gone = crate::sys::signals::send(pidfd.as_fd(), libc::SIGKILL);
            let _reaped = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
        ready?;
        if let (Some(master), Some(socket)) = (master, &self.console_socket) {
            console_socket::send(socket, &master)?;
        }
        if let Some(path) = &self.pid_file {
            write_pid(path, pid)?;
        }
        Ok(pidfd)
    }

    /// Runs hooks when the container is made, and waits until only the program is left to execute.
    fn accompany(
        &self,
        root: &Path,
        record: &mut Record,
        pid: u32,
        status: OwnedFd,
        go: &OwnedFd,
    ) -> Result<(), OciError> {
        let (ticks, _) = started_ticks(pid).map_err(|source| OciError::Host {
            attempt: "look at the process",
            source,
        })?;
        record.pid = pid;
        record.started_ticks = ticks;
        let mut status = Reports::new(status);
        if status.wait(Stage::Created)? {
            let hooks_of = record.hooks.as_ref();
            let state = record.state(Status::Creating).to_string();
            let prestart = hooks_of.and_then(|hooks| hooks.prestart().as_ref());
            let create_runtime = hooks_of.and_then(|hooks| hooks.create_runtime().as_ref());
            for hook in prestart.into_iter().flatten() {
                hooks::run(hook, "prestart", &state)?;
            }
            for hook in create_runtime.into_iter().flatten() {
                hooks::run(hook, "createRuntime", &state)?;
            }
            rustix::io::write(go, b"1").map_err(OciError::host("let the container go on"))?;
        }
        if !status.wait(Stage::Ready)? {
            return Err(OciError::Ended);
        }
        record.store(root)?;
        Ok(())
    }

    fn launch(&self, bundle: &Path) -> Result<Launch, OciError> {
        let path = bundle.join("config.json");
        let content = std::fs::read(&path).map_err(|source| OciError::Bundle {
            path: path.clone(),
            source,
        })?;
        let mut spec: Spec = serde_json::from_slice(&content)
            .map_err(|source| OciError::Document { path, source })?;
        let rootfs = spec
            .root()
            .as_ref()
            .map(|root| bundle.join(root.path()))
            .unwrap_or_default();
        let mut seccomp = Vec::new();
        if let Some(linux) = spec.linux_mut() {
            if let Some(wanted) = linux.seccomp() {
                seccomp = seccomp::filter_of_spec(wanted)?;
            }
            if linux
                .cgroups_path()
                .as_ref()
                .is_none_or(|path| path.as_os_str().is_empty())
            {
                linux.set_cgroups_path(Some(Path::new("longshore-oci").join(&self.id)));
            }
        }
        let mut terminal = None;
        if let Some(process) = spec.process_mut() {
            // A name is Windows's; here only numbers count.
            process.user_mut().set_username(None);
            if process.terminal() == Some(true) {
                terminal = Some(size(process));
            }
        }
        Ok(Launch {
            id: self.id.clone(),
            spec,
            rootfs: Rootfs::Directory(rootfs),
            groups: Vec::new(),
            seccomp,
            init: false,
            // Those that cannot be granted are no reason to fail (`config.md`, "Linux Process").
            clamp_capabilities: true,
            stdio: Stdio {
                terminal,
                stdin: true,
                discard_output: false,
            },
            log: LogTarget::None,
            note: serde_json::Value::Null,
        })
    }
}

impl Run {
    /// Makes and starts the container; answers the program's exit code, unless it is detached.
    pub(super) fn carry_out(&self, root: &Path) -> Result<u8, OciError> {
        let process = self.create.create(root)?;
        let started = start::start(root, &self.create.id);
        if started.is_ok() && self.detach {
            return Ok(0);
        }
        let code = if started.is_ok() {
            wait(&process)
        } else {
            Ok(0)
        };
        if !self.keep || started.is_err() {
            super::delete::delete(root, &self.create.id, true)?;
        }
        started.and(code)
    }
}

/// The host's id of the container's root, in a user namespace.
fn root_of(launch: &Launch) -> Option<u32> {
    let mappings = launch.spec.linux().as_ref()?.uid_mappings().as_ref()?;
    mappings
        .iter()
        .find(|mapping| mapping.container_id() == 0)
        .map(|mapping| mapping.host_id())
}

/// Size of the terminal that a process asks for; 0 by 0 leaves it to be set later.
pub(super) fn size(process: &oci_spec::runtime::Process) -> (u16, u16) {
    let side = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
    process
        .console_size()
        .map_or((0, 0), |size| (side(size.height()), side(size.width())))
}

/// The streams of a process: this command's own, or a terminal whose master goes to the socket.
fn streams(launch: &Launch, socket: Option<&Path>) -> Result<(Option<OwnedFd>, ChildIo), OciError> {
    if launch.stdio.terminal.is_none() {
        return Ok((None, own_streams()?));
    }
    if socket.is_none() {
        return Err(OciError::Unsupported(
            "process.terminal without --console-socket",
        ));
    }
    let (master, slave) = console::for_container(launch).map_err(OciError::Start)?;
    Ok((Some(master), ChildIo::Terminal(slave)))
}

/// This command's own streams.
pub(super) fn own_streams() -> Result<ChildIo, OciError> {
    let copy = |stream: std::os::fd::BorrowedFd<'_>| {
        rustix::io::fcntl_dupfd_cloexec(stream, 3)
            .map_err(OciError::host("duplicate a standard stream"))
    };
    Ok(ChildIo::Streams {
        stdin: copy(rustix::stdio::stdin())?,
        stdout: copy(rustix::stdio::stdout())?,
        stderr: copy(rustix::stdio::stderr())?,
    })
}

/// Writes the id of a process, whole or not at all.
pub(super) fn write_pid(path: &Path, pid: u32) -> Result<(), OciError> {
    let new = path.with_extension("new");
    std::fs::write(&new, pid.to_string())
        .and_then(|()| std::fs::rename(&new, path))
        .map_err(|source| OciError::Host {
            attempt: "write --pid-file",
            source,
        })
}

/// Waits for a child's end; the shell's exit code for it.
pub(super) fn wait(process: &OwnedFd) -> Result<u8, OciError> {
    let status = loop {
        match waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            answer => break answer.map_err(OciError::host("wait for the process"))?,
        }
    };
    let code = status.and_then(|status| {
        let killed = status.terminating_signal().map(|signal| 128 + signal);
        status.exit_status().or(killed)
    });
    Ok(code
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX))
}

/// Follows a start's reports.
pub(super) struct Reports {
    pipe: File,
    reader: Reader,
}

impl Reports {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: File::from(pipe),
            reader: Reader::default(),
        }
    }

    /// Waits until the process waits at this stage; `false` when it executes the program before.
    pub(super) fn wait(&mut self, stage: Stage) -> Result<bool, OciError> {
        let mut buffer = [0; 4096];
        while self.reader.stage() != Some(stage) {
            let length = self
                .pipe
                .read(&mut buffer)
                .map_err(|source| OciError::Host {
                    attempt: "read the start's reports",
                    source,
                })?;
            if length == 0 {
                let reader = std::mem::take(&mut self.reader);
                return reader
                    .finish()
                    .map(|_phases| false)
                    .map_err(OciError::Start);
            }
            self.reader.feed(buffer.get(..length).unwrap_or_default());
        }
        Ok(true)
    }

    /// Waits until the program is executed.
    pub(super) fn executed(mut self) -> Result<(), OciError> {
        let mut rest = Vec::new();
        self.pipe
            .read_to_end(&mut rest)
            .map_err(|source| OciError::Host {
                attempt: "read the start's reports",
                source,
            })?;
        self.reader.feed(&rest);
        self.reader
            .finish()
            .map(drop)
            .map_err(|error: StartError| OciError::Start(error))
    }
}
