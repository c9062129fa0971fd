//! Trying a name and password at a registry.

use http::{Method, StatusCode};

use super::authorization::{Authorization, Credentials, Offline};
use super::transport::{Call, at};
use super::{Registries, RegistryError, challenge};

impl Registries {
    /// Shows credentials to the registry of `domain` (`docker.io`, `HOST[:PORT]`).
    ///
    /// Answers the token that is to be kept instead of the password, where its service gives one.
    ///
    /// # Errors
    /// When the registry does not take them, or does not answer.
    pub async fn login(
        &self,
        domain: &str,
        credentials: Credentials,
    ) -> Result<Option<String>, RegistryError> {
        let endpoint = self.endpoint(domain).await?;
        let transport = self.transport();
        let call = Call::bare(Method::GET, at(&endpoint, "/v2/")?);
        let answer = transport.send(self, &call, None).await?;
        if answer.head.status.is_success() {
            // It takes everybody.
            return Ok(None);
        }
        if answer.head.status != StatusCode::UNAUTHORIZED || !endpoint.is_origin_of(&answer.uri) {
            return Err(transport.refused(answer).await);
        }
        let challenges = challenge::read(&answer.head.headers);
        let authorization = Authorization::new(Some(credentials), Vec::new());
        let refused = (&call.method, &call.uri);
        let (header, refresh) = authorization
            .answer(self, &challenges, Offline::Yes, refused)
            .await?;
        let answer = transport.send(self, &call, Some(&header)).await?;
        if answer.head.status.is_success() {
            return Ok(refresh);
        }
        Err(transport.refused(answer).await)
    }
}
