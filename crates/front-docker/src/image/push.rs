//! `POST /images/{name}/push`: images to a registry.

use actions::distribution::{self, PushStep, Reference, UploadStage};
use axum::response::Response;
use http::HeaderMap;
use serde_json::json;

use super::progress::{Lines, told};
use super::pull::wrong;
use super::transfer::reference;
use super::{credentials, short_digest};
use crate::error::ApiError;
use crate::front::{At, Path};

/// Pushes a tag, or all tags of a repository where none is given.
pub(crate) async fn push(
    at: At,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reference = Reference::parse(&reference(&name, at.form.get("tag"))).map_err(wrong)?;
    let credentials = credentials::read(&headers);
    told(|lines| async move {
        lines.status(&format!(
            "The push refers to repository [{}]",
            reference.repository()
        ));
        let tell = |step| tell(&lines, step);
        distribution::push(&at.cloud, &at.caller, reference, credentials, &tell).await
    })
    .await
}

fn tell(lines: &Lines, step: PushStep) {
    match step {
        PushStep::Layer { layer, stage } => tell_stage(lines, &short_digest(&layer), &stage),
        PushStep::Tag {
            tag,
            digest,
            size_bytes,
        } => {
            lines.status(&format!("{tag}: digest: {digest} size: {size_bytes}"));
            lines.send(&json!({
                "progressDetail": {},
                "aux": { "Tag": tag, "Digest": digest, "Size": size_bytes },
            }));
        }
    }
}

fn tell_stage(lines: &Lines, layer: &str, stage: &UploadStage) {
    match stage {
        UploadStage::Pushing {
            current_bytes,
            total_bytes,
        } => lines.progress_of(layer, "Pushing", *current_bytes, *total_bytes),
        UploadStage::Mounted { from } => lines.status_of(layer, &format!("Mounted from {from}")),
        UploadStage::Preparing => lines.status_of(layer, "Preparing"),
        UploadStage::Waiting => lines.status_of(layer, "Waiting"),
        UploadStage::Retrying => lines.status_of(layer, "Retrying"),
        UploadStage::Exists => lines.status_of(layer, "Layer already exists"),
        UploadStage::Pushed => lines.status_of(layer, "Pushed"),
    }
}
