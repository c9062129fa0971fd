//! Paths of the daemon itself.

use actions::{distribution, image, instance, stream, system};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use http::header::CONTENT_LENGTH;
use serde_json::json;

use super::{auth, wire};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::image::translate::summary;
use crate::router::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/_ping", "SystemPingHead", head(ping_head)),
        Route::new("/_ping", "SystemPing", get(ping)),
        Route::new("/version", "SystemVersion", get(version)),
        Route::new("/info", "SystemInfo", get(info)),
        Route::new("/auth", "SystemAuth", post(auth::auth)),
        Route::new("/system/df", "SystemDataUsage", get(data_usage)),
        // There are no plugins: the list of them is empty.
        Route::new(
            "/plugins",
            "PluginList",
            get(|| std::future::ready(axum::Json(json!([])))),
        ),
        Route::new("/plugins/{name}/json", "PluginInspect", get(no_plugin)),
    ]
}

/// What clients learn from a ping, beside the headers of every answer: buildx can be used, no swarm.
const PING: [(&str, &str); 5] = [
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Builder-Version", "2"),
    ("Swarm", "inactive"),
];

async fn ping() -> Response {
    (PING, "OK").into_response()
}

async fn ping_head() -> Response {
    (PING, [(CONTENT_LENGTH, "0")]).into_response()
}

async fn version(at: At) -> Response {
    let info = system::info(&at.cloud, &at.caller).ok();
    axum::Json(wire::version(info.as_ref())).into_response()
}

async fn info(at: At) -> Result<Response, ApiError> {
    let info = system::info(&at.cloud, &at.caller)?;
    Ok(axum::Json(wire::info(
        &at.settings,
        distribution::settings(&at.cloud),
        &info,
        at.version,
    ))
    .into_response())
}

async fn no_plugin(Path(name): Path<String>) -> ApiError {
    ApiError::not_found(format!("plugin {name:?} not found"))
}

async fn data_usage(at: At) -> Result<Response, ApiError> {
    let views = instance::list(&at.cloud, &at.caller);
    let wanted = at.form.all("type");
    let is_wanted = |kind: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == kind);
    let (mut images, mut layers_size) = (Vec::new(), 0);
    for image in image::list(&at.cloud, &at.caller) {
        layers_size += image.size_bytes;
        let users = views
            .iter()
            .flat_map(|view| &view.instance.spec.containers)
            .filter(|container| container.image_id == image.id)
            .count();
        let mut summary = summary(&image, 0, at.version);
        summary.containers = i64::try_from(users).unwrap_or(i64::MAX);
        summary.shared_size = 0;
        images.push(summary);
    }
    let containers = if is_wanted("container") {
        let mut shown = crate::container::summaries(&at, &views);
        for (summary, view) in shown.iter_mut().zip(&views) {
            let size = stream::writable_size(&at.cloud, &at.caller, view.instance.meta.id)
                .await
                .unwrap_or(0);
            summary.set_size(&at, size);
        }
        Some(shown)
    } else {
        None
    };
    let volumes = if is_wanted("volume") {
        Some(crate::volume::usage(&at).await?)
    } else {
        None
    };
    Ok(axum::Json(json!({
        "LayersSize": layers_size,
        "Images": is_wanted("image").then_some(images),
        "Containers": containers,
        "Volumes": volumes,
        "BuildCache": is_wanted("build-cache").then(|| crate::build::usage(&at)),
    }))
    .into_response())
}
