//! `POST /auth`: trying a name and password at a registry, for `docker login`.
//!
//! Spec: Docker Engine API 1.51, `SystemAuth`.

use actions::distribution;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::ApiError;
use crate::front::At;
use crate::image::credentials::AuthConfig;
use crate::json::{Json, Shape};

/// Names of the registry that is meant where none is said.
const DOCKER_HUB: [&str; 4] = ["", "index.docker.io", "docker.io", "registry-1.docker.io"];

impl Shape for AuthConfig {
    const NAME: &'static str = "AuthConfig";
}

pub(crate) async fn auth(at: At, Json(config): Json<AuthConfig>) -> Result<Response, ApiError> {
    let config = config.unwrap_or_default();
    let registry = host(&config.serveraddress);
    let Some(credentials) = config.credentials() else {
        return Err(ApiError::invalid(
            "username and password, or an identity token, are missing",
        ));
    };
    let token = distribution::login(&at.cloud, &at.caller, registry, credentials).await?;
    Ok(axum::Json(json!({
        "Status": "Login Succeeded",
        "IdentityToken": token.unwrap_or_default(),
    }))
    .into_response())
}

/// The registry that an address of old or new form means.
fn host(address: &str) -> &str {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    let host = rest.split('/').next().unwrap_or(rest);
    if DOCKER_HUB.contains(&host) {
        "docker.io"
    } else {
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_old_and_new_form_mean_a_registry() {
        for (address, registry) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://127.0.0.1:5000/v2/", "127.0.0.1:5000"),
        ] {
            assert_eq!(host(address), registry);
        }
    }
}
