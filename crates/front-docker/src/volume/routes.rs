//! Paths of volumes.

use actions::ErrorKind;
use actions::volume::{self, NewVolume};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use model::volume::Volume;
use serde_json::json;

use super::wire::{self, Create};
use crate::container::prune::{is_wanted, until};
use crate::container::translate::mounts::volume::{check_driver, check_name, check_options};
use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::{At, Path};
use crate::json::Json;
use crate::router::Route;

const FILTERS: [&str; 4] = ["dangling", "driver", "label", "name"];
const PRUNE_FILTERS: [&str; 4] = ["all", "label", "label!", "until"];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/volumes", "VolumeList", get(list)),
        Route::new("/volumes/create", "VolumeCreate", post(create)),
        Route::new("/volumes/prune", "VolumePrune", post(prune)),
        Route::new("/volumes/{name}", "VolumeInspect", get(inspect)),
        Route::new(
            "/volumes/{name}",
            "VolumeDelete",
            axum::routing::delete(remove),
        ),
    ]
}

async fn show(at: &At, volume: &Volume) -> Result<wire::Volume, ApiError> {
    let path = volume::path(&at.cloud, &at.caller, &volume.meta.name).await?;
    let mut labels = volume.meta.labels.clone();
    if volume.spec.anonymous {
        labels
            .entry("com.docker.volume.anonymous".to_owned())
            .or_default();
    }
    Ok(wire::Volume {
        created_at: volume
            .meta
            .created_at
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        driver: "local",
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        mountpoint: path.display().to_string(),
        name: volume.meta.name.clone(),
        options: Some(volume.spec.options.clone()).filter(|options| !options.is_empty()),
        scope: "local",
        usage_data: None,
    })
}

async fn list(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let dangling = filters.boolean("dangling")?;
    let names = filters.patterns("name");
    let mut volumes = Vec::new();
    for volume in volume::list(&at.cloud, &at.caller) {
        let name = &volume.meta.name;
        let is_shown = names.matches(name)
            && filters.matches_exactly("driver", "local")
            && filters.matches_labels("label", &volume.meta.labels)
            && dangling.is_none_or(|dangling| {
                dangling == volume::users(&at.cloud, &at.caller, name).is_empty()
            });
        if is_shown {
            volumes.push(show(&at, &volume).await?);
        }
    }
    Ok(axum::Json(json!({ "Volumes": volumes, "Warnings": null })).into_response())
}

/// Every volume with what it takes, as `docker system df` shows it.
pub(crate) async fn usage(at: &At) -> Result<Vec<wire::Volume>, ApiError> {
    let mut volumes = Vec::new();
    for volume in volume::list(&at.cloud, &at.caller) {
        let name = &volume.meta.name;
        let size = volume::size_bytes(&at.cloud, &at.caller, name).await;
        let mut shown = show(at, &volume).await?;
        shown.usage_data = Some(wire::Usage {
            ref_count: volume::users(&at.cloud, &at.caller, name).len(),
            // -1 is dockerd's word for what cannot be known.
            size: size.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        });
        volumes.push(shown);
    }
    Ok(volumes)
}

async fn inspect(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let volume = volume::get(&at.cloud, &at.caller, &name)?;
    Ok(axum::Json(show(&at, &volume).await?).into_response())
}

async fn create(at: At, Json(create): Json<Create>) -> Result<Response, ApiError> {
    let Create {
        name,
        driver,
        driver_opts,
        labels,
        cluster_volume_spec,
    } = create.unwrap_or_default();
    check_driver(&driver)?;
    if cluster_volume_spec.is_some() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            crate::refused::NO_SWARM,
        ));
    }
    check_name(&name)?;
    check_options(&name, &driver_opts)?;
    let new = NewVolume {
        name: Some(name).filter(|name| !name.is_empty()),
        labels,
        options: driver_opts,
    };
    let volume = volume::create(&at.cloud, &at.caller, new).await?;
    Ok((StatusCode::CREATED, axum::Json(show(&at, &volume).await?)).into_response())
}

async fn remove(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let users = volume::users(&at.cloud, &at.caller, &name);
    if !users.is_empty() {
        let users: Vec<_> = users
            .iter()
            .map(|view| crate::id::docker_id(view.instance.meta.id))
            .collect();
        return Err(ApiError::conflict(format!(
            "remove {name}: volume is in use - [{}]",
            users.join(", ")
        )));
    }
    volume::remove(&at.cloud, &at.caller, &name, at.form.is_true("force")).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn prune(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &PRUNE_FILTERS)?;
    let until = until(&filters)?;
    // Named volumes are kept unless all are asked for; before version 1.42 they never were.
    let all = filters.boolean("all")?.unwrap_or(false) || !at.version.has(42);
    let mut deleted = Vec::new();
    for volume in volume::list(&at.cloud, &at.caller) {
        let meta = &volume.meta;
        if !(all || volume.spec.anonymous)
            || !volume::users(&at.cloud, &at.caller, &meta.name).is_empty()
            || !is_wanted(&filters, until, meta.created_at, &meta.labels)
        {
            continue;
        }
        match volume::remove(&at.cloud, &at.caller, &meta.name, false).await {
            Ok(()) => deleted.push(meta.name.clone()),
            // Used, or removed, since we looked.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let deleted = Some(deleted).filter(|deleted| !deleted.is_empty());
    Ok(axum::Json(json!({ "VolumesDeleted": deleted, "SpaceReclaimed": 0 })).into_response())
}
