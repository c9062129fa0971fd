//! Debian's Keystone, as the peer of our identity service: uwsgi with two processes, an SQLite
//! database, Fernet tokens and its cache in memory, in a scratch directory.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tests::api::Api;

use crate::{install, step};

/// Password of its administrator.
pub(super) const PASSWORD: &str = "measured";
/// Where it listens.
pub(super) const ADDRESS: &str = "127.0.0.1:35735";
const READY_WITHIN: Duration = Duration::from_secs(120);

/// It runs until it is dropped.
pub(super) struct Keystone {
    server: Child,
    directory: TempDir,
}

impl Keystone {
    /// Installs it where it is missing, and starts it.
    pub(super) fn start() -> Result<Self> {
        install::keystone()?;
        let directory = TempDir::with_prefix("longshore-bench-keystone-")?;
        let path = |name: &str| directory.path().join(name).display().to_string();
        let configuration = format!(
            "[database]\nconnection = sqlite:///{}\n\
             [token]\nprovider = fernet\n\
             [fernet_tokens]\nkey_repository = {}\n\
             [fernet_receipts]\nkey_repository = {}\n\
             [credential]\nkey_repository = {}\n\
             [cache]\nenabled = true\nbackend = oslo_cache.dict\n",
            path("keystone.db"),
            path("fernet"),
            path("fernet"),
            path("credential"),
        );
        std::fs::write(path("keystone.conf"), configuration)?;
        let log = directory.path().join("log");
        let manage = |args: &[&str]| -> Result<()> {
            let mut command = Command::new("keystone-manage");
            command.arg("--config-file").arg(path("keystone.conf"));
            command.args(args);
            command.stdout(append(&log)?).stderr(append(&log)?);
            step::run(&mut command)
        };
        manage(&["db_sync"])?;
        let owner = ["--keystone-user", "root", "--keystone-group", "root"];
        manage(&[&["fernet_setup"], owner.as_slice()].concat())?;
        let url = format!("http://{ADDRESS}/v3/");
        manage(&[
            "bootstrap",
            "--bootstrap-password",
            PASSWORD,
            "--bootstrap-public-url",
            &url,
            "--bootstrap-region-id",
            "RegionOne",
        ])?;
        // A socket that keeps connections, as our own clients' does.
        let server = Command::new("uwsgi-core")
            .args(["--plugin", "python3", "--http11-socket", ADDRESS])
            .args(["--wsgi-file", "/usr/bin/keystone-wsgi-public"])
            .args(["--master", "--processes", "2", "--die-on-term"])
            .args(["--so-keepalive", "--disable-logging"])
            .arg("--pyargv")
            .arg(format!("--config-file {}", path("keystone.conf")))
            .stdin(Stdio::null())
            .stdout(append(&log)?)
            .stderr(append(&log)?)
            .spawn()
            .context("start uwsgi")?;
        let mut keystone = Self { server, directory };
        keystone.wait_until_ready()?;
        Ok(keystone)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = Api::tcp(ADDRESS).call("GET", "/v3/", None);
            if answer.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            let log = self.directory.path().join("log");
            let has_ended = self.server.try_wait()?.is_some();
            ensure!(
                Instant::now() < deadline && !has_ended,
                "Keystone does not answer:\n{}",
                std::fs::read_to_string(log)?
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Keystone {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        // It may have ended by itself; its directory goes in either case.
        let _asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ended = self.server.wait();
    }
}

fn append(path: &PathBuf) -> Result<File> {
    Ok(File::options().create(true).append(true).open(path)?)
}
