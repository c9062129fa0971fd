//! `POST /auth`: trying a name and password at a registry, for `docker login`.
//!
//! Spec: Docker Engine API 1.51, `SystemAuth`.

use actions::distribution;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::ApiError;
use crate::front::At;
use crate::image::credentials::{AuthConfig, host};
use crate::json::{Json, Shape};

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
