//! The last part of a start: from a process with the host's privileges, inside the container, to
//! the program with its own. Containers and further processes in them share it.
//!
//! The order follows from what each step needs: the bounding set and, without no-new-privileges,
//! the system call filter need privileges that changing the user gives up.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use oci_spec::runtime::{IOPriorityClass, Process};
use rooted::Root;
use rustix::fs::{self, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::thread::{
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::status::Reporter;
use super::{ChildIo, lookup};
use crate::capabilities::Sets;
use crate::init::Init;
use crate::launch::{StartError, StartErrorKind};
use crate::procfs::Proc;
use crate::user::{Databases, Identity, UserError};
use crate::{rlimits, sys};

/// A program about to be executed.
#[derive(Debug)]
pub(super) struct Program<'launch> {
    pub(super) process: &'launch Process,
    pub(super) groups: &'launch [String],
    pub(super) capabilities: Sets,
    /// Limits and privileges beyond the host's are lowered to them, instead of refused.
    pub(super) clamp: bool,
    pub(super) seccomp: &'launch [u8],
    /// Descriptors from 3 on that the program inherits.
    pub(super) inherited: u32,
    /// Runs under a small process 1.
    pub(super) init: Option<Init>,
}

/// What is needed of the host after its file system is gone.
#[derive(Debug)]
pub(super) struct Labels {
    apparmor: Option<OwnedFd>,
    selinux: Option<OwnedFd>,
}

impl Labels {
    /// Opens the files by which security labels for the next `execve` are set.
    pub(super) fn open(proc: &Proc, process: &Process) -> Result<Self, StartError> {
        let open = |paths: &[&str]| {
            let mut opened = Err(Errno::NOENT);
            for path in paths {
                opened = proc
                    .open_file(path.as_ref(), fs::OFlags::WRONLY)
                    .map_err(|error| error.source);
                if opened.is_ok() {
                    break;
                }
            }
            opened
        };
        let wanted = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
        let failed = |field: &'static str| {
            move |errno| {
                StartError::invalid(&LabelError {
                    field,
                    source: errno,
                })
            }
        };
        let apparmor = wanted(process.apparmor_profile())
            .then(|| open(&["self/attr/apparmor/exec", "self/attr/exec"]))
            .transpose()
            .map_err(failed("process.apparmorProfile"))?;
        let selinux = wanted(process.selinux_label())
            .then(|| open(&["self/attr/exec"]))
            .transpose()
            .map_err(failed("process.selinuxLabel"))?;
        Ok(Self { apparmor, selinux })
    }

    fn apply(&self, process: &Process) -> Result<(), StartError> {
        if let (Some(file), Some(profile)) = (&self.apparmor, process.apparmor_profile()) {
            rustix::io::write(file, format!("exec {profile}").as_bytes()).map_err(|source| {
                StartError::invalid(&LabelError {
                    field: "process.apparmorProfile",
                    source,
                })
            })?;
        }
        if let (Some(file), Some(label)) = (&self.selinux, process.selinux_label()) {
            rustix::io::write(file, label.as_bytes()).map_err(|source| {
                StartError::invalid(&LabelError {
                    field: "process.selinuxLabel",
                    source,
                })
            })?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{field} cannot be applied on this host")]
struct LabelError {
    field: &'static str,
    source: Errno,
}

/// A step of a process's own set-up that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{attempt}")]
struct StepError {
    attempt: &'static str,
    source: Errno,
}

/// The program with everything found out, one system call from running.
#[derive(Debug)]
pub(super) struct Prepared {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
    name: String,
}

impl Program<'_> {
    /// Gives this process the program's identity, privileges and working directory, and finds the
    /// program.
    pub(super) fn prepare(
        &self,
        labels: &Labels,
        reporter: &mut Reporter,
    ) -> Result<Prepared, StartError> {
        let identity = self.identity()?;
        rlimits::set(
            self.process.rlimits().as_deref().unwrap_or_default(),
            self.clamp,
        )
        .map_err(|error| StartError::invalid(&error))?;
        // Before a filter that may know nothing of such a call; what is opened later closes itself.
        sys::descriptors::close_on_exec_from(3 + self.inherited)
            .map_err(step("close descriptors"))?;
        if let Some(wanted) = self.process.io_priority() {
            let class = match wanted.class() {
                IOPriorityClass::IoprioClassRt => 1,
                IOPriorityClass::IoprioClassBe => 2,
                IOPriorityClass::IoprioClassIdle => 3,
            };
            let level = i32::try_from(wanted.priority()).unwrap_or(-1);
            sys::identity::set_io_priority(class << 13 | level)
                .map_err(step("set process.ioPriority"))?;
        }
        give_streams(identity.uid)?;
        labels.apply(self.process)?;
        let no_new_privileges = self.process.no_new_privileges().unwrap_or(false);
        if no_new_privileges {
            set_no_new_privs(true).map_err(step("set no-new-privileges"))?;
        } else {
            self.install_filter()?;
        }
        self.capabilities
            .bound()
            .map_err(|error| StartError::internal(&error))?;
        set_keep_capabilities(true).map_err(step("keep capabilities"))?;
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        set_thread_groups(&groups).map_err(step("set supplementary groups"))?;
        let gid = Gid::from_raw(identity.gid);
        set_thread_res_gid(gid, gid, gid).map_err(step("set group"))?;
        // Where only root may go, or where only the user may: tried as both.
        let early = rustix::process::chdir(self.process.cwd());
        let uid = Uid::from_raw(identity.uid);
        set_thread_res_uid(uid, uid, uid).map_err(step("set user"))?;
        set_keep_capabilities(false).map_err(step("keep capabilities no longer"))?;
        if early.is_err() {
            self.change_directory()?;
        }
        stay_inside()?;
        self.capabilities
            .apply()
            .map_err(|error| StartError::internal(&error))?;
        let umask = self.process.user().umask().unwrap_or(0o022);
        rustix::process::umask(Mode::from_raw_mode(umask));
        reporter.ended("identity");
        let prepared = self.find(&identity)?;
        if no_new_privileges {
            self.install_filter()?;
        }
        reporter.ended("seccomp");
        Ok(prepared)
    }

    fn identity(&self) -> Result<Identity, StartError> {
        let user = self.process.user();
        let invalid = |error: UserError| StartError::invalid(&error);
        let root = Root::open("/".as_ref()).map_err(|error| StartError::internal(&error))?;
        let named = user.username().as_deref().filter(|name| !name.is_empty());
        let by_name = self
            .groups
            .iter()
            .any(|group| group.parse::<u32>().is_err());
        // Reading the databases is spared where no name and no home directory is to be found.
        let databases = if named.is_some() || by_name || self.env("HOME").is_none() {
            Databases::read(&root)
        } else {
            Databases::default()
        };
        let mut identity = match named {
            Some(named) => {
                let mut identity = databases.named(named).map_err(invalid)?;
                // Without its own group among the others a process could give that group up, and
                // with it what a file denies the group (CVE-2022-36109).
                identity.groups.insert(0, identity.gid);
                identity
            }
            None => Identity {
                uid: user.uid(),
                gid: user.gid(),
                groups: Vec::new(),
                home: databases.home(user.uid()).to_owned(),
            },
        };
        identity
            .groups
            .extend(user.additional_gids().iter().flatten());
        for group in self.groups {
            identity.groups.push(databases.gid(group).map_err(invalid)?);
        }
        Ok(identity)
    }

    fn env(&self, name: &str) -> Option<&str> {
        let entries = self.process.env().iter().flatten().rev();
        let mut values = entries
            .filter_map(|entry| entry.split_once('='))
            .filter(|(key, _)| *key == name);
        values.next().map(|(_, value)| value)
    }

    fn change_directory(&self) -> Result<(), StartError> {
        rustix::process::chdir(self.process.cwd()).map_err(|errno| StartError {
            kind: StartErrorKind::Invalid,
            message: format!(
                "chdir to cwd ({:?}) set in config.json failed: {}",
                self.process.cwd(),
                lookup::words(errno)
            ),
        })
    }

    fn install_filter(&self) -> Result<(), StartError> {
        if self.seccomp.is_empty() {
            return Ok(());
        }
        sys::seccomp::install(self.seccomp).map_err(step("install the system call filter"))
    }

    fn find(&self, identity: &Identity) -> Result<Prepared, StartError> {
        let args = self.process.args().as_deref().unwrap_or_default();
        let Some(name) = args.first() else {
            return Err(StartError {
                kind: StartErrorKind::Invalid,
                message: "process.args is empty".to_owned(),
            });
        };
        let path = lookup::find(name, self.env("PATH").unwrap_or_default())?;
        let mut env = strings(self.process.env().iter().flatten(), "process.env")?;
        if self.env("HOME").is_none() {
            env.extend(strings(
                [format!("HOME={}", identity.home)].iter(),
                "process.env",
            )?);
        }
        let path = strings([path].iter(), "process.args")?
            .into_iter()
            .next()
            .unwrap_or_default();
        Ok(Prepared {
            path,
            args: strings(args.iter(), "process.args")?,
            env,
            name: name.clone(),
        })
    }

    /// Becomes the program.
    pub(super) fn execute(
        &self,
        prepared: &Prepared,
        reporter: &mut Reporter,
    ) -> Result<Infallible, StartError> {
        reporter.flush();
        let Prepared {
            path,
            args,
            env,
            name,
        } = prepared;
        match &self.init {
            Some(init) => init.execute(path, args, env),
            None => sys::exec::execve(path, args, env),
        }
        .map_err(|errno| lookup::not_executed(&path.to_string_lossy(), name, errno))
    }
}

fn step(attempt: &'static str) -> impl Fn(Errno) -> StartError {
    move |source| StartError::internal(&StepError { attempt, source })
}

fn strings<'text>(
    texts: impl Iterator<Item = &'text String>,
    field: &str,
) -> Result<Vec<CString>, StartError> {
    let convert = |text: &'text String| {
        CString::new(text.as_str()).map_err(|_| StartError {
            kind: StartErrorKind::Invalid,
            message: format!("{field} contains a nul byte: {text:?}"),
        })
    };
    texts.map(convert).collect()
}

/// The working directory must be one that this root has a path to; a descriptor of the host's that
/// leaked would be a way out (CVE-2024-21626).
fn stay_inside() -> Result<(), StartError> {
    let inside = match rustix::process::getcwd(Vec::new()) {
        Ok(path) => path.as_bytes().first() == Some(&b'/'),
        // A filter that refuses the question answers otherwise than the kernel would.
        Err(errno) => errno != Errno::NOENT,
    };
    if inside {
        return Ok(());
    }
    Err(StartError {
        kind: StartErrorKind::Invalid,
        message: "current working directory is outside of container mount namespace root"
            .to_owned(),
    })
}

/// Makes the standard streams this process's, in a session of its own.
pub(super) fn take_streams(io: &ChildIo) -> Result<(), StartError> {
    // An error here means that there is a session already, which is as good.
    let _session = rustix::process::setsid();
    let dup = |fd: &OwnedFd| {
        rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(step("duplicate a standard stream"))
    };
    let [stdin, stdout, stderr] = match io {
        ChildIo::Streams {
            stdin,
            stdout,
            stderr,
        } => [dup(stdin)?, dup(stdout)?, dup(stderr)?],
        ChildIo::Terminal(slave) => {
            rustix::process::ioctl_tiocsctty(&slave.fd).map_err(step("take the terminal"))?;
            [dup(&slave.fd)?, dup(&slave.fd)?, dup(&slave.fd)?]
        }
    };
    rustix::stdio::dup2_stdin(&stdin).map_err(step("set standard input"))?;
    rustix::stdio::dup2_stdout(&stdout).map_err(step("set standard output"))?;
    rustix::stdio::dup2_stderr(&stderr).map_err(step("set standard error"))?;
    Ok(())
}

/// Lets the user open its own streams again, as `/dev/stderr`.
fn give_streams(uid: u32) -> Result<(), StartError> {
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        let stat = fs::fstat(stream).map_err(step("look at a standard stream"))?;
        let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == fs::makedev(1, 3);
        if stat.st_uid == uid || is_null {
            continue;
        }
        match fs::fchown(stream, Some(Uid::from_raw(uid)), None) {
            // Of a read-only file system, or of another user namespace: it stays as it is.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => return Err(step("give a standard stream to the user")(errno)),
        }
    }
    Ok(())
}
