//! Path of imports.

use actions::registered_image::import::{self, Origin};
use axum::extract::Path;
use axum::routing::post;
use http::StatusCode;
use serde_json::{Value, json};

use crate::front::At;
use crate::glance::answer::path_id;
use crate::glance::error::ApiError;
use crate::glance::{Body, IMPORT_METHODS, STORE};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new(
        "/v2/images/{id}/import",
        "importImage",
        post(begin),
    )]
}

async fn begin(at: At, Path(id): Path<String>, body: Body) -> Result<StatusCode, ApiError> {
    let image = path_id("image", &id)?;
    let request = body.0;
    let origin = origin(&request)?;
    check_stores(&request)?;
    let input = json!({ "image_id": id, "import_req": request, "backend": [STORE] });
    import::import(&at.cloud, &at.caller, image, origin, input).await?;
    Ok(StatusCode::ACCEPTED)
}

/// From where the method takes the data; refuses methods that are not served.
fn origin(request: &Value) -> Result<Origin, ApiError> {
    let method = request
        .get("method")
        .ok_or_else(|| ApiError::invalid("Import request requires a 'method' field."))?;
    let name = method
        .get("name")
        .ok_or_else(|| ApiError::invalid("Import request requires a 'name' field."))?;
    match name.as_str() {
        Some("glance-direct") => Ok(Origin::Staged),
        Some("web-download") => match method.get("uri").and_then(Value::as_str) {
            Some(uri) => Ok(Origin::Web(uri.to_owned())),
            None => Err(ApiError::invalid("URI is required for web-download")),
        },
        _ => Err(ApiError::invalid(format!(
            "Unknown import method name {name}: use one of {}.",
            IMPORT_METHODS.join(", ")
        ))),
    }
}

/// Refuses stores that are none of ours.
fn check_stores(request: &Value) -> Result<(), ApiError> {
    for name in ["all_stores", "all_stores_must_succeed"] {
        if request.get(name).is_some_and(|value| !value.is_boolean()) {
            return Err(ApiError::invalid(format!(
                "'{name}' must be boolean value only"
            )));
        }
    }
    let wanted = match request.get("stores") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(stores)) => stores,
        Some(_) => return Err(ApiError::invalid("'stores' must be a list of stores")),
    };
    if request.get("all_stores") == Some(&Value::Bool(true)) {
        return Err(ApiError::invalid(
            "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
        ));
    }
    match wanted.iter().find(|store| *store != STORE) {
        None => Ok(()),
        Some(other) => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("Unknown scheme {other} found in URI"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_method_and_our_store() {
        let direct = json!({ "method": { "name": "glance-direct" }, "stores": [STORE] });
        assert_eq!(origin(&direct).unwrap(), Origin::Staged);
        let web = json!({ "method": { "name": "web-download", "uri": "http://x/y" } });
        assert_eq!(origin(&web).unwrap(), Origin::Web("http://x/y".to_owned()));
        assert!(check_stores(&direct).is_ok());
        for wrong in [
            json!({}),
            json!({ "method": "x" }),
            json!({ "method": { "name": "copy-image" } }),
            json!({ "method": { "name": "web-download" } }),
        ] {
            assert!(origin(&wrong).is_err(), "{wrong}");
        }
        for wrong in [
            json!({ "stores": ["tape"] }),
            json!({ "stores": STORE }),
            json!({ "all_stores": 1 }),
            json!({ "all_stores": true, "stores": [STORE] }),
        ] {
            assert!(check_stores(&wrong).is_err(), "{wrong}");
        }
    }
}
