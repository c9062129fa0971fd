//! The unmodified `openstack` command line, from `LONGSHORE_OPENSTACK` or the usual places.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::docker::{Answer, answer};
use crate::setting;

/// Most seconds that one command may take; the client alone takes several to start.
const TIMEOUT_SECS: u64 = 120;

/// The command line, as one user of one cloud.
#[derive(Clone)]
pub struct OpenStack {
    program: PathBuf,
    clouds: PathBuf,
    overrides: Vec<(String, String)>,
}

impl OpenStack {
    /// The operator of the cloud in a data directory, as its `clouds.yaml` says.
    #[must_use]
    pub fn operator(data_dir: &Path) -> Self {
        Self {
            program: setting("LONGSHORE_OPENSTACK")
                .map_or_else(|| PathBuf::from("openstack"), PathBuf::from),
            clouds: data_dir.join("clouds.yaml"),
            overrides: Vec::new(),
        }
    }

    /// The same with options in front of every command, such as `--os-username`.
    #[must_use]
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.overrides.push((option.to_owned(), value.to_owned()));
        self
    }

    /// The same by the program at this path.
    #[must_use]
    pub fn by(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Another user of the domain `Default`, in a project of it.
    #[must_use]
    pub fn user(&self, name: &str, password: &str, project: &str) -> Self {
        self.clone()
            .with("--os-username", name)
            .with("--os-password", password)
            .with("--os-project-name", project)
    }

    /// A command that can be started in any way.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.arg("--foreground").arg(TIMEOUT_SECS.to_string());
        command.arg(&self.program);
        for (option, value) in &self.overrides {
            command.args([option, value]);
        }
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("OS_CLIENT_CONFIG_FILE", &self.clouds)
            .env("OS_CLOUD", "longshore")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When `openstack` cannot be executed.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Answer {
        let output = self.command(args).output();
        answer(output.expect("openstack must be installed"))
    }

    /// What a command that succeeds answers in JSON.
    ///
    /// # Panics
    /// When it fails, or answers anything else.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.run(&[args, &["--format", "json"]].concat()).ok();
        serde_json::from_str(&text).expect("the client answers in JSON")
    }
}
