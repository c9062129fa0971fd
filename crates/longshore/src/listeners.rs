//! Where the daemon listens, and what it shows there: the Docker API's socket and, for other
//! machines, its port; and the port of everything else.

use anyhow::{Context, Result};
use edge::server::Listener;
use edge::tls::{Identity, Pem};
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::config::{Config, DockerDoor};

/// The Docker socket's permissions: its group may use it.
const DOCKER_SOCKET_MODE: u32 = 0o660;

/// Bound, and not yet served.
pub(crate) struct Listeners {
    /// The Docker API's.
    pub(crate) docker: Vec<Listener>,
    /// The one port.
    pub(crate) http: Listener,
}

/// Binds them.
///
/// # Errors
/// When an address is taken, or a certificate is missing or does not fit.
pub(crate) async fn bind(config: &Config) -> Result<Listeners> {
    let authority = is_vouched(config)
        .then(|| Authority::open(&config.data_dir))
        .transpose()?;
    let certificate = certificate(config, authority.as_ref())?;
    let socket = config.data_dir.join("docker.sock");
    let mut docker = vec![Listener::unix(&socket, DOCKER_SOCKET_MODE).await?];
    if let (Some(door), Some(certificate)) = (&config.docker, &certificate) {
        let clients = match (&door.client_authority, &authority) {
            (Some(path), _) => Pem::read(path)?,
            (None, Some(authority)) => {
                authority.admit_operator()?;
                authority.certificate().clone()
            }
            (None, None) => anyhow::bail!("nobody vouches for the Docker API's clients"),
        };
        let identity = Identity::new(&certificate.0, &certificate.1, Some(&clients))?;
        docker.push(Listener::Tls(listen(door.listen).await?, identity));
    }
    let http = listen(config.listen).await?;
    let http = match &certificate {
        Some((certificate, key)) if config.url.is_tls => {
            Listener::Tls(http, Identity::new(certificate, key, None)?)
        }
        _ => Listener::Tcp(http),
    };
    Ok(Listeners { docker, http })
}

/// Something here is vouched for by the authority that is made.
fn is_vouched(config: &Config) -> bool {
    let admits =
        |door: &DockerDoor| config.certificate.is_none() || door.client_authority.is_none();
    config.authority_file().is_some() || config.docker.as_ref().is_some_and(admits)
}

/// What the daemon shows: the operator's certificate, or one of the authority.
fn certificate(config: &Config, authority: Option<&Authority>) -> Result<Option<(Pem, Pem)>> {
    match (&config.certificate, authority) {
        (Some((certificate, key)), _) => Ok(Some((Pem::read(certificate)?, Pem::read(key)?))),
        (None, Some(authority)) => Ok(Some(authority.server(names(config))?)),
        (None, None) => Ok(None),
    }
}

/// What clients may call this machine.
fn names(config: &Config) -> Vec<String> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names: Vec<String> = own.into();
    names.push(
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    );
    names.push(config.url.host.clone());
    let doors = config.docker.iter().map(|door| door.listen);
    let addresses = doors.chain([config.listen]).map(|listen| listen.ip());
    names.extend(
        addresses
            .filter(|address| !address.is_unspecified())
            .map(|address| address.to_string()),
    );
    names.sort();
    names.dedup();
    names
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))
}
