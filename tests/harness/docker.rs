//! The unmodified `docker` command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Most seconds that one command may take.
const TIMEOUT_SECS: u64 = 120;

/// The command line, talking to one daemon.
#[derive(Clone)]
pub struct Docker {
    host: String,
    home: PathBuf,
    certificates: Option<PathBuf>,
}

/// What a command did.
#[derive(Debug)]
pub struct Answer {
    /// Its exit status; -1 when a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Answer {
    /// Its standard output without white space at the end, where it succeeded.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(
            self.code, 0,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self.stdout.trim_end().to_owned()
    }

    /// Its standard error, where it ended well.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn told(&self) -> &str {
        self.ok();
        &self.stderr
    }

    /// Its standard error, where it failed with this status.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &str {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        &self.stderr
    }
}

impl Docker {
    /// The command line for the daemon behind this socket, with a home directory of its own.
    #[must_use]
    pub fn new(socket: &Path, home: &Path) -> Self {
        Self::at(&format!("unix://{}", socket.display()), home)
    }

    /// The command line for the daemon at this `DOCKER_HOST`, with a home directory of its own.
    #[must_use]
    pub fn at(host: &str, home: &Path) -> Self {
        Self {
            host: host.to_owned(),
            home: home.to_owned(),
            certificates: None,
        }
    }

    /// The same by way of a port where TLS is spoken, with the certificates of a directory.
    #[must_use]
    pub fn over_tls(&self, address: &str, certificates: &Path) -> Self {
        Self {
            host: format!("tcp://{address}"),
            certificates: Some(certificates.to_owned()),
            ..self.clone()
        }
    }

    /// A command that can be started in any way.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of("docker", args)
    }

    /// The same, of another client.
    #[must_use]
    pub fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .arg("--foreground")
            // A client that is attached passes signals on to its container, and goes on.
            .arg("--kill-after=5")
            .arg(TIMEOUT_SECS.to_string())
            .arg(program)
            .args(args);
        command
            .env("DOCKER_HOST", &self.host)
            .env("HOME", &self.home)
            .env("DOCKER_CLI_HINTS", "false");
        if let Some(certificates) = &self.certificates {
            command
                .env("DOCKER_TLS_VERIFY", "1")
                .env("DOCKER_CERT_PATH", certificates);
        }
        command
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_API_VERSION");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When `docker` cannot be executed.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Answer {
        answer(
            self.command(args)
                .output()
                .expect("docker must be installed"),
        )
    }

    /// Runs a command to its end, with this on its standard input.
    ///
    /// # Panics
    /// When `docker` cannot be executed.
    #[track_caller]
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Answer {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker must be installed");
        let mut stdin = child.stdin.take().expect("it was piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("docker was started");
        // A command that fails early does not read its input.
        let _broken_pipe = writer.join().expect("the writer does not panic");
        answer(output)
    }

    /// Starts a command and lets it run.
    ///
    /// # Panics
    /// When `docker` cannot be executed.
    #[must_use]
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker must be installed")
    }

    /// One value of `docker inspect`, as its template prints it.
    ///
    /// # Panics
    /// When there is no such object.
    #[must_use]
    #[track_caller]
    pub fn inspect(&self, object: &str, template: &str) -> String {
        self.run(&["inspect", "--format", template, object]).ok()
    }

    /// Asks until `is_so`, and fails the test when that does not come true.
    ///
    /// # Panics
    /// When it does not come true within a minute.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        for _ in 0..600 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        #[expect(clippy::panic, reason = "what does not come true fails the test")]
        {
            panic!("{what} did not come true within a minute");
        }
    }
}

/// What a command answered.
#[must_use]
pub fn answer(output: std::process::Output) -> Answer {
    Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
