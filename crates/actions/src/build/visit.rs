//! What whoever asked for a build has for the server of a repository: a header, or keys for SSH.
//!
//! Source: Docker's manual, "Build secrets", "Git authentication for remote contexts"; BuildKit,
//! `source/git/source.go`.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use ::build::Repository;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::instance::{Failure, FailureKind};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::Asker;
use crate::downloads::Visit;

/// Secrets that git is authorised with, each also with `.HOST` for one server.
const HEADER: &str = "GIT_AUTH_HEADER";
const TOKEN: &str = "GIT_AUTH_TOKEN";

/// The agent that is asked where none is named.
const AGENT: &str = "default";

/// What answers at the socket of an agent, until it is dropped; the directory that the socket is in.
pub(super) type Answering = Option<(JoinSet<()>, File)>;

/// A visit to a repository's server.
pub(super) async fn visit<'a>(
    asker: Option<&dyn Asker>,
    repository: &'a Repository,
    room: &'a Path,
) -> Result<(Visit<'a>, Answering), Failure> {
    let mut visit = Visit {
        repository,
        room,
        authorization: None,
        agent: None,
    };
    if repository.is_ssh() {
        let (agent, answering) = agent(asker, room).await?;
        visit.agent = Some(agent);
        return Ok((visit, Some(answering)));
    }
    if let Some(asker) = asker {
        visit.authorization = authorization(asker, repository.host()).await?;
    }
    Ok((visit, None))
}

async fn authorization(asker: &dyn Asker, host: &str) -> Result<Option<String>, Failure> {
    let of_host = [HEADER, TOKEN].map(|name| (name, format!("{name}.{host}")));
    let of_all = [HEADER, TOKEN].map(|name| (name, name.to_owned()));
    for (kind, id) in of_host.into_iter().chain(of_all) {
        let Some(secret) = asker.secret(&id).await? else {
            continue;
        };
        let secret = String::from_utf8_lossy(&secret);
        let secret = secret.trim();
        return Ok(Some(match kind {
            HEADER => secret.to_owned(),
            _ => format!(
                "basic {}",
                STANDARD.encode(format!("x-access-token:{secret}"))
            ),
        }));
    }
    Ok(None)
}

/// The socket of the asker's agent, and what answers there.
async fn agent(
    asker: Option<&dyn Asker>,
    room: &Path,
) -> Result<(PathBuf, (JoinSet<()>, File)), Failure> {
    let nobody = || Failure {
        kind: FailureKind::Invalid,
        message: format!(
            "no SSH key {AGENT:?} forwarded from the client: build with --ssh {AGENT}"
        ),
    };
    let asker = asker.ok_or_else(nobody)?;
    let failed = |error: std::io::Error| Failure {
        kind: FailureKind::Internal,
        message: format!("make a socket in {}: {error}", room.display()),
    };
    let directory = File::open(room).map_err(failed)?;
    // An address has room for a short path only. It is another process that connects.
    let process = std::process::id();
    let path = PathBuf::from(format!(
        "/proc/{process}/fd/{}/agent",
        directory.as_raw_fd()
    ));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let socket = UnixListener::bind(&path).map_err(failed)?;
    let tasks = asker.agent(AGENT, socket).await?.ok_or_else(nobody)?;
    Ok((path, (tasks, directory)))
}
