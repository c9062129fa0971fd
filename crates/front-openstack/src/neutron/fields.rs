//! The attributes of an object that a client sends: each is taken by name and type, and what is left
//! over is refused by name.
//!
//! Messages are those of Neutron's converters and validators.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use actions::port::NewAddress;
use actions::{ActionError, Caller, ErrorKind, Scope};
use model::network::Cidr;
use model::subnet::Route;
use model::{Id, ProjectId};
use serde_json::{Map, Value};

use super::answer::Noun;
use super::error::ApiError;
use crate::front::At;
use crate::id;

/// Characters of the longest name, description and tag.
const LONGEST: usize = 255;

/// What a request makes: one object, or several of which all are made or none.
pub(super) enum Bodies {
    One(Value),
    Many(Vec<Value>),
}

impl Bodies {
    /// The bodies in a request: `{"network": {...}}` is one, and `{"networks": [{...}, ...]}` many, each
    /// answered as if it were alone.
    pub(super) fn of(mut document: Value, noun: &Noun) -> Result<Self, ApiError> {
        let Some(several) = document.as_object_mut().and_then(|it| it.remove(noun.many)) else {
            return Ok(Self::One(document));
        };
        match several {
            Value::Array(objects) if !objects.is_empty() => {
                let one =
                    |object: Value| Value::Object(Map::from_iter([(noun.one.to_owned(), object)]));
                Ok(Self::Many(objects.into_iter().map(one).collect()))
            }
            other => Err(wrong(noun.many, &other, "a list of resources to create")),
        }
    }
}

/// What is left of an object.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The object called `noun` in a request: `{"network": {...}}`.
    pub(super) fn of(document: Value, noun: &str) -> Result<Self, ApiError> {
        match document {
            Value::Object(mut document) => match document.remove(noun) {
                Some(Value::Object(fields)) if document.is_empty() => Ok(Self(fields)),
                _ => Err(ApiError::invalid(format!(
                    "Unable to find '{noun}' in request body"
                ))),
            },
            _ => Err(ApiError::invalid("The request body is no JSON object")),
        }
    }

    /// The whole of an object.
    pub(super) fn all(value: Value, name: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(wrong(name, &other, "a dictionary")),
        }
    }

    /// A value of any type; `null` is one.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= LONGEST => Ok(Some(text)),
            Some(other) => Err(wrong(name, &other, "a string of at most 255 characters")),
        }
    }

    /// True or false.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => as_switch(&value)
                .map(Some)
                .ok_or_else(|| wrong(name, &value, "a boolean")),
        }
    }

    /// A number, as such or as a text; `null` is none.
    pub(super) fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        self.parsed(name, "a number in range")
    }

    /// What a text can be read as; `null` is none.
    pub(super) fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, ApiError> {
        let value = match self.take(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text.parse()
            .map(Some)
            .map_err(|_| wrong(name, &value, what))
    }

    /// An identity; `null` is none.
    pub(super) fn id(&mut self, name: &str) -> Result<Option<Id>, ApiError> {
        self.parsed(name, "a valid UUID")
    }

    /// An identity that must be there.
    pub(super) fn required_id(&mut self, name: &str) -> Result<Id, ApiError> {
        self.id(name)?.ok_or_else(|| missing(name))
    }

    /// A list; `null` is an empty one.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(Vec::new())),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(wrong(name, &other, "a list")),
        }
    }

    /// A list of what texts can be read as.
    pub(super) fn each<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
    ) -> Result<Option<Vec<T>>, ApiError> {
        let Some(values) = self.list(name)? else {
            return Ok(None);
        };
        let parse = |value: Value| {
            let parsed = value.as_str().and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| wrong(name, &value, what))
        };
        values
            .into_iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Some)
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
        let one = |value| {
            let mut fields = Self::all(value, name)?;
            let read = read(&mut fields)?;
            fields.done().map(|()| read)
        };
        values
            .into_iter()
            .map(one)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Addresses that are wished for: `[{"subnet_id": ..., "ip_address": ...}]`.
    pub(super) fn addresses(&mut self, name: &str) -> Result<Option<Vec<NewAddress>>, ApiError> {
        self.objects(name, |fields| {
            Ok(NewAddress {
                subnet: fields.id("subnet_id")?,
                address: fields.parsed("ip_address", "a valid IP address")?,
            })
        })
    }

    /// Ways: `[{"destination": ..., "nexthop": ...}]`.
    pub(super) fn routes(&mut self, name: &str) -> Result<Option<Vec<Route>>, ApiError> {
        self.objects(name, |fields| {
            Ok(Route {
                destination: fields
                    .parsed::<Cidr>("destination", "a valid CIDR")?
                    .ok_or_else(|| missing("destination"))?,
                next_hop: fields
                    .parsed::<IpAddr>("nexthop", "a valid IP address")?
                    .ok_or_else(|| missing("nexthop"))?,
            })
        })
    }

    /// Tags, where the object is made with some.
    pub(super) fn tags(&mut self) -> Result<Option<BTreeSet<String>>, ApiError> {
        let tags: Option<Vec<String>> = self.each("tags", "a string")?;
        let tags = tags.map(BTreeSet::from_iter);
        tags.iter().flatten().try_for_each(|tag| check_tag(tag))?;
        Ok(tags)
    }

    /// Takes an attribute that we have in one form only; any other is refused.
    pub(super) fn only(&mut self, name: &str, allowed: &[Value]) -> Result<(), ApiError> {
        match self.take(name) {
            Some(value) if !allowed.contains(&value) => Err(ApiError::invalid(format!(
                "Invalid input for {name}. Reason: {value} is not supported here."
            ))),
            _ => Ok(()),
        }
    }

    /// Who acts: the caller, or an admin in the project that the object is to be of.
    pub(super) fn caller(&mut self, at: &At) -> Result<Caller, ApiError> {
        let mut caller = at.caller.clone();
        for name in ["project_id", "tenant_id"] {
            let Some(text) = self.text(name)? else {
                continue;
            };
            let project = id::parse(&text).map(ProjectId);
            let project = project.ok_or_else(|| ApiError::not_found("Project", &text))?;
            if project == caller.project() {
                continue;
            }
            if !caller.is_admin() {
                let message = format!("Specifying '{name}' other than the request's is forbidden");
                return Err(ActionError::new(ErrorKind::Forbidden, message).into());
            }
            let domain = caller.user_domain;
            caller.scope = Scope::Project { project, domain };
        }
        Ok(caller)
    }

    /// Refuses what nobody took.
    pub(super) fn done(self) -> Result<(), ApiError> {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(format!(
            "Unrecognized attribute(s) '{}'",
            names.join(", ")
        )))
    }
}

/// Refuses a tag that is blank or too long.
pub(super) fn check_tag(tag: &str) -> Result<(), ApiError> {
    if (1..=LONGEST).contains(&tag.chars().count()) {
        return Ok(());
    }
    Err(wrong("tags", &Value::from(tag), "1 to 255 characters long"))
}

/// What Neutron reads as true or false.
fn as_switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The identity of a thing in a path; what cannot be one is nobody's.
pub(super) fn path_id(kind: &str, text: &str) -> Result<Id, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(kind, text))
}

pub(super) fn missing(name: &str) -> ApiError {
    ApiError::invalid(format!(
        "Failed to parse request. Required attribute '{name}' not specified"
    ))
}

pub(super) fn wrong(name: &str, value: &Value, what: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid input for {name}. Reason: {value} is not {what}."
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of(json!({ "network": value }), "network").unwrap()
    }

    #[test]
    fn what_nobody_took_is_refused_by_name() {
        let mut left = fields(json!({ "name": "n", "qos_policy_id": "x" }));
        assert_eq!(left.text("name").unwrap().as_deref(), Some("n"));
        let refused = left.done().unwrap_err().to_string();
        assert_eq!(refused, "Unrecognized attribute(s) 'qos_policy_id'");
    }

    #[test]
    fn values_of_other_types_are_refused() {
        let mut all = fields(json!({ "name": 1, "shared": "perhaps", "mtu": -1, "tags": [""] }));
        assert!(all.text("name").is_err());
        assert!(all.switch("shared").is_err());
        assert!(all.number::<u32>("mtu").is_err());
        assert!(all.tags().is_err());
        for body in [json!([]), json!({}), json!({ "networks": [] })] {
            assert!(Fields::of(body, "network").is_err());
        }
    }
}
