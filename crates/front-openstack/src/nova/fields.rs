//! The attributes of an object that a client sends: each is taken by name and type, and what is left
//! over is refused by name.
//!
//! Messages are those of Nova's JSON schemas, which clients read; values stand in them as Python
//! writes them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use model::Id;
use serde_json::{Map, Value};

use super::error::ApiError;

/// Characters of the longest name and description.
const LONGEST: usize = 255;

/// What is left of an object.
pub(super) struct Fields {
    /// What the object is called in messages; the outermost has no name.
    name: Option<String>,
    left: Map<String, Value>,
}

impl Fields {
    /// The object called `noun` in a request, and nothing beside it: `{"server": {...}}`.
    pub(super) fn of(document: Value, noun: &str) -> Result<Self, ApiError> {
        let mut document = Self::document(document)?;
        let fields = document.required_object(noun)?;
        document.done().map(|()| fields)
    }

    /// A whole request.
    pub(super) fn document(value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(left) => Ok(Self { name: None, left }),
            other => Err(ApiError::invalid(format!(
                "{} is not of type 'object'",
                python(&other)
            ))),
        }
    }

    /// An object that is called `name` in messages.
    pub(super) fn object_of(value: Value, name: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(left) => Ok(Self {
                name: Some(name.to_owned()),
                left,
            }),
            other => Err(not_of(name, &other, &["object"])),
        }
    }

    /// The names that are left.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }

    /// A value of any type; `null` is one.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    /// What must be there.
    pub(super) fn required<T>(&self, name: &str, taken: Option<T>) -> Result<T, ApiError> {
        taken.ok_or_else(|| self.complain(&format!("'{name}' is a required property")))
    }

    /// A text of so many characters.
    pub(super) fn text(
        &mut self,
        name: &str,
        length: RangeInclusive<usize>,
    ) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => text_of(name, value, &length).map(Some),
        }
    }

    /// A text of so many characters, or `null`.
    pub(super) fn text_or_null(
        &mut self,
        name: &str,
        length: RangeInclusive<usize>,
    ) -> Result<Option<Option<String>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => text_of(name, value, &length).map(|text| Some(Some(text))),
        }
    }

    /// A name as Nova wants it: printable, and without blanks around it.
    pub(super) fn name(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let text = self.text(name, 1..=LONGEST)?;
        if let Some(text) = &text
            && (text.trim() != text || text.chars().any(char::is_control))
        {
            return Err(ApiError::invalid(BAD_NAME));
        }
        Ok(text)
    }

    /// True or false, as such or as a text.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let known = match &value {
            Value::Bool(known) => Some(*known),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "on" | "yes" => Some(true),
                "false" | "0" | "off" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        };
        known.map(Some).ok_or_else(|| {
            let message = format!("{} is not one of {SWITCHES}", python(&value));
            wrong(name, &value, message)
        })
    }

    /// A whole number in a range, as such or as a text.
    pub(super) fn integer<N>(
        &mut self,
        name: &str,
        range: RangeInclusive<N>,
    ) -> Result<Option<N>, ApiError>
    where
        N: TryFrom<i64> + Into<i128> + Copy,
    {
        match self.take(name) {
            None => Ok(None),
            Some(value) => integer_of(name, &value, &range).map(Some),
        }
    }

    /// An identity.
    pub(super) fn id(&mut self, name: &str) -> Result<Option<Id>, ApiError> {
        self.parsed(name, "a 'uuid'")
    }

    /// What a text can be read as; `what` as in "'x' is not a 'uuid'".
    pub(super) fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let Value::String(text) = &value else {
            return Err(not_of(name, &value, &["string"]));
        };
        text.parse().map(Some).map_err(|_| {
            let message = format!("{} is not {what}", python(&value));
            wrong(name, &value, message)
        })
    }

    /// One of a few texts.
    pub(super) fn one_of(
        &mut self,
        name: &str,
        choices: &[&str],
    ) -> Result<Option<String>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_str().filter(|text| choices.contains(text)) {
            Some(text) => Ok(Some(text.to_owned())),
            None => {
                let choices = python(&Value::from(choices));
                let message = format!("{} is not one of {choices}", python(&value));
                Err(wrong(name, &value, message))
            }
        }
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        self.take(name)
            .map(|value| Self::object_of(value, name))
            .transpose()
    }

    /// An object that must be there.
    pub(super) fn required_object(&mut self, name: &str) -> Result<Self, ApiError> {
        let object = self.object(name)?;
        self.required(name, object)
    }

    /// A list.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(not_of(name, &other, &["array"])),
        }
    }

    /// A list of objects, each read by `read` and then empty.
    pub(super) fn objects<T>(
        &mut self,
        name: &str,
        read: impl Fn(&mut Self) -> Result<T, ApiError>,
    ) -> Result<Option<Vec<T>>, ApiError> {
        let Some(values) = self.list(name)? else {
            return Ok(None);
        };
        let one = |(position, value): (usize, Value)| {
            let mut fields = Self::object_of(value, &position.to_string())?;
            let read = read(&mut fields)?;
            fields.done().map(|()| read)
        };
        let read = values.into_iter().enumerate().map(one);
        read.collect::<Result<_, _>>().map(Some)
    }

    /// Refuses what nobody took.
    pub(super) fn done(self) -> Result<(), ApiError> {
        let names: Vec<String> = self.left.keys().map(|name| format!("'{name}'")).collect();
        let verb = match names.len() {
            0 => return Ok(()),
            1 => "was",
            _ => "were",
        };
        let message = format!(
            "Additional properties are not allowed ({} {verb} unexpected)",
            names.join(", ")
        );
        Err(self.complain(&message))
    }

    /// Refuses the object as a whole.
    pub(super) fn complain(&self, message: &str) -> ApiError {
        match &self.name {
            None => ApiError::invalid(message),
            Some(name) => wrong(name, &Value::Object(self.left.clone()), message),
        }
    }
}

/// What Nova says of a name with blanks around it or characters that cannot be printed.
const BAD_NAME: &str = "An invalid 'name' value was provided. The name must be: printable characters. \
     Can not start or end with whitespace.";

/// What Nova takes for true and false, as its message lists them.
const SWITCHES: &str = "[True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', \
     'y', 't', False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no', 'n', 'f']";

/// A text of so many characters.
pub(super) fn text_of(
    name: &str,
    value: Value,
    length: &RangeInclusive<usize>,
) -> Result<String, ApiError> {
    let Value::String(text) = value else {
        return Err(not_of(name, &value, &["string"]));
    };
    let characters = text.chars().count();
    if length.contains(&characters) {
        return Ok(text);
    }
    let how = match (characters < *length.start(), characters) {
        (true, 0) => "should be non-empty",
        (true, _) => "is too short",
        (false, _) => "is too long",
    };
    let value = Value::String(text);
    let message = format!("{} {how}", python(&value));
    Err(wrong(name, &value, message))
}

fn integer_of<N>(name: &str, value: &Value, range: &RangeInclusive<N>) -> Result<N, ApiError>
where
    N: TryFrom<i64> + Into<i128> + Copy,
{
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text)
            if text
                .trim_start_matches('-')
                .bytes()
                .all(|b| b.is_ascii_digit()) =>
        {
            text.parse().ok()
        }
        Value::String(_) => {
            let message = format!("{} does not match '^-?[0-9]*$'", python(value));
            return Err(wrong(name, value, message));
        }
        _ => None,
    };
    let number = number.ok_or_else(|| not_of(name, value, &["integer", "string"]))?;
    let (least, most) = ((*range.start()).into(), (*range.end()).into());
    let refuse =
        |how: &str, limit: i128| Err(wrong(name, value, format!("{number} is {how} of {limit}")));
    if i128::from(number) < least {
        return refuse("less than the minimum", least);
    }
    match N::try_from(number) {
        Ok(fitting) if i128::from(number) <= most => Ok(fitting),
        _ => refuse("greater than the maximum", most),
    }
}

/// Refuses a value that is of another type.
pub(super) fn not_of(name: &str, value: &Value, types: &[&str]) -> ApiError {
    let types: Vec<String> = types.iter().map(|one| format!("'{one}'")).collect();
    let message = format!("{} is not of type {}", python(value), types.join(", "));
    wrong(name, value, message)
}

/// Refuses a value.
pub(super) fn wrong(name: &str, value: &Value, message: impl Display) -> ApiError {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => python(other),
    };
    ApiError::invalid(format!(
        "Invalid input for field/attribute {name}. Value: {shown}. {message}"
    ))
}

/// A value as Python writes it: `{'name': None}`.
pub(super) fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Value::String(text) => {
            let escaped = text.escape_debug().to_string().replace("\\\"", "\"");
            format!("'{escaped}'")
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(python).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("'{name}': {}", python(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of(json!({ "server": value }), "server").unwrap()
    }

    fn message<T>(result: Result<T, ApiError>) -> String {
        match result {
            Ok(_) => panic!("nothing was refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_nobody_took_is_refused_by_name() {
        let refused = message(fields(json!({ "a": 1, "b": null })).done());
        assert_eq!(
            refused,
            "Invalid input for field/attribute server. Value: {'a': 1, 'b': None}. \
             Additional properties are not allowed ('a', 'b' were unexpected)"
        );
        let beside = Fields::of(json!({ "server": {}, "x": 1 }), "server");
        let refused = message(beside);
        assert_eq!(
            refused,
            "Additional properties are not allowed ('x' was unexpected)"
        );
        let refused = message(Fields::of(json!({}), "server"));
        assert_eq!(refused, "'server' is a required property");
    }

    #[test]
    fn values_of_other_types_are_refused_in_the_words_of_a_schema() {
        let all = json!({
            "name": 1, "long": "", "count": "x", "low": 0, "switch": "maybe", "id": "x", "blank": " a",
        });
        let mut all = fields(all);
        let of = |name: &str, value: &str, what: &str| {
            format!("Invalid input for field/attribute {name}. Value: {value}. {what}")
        };
        assert_eq!(
            message(all.text("name", 0..=255)),
            of("name", "1", "1 is not of type 'string'")
        );
        assert_eq!(
            message(all.text("long", 1..=255)),
            of("long", "", "'' should be non-empty")
        );
        assert_eq!(
            message(all.integer("count", 1..=9_i32)),
            of("count", "x", "'x' does not match '^-?[0-9]*$'")
        );
        assert_eq!(
            message(all.integer("low", 1..=9_i32)),
            of("low", "0", "0 is less than the minimum of 1")
        );
        assert_eq!(message(all.id("id")), of("id", "x", "'x' is not a 'uuid'"));
        assert!(all.switch("switch").is_err());
        assert_eq!(message(all.name("blank")), BAD_NAME);
        all.done().unwrap();
    }
}
