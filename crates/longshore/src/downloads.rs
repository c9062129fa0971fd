//! Leads imports by address, and builds that take something from elsewhere, to other machines' servers,
//! as far as the configuration allows.

use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;

use actions::downloads::{Downloads, IsInside, Places, Visit, refused};
use actions::nodes::Archive;
use actions::{ActionError, ErrorKind};
use async_trait::async_trait;
use edge::download::{self, DownloadError, Server};
use edge::socks::Proxy;
use git::{Commit, Git, GitError, Way};

/// Downloads by HTTP, and by git.
pub(crate) struct Web {
    places: Places,
    places_of_repositories: Places,
    /// Directories of programs.
    programs: OsString,
}

impl Web {
    #[expect(clippy::disallowed_methods, reason = "git finds its parts as we do")]
    pub(crate) fn new(places: Places) -> Self {
        Self {
            places_of_repositories: places.clone().of_repositories(),
            places,
            programs: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// How git reaches a server: by a proxy only.
    fn way(&self, visit: &Visit<'_>, proxy: &Proxy) -> Way {
        Way {
            programs: self.programs.clone(),
            proxy: proxy.address(),
            // It is there also when the program was replaced meanwhile.
            tunnel: format!("/proc/{}/exe tunnel", std::process::id()),
            authorization: visit.authorization.clone(),
            agent: visit.agent.clone(),
        }
    }

    /// Lets git work, and connects it with what it may reach.
    async fn through<T>(
        &self,
        proxy: &Proxy,
        is_inside: &IsInside,
        work: impl Future<Output = Result<T, GitError>> + Send,
    ) -> Result<T, ActionError> {
        let may = |server: Server<'_>| allows(&self.places_of_repositories, is_inside, server);
        // Without it git fails by itself.
        let serving = async {
            proxy.serve(may).await;
            pending::<Result<T, GitError>>().await
        };
        let done = tokio::select! {
            done = work => done,
            done = serving => done,
        };
        done.map_err(|error| match (&error, proxy.refused()) {
            (GitError::Failed { .. }, Some(place)) => refused(&place),
            _ => ActionError::new(kind_of(&error), actions::error::with_causes(&error)),
        })
    }
}

fn allows(places: &Places, is_inside: &IsInside, server: Server<'_>) -> bool {
    let is_ours = server.is_own || is_inside(server.address);
    places.allow_at(server.host, server.port, server.address, is_ours)
}

const fn kind_of(error: &GitError) -> ErrorKind {
    match error {
        GitError::Missing | GitError::Failed { .. } => ErrorKind::Unavailable,
        GitError::File { .. } => ErrorKind::Internal,
        GitError::Address(_)
        | GitError::NoReference { .. }
        | GitError::NoCommit
        | GitError::Checksum { .. }
        | GitError::Directory(_) => ErrorKind::Invalid,
    }
}

async fn proxy() -> Result<Proxy, ActionError> {
    let proxy = Proxy::open().await;
    proxy.map_err(|error| ActionError::new(ErrorKind::Internal, format!("open a port: {error}")))
}

#[async_trait]
impl Downloads for Web {
    fn check(&self, uri: &str) -> Result<(), ActionError> {
        match download::place(uri) {
            Ok((host, port)) if self.places.allow(&host, port) => Ok(()),
            _ => Err(refused(uri)),
        }
    }

    async fn get(&self, uri: &str, is_inside: &IsInside) -> Result<Archive, ActionError> {
        let may = |server: Server<'_>| allows(&self.places, is_inside, server);
        match download::get(uri, may).await {
            Ok(file) => Ok(Box::new(file)),
            Err(DownloadError::NotAllowed { uri } | DownloadError::Address { uri }) => {
                Err(refused(&uri))
            }
            Err(error) => {
                let words = actions::error::with_causes(&error);
                Err(ActionError::new(ErrorKind::Unavailable, words))
            }
        }
    }

    async fn commit(&self, visit: &Visit<'_>, is_inside: &IsInside) -> Result<Commit, ActionError> {
        let proxy = proxy().await?;
        let way = self.way(visit, &proxy);
        let work = async {
            let git = Git::new(visit.room, &way, visit.repository)?;
            git.commit(visit.repository).await
        };
        self.through(&proxy, is_inside, work).await
    }

    async fn check_out(
        &self,
        visit: &Visit<'_>,
        commit: &Commit,
        is_inside: &IsInside,
    ) -> Result<PathBuf, ActionError> {
        let proxy = proxy().await?;
        let way = self.way(visit, &proxy);
        let work = async {
            let git = Git::new(visit.room, &way, visit.repository)?;
            git.check_out(visit.repository, commit).await
        };
        self.through(&proxy, is_inside, work).await
    }
}
