//! `POST /containers/{name}/update` and `/rename`.

use actions::{ActionError, ErrorKind, instance};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::instance::InstanceSpec;
use serde_json::{Value, json};

use super::create::Around;
use super::lookup::{about, find, name_taken};
use super::translate::{Surroundings, container_name, resources, restart_policy};
use super::wire::{Origin, Resources, Update};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::id::docker_id;
use crate::json::{Shape, document, shape, shape_of};

pub(crate) async fn update(
    at: At,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let document = document(request)
        .await?
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let update: Update = shape(document.clone())?;
    let mut limits: Resources = shape_of(Update::NAME, document)?;
    if !at.version.has(40) {
        limits.pids_limit = None;
    }
    limits.kernel_memory = 0;
    if let Some(count) = limits
        .devices
        .as_ref()
        .map(Vec::len)
        .filter(|count| *count > 0)
    {
        return Err(ApiError::invalid(format!(
            "Devices: {count} devices given; devices cannot be updated"
        )));
    }
    let around = Around::new(&at)?;
    let mut warnings = Vec::new();
    resources::check(&mut limits, &around.host(), true, &mut warnings)?;
    let restart = restart_policy(&update.restart_policy)?;

    let view = find(&at, &name)?;
    let id = view.instance.meta.id;
    let cannot =
        |error: ApiError| error.while_trying(&format!("Cannot update container {}", docker_id(id)));
    let restart_policy = update.restart_policy;
    let further = instance::update(&at.cloud, &at.caller, id, move |spec: &mut InstanceSpec| {
        let mut origin = Origin::of(spec);
        apply(&mut origin.host_config.resources, &limits)?;
        if !restart_policy.name.is_empty() {
            if spec.auto_remove && !restart_policy.is_none() {
                return Err(ActionError::new(
                    ErrorKind::Conflict,
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                ));
            }
            spec.restart = restart;
            origin.host_config.restart_policy = restart_policy.clone();
        }
        if let Some(container) = spec.containers.first_mut() {
            container.resources = resources::to_model(&origin.host_config.resources);
        }
        spec.origin.insert(Origin::KEY.to_owned(), origin.into_value());
        Ok(())
    })
    .await
    .map_err(|error| cannot(about(id, error)))?;
    warnings.extend(further);
    Ok(axum::Json(json!({ "Warnings": warnings })).into_response())
}

/// Changes what the update names; zero names nothing.
///
/// Source: moby, `container/container_unix.go`, `UpdateContainer`.
fn apply(own: &mut Resources, update: &Resources) -> Result<(), ActionError> {
    let conflict = |words: &str| Err(ActionError::new(ErrorKind::Conflict, words));
    if update.nano_cpus > 0 && own.cpu_period > 0 {
        return conflict(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
    }
    if update.nano_cpus > 0 && own.cpu_quota > 0 {
        return conflict(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        );
    }
    if update.cpu_period > 0 && own.nano_cpus > 0 {
        return conflict(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    if update.cpu_quota > 0 && own.nano_cpus > 0 {
        return conflict(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    let set = |field: &mut i64, value: i64| {
        if value != 0 {
            *field = value;
        }
    };
    if update.memory != 0 {
        // A limit of memory and swap that was made for less must be raised with it.
        if update.memory_swap == 0 && own.memory_swap > 0 && update.memory > own.memory_swap {
            return conflict(
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            );
        }
        own.memory = update.memory;
    }
    set(&mut own.memory_swap, update.memory_swap);
    set(&mut own.memory_reservation, update.memory_reservation);
    set(&mut own.cpu_shares, update.cpu_shares);
    set(&mut own.nano_cpus, update.nano_cpus);
    set(&mut own.cpu_period, update.cpu_period);
    set(&mut own.cpu_quota, update.cpu_quota);
    set(&mut own.cpu_realtime_period, update.cpu_realtime_period);
    set(&mut own.cpu_realtime_runtime, update.cpu_realtime_runtime);
    for (field, value) in [
        (&mut own.cpuset_cpus, &update.cpuset_cpus),
        (&mut own.cpuset_mems, &update.cpuset_mems),
    ] {
        if !value.is_empty() {
            field.clone_from(value);
        }
    }
    if update.blkio_weight != 0 {
        own.blkio_weight = update.blkio_weight;
    }
    if update.pids_limit.is_some() {
        own.pids_limit = update.pids_limit.map(|limit| limit.max(0));
    }
    Ok(())
}

pub(crate) async fn rename(at: At, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let new = at.form.get("name");
    if name.is_empty() || new.is_empty() {
        return Err(ApiError::invalid("Neither old nor new names may be empty"));
    }
    let view = find(&at, &name)?;
    if view.instance.meta.name == new.strip_prefix('/').unwrap_or(new) {
        return Err(ApiError::invalid(
            "Renaming a container with the same name as its current name",
        ));
    }
    let allocating = |error: ApiError| error.while_trying("Error when allocating new name");
    let new = container_name(new).map_err(allocating)?;
    instance::rename(&at.cloud, &at.caller, view.instance.meta.id, &new)
        .await
        .map_err(|error| allocating(name_taken(&at, &new, error)))?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_changes_what_it_names() {
        let mut own = Resources {
            memory: 64 << 20,
            memory_swap: -1,
            cpu_shares: 512,
            ..Resources::default()
        };
        apply(
            &mut own,
            &Resources {
                memory: 128 << 20,
                pids_limit: Some(-1),
                ..Resources::default()
            },
        )
        .unwrap();
        assert_eq!(
            (own.memory, own.memory_swap, own.cpu_shares, own.pids_limit),
            (128 << 20, -1, 512, Some(0))
        );
    }

    #[test]
    fn memory_over_its_swap_limit_needs_both() {
        let mut own = Resources {
            memory: 64 << 20,
            memory_swap: 128 << 20,
            ..Resources::default()
        };
        let error = apply(
            &mut own,
            &Resources {
                memory: 256 << 20,
                ..Resources::default()
            },
        )
        .unwrap_err();
        assert_eq!(
            error.message,
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        );
    }
}
