//! `GET /distribution/{name}/json`: what a registry has under a name.
//!
//! Spec: Docker Engine API 1.51, `DistributionInspect`.

use actions::distribution::{self, Reference};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::json;

use super::credentials;
use super::pull::wrong;
use crate::error::ApiError;
use crate::front::{At, Path};

pub(crate) async fn inspect(
    at: At,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reference = Reference::parse(&name).map_err(wrong)?.or_latest();
    let credentials = credentials::read(&headers);
    let found = distribution::inspect(&at.cloud, &at.caller, &reference, credentials).await?;
    let platforms: Vec<_> = found
        .platforms
        .iter()
        .map(|platform| {
            let mut shown = json!({ "architecture": platform.architecture, "os": platform.os });
            if !platform.variant.is_empty() {
                shown["variant"] = platform.variant.as_str().into();
            }
            shown
        })
        .collect();
    Ok(axum::Json(json!({
        "Descriptor": {
            "mediaType": found.media_type,
            "digest": found.digest,
            "size": found.size_bytes,
        },
        "Platforms": platforms,
    }))
    .into_response())
}
