//! One conversation about one repository of a registry.

use http::{Method, StatusCode, Uri};

use super::authorization::{Authorization, Credentials, Offline};
use super::endpoint::Endpoint;
use super::transport::{Answer, Call, Transport, at};
use super::{Registries, RegistryError, challenge, retry};

/// What is to be done in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write, and read these other repositories of the same registry.
    Push {
        /// Names of repositories that blobs may be taken from.
        from: Vec<String>,
    },
}

/// A repository, for as long as one operation lasts.
#[derive(Debug)]
pub struct Repository {
    registries: Registries,
    endpoint: Endpoint,
    path: String,
    authorization: Authorization,
}

impl Repository {
    pub(crate) fn new(
        registries: Registries,
        endpoint: Endpoint,
        path: &str,
        access: Access,
        credentials: Option<Credentials>,
    ) -> Self {
        let scopes = match access {
            Access::Pull => vec![format!("repository:{path}:pull")],
            Access::Push { from } => std::iter::once(format!("repository:{path}:pull,push"))
                .chain(from.iter().map(|from| format!("repository:{from}:pull")))
                .collect(),
        };
        Self {
            registries,
            endpoint,
            path: path.to_owned(),
            authorization: Authorization::new(credentials, scopes),
        }
    }

    /// The repository's name at its registry.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the registry answers, as people write it.
    #[must_use]
    pub fn address(&self) -> String {
        self.endpoint.to_string()
    }

    pub(crate) fn registries(&self) -> &Registries {
        &self.registries
    }

    pub(crate) fn transport(&self) -> &Transport {
        self.registries.transport()
    }

    /// The address of something in this repository: `manifests/latest`.
    pub(crate) fn at(&self, what: &str) -> Result<Uri, RegistryError> {
        at(&self.endpoint, &format!("/v2/{}/{what}", self.path))
    }

    /// Sends a request; where the registry wants to know who asks, says so and sends it again.
    ///
    /// Answers every status but 401.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Answer, RegistryError> {
        // An upload may go on elsewhere: the password does not.
        let is_ours = self.endpoint.is_origin_of(&call.uri);
        let known = match is_ours {
            true => self.authorization.current().await,
            false => None,
        };
        let answer = self
            .transport()
            .send(&self.registries, call, known.as_ref())
            .await?;
        if answer.head.status != StatusCode::UNAUTHORIZED
            || !is_ours
            || !self.endpoint.is_origin_of(&answer.uri)
        {
            return Ok(answer);
        }
        let challenges = challenge::read(&answer.head.headers);
        let refused = (&call.method, &call.uri);
        let header = match self
            .authorization
            .answer(&self.registries, &challenges, Offline::No, refused)
            .await
        {
            Ok((header, _)) => header,
            // What the registry says is better than that nobody logged in.
            Err(RegistryError::NoCredentials { .. }) if challenges.is_empty() => {
                return Err(self.transport().refused(answer).await);
            }
            Err(error) => return Err(error),
        };
        let answer = self
            .transport()
            .send(&self.registries, call, Some(&header))
            .await?;
        if answer.head.status == StatusCode::UNAUTHORIZED {
            return Err(self.transport().refused(answer).await);
        }
        Ok(answer)
    }

    /// As [`Repository::send`], and answers success only.
    pub(crate) async fn succeed(&self, call: &Call<'_>) -> Result<Answer, RegistryError> {
        let answer = self.send(call).await?;
        if answer.head.status.is_success() {
            return Ok(answer);
        }
        Err(self.transport().refused(answer).await)
    }

    /// As [`Repository::succeed`], again and again where the registry is busy. A registry that cannot
    /// be reached at all is not asked again: its name may be wrong.
    pub(crate) async fn succeed_in_the_end(
        &self,
        call: &Call<'_>,
    ) -> Result<Answer, RegistryError> {
        let mut failures = 0;
        loop {
            match self.succeed(call).await {
                Err(error @ RegistryError::Refused { .. }) if error.is_transient() => {
                    failures += 1;
                    self.wait_after(failures, error).await?;
                }
                other => return other,
            }
        }
    }

    /// Waits after a failure that may pass; ends with it when it happened too often.
    pub(crate) async fn wait_after(
        &self,
        failures: u32,
        error: RegistryError,
    ) -> Result<(), RegistryError> {
        let settings = self.registries.settings();
        if failures >= settings.attempts {
            return Err(error);
        }
        let asked = error.retry_after();
        let wait = retry::wait(settings.first_delay, failures, asked, rand::random());
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            ?wait,
            "a registry is asked again"
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// A read without headers.
    pub(crate) async fn get(&self, uri: Uri) -> Result<Answer, RegistryError> {
        self.succeed_in_the_end(&Call::bare(Method::GET, uri)).await
    }
}
