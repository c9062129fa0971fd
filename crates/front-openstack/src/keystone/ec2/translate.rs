//! What services hand on of the signed requests that reach them.
//!
//! Spec: none is published; the bodies are those of Heat, Swift's `s3token` and keystoneclient.

use std::collections::BTreeMap;

use actions::identity::ec2::{Signed, SignedText};
use http::StatusCode;
use serde_json::{Map, Value};

use crate::keystone::error::ApiError;
use crate::keystone::fields::wrong;

/// The three names that the one member has.
const NAMES: [&str; 3] = ["credentials", "credential", "ec2Credentials"];

/// A signed request.
pub(super) fn signed(body: Value) -> Result<Signed, ApiError> {
    let mut fields = credentials(body)?;
    Ok(Signed {
        access: access(&mut fields)?,
        signature: signature(&mut fields)?,
        params: texts(&mut fields, "params")?,
        headers: texts(&mut fields, "headers")?,
        verb: text(&mut fields, "verb")?.unwrap_or_default(),
        host: text(&mut fields, "host")?.unwrap_or_default(),
        path: text(&mut fields, "path")?.unwrap_or_default(),
        body_hash: text(&mut fields, "body_hash")?.unwrap_or_default(),
    })
}

/// A signed text.
pub(super) fn signed_text(body: Value) -> Result<SignedText, ApiError> {
    let mut fields = credentials(body)?;
    Ok(SignedText {
        access: access(&mut fields)?,
        text: text(&mut fields, "token")?.ok_or_else(not_supplied)?,
        signature: signature(&mut fields)?,
    })
}

fn credentials(body: Value) -> Result<Map<String, Value>, ApiError> {
    let Value::Object(mut body) = body else {
        return Err(ApiError::invalid("The request body must be a JSON object."));
    };
    match NAMES.iter().find_map(|name| body.remove(*name)) {
        None | Some(Value::Null) => Err(not_supplied()),
        Some(Value::Object(fields)) => Ok(fields),
        Some(other) => Err(wrong("credentials", &other, "object")),
    }
}

fn access(fields: &mut Map<String, Value>) -> Result<String, ApiError> {
    text(fields, "access")?.ok_or_else(not_supplied)
}

fn signature(fields: &mut Map<String, Value>) -> Result<String, ApiError> {
    text(fields, "signature")?.ok_or_else(not_supplied)
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(name, &other, "string")),
    }
}

/// Texts by name; numbers are as good.
fn texts(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<BTreeMap<String, String>, ApiError> {
    let values = match fields.remove(name) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(values)) => values,
        Some(other) => return Err(wrong(name, &other, "object")),
    };
    let pair = |(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(number) => Ok((key, number.to_string())),
        other => Err(wrong(name, &other, "string")),
    };
    values.into_iter().map(pair).collect()
}

fn not_supplied() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "EC2 Signature not supplied")
}
