//! Searching a registry, in the only way that there is: the first version of Docker's API.
//!
//! Source: Docker Registry v1 API, "Search".

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::authorization::{Credentials, basic};
use super::transport::{Call, at};
use super::{Registries, RegistryError};

/// The longest answer.
const LONGEST: usize = 4 << 20;
/// Where Docker Hub is searched.
const DOCKER_HUB_INDEX: &str = "index.docker.io";

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What it says about itself.
    pub description: String,
    /// How many like it.
    pub star_count: u64,
    /// The registry's own.
    pub is_official: bool,
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    results: Vec<Found>,
}

impl Registries {
    /// Up to `limit` repositories of the registry of `domain` that `term` finds, for nobody or for who
    /// has this password.
    ///
    /// # Errors
    /// When the registry cannot be searched: most have no such thing.
    pub async fn search(
        &self,
        domain: &str,
        term: &str,
        limit: usize,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Found>, RegistryError> {
        let domain = if domain == super::endpoint::DOCKER_HUB {
            DOCKER_HUB_INDEX
        } else {
            domain
        };
        let endpoint = self.endpoint(domain).await?;
        let term = utf8_percent_encode(term, NON_ALPHANUMERIC);
        let uri = at(&endpoint, &format!("/v1/search?q={term}&n={limit}"))?;
        let transport = self.transport();
        let authorization = match credentials {
            Some(Credentials::Password { user, password }) => basic(user, password),
            // That version knows no tokens.
            Some(Credentials::IdentityToken(_) | Credentials::RegistryToken(_)) | None => None,
        };
        let answer = transport
            .send(self, &Call::bare(Method::GET, uri), authorization.as_ref())
            .await?;
        if !answer.head.status.is_success() {
            return Err(transport.refused(answer).await);
        }
        let page: Page = transport.json(answer, LONGEST).await?;
        Ok(page.results)
    }
}
