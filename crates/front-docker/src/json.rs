//! Request bodies in JSON, read as dockerd reads them: content type, empty bodies, `null` as
//! nothing, unknown fields ignored, wrong types refused with the field's name.

use axum::extract::{FromRequest, Request};
use edge::body::{JsonError, ReadError};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// Most bytes of a JSON request.
const LIMIT: usize = 8 * 1024 * 1024;

/// Fields whose keys are the user's: a `null` below them is a value, not an absence.
const MAPS: [&str; 4] = ["EndpointsConfig", "ExposedPorts", "PortBindings", "Volumes"];

/// A request body that may be missing.
pub(crate) struct Json<T>(pub(crate) Option<T>);

/// A shape of a request body, with its name in dockerd's messages.
pub(crate) trait Shape: DeserializeOwned {
    const NAME: &'static str;
}

impl<S: Send + Sync, T: Shape> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let Some(document) = document(request).await? else {
            return Ok(Self(None));
        };
        shape(document).map(|value| Self(Some(value)))
    }
}

/// Reads a body as JSON; `None` where there is none.
pub(crate) async fn document(request: Request) -> Result<Option<Value>, ApiError> {
    check_content_type(&request)?;
    let bytes =
        edge::body::read(request.into_body(), LIMIT)
            .await
            .map_err(|error| match error {
                ReadError::TooLarge { .. } => {
                    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
                }
                ReadError::Broken(_) => ApiError::invalid(error.to_string()),
            })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::invalid(
            "invalid JSON: got EOF while reading request body",
        ));
    }
    let mut document: Value = serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::invalid(if error.to_string().starts_with("trailing characters") {
            "unexpected content after JSON".to_owned()
        } else if error.is_eof() {
            "invalid JSON: unexpected EOF".to_owned()
        } else {
            format!("invalid JSON: {}", syntax_words(&bytes, &error))
        })
    })?;
    if document == Value::Null {
        document = Value::Object(serde_json::Map::new());
    }
    prune(&mut document);
    Ok(Some(document))
}

/// dockerd's words for a document that is none, from serde's.
fn syntax_words(bytes: &[u8], error: &serde_json::Error) -> String {
    let words = error.to_string();
    let sought = [
        (
            "key must be a string",
            "looking for beginning of object key string",
        ),
        ("expected value", "looking for beginning of value"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
    ];
    let sought = sought.iter().find(|(known, _)| words.starts_with(known));
    let line = bytes.split(|byte| *byte == b'\n').nth(error.line() - 1);
    let found = line.and_then(|line| line.get(error.column().checked_sub(1)?));
    match (sought, found) {
        (Some((_, sought)), Some(found)) => {
            format!("invalid character {:?} {sought}", char::from(*found))
        }
        _ => words,
    }
}

/// Gives a document its shape.
pub(crate) fn shape<T: Shape>(document: Value) -> Result<T, ApiError> {
    shape_of(T::NAME, document)
}

/// As [`shape`], where the shape is part of a document of another name.
pub(crate) fn shape_of<T: DeserializeOwned>(name: &str, document: Value) -> Result<T, ApiError> {
    edge::body::shape(document).map_err(|error| match error {
        JsonError::Syntax(error) => ApiError::invalid(format!("invalid JSON: {error}")),
        JsonError::Shape { path, source } => ApiError::invalid(format!(
            "invalid JSON: {}",
            unmarshal_words(name, &path, &source.to_string())
        )),
    })
}

/// dockerd's words for a value of the wrong type, from serde's.
fn unmarshal_words(shape: &str, path: &str, words: &str) -> String {
    let field = if path == "." {
        shape.to_owned()
    } else {
        format!("{shape}.{path}")
    };
    let mismatch = words
        .strip_prefix("invalid type: ")
        .or_else(|| words.strip_prefix("invalid value: "))
        .and_then(|words| words.split_once(", expected "));
    let Some((found, expected)) = mismatch else {
        return format!("field {field}: {words}");
    };
    let kind = match found.split(' ').next().unwrap_or_default() {
        "boolean" => "bool",
        "sequence" => "array",
        "map" => "object",
        "integer" | "floating" => "number",
        other => other,
    };
    let wanted = match expected {
        "a boolean" => "bool",
        "a string" => "string",
        "a sequence" => "[]string",
        "a map" => "map",
        "i64" => "int64",
        "u64" => "uint64",
        "u32" => "uint32",
        "u16" => "uint16",
        other => other.strip_prefix("struct ").unwrap_or(other),
    };
    format!("json: cannot unmarshal {kind} into Go struct field {field} of type {wanted}")
}

/// Takes `null` fields away, so that they read as missing ones.
pub(crate) fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::Object(entries) if MAPS.contains(&name.as_str()) => {
                        entries.values_mut().for_each(prune);
                    }
                    value => prune(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// No content type is needed without a body; otherwise it must be JSON.
fn check_content_type(request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    if header.is_empty() {
        return if has_body {
            Err(ApiError::invalid(
                "malformed Content-Type header (): mime: no media type",
            ))
        } else {
            Ok(())
        };
    }
    let media_type = header.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(ApiError::invalid(format!(
            "unsupported Content-Type header ({header}): must be 'application/json'"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::body::Body;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Create {
        image: String,
        exposed_ports: BTreeMap<String, Option<Value>>,
        host_config: Host,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Host {
        memory: i64,
    }

    impl Shape for Create {
        const NAME: &'static str = "CreateRequest";
    }

    async fn read(content_type: Option<&str>, body: &str) -> Result<Option<Create>, String> {
        let mut request = Request::builder().header(CONTENT_LENGTH, body.len());
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        Json::from_request(request, &())
            .await
            .map(|Json(value)| value)
            .map_err(|error| error.message)
    }

    const JSON: Option<&str> = Some("application/json");

    #[tokio::test]
    async fn nulls_and_unknown_fields_do_not_matter() {
        let body =
            r#"{"Image":null,"HostConfig":{"Memory":null,"X":1},"ExposedPorts":{"80/tcp":null}}"#;
        let create = read(Some("application/json; charset=utf-8"), body)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((create.image.as_str(), create.host_config.memory), ("", 0));
        assert_eq!(create.exposed_ports.len(), 1);
        assert!(read(None, "").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn wrong_bodies_are_refused_in_dockerds_words() {
        for (content_type, body, words) in [
            (
                JSON,
                r#"{"HostConfig":{"Memory":"1g"}}"#,
                "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.HostConfig.Memory of type int64",
            ),
            (
                JSON,
                r#"{"Image":7}"#,
                "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Image of type string",
            ),
            (
                JSON,
                r#"{"HostConfig":[]}"#,
                "invalid JSON: json: cannot unmarshal array into Go struct field CreateRequest.HostConfig of type Host",
            ),
            (JSON, "{", "invalid JSON: unexpected EOF"),
            (
                JSON,
                "{invalid",
                "invalid JSON: invalid character 'i' looking for beginning of object key string",
            ),
            (
                JSON,
                "{\"Image\":\n x}",
                "invalid JSON: invalid character 'x' looking for beginning of value",
            ),
            (
                JSON,
                r#"{"Image" 1}"#,
                "invalid JSON: invalid character '1' after object key",
            ),
            (
                JSON,
                r#"{"Cmd":["a" "b"]}"#,
                "invalid JSON: invalid character '\"' after array element",
            ),
            (JSON, "{} {}", "unexpected content after JSON"),
            (
                JSON,
                " ",
                "invalid JSON: got EOF while reading request body",
            ),
            (
                Some("text/plain"),
                "{}",
                "unsupported Content-Type header (text/plain): must be 'application/json'",
            ),
            (
                None,
                "{}",
                "malformed Content-Type header (): mime: no media type",
            ),
        ] {
            assert_eq!(read(content_type, body).await.unwrap_err(), words);
        }
    }
}
