//! A daemon of the tests' own, in a scratch directory: ours, or dockerd to test the tests.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::distribution::Registry;
use crate::docker::Docker;
use crate::leftovers::{self, BACKING, Snapshot};
use crate::openstack::OpenStack;
use crate::setting;

/// How long a daemon may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Which daemon the tests run against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Ours.
    Longshore,
    /// The peer.
    Dockerd,
    /// The peer with our OCI runtime in the place of `runc`. It has no networks, so that it is in
    /// nobody's way.
    DockerdOverOci,
}

impl Kind {
    /// The kind that the environment asks for.
    #[must_use]
    pub fn wanted() -> Self {
        match setting("LONGSHORE_AGAINST").as_deref() {
            Some("dockerd") => Self::Dockerd,
            _ => Self::Longshore,
        }
    }
}

/// A running daemon. Dropping it takes it down.
pub struct Daemon {
    kind: Kind,
    binary: PathBuf,
    // Unmounted before the directory around it is removed.
    disk: Option<Disk>,
    dir: TempDir,
    listen: String,
    prefix: String,
    config: Option<PathBuf>,
    mirror: Option<String>,
    child: Option<Child>,
}

impl Daemon {
    /// Starts the daemon that the environment asks for.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start() -> Result<Self> {
        Self::start_kind(Kind::wanted())
    }

    /// Starts a daemon of this kind.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_kind(kind: Kind) -> Result<Self> {
        let binary = if kind == Kind::Dockerd {
            PathBuf::new()
        } else {
            binary()?
        };
        Self::start_as(kind, &binary)
    }

    /// Starts our daemon from this binary.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_with(binary: &Path) -> Result<Self> {
        Self::start_as(Kind::Longshore, binary)
    }

    /// Starts our daemon with its data directory on a small file system, which goes with it.
    ///
    /// # Errors
    /// When it cannot be mounted, or the daemon does not answer in time.
    pub fn start_on(kind: Kind, bytes: u64) -> Result<Self> {
        let binary = if kind == Kind::Dockerd {
            PathBuf::new()
        } else {
            binary()?
        };
        let mut daemon = Self::new(kind, &binary)?;
        daemon.disk = Some(Disk::mount(&daemon.data_dir(), bytes)?);
        daemon.up()?;
        Ok(daemon)
    }

    /// Starts our daemon with its data directory on a file system that takes `shown` bytes and loses
    /// what is beyond `held`.
    ///
    /// # Errors
    /// When it cannot be mounted, or the daemon does not answer in time.
    pub fn start_on_one_that_loses(shown: u64, held: u64) -> Result<Self> {
        let mut daemon = Self::new(Kind::Longshore, &binary()?)?;
        let backing = daemon.dir.path().join(BACKING);
        let disk = Disk::mount_that_loses(&daemon.data_dir(), &backing, shown, held)?;
        daemon.disk = Some(disk);
        daemon.up()?;
        Ok(daemon)
    }

    /// Starts our daemon with these settings, in TOML.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_configured(settings: &str) -> Result<Self> {
        let mut daemon = Self::new(Kind::Longshore, &binary()?)?;
        let path = daemon.scratch().join("longshore.toml");
        std::fs::write(&path, settings)?;
        daemon.config = Some(path);
        daemon.up()?;
        Ok(daemon)
    }

    /// Starts a daemon, ours from this binary, that takes the registry at `mirror` for a copy of
    /// Docker Hub.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_mirrored(kind: Kind, binary: &Path, mirror: String) -> Result<Self> {
        let mut daemon = Self::new(kind, binary)?;
        daemon.mirror = Some(mirror);
        daemon.up()?;
        Ok(daemon)
    }

    fn start_as(kind: Kind, binary: &Path) -> Result<Self> {
        let mut daemon = Self::new(kind, binary)?;
        daemon.up()?;
        Ok(daemon)
    }

    fn new(kind: Kind, binary: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two of one process that live at once never meet: a suite's own lives as long as it does.
        // Ports stay below those that the kernel gives to connections, from 32,768 on.
        let unique = (std::process::id() % 49) * 256 + number % 256;
        if kind == Kind::Longshore {
            static SWEPT: Once = Once::new();
            let mut swept = Ok(());
            SWEPT.call_once(|| swept = leftovers::sweep(binary));
            swept.context("take away what killed test runs left")?;
        }
        let dir = leftovers::scratch()?;
        Ok(Self {
            kind,
            binary: binary.to_owned(),
            dir,
            listen: format!("127.0.0.1:{}", 20_000 + unique),
            prefix: format!("t{unique:04x}"),
            config: None,
            mirror: None,
            child: None,
            disk: None,
        })
    }

    /// Starts the process, which must not run, and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn up(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the daemon runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("daemon.log"))?;
        let mut command = match self.kind {
            Kind::Longshore => {
                let mut command = Command::new(&self.binary);
                command.arg("up").arg("--data-dir").arg(self.data_dir());
                command.args(["--listen", &self.listen, "--bridge-prefix", &self.prefix]);
                if let Some(config) = &self.config {
                    command.arg("--config").arg(config);
                }
                command.stdout(Stdio::piped());
                command
            }
            Kind::Dockerd | Kind::DockerdOverOci => {
                let mut command = Command::new("dockerd");
                command.arg("--data-root").arg(self.dir.path().join("data"));
                command.arg("--exec-root").arg(self.dir.path().join("exec"));
                command.arg("--pidfile").arg(self.dir.path().join("pid"));
                command
                    .arg("--host")
                    .arg(format!("unix://{}", self.socket().display()));
                if self.kind == Kind::DockerdOverOci {
                    let runtime = self.oci_runtime()?;
                    command
                        .arg("--add-runtime")
                        .arg(format!("longshore={}", runtime.display()));
                    command.args(["--default-runtime", "longshore"]);
                    command.args(["--bridge", "none", "--iptables=false"]);
                }
                command.stdout(Stdio::null());
                command
            }
        };
        if let Some(mirror) = &self.mirror {
            command.arg("--registry-mirror").arg(mirror);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let ready = match child.stdout.take() {
            Some(stdout) => wait_for_line(stdout),
            None => self.wait_for_ping(),
        };
        self.child = Some(child);
        ready.with_context(|| {
            format!(
                "the daemon did not become ready; its log ends with:\n{}",
                self.log_tail()
            )
        })
    }

    /// Our OCI runtime as a program of its own, which is what others want.
    fn oci_runtime(&self) -> Result<PathBuf> {
        let path = self.dir.path().join("longshore-oci");
        let script = format!("#!/bin/sh\nexec {} oci \"$@\"\n", self.binary.display());
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// From now on runs another binary.
    pub fn set_binary(&mut self, binary: &Path) {
        binary.clone_into(&mut self.binary);
    }

    /// Kills the process at once, as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn crash(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the daemon does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks the process to stop and leave its containers running.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the daemon does not run")?;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + READY_WITHIN;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                bail!("the daemon did not stop within {READY_WITHIN:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends the daemon and everything it runs.
    ///
    /// # Errors
    /// When something is left behind.
    pub fn down(&mut self) -> Result<()> {
        match self.kind {
            Kind::Longshore => {
                let output = Command::new(&self.binary)
                    .arg("down")
                    .arg("--data-dir")
                    .arg(self.data_dir())
                    .output()?;
                if let Some(mut child) = self.child.take() {
                    if !output.status.success() {
                        child.kill()?;
                    }
                    child.wait()?;
                }
                ensure!(
                    output.status.success(),
                    "down failed: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Kind::Dockerd | Kind::DockerdOverOci => {
                let docker = self.docker();
                let ids = docker.run(&["ps", "-aq"]).stdout;
                for id in ids.split_whitespace() {
                    docker.run(&["rm", "-fv", id]);
                }
                if self.child.is_some() {
                    self.stop()?;
                }
            }
        }
        Ok(())
    }

    /// The unmodified command line, talking to this daemon.
    #[must_use]
    pub fn docker(&self) -> Docker {
        Docker::new(&self.socket(), self.dir.path())
    }

    /// The unmodified `openstack` command line, as the operator.
    #[must_use]
    pub fn openstack(&self) -> OpenStack {
        OpenStack::operator(&self.data_dir())
    }

    /// Its registry, as the operator.
    ///
    /// # Errors
    /// When the operator's password is not to be found.
    pub fn registry(&self) -> Result<Registry> {
        let password = self.operator_password()?;
        Ok(Registry::new(&self.listen).user("admin", &password))
    }

    /// The password that the operator got at first start.
    ///
    /// # Errors
    /// When it is not to be found.
    pub fn operator_password(&self) -> Result<String> {
        let openrc = std::fs::read_to_string(self.data_dir().join("openrc"))?;
        let line = openrc
            .lines()
            .find_map(|line| line.strip_prefix("export OS_PASSWORD="))
            .context("openrc has no password")?;
        Ok(line.trim_matches('\'').to_owned())
    }

    /// Which daemon it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The process id of its keeper.
    ///
    /// # Errors
    /// When there is none.
    pub fn keeper_pid(&self) -> Result<u32> {
        let directory = self.data_dir().join("keeper");
        let mark = format!("\0keeper\0--dir\0{}\0", directory.display());
        for entry in std::fs::read_dir("/proc")? {
            let path = entry?.path();
            // A process may end while it is looked at.
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&mark)
                && let Some(pid) = path.file_name().and_then(|name| name.to_str())
            {
                return Ok(pid.parse()?);
            }
        }
        bail!("no keeper of {} runs", directory.display())
    }

    /// What `longshore status` prints.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn status(&self) -> Result<String> {
        let output = Command::new(&self.binary)
            .arg("status")
            .arg("--data-dir")
            .arg(self.data_dir())
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Address and port of its HTTP listener.
    #[must_use]
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// A scratch directory that lasts as long as the daemon.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// What its names on this machine begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its Docker socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        match self.kind {
            Kind::Longshore => self.data_dir().join("docker.sock"),
            Kind::Dockerd | Kind::DockerdOverOci => self.dir.path().join("docker.sock"),
        }
    }

    /// What is on this machine of it now.
    ///
    /// # Errors
    /// When the machine cannot be looked at.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(&self.prefix, self.dir.path())
    }

    /// The last lines that it logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn wait_for_ping(&self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if self.socket().exists() && self.docker().run(&["version"]).code == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("nothing answers on {}", self.socket().display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let down = self.down();
        if std::thread::panicking() {
            return;
        }
        if let Err(error) = down {
            #[expect(
                clippy::panic,
                reason = "a daemon that cannot be taken down fails the test"
            )]
            {
                panic!("{error:#}");
            }
        }
    }
}

/// The daemon's binary, from the environment.
///
/// # Errors
/// When the environment does not say.
pub fn binary() -> Result<PathBuf> {
    setting("LONGSHORE_BIN")
        .map(PathBuf::from)
        .context("set LONGSHORE_BIN to the binary; `cargo xtask test` does")
}

/// Waits for the one line that our daemon prints when everything answers.
fn wait_for_line(stdout: std::process::ChildStdout) -> Result<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        // The other end is gone only when the wait has timed out.
        let _unheard = sender.send(read.map(|_| line));
    });
    let line = receiver
        .recv_timeout(READY_WITHIN)
        .context("no line on standard output")??;
    ensure!(line.starts_with("ready: "), "unexpected line {line:?}");
    Ok(())
}
