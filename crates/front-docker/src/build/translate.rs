//! The query of a build, checked and turned into the model. What is not done is refused by name.
//!
//! Source: Docker Engine API 1.51, `ImageBuild`.

use std::collections::BTreeMap;

use actions::build::{NewBuild, Remote, Request};
use actions::instance::NewInstance;
use model::image::Image;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::container::translate::{self, Create, Surroundings};
use crate::error::ApiError;
use crate::image::platform_of;
use crate::query::Form;
use crate::version::Version;

/// Limits, by parameter and by field of a container's host configuration.
const LIMITS: [(&str, &str); 7] = [
    ("memory", "Memory"),
    ("memswap", "MemorySwap"),
    ("cpushares", "CpuShares"),
    ("cpuperiod", "CpuPeriod"),
    ("cpuquota", "CpuQuota"),
    ("shmsize", "ShmSize"),
    ("pidslimit", "PidsLimit"),
];

pub(crate) fn to_model(
    form: &Form,
    version: Version,
    around: &dyn Surroundings,
) -> Result<NewBuild, ApiError> {
    refuse(form)?;
    form.non_empty("platform").map(platform_of).transpose()?;
    let arguments: BTreeMap<String, Option<String>> = document(form, "buildargs")?;
    let (surroundings, template) = surroundings(host_config(form)?, version, around)?;
    Ok(NewBuild {
        request: Request {
            dockerfile: form
                .non_empty("dockerfile")
                .unwrap_or("Dockerfile")
                .to_owned(),
            // One without a value is as if it were not given.
            arguments: arguments
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            labels: document(form, "labels")?,
            target: form.get("target").to_owned(),
            platform: form.non_empty("platform").map(str::to_owned),
            no_cache: form.is_true("nocache"),
            cache_from: document(form, "cachefrom")?,
            pull: form.is_true("pull"),
            surroundings,
            keep_containers: !form.is_true_or("rm", true) && !form.is_true("forcerm"),
            ..Request::default()
        },
        names: form
            .all("t")
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect(),
        template,
        ..NewBuild::default()
    })
}

/// What commands run in, and as a text what they may come out otherwise with; of a container's host
/// configuration.
pub(crate) fn surroundings(
    host: Map<String, Value>,
    version: Version,
    around: &dyn Surroundings,
) -> Result<(String, NewInstance), ApiError> {
    let shown = json!([host.get("NetworkMode"), host.get("ExtraHosts")]).to_string();
    let mut create = Create::read(
        "",
        Some(json!({ "Image": "build", "Cmd": ["build"], "HostConfig": host })),
    )?;
    let warnings = translate::check(&mut create, version, &around.host())?;
    let translated = translate::to_model(create, &Image::default(), version, warnings, around)?;
    Ok((shown, translated.new))
}

/// Whether git's own files are in a context, by a build argument. Source: Dockerfile reference, "BuildKit
/// built-in build args".
pub(crate) const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// Where a context is that is not in the request.
///
/// Source: moby, `daemon/builder/remotecontext/detect.go`.
pub(crate) fn remote(text: &str, request: &Request) -> Result<Remote, ApiError> {
    let remote = Remote::parse(text).map_err(|error| ApiError::invalid(error.to_string()))?;
    let mut remote = remote.ok_or_else(|| {
        ApiError::invalid(format!("remoteURL ({text}) could not be recognized as URL"))
    })?;
    if let Remote::Repository(repository) = &mut remote
        && let Some(keeps) = request.arguments.get(KEEP_GIT_DIR)
    {
        let keeps = matches!(keeps.as_str(), "1" | "t" | "T" | "true" | "True" | "TRUE");
        repository.keep_git_dir = repository.keep_git_dir.or(Some(keeps));
    }
    Ok(remote)
}

fn refuse(form: &Form) -> Result<(), ApiError> {
    if form.is_true("squash") {
        return Err(ApiError::unsupported(
            "squash is not supported: copy from one stage to another to leave layers behind",
        ));
    }
    let has_outputs = form
        .non_empty("outputs")
        .is_some_and(|outputs| outputs != "[]");
    if has_outputs {
        return Err(ApiError::unsupported(
            "outputs are not supported: build an image, and copy files out of a container of it",
        ));
    }
    if let Some(isolation) = form
        .non_empty("isolation")
        .filter(|name| *name != "default")
    {
        return Err(ApiError::invalid(format!(
            "isolation={isolation} is not supported on linux"
        )));
    }
    Ok(())
}

/// A parameter that is a document.
fn document<T: DeserializeOwned + Default>(form: &Form, name: &str) -> Result<T, ApiError> {
    let Some(text) = form.non_empty(name) else {
        return Ok(T::default());
    };
    let read: Option<T> = serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("error reading {name}: {error}")))?;
    Ok(read.unwrap_or_default())
}

/// What commands run in, as the host configuration of a container.
fn host_config(form: &Form) -> Result<Map<String, Value>, ApiError> {
    let mut host = Map::new();
    for (parameter, field) in LIMITS {
        if let Some(number) = form.number(parameter)?.filter(|number| *number != 0) {
            host.insert(field.to_owned(), number.into());
        }
    }
    for (parameter, field) in [
        ("cpusetcpus", "CpusetCpus"),
        ("cpusetmems", "CpusetMems"),
        ("cgroupparent", "CgroupParent"),
        ("networkmode", "NetworkMode"),
    ] {
        if let Some(text) = form.non_empty(parameter) {
            host.insert(field.to_owned(), text.into());
        }
    }
    let ulimits: Value = document(form, "ulimits")?;
    if !ulimits.is_null() {
        host.insert("Ulimits".to_owned(), ulimits);
    }
    let hosts: Vec<String> = form
        .all("extrahosts")
        .iter()
        .flat_map(|text| match serde_json::from_str::<Vec<String>>(text) {
            Ok(hosts) => hosts,
            Err(_) => text.split(',').map(str::to_owned).collect(),
        })
        .filter(|host| !host.is_empty())
        .collect();
    if !hosts.is_empty() {
        host.insert("ExtraHosts".to_owned(), hosts.into());
    }
    Ok(host)
}
