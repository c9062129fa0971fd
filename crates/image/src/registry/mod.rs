//! Registries of images, as this node reaches them: a client of any that speaks the protocol of the
//! OCI or of Docker.
//!
//! [`Registries`] has the rules (who may be spoken to without TLS, which certificates count) and the
//! connections; a [`Repository`] is one conversation about one repository, with one set of
//! credentials. Nothing here knows the content store: `store::pull` and `store::push` do, and
//! whoever passes content on.
//!
//! Source: OCI Distribution Specification v1.1; Docker Registry v2 authentication.

mod authorization;
mod blob;
mod certificates;
pub(crate) mod challenge;
mod endpoint;
mod error;
mod inspect;
mod login;
pub(crate) mod manifest;
mod relay;
mod repository;
mod retry;
mod route;
mod search;
mod tag;
mod transport;
mod upload;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use authorization::Credentials;
pub(crate) use blob::{Step as BlobStep, Wanted};
pub use endpoint::{Insecure, Mirror, MirrorError};
pub use error::{Question, RegistryError};
pub use inspect::Inspected;
pub(crate) use manifest::{
    DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Document, FetchedManifest, OCI_CONFIG,
    OCI_MANIFEST, digest_of,
};
pub use relay::{RelayError, Relayed};
pub use repository::{Access, Repository};
pub use route::{Proxies, Proxy, ProxyError};
pub use search::Found;
pub(crate) use upload::{Begun, Mounting, Report, Source};

use crate::reference::Reference;
use certificates::Trust;
use endpoint::{Endpoint, Scheme};
use transport::Transport;

/// What the operator says about registries.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which registries may be spoken to without TLS, or with a certificate that nothing vouches for.
    pub insecure: Insecure,
    /// Asked first for images of Docker Hub.
    pub mirrors: Vec<Mirror>,
    /// By which proxies they are reached.
    pub proxies: Proxies,
    /// A directory of a directory for each registry (`HOST[:PORT]`): `*.crt` are authorities for it,
    /// `X.cert` with `X.key` shows who we are.
    pub certificates: PathBuf,
    /// Most layers that are downloaded at once, by all pulls together.
    pub downloads: usize,
    /// Most layers that are uploaded at once, by all pushes together.
    pub uploads: usize,
    /// How often something is tried that may succeed the next time.
    pub attempts: u32,
    /// How long to wait before the second attempt; later ones wait longer.
    pub first_delay: Duration,
    /// How long a registry may take to begin an answer, or to go on with it.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Insecure::default(),
            mirrors: Vec::new(),
            proxies: Proxies::default(),
            certificates: PathBuf::from("/etc/docker/certs.d"),
            downloads: 3,
            uploads: 5,
            attempts: 5,
            first_delay: Duration::from_millis(500),
            patience: Duration::from_secs(60),
        }
    }
}

/// The registries of the world. Clones are cheap and share connections.
#[derive(Clone, Debug)]
pub struct Registries {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    transport: Transport,
    /// How those answered that may be without TLS, by host and port.
    schemes: Mutex<HashMap<String, Scheme>>,
    downloads: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl Registries {
    /// Registries by these rules.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let inner = Inner {
            transport: Transport::new(settings.patience, &settings.proxies),
            schemes: Mutex::default(),
            downloads: Arc::new(Semaphore::new(settings.downloads)),
            uploads: Arc::new(Semaphore::new(settings.uploads)),
            settings,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The repository of `name` at its own registry.
    ///
    /// # Errors
    /// When the registry's certificates on this node cannot be read, or it cannot be reached where
    /// that has to be tried.
    pub async fn repository(
        &self,
        name: &Reference,
        access: Access,
        credentials: Option<Credentials>,
    ) -> Result<Repository, RegistryError> {
        let endpoint = self.endpoint(name.domain()).await?;
        Ok(Repository::new(
            self.clone(),
            endpoint,
            name.path(),
            access,
            credentials,
        ))
    }

    /// Where `name` is looked for before its own registry is asked, the best first. Credentials are not
    /// for these.
    #[must_use]
    pub fn mirrors(&self, name: &Reference) -> Vec<Repository> {
        if name.domain() != endpoint::DOCKER_HUB {
            return Vec::new();
        }
        let mirrors = self.inner.settings.mirrors.iter();
        mirrors
            .map(|mirror| {
                let endpoint = mirror.endpoint.clone();
                Repository::new(self.clone(), endpoint, name.path(), Access::Pull, None)
            })
            .collect()
    }

    /// The settings that this was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Leave to download a layer, or to wait for it.
    pub(crate) fn downloads(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.downloads)
    }

    /// Leave to upload a layer, or to wait for it.
    pub(crate) fn uploads(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.uploads)
    }

    fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// How the certificate of a server is judged.
    fn trust(&self, authority: &str) -> Trust {
        if self.inner.settings.insecure.includes(authority) {
            Trust::Anyone
        } else {
            Trust::Vouched
        }
    }

    /// Where the registry of `domain` answers. One that may be without TLS is asked, once.
    async fn endpoint(&self, domain: &str) -> Result<Endpoint, RegistryError> {
        let authority = endpoint::authority(domain);
        self.transport().look_again(authority);
        if !self.inner.settings.insecure.includes(authority) {
            return Ok(Endpoint::new(Scheme::Https, authority));
        }
        let known = self.schemes().get(authority).copied();
        let scheme = match known {
            Some(scheme) => scheme,
            None => {
                let scheme = self.transport().probe(self, authority).await?;
                self.schemes().insert(authority.to_owned(), scheme);
                scheme
            }
        };
        Ok(Endpoint::new(scheme, authority))
    }

    fn schemes(&self) -> std::sync::MutexGuard<'_, HashMap<String, Scheme>> {
        self.inner
            .schemes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
