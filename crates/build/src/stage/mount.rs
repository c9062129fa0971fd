//! `RUN --mount` in a stage: what is to be mounted is made ready, and given back after the command.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use image::CacheLock;
use model::container::{Mount, MountSource, Propagation};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::State;
use super::files::blocking;
use crate::StepError;
use crate::copy::{CopyError, out};
use crate::run::{self, Given, Kind, MountError, Spec};

/// A mount that is ready.
pub(super) struct Mounted {
    /// `None` of something that was not given, and that nobody needs.
    pub(super) mount: Option<Mount>,
    /// How steps with it are told from others.
    pub(super) shown: String,
    /// `NAME=value` that tells the command of it.
    pub(super) variable: Option<String>,
    /// A variable, and the file that its value is in.
    pub(super) env_file: Option<(String, String)>,
    /// Until the command is done.
    pub(super) held: Option<Held>,
}

/// What a command holds while it runs.
pub(super) enum Held {
    Cache(#[expect(dead_code, reason = "others wait until it is dropped")] CacheLock),
    Secret(#[expect(dead_code, reason = "the file is there until it is dropped")] Secret),
    Agent(#[expect(dead_code, reason = "it answers until it is dropped")] JoinSet<()>),
}

/// The file of a secret, which goes with this.
pub(super) struct Secret(PathBuf);

impl Drop for Secret {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "the file of a secret stays until the build ends");
        }
    }
}

impl Mounted {
    const fn of(mount: Mount, shown: String) -> Self {
        Self {
            mount: Some(mount),
            shown,
            variable: None,
            env_file: None,
            held: None,
        }
    }

    /// Of something that nobody has.
    const fn nothing(shown: String) -> Self {
        Self {
            mount: None,
            shown,
            variable: None,
            env_file: None,
            held: None,
        }
    }
}

impl State<'_> {
    /// Gets ready what a mount shows.
    pub(super) async fn mount(&mut self, spec: &Spec) -> Result<Mounted, StepError> {
        let target = std::path::Path::new("/")
            .join(&self.defaults.working_dir)
            .join(&spec.target);
        let target = format!("/{}", rooted::normalized(&target).display());
        match &spec.kind {
            Kind::Tmpfs { size_bytes } => {
                let mount = Mount {
                    target,
                    source: MountSource::Tmpfs {
                        size_bytes: *size_bytes,
                        mode: None,
                        options: Vec::new(),
                    },
                    read_only: false,
                };
                Ok(Mounted::of(mount, format!("{spec:?}")))
            }
            Kind::Cache {
                id,
                from,
                sharing,
                read_only,
                mode,
                owner,
                ..
            } => {
                if from.is_some() {
                    return Err(MountError::Refused {
                        kind: "cache",
                        problem: "begins empty: 'from' is not supported",
                    }
                    .into());
                }
                let sharing = match sharing {
                    run::Sharing::Shared => image::Sharing::Shared,
                    run::Sharing::Private => image::Sharing::Private,
                    run::Sharing::Locked => image::Sharing::Locked,
                };
                let lock = self.build.store.cache(id, sharing, *mode, *owner).await?;
                let mount = bind(&target, lock.path().to_owned(), *read_only);
                Ok(Mounted {
                    held: Some(Held::Cache(lock)),
                    ..Mounted::of(mount, format!("{spec:?}"))
                })
            }
            Kind::Bind { from, source } => {
                let (path, hash) = self.bound(from.as_deref(), source).await?;
                let mount = bind(&target, path, true);
                Ok(Mounted::of(mount, format!("{spec:?} {hash}")))
            }
            Kind::Secret { id, given } => {
                let target = given.is_file.then_some(target);
                self.secret(id, given, target.as_deref()).await
            }
            Kind::Ssh { id, given } => self.agent(id, given, &target).await,
        }
    }

    /// The path on this node of what is bound, and its hash. It is a copy, so that no link in it,
    /// nor one on the way, leads anywhere else.
    async fn bound(
        &mut self,
        from: Option<&str>,
        source: &str,
    ) -> Result<(PathBuf, String), StepError> {
        let failed = |source| StepError::Copy {
            keyword: "RUN --mount".to_owned(),
            source,
        };
        let place = match from {
            Some(from) => self.place_from(from).await?,
            None => self.context_place()?,
        };
        let into = self.desk().new_dir()?;
        let written = source.to_owned();
        blocking(move || out::copied(&place, &written, &into))
            .await
            .map_err(failed)
    }

    /// The file of a secret, or what a variable is read from. What it says does not tell steps from
    /// others.
    async fn secret(
        &self,
        id: &str,
        given: &Given,
        target: Option<&str>,
    ) -> Result<Mounted, StepError> {
        let shown = format!("secret {id:?} {given:?} {target:?}");
        let secret = self.build.runner.secret(id).await;
        let Some(bytes) = secret.map_err(StepError::Run)? else {
            return nothing(given, "secret", id, shown);
        };
        let path = self.desk().new_dir()?.join("secret");
        let write = || {
            let mut file = std::fs::File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            std::io::Write::write_all(&mut file, &bytes)?;
            owned(&path, given)
        };
        let written = write();
        let held = Secret(path.clone());
        written.map_err(|source| failed("write", id, source))?;
        let in_file = path.to_string_lossy().into_owned();
        let env_file = given.variable.clone().map(|name| (name, in_file));
        let mounted = match target {
            Some(target) => Mounted::of(bind(target, path, true), shown),
            None => Mounted::nothing(shown),
        };
        Ok(Mounted {
            env_file,
            held: Some(Held::Secret(held)),
            ..mounted
        })
    }

    /// The socket of an agent.
    async fn agent(&self, id: &str, given: &Given, target: &str) -> Result<Mounted, StepError> {
        let shown = format!("ssh {id:?} {given:?} {target}");
        let dir = self.desk().new_dir()?;
        let path = dir.join("agent");
        let listen = || {
            // An address has room for a short path only.
            let dir = std::fs::File::open(&dir)?;
            let short = format!("/proc/self/fd/{}/agent", dir.as_raw_fd());
            let socket = UnixListener::bind(short)?;
            owned(&path, given)?;
            Ok(socket)
        };
        let socket = listen().map_err(|source| failed("make the socket of", id, source))?;
        let agent = self.build.runner.agent(id, socket).await;
        let Some(tasks) = agent.map_err(StepError::Run)? else {
            return nothing(given, "agent for SSH", id, shown);
        };
        Ok(Mounted {
            variable: Some(format!("SSH_AUTH_SOCK={target}")),
            held: Some(Held::Agent(tasks)),
            ..Mounted::of(bind(target, path, false), shown)
        })
    }
}

/// Nothing is mounted of what nobody gave, unless the command needs it.
fn nothing(
    given: &Given,
    what: &'static str,
    id: &str,
    shown: String,
) -> Result<Mounted, StepError> {
    if given.required {
        let id = id.to_owned();
        return Err(MountError::NotGiven { what, id }.into());
    }
    Ok(Mounted::nothing(shown))
}

fn owned(path: &Path, given: &Given) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(given.mode))?;
    chown(path, Some(given.owner.0), Some(given.owner.1))
}

fn failed(attempt: &'static str, name: &str, source: std::io::Error) -> StepError {
    StepError::Copy {
        keyword: "RUN --mount".to_owned(),
        source: CopyError::File {
            attempt,
            path: name.to_owned(),
            source,
        },
    }
}

pub(super) fn bind(target: &str, path: PathBuf, read_only: bool) -> Mount {
    Mount {
        target: target.to_owned(),
        source: MountSource::Bind {
            path: path.to_string_lossy().into_owned(),
            propagation: Propagation::Rprivate,
            create: false,
            non_recursive: false,
            read_only_non_recursive: false,
        },
        read_only,
    }
}
