//! A virtual machine of the tests' own: a kernel of Debian's, our binary, the real client, and a
//! disk that outlives it. For what containers on this machine cannot show: pure cgroup version 2,
//! an old kernel, a reboot, a power cut.
//!
//! `LONGSHORE_KERNEL` names the directory that a kernel's package was unpacked to; `cargo xtask
//! test` sets it. What happens in the machine is told to [`guest`]'s shell.

mod guest;
mod initramfs;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::docker::Answer;
use crate::{daemon, setting};
use guest::Guest;

/// Size of the disk with the data directory; only what is written takes place here.
const DISK_BYTES: u64 = 2 << 30;
/// The client in the machine.
const DOCKER: &str = "DOCKER_HOST=unix:///var/lib/longshore/docker.sock docker";
/// Where the daemon logs to.
const LOG: &str = "/var/lib/longshore/up.log";
/// Starts the daemon and waits for its line.
const UP: &str = "ulimit -n 65536
longshore up >/run/up.out 2>>/var/lib/longshore/up.log &
echo $! >/run/up.pid
until grep -q ^ready: /run/up.out; do kill -0 $(cat /run/up.pid) || exit 1; usleep 20000; done";
/// Ends everything as a distribution's shutdown does: politely, then not.
const SHUT_DOWN: &str = "kill -TERM -1
while kill -0 $(cat /run/up.pid); do usleep 20000; done
kill -KILL -1
umount /var/lib/longshore
sync";

/// A machine that runs the daemon. Dropping it ends it.
pub struct Machine {
    guest: Guest,
    scratch: TempDir,
    kernel: PathBuf,
}

impl Machine {
    /// Makes a machine with an empty disk, boots it, starts the daemon and imports `busybox`.
    ///
    /// # Errors
    /// When the environment names no kernel, or the machine does not come up.
    pub fn new() -> Result<Self> {
        let package = setting("LONGSHORE_KERNEL")
            .map(PathBuf::from)
            .context("set LONGSHORE_KERNEL to an unpacked kernel; `cargo xtask test` does")?;
        let scratch = crate::leftovers::scratch()?;
        let kernel = initramfs::kernel(&package)?;
        initramfs::build(
            &package,
            &daemon::binary()?,
            &initramfs_path(scratch.path()),
        )?;
        let disk = disk_path(scratch.path());
        std::fs::File::create(&disk)?.set_len(DISK_BYTES)?;
        let made = Command::new("mkfs.ext4")
            .arg("-q")
            .arg(&disk)
            .status()
            .context("execute mkfs.ext4")?;
        ensure!(made.success(), "mkfs.ext4 failed");
        let guest = boot(&kernel, scratch.path())?;
        let mut machine = Self {
            guest,
            scratch,
            kernel,
        };
        machine.up()?;
        let import = "import -c 'CMD [\"sh\"]' -c 'ENV PATH=/bin' /busybox.tar busybox";
        machine.must(&format!("{DOCKER} {import}"))?;
        Ok(machine)
    }

    /// Runs a script in the machine.
    ///
    /// # Panics
    /// When the machine does not answer.
    #[track_caller]
    pub fn sh(&mut self, script: &str) -> Answer {
        self.guest.run(script).expect("the machine must answer")
    }

    /// Runs the real client in the machine.
    ///
    /// # Panics
    /// When the machine does not answer.
    #[track_caller]
    pub fn docker(&mut self, args: &[&str]) -> Answer {
        let mut script = DOCKER.to_owned();
        for arg in args {
            script += &format!(" '{}'", arg.replace('\'', r"'\''"));
        }
        self.sh(&script)
    }

    /// One value of `docker inspect`, as its template prints it.
    ///
    /// # Panics
    /// When there is no such object.
    #[track_caller]
    pub fn inspect(&mut self, object: &str, template: &str) -> String {
        self.docker(&["inspect", "--format", template, object]).ok()
    }

    /// Waits until a condition of the shell's comes true.
    ///
    /// # Panics
    /// When it does not in 200 attempts.
    #[track_caller]
    pub fn wait_until(&mut self, condition: &str) {
        self.sh(&format!(
            "docker() {{ env {DOCKER} \"$@\"; }}
            attempts=0
            until {condition} >/dev/null 2>&1; do
                attempts=$((attempts + 1))
                [ $attempts -lt 200 ] || {{ docker ps -a; tail -n 30 {LOG}; exit 1; }}
                usleep 200000
            done"
        ))
        .ok();
    }

    /// Shuts the machine down as its administrator would, boots it, and starts the daemon.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn reboot(&mut self) -> Result<()> {
        self.must(SHUT_DOWN)?;
        self.power_cut()
    }

    /// Takes the machine's power away at once, boots it, and starts the daemon.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn power_cut(&mut self) -> Result<()> {
        self.guest.kill()?;
        self.guest = boot(&self.kernel, self.scratch.path())?;
        self.up()
    }

    fn up(&mut self) -> Result<()> {
        let up = self.must(UP);
        up.or_else(|error| {
            let log = self.guest.run(&format!("tail -n 20 {LOG}"))?;
            Err(error.context(log.stdout))
        })
    }

    fn must(&mut self, script: &str) -> Result<()> {
        let answer = self.guest.run(script)?;
        ensure!(answer.code == 0, "{script}: {answer:?}");
        Ok(())
    }
}

fn boot(kernel: &Path, scratch: &Path) -> Result<Guest> {
    Guest::boot(
        kernel,
        &initramfs_path(scratch),
        &disk_path(scratch),
        &scratch.join("console.log"),
    )
}

fn initramfs_path(scratch: &Path) -> PathBuf {
    scratch.join("initramfs")
}

fn disk_path(scratch: &Path) -> PathBuf {
    scratch.join("disk")
}
