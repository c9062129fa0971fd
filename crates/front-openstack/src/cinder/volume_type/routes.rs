//! Paths of types of volumes.

use std::collections::BTreeMap;

use actions::policy::{Action, Target};
use actions::volume_type::{self, TypeChange};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::StatusCode;
use model::volume_type::VolumeType;
use model::{Id, ProjectId};
use serde_json::{Value, json};

use crate::cinder::Body;
use crate::cinder::answer::List;
use crate::cinder::error::ApiError;
use crate::cinder::fields::{Fields, switch_of, words_of, wrong};
use crate::cinder::here::{Here, Of, OfTwo, path_id};
use crate::id;
use crate::route::Route;

const ONE: &str = "/v3/{project}/types/{volume_type}";
const EXTRA: &str = "/v3/{project}/types/{volume_type}/extra_specs";
const EXTRA_KEY: &str = "/v3/{project}/types/{volume_type}/extra_specs/{key}";
/// The extra specs that everybody sees, as they say what users can do.
const FOR_USERS: [&str; 3] = [
    "RESKEY:availability_zones",
    "multiattach",
    "replication_enabled",
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/v3/{project}/types", "listVolumeTypes", get(list)),
        Route::new("/v3/{project}/types", "createVolumeType", post(create)),
        Route::new(ONE, "showVolumeType", get(show)),
        Route::new(ONE, "updateVolumeType", put(update)),
        Route::new(ONE, "deleteVolumeType", delete(remove)),
        Route::new(EXTRA, "listExtraSpecs", get(extra_specs)),
        Route::new(EXTRA, "createExtraSpecs", post(add_extra_specs)),
        Route::new(EXTRA_KEY, "showExtraSpec", get(extra_spec)),
        Route::new(EXTRA_KEY, "updateExtraSpec", put(set_extra_spec)),
        Route::new(EXTRA_KEY, "deleteExtraSpec", delete(remove_extra_spec)),
        Route::several(
            "/v3/{project}/types/{volume_type}/action",
            vec!["addProjectAccess", "removeProjectAccess"],
            post(act),
        ),
        Route::new(
            "/v3/{project}/types/{volume_type}/os-volume-type-access",
            "listVolumeTypeAccess",
            get(access),
        ),
        Route::new(
            "/v3/{project}/types/{volume_type}/encryption",
            "showEncryption",
            get(encryption),
        ),
        Route::new(
            "/v3/{project}/types/{volume_type}/encryption",
            "createEncryption",
            post(refuse_encryption),
        ),
    ]
}

fn shown(here: &Here, one: &VolumeType) -> Value {
    let mut extra_specs = one.spec.extra_specs.clone();
    if !here.caller.is_admin() {
        extra_specs.retain(|key, _| FOR_USERS.contains(&key.as_str()));
    }
    let mut object = json!({
        "id": one.meta.id.to_string(),
        "name": one.meta.name,
        "description": one.spec.description,
        "is_public": one.spec.public,
        "os-volume-type-access:is_public": one.spec.public,
        "extra_specs": extra_specs,
    });
    if here.caller.is_admin() {
        object["qos_specs_id"] = Value::Null;
    }
    object
}

/// A type as clients read it when it is made or changed.
fn made(here: &Here, one: &VolumeType) -> Value {
    let mut object = shown(here, one);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("qos_specs_id");
    }
    object
}

fn find(here: &Here, text: &str) -> Result<std::sync::Arc<VolumeType>, ApiError> {
    let id = path_id("Volume type", text)?;
    Ok(volume_type::get(&here.cloud, &here.caller, id)?)
}

async fn list(here: Here) -> Result<Response, ApiError> {
    let mut types = volume_type::list(&here.cloud, &here.caller)?;
    match here.query.get("is_public").map(switch_of) {
        Some(Some(public)) if here.caller.is_admin() => {
            types.retain(|one| one.spec.public == public);
        }
        // `None`, in words, is both.
        Some(None) if here.caller.is_admin() => {}
        _ => types.retain(|one| one.is_for(here.caller.project())),
    }
    List {
        many: "volume_types",
        path: "types",
        filters: &["name", "description", "extra_specs"],
        objects: types.iter().map(|one| shown(&here, one)).collect(),
        shown: |one| one,
    }
    .answer(&here)
}

async fn create(here: Here, body: Body) -> Result<Response, ApiError> {
    let mut fields = Fields::of(body.0, "volume_type")?;
    let new = TypeChange {
        name: Some(name_of(fields.text("name")?)?),
        description: fields
            .has("description")
            .then_some(fields.text("description")?),
        public: fields.switch("os-volume-type-access:is_public")?,
        extra_specs: fields.words("extra_specs")?,
    };
    fields.done()?;
    let one = volume_type::create(&here.cloud, &here.caller, new).await?;
    Ok(Json(json!({ "volume_type": made(&here, &one) })).into_response())
}

fn name_of(name: Option<String>) -> Result<String, ApiError> {
    let name = name.unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return Err(ApiError::invalid("Volume type name can not be empty."));
    }
    Ok(name)
}

async fn show(here: Here, path: Of) -> Result<Response, ApiError> {
    let one = if path.1 == "default" {
        find(&here, &VolumeType::DEFAULT.to_string())?
    } else {
        find(&here, &path.1)?
    };
    Ok(Json(json!({ "volume_type": shown(&here, &one) })).into_response())
}

async fn update(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let id = find(&here, &path.1)?.meta.id;
    let mut fields = Fields::of(body.0, "volume_type")?;
    let has_description = fields.has("description");
    let change = TypeChange {
        name: if fields.has("name") {
            fields
                .text("name")?
                .map(|name| name_of(Some(name)))
                .transpose()?
        } else {
            None
        },
        description: has_description.then_some(fields.text("description")?),
        public: fields.switch("is_public")?,
        extra_specs: None,
    };
    fields.done()?;
    if change.name.is_none() && change.description.is_none() && change.public.is_none() {
        return Err(ApiError::invalid(
            "Specify volume type name, description, is_public or a combination thereof.",
        ));
    }
    let one = volume_type::update(&here.cloud, &here.caller, id, change).await?;
    let mut shown = made(&here, &one);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("os-volume-type-access:is_public");
    }
    Ok(Json(json!({ "volume_type": shown })).into_response())
}

async fn remove(here: Here, path: Of) -> Result<StatusCode, ApiError> {
    let id = path_id("Volume type", &path.1)?;
    volume_type::remove(&here.cloud, &here.caller, id).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn extra_specs(here: Here, path: Of) -> Result<Response, ApiError> {
    let one = find(&here, &path.1)?;
    let specs = shown(&here, &one)["extra_specs"].clone();
    Ok(Json(json!({ "extra_specs": specs })).into_response())
}

async fn store(here: &Here, id: Id, specs: BTreeMap<String, String>) -> Result<(), ApiError> {
    let change = TypeChange {
        extra_specs: Some(specs),
        ..TypeChange::default()
    };
    volume_type::update(&here.cloud, &here.caller, id, change).await?;
    Ok(())
}

fn missing(one: &VolumeType, key: &str) -> ApiError {
    ApiError::not_found(format!(
        "Volume Type {} has no extra specs with key {key}.",
        one.meta.id
    ))
}

async fn add_extra_specs(here: Here, path: Of, body: Body) -> Result<Response, ApiError> {
    let one = find(&here, &path.1)?;
    let mut fields = Fields::all(body.0, "body")?;
    let given = fields.take("extra_specs");
    let given = given.ok_or_else(|| ApiError::invalid("'extra_specs' is a required property"))?;
    let given = words_of("extra_specs", given)?;
    let mut specs = one.spec.extra_specs.clone();
    specs.extend(given.clone());
    store(&here, one.meta.id, specs).await?;
    Ok(Json(json!({ "extra_specs": given })).into_response())
}

async fn extra_spec(here: Here, path: OfTwo) -> Result<Response, ApiError> {
    let (_, id, key) = &*path;
    let one = find(&here, id)?;
    let value = &shown(&here, &one)["extra_specs"][key];
    if value.is_null() {
        return Err(missing(&one, key));
    }
    Ok(Json(json!({ key: value })).into_response())
}

async fn set_extra_spec(here: Here, path: OfTwo, body: Body) -> Result<Response, ApiError> {
    let (_, id, key) = &*path;
    let one = find(&here, id)?;
    let given = words_of("body", body.0)?;
    let value = match given.get(key) {
        Some(value) if given.len() == 1 => value.clone(),
        Some(_) => return Err(ApiError::invalid("Request body contains too many items")),
        None => return Err(ApiError::invalid("Request body and URI mismatch")),
    };
    let mut specs = one.spec.extra_specs.clone();
    specs.insert(key.clone(), value);
    store(&here, one.meta.id, specs).await?;
    Ok(Json(given).into_response())
}

async fn remove_extra_spec(here: Here, path: OfTwo) -> Result<StatusCode, ApiError> {
    let (_, id, key) = &*path;
    let one = find(&here, id)?;
    let mut specs = one.spec.extra_specs.clone();
    specs.remove(key).ok_or_else(|| missing(&one, key))?;
    store(&here, one.meta.id, specs).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn act(here: Here, path: Of, body: Body) -> Result<StatusCode, ApiError> {
    let id = find(&here, &path.1)?.meta.id;
    let mut all = Fields::all(body.0, "body")?;
    let (arguments, may) = match (
        all.take("addProjectAccess"),
        all.take("removeProjectAccess"),
    ) {
        (Some(arguments), None) => (arguments, true),
        (None, Some(arguments)) => (arguments, false),
        _ => return Err(ApiError::invalid("There is no such action.")),
    };
    let mut fields = Fields::all(arguments, "body")?;
    let text = fields.text("project")?;
    let text = text.ok_or_else(|| ApiError::invalid("'project' is a required property"))?;
    let project = id::parse(&text).map(ProjectId);
    let project = project.ok_or_else(|| wrong("project", &json!(text), "is not a project"))?;
    volume_type::set_access(&here.cloud, &here.caller, id, project, may).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn access(here: Here, path: Of) -> Result<Response, ApiError> {
    let one = find(&here, &path.1)?;
    if one.spec.public || !here.caller.is_admin() {
        return Err(ApiError::not_found(
            "Access list not available for public volume types.",
        ));
    }
    let projects: Vec<Value> = one
        .spec
        .access
        .iter()
        .map(|project| {
            json!({
                "volume_type_id": one.meta.id.to_string(),
                "project_id": id::show(project.0),
            })
        })
        .collect();
    Ok(Json(json!({ "volume_type_access": projects })).into_response())
}

/// No type is encrypted, which is said by an empty object.
async fn encryption(here: Here, path: Of) -> Result<Response, ApiError> {
    find(&here, &path.1)?;
    Ok(Json(json!({})).into_response())
}

async fn refuse_encryption(here: Here, path: Of) -> Result<Response, ApiError> {
    here.caller
        .may(Action::EncryptVolumeType, &Target::SYSTEM)?;
    find(&here, &path.1)?;
    Err(ApiError::invalid(
        "encryption: volumes are not encrypted here; encrypt the file system of the node instead",
    ))
}
