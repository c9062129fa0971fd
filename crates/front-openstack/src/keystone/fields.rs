//! The fields of an object that a client sends: each is taken by name and type, and what is left
//! over are the object's further fields, which Keystone keeps as they are.
//!
//! Messages are those of Keystone's schema check.

use actions::identity::Named;
use http::StatusCode;
use jiff::Timestamp;
use model::Id;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::id;

/// Characters of the longest name.
const LONGEST_NAME: usize = 255;
/// Characters of the longest name of a project, domain or group.
pub(super) const LONGEST_PROJECT_NAME: usize = 64;

/// What is left of an object.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The object called `noun` in a request: `{"user": {...}}`.
    pub(super) fn of(document: Value, noun: &str) -> Result<Self, ApiError> {
        let Value::Object(mut document) = document else {
            return Err(ApiError::invalid("The request body must be a JSON object."));
        };
        match document.remove(noun) {
            Some(Value::Object(fields)) => Ok(Self(fields)),
            Some(other) => Err(wrong(noun, &other, "object")),
            None => Err(missing(noun)),
        }
    }

    /// A value of any type.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, &other, "string")),
        }
    }

    /// A text or `null`.
    pub(super) fn nullable(&mut self, name: &str) -> Result<Option<Option<String>>, ApiError> {
        match self.0.get(name) {
            Some(Value::Null) => {
                self.take(name);
                Ok(Some(None))
            }
            _ => Ok(self.text(name)?.map(Some)),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// The name, which is neither blank nor too long.
    pub(super) fn name(&mut self) -> Result<Option<String>, ApiError> {
        self.word("name")
    }

    /// The same, of at most so many characters.
    pub(super) fn name_within(&mut self, most: usize) -> Result<Option<String>, ApiError> {
        match self.name()? {
            Some(name) if name.chars().count() > most => Err(ApiError::invalid(format!(
                "Invalid input for field 'name': '{name}' is too long"
            ))),
            name => Ok(name),
        }
    }

    /// A text that is neither blank nor too long.
    pub(super) fn word(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let text = self.text(name)?;
        match &text {
            Some(text) if text.trim().is_empty() => Err(ApiError::invalid(format!(
                "Invalid input for field '{name}': '{text}' does not match '[\\S]+'"
            ))),
            Some(text) if text.chars().count() > LONGEST_NAME => Err(ApiError::invalid(format!(
                "Invalid input for field '{name}': '{text}' is too long"
            ))),
            _ => Ok(text),
        }
    }

    /// True or false.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(name, &other, "boolean")),
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(name, &value, "integer")),
            },
        }
    }

    /// The identity of a `noun`, or `null`.
    pub(super) fn id(&mut self, name: &str, noun: &str) -> Result<Option<Option<Id>>, ApiError> {
        self.nullable(name)?
            .map(|text| text.map(|text| parse(noun, &text)).transpose())
            .transpose()
    }

    /// An object inside; empty where there is none.
    pub(super) fn object(&mut self, name: &str) -> Result<Map<String, Value>, ApiError> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(fields)) => Ok(fields),
            Some(other) => Err(wrong(name, &other, "object")),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text),
                    other => Err(wrong(name, &other, "string")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(name, &other, "array")),
        }
    }

    /// Whether the object can be changed, out of its options.
    pub(super) fn immutable(&mut self) -> Result<Option<Option<bool>>, ApiError> {
        match self.object("options")?.remove("immutable") {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Bool(value)) => Ok(Some(Some(value))),
            Some(other) => Err(wrong("options/immutable", &other, "boolean")),
        }
    }

    /// Refuses an identity that is not the one of the path.
    pub(super) fn same_id(&mut self, wanted: &str) -> Result<(), ApiError> {
        match self.take("id") {
            Some(Value::String(text)) if text != wanted => {
                Err(ApiError::invalid("Cannot change object's ID."))
            }
            _ => Ok(()),
        }
    }

    /// What nobody took: the further fields. What we show ourselves is none of them.
    pub(super) fn rest(mut self) -> Map<String, Value> {
        self.0.remove("id");
        self.0.remove("links");
        self.0
    }
}

/// The identity of a `noun`; what cannot be one is nobody's.
pub(super) fn parse(noun: &str, text: &str) -> Result<Id, ApiError> {
    id::parse(text).ok_or_else(|| ApiError::not_found(noun, text))
}

/// A role that is lent, by identity or by name.
pub(super) fn named(document: Value) -> Result<Named, ApiError> {
    let mut fields = Fields::of(json!({ "role": document }), "role")?;
    match (fields.text("id")?, fields.text("name")?) {
        (Some(text), _) => Ok(Named::Id(parse("role", &text)?)),
        (None, Some(name)) => Ok(Named::Name(name)),
        (None, None) => Err(missing("id")),
    }
}

/// A time with or without a zone; without one it is UTC.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, ApiError> {
    text.parse()
        .or_else(|_| format!("{text}Z").parse())
        .map_err(|_| ApiError::invalid(
            "Timestamp not in expected format. The server could not comply with the request since it \
             is either malformed or otherwise incorrect. The client is assumed to be in error.",
        ))
}

pub(super) fn missing(name: &str) -> ApiError {
    ApiError::invalid(format!("'{name}' is a required property"))
}

pub(super) fn wrong(name: &str, value: &Value, kind: &str) -> ApiError {
    let value = match value {
        Value::String(text) => format!("'{text}'"),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    };
    ApiError::new(
        StatusCode::BAD_REQUEST,
        format!("Invalid input for field '{name}': {value} is not of type '{kind}'"),
    )
}
