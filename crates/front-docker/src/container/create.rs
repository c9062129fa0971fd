//! `POST /containers/create`.

use std::sync::Arc;

use actions::volume::NewVolume;
use actions::{instance, system, volume};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::image::Image;
use model::instance::Instance;
use model::network::Network;
use serde::Serialize;

use super::lookup::{find, name_taken};
use super::translate::{Create, Host, Surroundings, check, to_model};
use super::wire::Config;
use crate::error::ApiError;
use crate::front::At;
use crate::id::docker_id;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    warnings: Vec<String>,
}

/// What a request refers to, looked up in the cloud.
pub(crate) struct Around<'a> {
    at: &'a At,
    host: Host,
}

impl<'a> Around<'a> {
    pub(crate) fn new(at: &'a At) -> Result<Self, ApiError> {
        let node = system::info(&at.cloud, &at.caller)?.node;
        let cpus = u32::try_from(node.spec.cpu_milli / 1000)
            .unwrap_or(u32::MAX)
            .max(1);
        Ok(Self {
            at,
            host: Host {
                cpus,
                cgroup_version: node.spec.cgroup_version,
                has_io_weights: node.spec.has_io_weights,
            },
        })
    }
}

/// Something that a request refers to is missing: that is a wrong request.
///
/// QUIRK(docker 28): to a 404 the client answers by pulling the image and asking again, whatever
/// was missing; see `a_program_that_cannot_be_run_is_named` of the client tests.
fn about_the_request(error: ApiError) -> ApiError {
    match error.status {
        StatusCode::NOT_FOUND => ApiError::invalid(error.message),
        _ => error,
    }
}

impl Surroundings for Around<'_> {
    fn network(&self, term: &str) -> Result<Arc<Network>, ApiError> {
        crate::network::lookup::find(self.at, term).map_err(about_the_request)
    }

    fn instance(&self, term: &str) -> Result<Arc<Instance>, ApiError> {
        find(self.at, term)
            .map(|view| view.instance)
            .map_err(about_the_request)
    }

    /// There is one node, and it is this machine.
    fn node_has_path(&self, path: &str) -> bool {
        std::path::Path::new(path).exists()
    }

    fn host(&self) -> Host {
        self.host
    }
}

pub(crate) async fn create(at: At, request: Request) -> Result<Response, ApiError> {
    let document = crate::json::document(request).await?;
    let mut create = Create::read(at.form.get("name"), document)?;
    let around = Around::new(&at)?;
    let warnings = check(&mut create, at.version, &around.host())?;
    let image = image_of(&at, &create.config)?;
    let name = create.name.clone();
    let translated = to_model(create, &image, at.version, warnings, &around)?;
    for wanted in translated.volumes {
        let new = NewVolume {
            name: Some(wanted.name),
            labels: wanted.labels,
            options: wanted.options,
        };
        volume::create(&at.cloud, &at.caller, new).await?;
    }
    let created = instance::create(&at.cloud, &at.caller, translated.new)
        .await
        .map_err(|error| name_taken(&at, name.as_deref().unwrap_or_default(), error))?;
    let mut warnings = translated.warnings;
    warnings.extend(created.warnings);
    let answer = Created {
        id: docker_id(created.id),
        warnings,
    };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

/// The image to make a container from. Clients pull and try again when told `No such image`.
fn image_of(at: &At, config: &Config) -> Result<Arc<Image>, ApiError> {
    let reference = config.image.as_str();
    if reference.is_empty() {
        let mut command = config.cmd.iter().chain(&config.entrypoint).flatten();
        if command.next().is_none() {
            return Err(ApiError::invalid("no command specified"));
        }
        return Err(ApiError::invalid(
            "no image specified: a container needs an image (Config.Image)",
        ));
    }
    let image = crate::image::lookup::find(at, reference)?;
    if let Some(platform) = at.form.non_empty("platform").filter(|_| at.version.has(41)) {
        crate::image::lookup::check_platform(&image, platform)?;
    }
    Ok(image)
}
