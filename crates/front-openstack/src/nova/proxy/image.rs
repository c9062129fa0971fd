//! Images, as Nova shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use actions::registered_image as image;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use http::StatusCode;
use model::registered_image::{ImageState, RegisteredImage};
use serde_json::{Value, json};

use super::Old;
use crate::front::At;
use crate::glance::image::Wanted;
use crate::nova::error::ApiError;
use crate::nova::list::{self, links};
use crate::query::Query;
use crate::route::Route;
use crate::time;

/// What Nova calls an attribute by which it filters, and what Glance does.
const FILTERS: [(&str, &str); 6] = [
    ("name", "name"),
    ("status", "status"),
    ("server", "instance_uuid"),
    ("type", "image_type"),
    ("minRam", "min_ram"),
    ("minDisk", "min_disk"),
];
/// What a filter by a property begins with.
const PROPERTY: &str = "property-";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v2.1/images", "listImages", get(index)),
        Route::new("/v2.1/images/detail", "listImagesDetailed", get(detail)),
        Route::new("/v2.1/images/{id}", "showImage", get(show)),
        Route::new("/v2.1/images/{id}", "deleteImage", delete(remove)),
    ]
}

/// The image that a path names.
pub(super) fn find(at: &At, id: &str) -> Result<Arc<RegisteredImage>, ApiError> {
    let missing = || ApiError::not_found("Image not found.");
    let id = id.parse().map_err(|_| missing())?;
    image::get(&at.cloud, &at.caller, id).map_err(|_| missing())
}

/// The filters of a request, in Glance's words.
fn translated(query: &Query) -> Query {
    let of_glance = |(name, value): (&str, &str)| {
        let known = FILTERS.iter().find(|(ours, _)| *ours == name);
        let (name, value) = match (name, known) {
            ("changes-since", _) => ("updated_at", format!("gte:{value}")),
            // A server may be named by where it is.
            ("server", Some((_, theirs))) => {
                let id = value.rsplit('/').next().unwrap_or(value);
                (*theirs, id.to_owned())
            }
            ("status", Some((_, theirs))) => (*theirs, value.to_ascii_lowercase()),
            (_, Some((_, theirs))) => (*theirs, value.to_owned()),
            (_, None) => (name.strip_prefix(PROPERTY)?, value.to_owned()),
        };
        Some((name.to_owned(), value))
    };
    query.pairs().filter_map(of_glance).collect()
}

async fn index(at: Old) -> Result<Response, ApiError> {
    page(&at, "images", |image| {
        let id = image.meta.id.to_string();
        json!({ "id": id, "name": image.spec.name, "links": places(&at, &id) })
    })
}

async fn detail(at: Old) -> Result<Response, ApiError> {
    page(&at, "images/detail", |image| shown(&at, image))
}

fn page(
    at: &At,
    path: &str,
    shown: impl Fn(&RegisteredImage) -> Value,
) -> Result<Response, ApiError> {
    let wanted = Wanted::of(&translated(&at.query))
        .map_err(|refused| ApiError::invalid(refused.to_string()))?;
    let mut images = image::list(&at.cloud, &at.caller)?;
    images.retain(|image| wanted.fits(&at.caller, image));
    wanted.sort(&mut images);
    let page = list::page(at, path, images, |image| image.meta.id.to_string())?;
    let images: Vec<Value> = page.items.iter().map(|image| shown(image)).collect();
    let mut answer = json!({ "images": images });
    if let Some(next) = page.next {
        answer["images_links"] = next;
    }
    Ok(Json(answer).into_response())
}

async fn show(at: Old, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = find(&at, &id)?;
    Ok(Json(json!({ "image": shown(&at, &found) })).into_response())
}

async fn remove(at: Old, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let found = find(&at, &id)?;
    image::remove(&at.cloud, &at.caller, found.meta.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where an image is, here and in its own service.
fn places(at: &At, id: &str) -> Value {
    let mut links = links(at, "images", id);
    if let Value::Array(links) = &mut links {
        links.push(json!({
            "rel": "alternate",
            "type": "application/vnd.openstack.image",
            "href": format!("{}/image/images/{id}", at.settings.url),
        }));
    }
    links
}

/// What a state is called, and how far an image is in it, in percent.
const fn status(state: ImageState) -> (&'static str, u8) {
    match state {
        ImageState::Queued => ("SAVING", 25),
        ImageState::Saving => ("SAVING", 50),
        ImageState::Active => ("ACTIVE", 100),
        ImageState::Uploading | ImageState::Importing | ImageState::Deactivated => ("UNKNOWN", 0),
    }
}

fn shown(at: &At, image: &RegisteredImage) -> Value {
    let (meta, spec) = (&image.meta, &image.spec);
    let id = meta.id.to_string();
    let (status, progress) = status(spec.state);
    let mut shown = json!({
        "id": id,
        "name": spec.name,
        "minRam": spec.min_ram_mib,
        "minDisk": spec.min_disk_gib,
        "metadata": spec.properties,
        "created": time::seconds(meta.created_at),
        "updated": time::seconds(meta.updated_at.unwrap_or(meta.created_at)),
        "status": status,
        "progress": progress,
        "OS-EXT-IMG-SIZE:size": spec.data.as_ref().map(|data| data.size_bytes),
        "links": places(at, &id),
    });
    let properties: &BTreeMap<String, String> = &spec.properties;
    if let Some(server) = properties.get("instance_uuid") {
        shown["server"] = json!({ "id": server, "links": links(at, "servers", server) });
    }
    if let Some(auto) = properties.get("auto_disk_config") {
        let is_auto = auto.eq_ignore_ascii_case("true");
        shown["OS-DCF:diskConfig"] = json!(if is_auto { "AUTO" } else { "MANUAL" });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_put_into_glances_words() {
        let query = "/x?status=ACTIVE&server=http://a/compute/servers/7&property-os=debian\
             &changes-since=2026-01-01T00:00:00Z&minRam=1&limit=2&speed=3";
        let translated = translated(&Query::parse(&query.parse().unwrap()));
        let pairs: Vec<_> = translated.pairs().collect();
        assert_eq!(
            pairs,
            [
                ("status", "active"),
                ("instance_uuid", "7"),
                ("os", "debian"),
                ("updated_at", "gte:2026-01-01T00:00:00Z"),
                ("min_ram", "1"),
            ]
        );
    }
}
