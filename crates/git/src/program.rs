//! The `git` program, run so that it does nothing but what it is told.
//!
//! It reads no configuration but ours, runs no hooks, asks nobody for passwords, has no keys of the
//! node's, and connects through the caller's proxy only. It ends, with all that it runs, when whoever
//! waits for it does not any more.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::{AddressError, Repository};

/// What git says is not read further than this.
const MOST_BYTES: u64 = 1 << 20;

/// Seconds after which a server that sends nothing is given up.
const PATIENCE_SECONDS: u64 = 60;

/// Why a repository could not be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no such program.
    #[error("git is not installed on this node: install it to build from repositories")]
    Missing,
    /// It could not be run, or its files not be made.
    #[error("{attempt} {}", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It failed.
    #[error("git {attempt}: {told}")]
    Failed {
        /// What it was to do.
        attempt: String,
        /// What it said.
        told: String,
    },
    /// The address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Nothing is called so.
    #[error("repository {repository} does not contain ref {reference}")]
    NoReference {
        /// What was looked for.
        reference: String,
        /// Where.
        repository: String,
    },
    /// It was promised that the commit is known.
    #[error("fetch-by-commit requires a full commit SHA as checksum or ref")]
    NoCommit,
    /// It is another commit.
    #[error("expected checksum to match {expected}, got {found}")]
    Checksum {
        /// As asked for.
        expected: String,
        /// As it is.
        found: String,
    },
    /// The directory that is asked for is none, or behind a link.
    #[error("invalid subdir {0}: not a directory of the repository")]
    Directory(String),
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct Way {
    /// Directories of programs, as in `PATH`.
    pub programs: OsString,
    /// The proxy for everything, as libcurl has addresses of those: `socks5h://user:password@host:port`.
    pub proxy: String,
    /// Words of a shell that connect their standard streams with the host and the port that come after,
    /// through the proxy that [`PROXY_VARIABLE`] names.
    pub tunnel: String,
    /// What HTTP servers are told of who asks: a header `Authorization`.
    pub authorization: Option<String>,
    /// The socket of an agent for SSH.
    pub agent: Option<PathBuf>,
}

/// In which environment variable [`Way::tunnel`] finds its proxy.
pub const PROXY_VARIABLE: &str = "LONGSHORE_PROXY";

/// Over what may be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transports {
    /// What the address says, and nothing less safe, wherever a server points to.
    Own,
    /// Whatever is a network's, as the repositories in a repository say it.
    All,
}

/// The program, in a directory of its own.
#[derive(Debug)]
pub struct Git<'a> {
    room: &'a Path,
    way: &'a Way,
}

impl<'a> Git<'a> {
    /// Gets ready to work on one repository, in a directory that is the caller's and nobody else's.
    ///
    /// # Errors
    /// [`GitError::File`].
    pub fn new(room: &'a Path, way: &'a Way, repository: &Repository) -> Result<Self, GitError> {
        let git = Self { room, way };
        let (config, script) = (git.config(), git.script());
        write(&config, 0o600, &configuration(way, repository, &script))?;
        let text = format!(
            "#!/bin/sh\n{PROXY_VARIABLE}={} exec {} \"$@\"\n",
            way.proxy, way.tunnel
        );
        write(&script, 0o700, &text)?;
        Ok(git)
    }

    fn config(&self) -> PathBuf {
        self.room.join("gitconfig")
    }

    fn script(&self) -> PathBuf {
        self.room.join("tunnel")
    }

    /// Where the files are.
    pub(crate) fn tree(&self) -> PathBuf {
        self.room.join("tree")
    }

    /// Runs it in the tree, where there is one; answers what it prints.
    pub(crate) async fn run(
        &self,
        repository: &Repository,
        args: &[&str],
        transports: Transports,
    ) -> Result<Vec<u8>, GitError> {
        let tree = self.tree();
        let directory = if tree.exists() { &tree } else { self.room };
        let above = self.room.parent().unwrap_or(self.room);
        let mut command = Command::new("git");
        command
            .args(args)
            .env_clear()
            .env("PATH", &self.way.programs)
            .env("HOME", self.room)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.config())
            // Nothing above is a repository of ours.
            .env("GIT_CEILING_DIRECTORIES", above)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", allowed(repository, transports))
            .env("GIT_SSH_COMMAND", self.ssh())
            .env("GIT_SSH_VARIANT", "ssh")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(agent) = &self.way.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => GitError::Missing,
            _ => self.not_run(source),
        })?;
        // What it runs itself ends with it, also where nobody waits any more.
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let _group = Group(group);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let said = tokio::try_join!(all(out), all(err), child.wait());
        let (out, err, status): (Vec<u8>, Vec<u8>, ExitStatus) =
            said.map_err(|source| self.not_run(source))?;
        if status.success() {
            return Ok(out);
        }
        let told = String::from_utf8_lossy(&err);
        Err(GitError::Failed {
            attempt: (*args.first().unwrap_or(&"")).to_owned(),
            told: told
                .trim()
                .replace(&repository.remote, &repository.shown())
                .replace(&self.way.proxy, "the proxy"),
        })
    }

    fn not_run(&self, source: io::Error) -> GitError {
        GitError::File {
            attempt: "run git in",
            path: self.room.to_owned(),
            source,
        }
    }

    /// How it calls SSH: whoever asked for a build has the keys, and nobody knows the servers' yet.
    fn ssh(&self) -> String {
        let script = self.script();
        let options = [
            "BatchMode=yes",
            "IdentityFile=none",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ];
        let mut words = "ssh -F /dev/null".to_owned();
        for option in options {
            words.push_str(" -o ");
            words.push_str(option);
        }
        // Quoted for the shell, and within for the program's own.
        let _infallible = write!(words, " -o 'ProxyCommand=\"{}\" %h %p'", script.display());
        words
    }
}

/// Programs that run for one of ours; ended when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        // None is left where all went well.
        if let Some(group) = self.0 {
            let _answer = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What comes from a pipe, as far as anybody reads it.
async fn all(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(MOST_BYTES).read_to_end(&mut read).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(read)
}

fn allowed(repository: &Repository, transports: Transports) -> &'static str {
    const ALL: &str = "http:https:ssh:git";
    let scheme = repository.remote.split_once("://");
    match (transports, scheme.map(|(scheme, _)| scheme)) {
        (Transports::All, _) => ALL,
        (Transports::Own, Some("https")) => "https",
        (Transports::Own, Some("http")) => "http:https",
        (Transports::Own, Some("git")) => "git",
        (Transports::Own, _) => "ssh",
    }
}

/// All that git is configured with.
fn configuration(way: &Way, repository: &Repository, script: &Path) -> String {
    let mut text = format!(
        "[init]\n\tdefaultBranch = master\n\ttemplateDir =\n\
         [core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tgitProxy = {script}\n\
         [gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n\
         [credential]\n\thelper =\n\
         [http]\n\tproxy = {proxy}\n\tlowSpeedLimit = 1\n\tlowSpeedTime = {PATIENCE_SECONDS}\n",
        script = quoted(&script.to_string_lossy()),
        proxy = quoted(&way.proxy),
    );
    if let Some(authorization) = &way.authorization {
        let header = format!("Authorization: {authorization}");
        let _infallible = write!(
            text,
            "[http {}]\n\textraHeader = {}\n",
            quoted(&scope(&repository.remote)),
            quoted(&header)
        );
    }
    text
}

/// To which addresses a secret goes: the repository's own, and at GitHub all, so that it does for those
/// in it, too. As BuildKit has it.
fn scope(remote: &str) -> String {
    let whole = ["https://github.com/", "https://www.github.com/"];
    let found = whole.iter().find(|prefix| remote.starts_with(**prefix));
    (*found.unwrap_or(&remote)).to_owned()
}

/// A value, or the name of a section, of git's configuration.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace(['\n', '\r'], ""))
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), GitError> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| GitError::File {
        attempt: "write",
        path: path.to_owned(),
        source,
    })
}
