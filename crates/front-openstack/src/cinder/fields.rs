//! The attributes of an object that a client sends: each is taken by name and type, and what is left
//! over is refused by name.
//!
//! Messages are those of Cinder's JSON schemas, which clients read.

use std::collections::BTreeMap;

use model::Id;
use serde_json::{Map, Value};

use super::error::ApiError;

/// Characters of the longest name, description, key and value.
const LONGEST: usize = 255;

/// What is left of an object.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The object called `noun` in a request: `{"volume": {...}}`.
    pub(super) fn of(document: Value, noun: &str) -> Result<Self, ApiError> {
        let missing = || {
            ApiError::invalid(format!(
                "Missing required element '{noun}' in request body."
            ))
        };
        match document {
            Value::Object(mut document) => match document.remove(noun) {
                Some(Value::Object(fields)) => Ok(Self(fields)),
                _ => Err(missing()),
            },
            _ => Err(missing()),
        }
    }

    /// The whole of an object; `name` is for messages.
    pub(super) fn all(value: Value, name: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(wrong(name, &other, "is not of type 'object'")),
        }
    }

    /// A value of any type; `null` is none.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Whether there is a value, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text; `null` is none.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= LONGEST => Ok(Some(text)),
            Some(value @ Value::String(_)) => Err(wrong(name, &value, "is too long")),
            Some(value) => Err(wrong(name, &value, "is not of type 'string'")),
        }
    }

    /// A text under either of two names, of which the first counts more. `None` where there is
    /// neither, the inner `None` where it is `null`.
    #[expect(clippy::option_option, reason = "null takes a description away")]
    pub(super) fn either(
        &mut self,
        name: &str,
        other: &str,
    ) -> Result<Option<Option<String>>, ApiError> {
        let is_there = self.has(name) || self.has(other);
        let (first, second) = (self.text(name)?, self.text(other)?);
        Ok(is_there.then(|| first.or(second)))
    }

    /// True or false, as such or as a text.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let known = match &value {
            Value::Bool(known) => Some(*known),
            Value::Number(number) => match number.as_i64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(text) => switch_of(text),
            _ => None,
        };
        known
            .map(Some)
            .ok_or_else(|| wrong(name, &value, "is not of type 'boolean'"))
    }

    /// A whole number greater than 0, as such or as a text.
    pub(super) fn size(&mut self, name: &str) -> Result<Option<u32>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let fitting = number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0);
        fitting
            .map(Some)
            .ok_or_else(|| wrong(name, &value, "must be an integer and greater than 0"))
    }

    /// An identity; `null` is none.
    pub(super) fn id(&mut self, name: &str) -> Result<Option<Id>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let parsed = text.parse();
        parsed
            .map(Some)
            .map_err(|_| wrong(name, &Value::from(text), "is not a 'uuid'"))
    }

    /// Words by name: texts, of which keys are not empty.
    pub(super) fn words(
        &mut self,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => words_of(name, value).map(Some),
        }
    }

    /// Takes an attribute that is not served; anything but `null` is refused.
    pub(super) fn refuse(&mut self, name: &str) -> Result<(), ApiError> {
        match self.take(name) {
            None => Ok(()),
            Some(value) => Err(wrong(name, &value, "is not supported here")),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn done(self) -> Result<(), ApiError> {
        let names: Vec<String> = self.0.keys().map(|name| format!("'{name}'")).collect();
        let verb = match names.len() {
            0 => return Ok(()),
            1 => "was",
            _ => "were",
        };
        Err(ApiError::invalid(format!(
            "Additional properties are not allowed ({} {verb} unexpected)",
            names.join(", ")
        )))
    }
}

/// What Cinder reads as true or false.
pub(super) fn switch_of(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" | "y" | "t" => Some(true),
        "false" | "0" | "off" | "no" | "n" | "f" => Some(false),
        _ => None,
    }
}

/// Words by name.
pub(super) fn words_of(name: &str, value: Value) -> Result<BTreeMap<String, String>, ApiError> {
    let Value::Object(fields) = value else {
        return Err(wrong(name, &value, "is not of type 'object'"));
    };
    let mut words = BTreeMap::new();
    for (key, value) in fields {
        if key.is_empty() {
            return Err(wrong(
                name,
                &Value::from(key),
                "does not match '^[^\\/]+$': a key is empty",
            ));
        }
        match value {
            Value::String(text)
                if text.chars().count() <= LONGEST && key.chars().count() <= LONGEST =>
            {
                words.insert(key, text);
            }
            value @ Value::String(_) => return Err(wrong(&key, &value, "is too long")),
            value => return Err(wrong(&key, &value, "is not of type 'string'")),
        }
    }
    Ok(words)
}

/// Refuses a value.
pub(super) fn wrong(name: &str, value: &Value, what: &str) -> ApiError {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    ApiError::invalid(format!(
        "Invalid input for field/attribute {name}. Value: {shown}. '{shown}' {what}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_other_types_are_refused() {
        let all = json!({ "volume": {
            "size": 0, "name": 1, "metadata": { "a": 1 }, "id": "x", "flag": "maybe", "rest": 1,
        }});
        let mut all = Fields::of(all, "volume").unwrap();
        assert!(all.size("size").is_err());
        assert!(all.text("name").is_err());
        assert!(all.words("metadata").is_err());
        assert!(all.id("id").is_err());
        assert!(all.switch("flag").is_err());
        let refused = all.done().unwrap_err().to_string();
        assert_eq!(
            refused,
            "Additional properties are not allowed ('rest' was unexpected)"
        );
        for body in [json!([]), json!({}), json!({ "volume": 1 })] {
            assert!(Fields::of(body, "volume").is_err());
        }
    }

    #[test]
    fn a_number_may_be_a_text_and_null_is_nothing() {
        let all = json!({ "volume": { "size": "3", "description": null } });
        let mut all = Fields::of(all, "volume").unwrap();
        assert_eq!(all.size("size").unwrap(), Some(3));
        let either = all.either("description", "display_description").unwrap();
        assert_eq!(either, Some(None));
    }
}
