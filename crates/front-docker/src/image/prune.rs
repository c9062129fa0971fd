//! `POST /images/prune`: removes images that nothing names or, on request, nothing uses.

use actions::image::{self, Removed};
use actions::{ErrorKind, instance};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;

use super::translate::removed;
use crate::container::prune::{is_wanted, until};
use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::At;

const FILTERS: [&str; 4] = ["dangling", "label", "label!", "until"];

pub(crate) async fn prune(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let only_dangling = filters.boolean("dangling")?.unwrap_or(true);
    let until = until(&filters)?;
    let used: Vec<String> = instance::list(&at.cloud, &at.caller)
        .iter()
        .flat_map(|view| &view.instance.spec.containers)
        .flat_map(|container| container.images().map(str::to_owned))
        .collect();
    let (mut deleted, mut space) = (Vec::new(), 0);
    for image in image::list(&at.cloud, &at.caller) {
        let created_at = image.created_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let is_dangling = image.tags.is_empty();
        if used.contains(&image.id)
            || (only_dangling && !is_dangling)
            || !is_wanted(&filters, until, created_at, &image.defaults.labels)
        {
            continue;
        }
        // Name by name: an identifier with several is only removed by force.
        let mut names = [image.tags.as_slice(), &image.digests].concat();
        if names.is_empty() {
            names.push(image.id.clone());
        }
        for name in names {
            match image::remove(&at.cloud, &at.caller, &name, false, true).await {
                Ok(gone) => {
                    if gone.iter().any(|gone| matches!(gone, Removed::Deleted(_))) {
                        space += image.size_bytes;
                    }
                    deleted.extend(gone.iter().map(removed));
                }
                // Used, or removed, since we looked.
                Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let deleted = Some(deleted).filter(|deleted| !deleted.is_empty());
    Ok(axum::Json(json!({ "ImagesDeleted": deleted, "SpaceReclaimed": space })).into_response())
}
