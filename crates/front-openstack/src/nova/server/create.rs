//! What a client says of a server to make, or of one to change.
//!
//! Which attributes there are depends on the microversion, as in Nova's schemas; what is left over
//! is refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use actions::server::{NewNetworks, NewPlace, NewServer, ServerChange};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Id;
use model::server::AccessAddresses;
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};

use super::block_device;
use crate::front::At;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, not_of, wrong};
use crate::nova::{server_metadata, server_tag};

/// Characters of the longest user data, in Base64.
const LONGEST_USER_DATA: usize = 65_535;
/// Characters of a password that nobody chose.
const PASSWORD_LENGTH: usize = 12;
/// Most servers of one request.
const MOST_AT_ONCE: u32 = 1_000;

/// What is asked for, and what the answer says beside.
pub(super) struct Wanted {
    pub(super) new: NewServer,
    /// The answer names the request instead of a server.
    pub(super) by_reservation: bool,
    /// As the request has them.
    pub(super) security_groups: Value,
    pub(super) password: String,
}

/// Reads a request for servers.
pub(super) fn wanted(at: &At, body: Value) -> Result<Wanted, ApiError> {
    let mut document = Fields::document(body)?;
    let mut fields = document.required_object("server")?;
    let (hints, group) = hints(&mut document)?;
    document.done()?;

    let name = fields.name("name")?;
    let name = fields.required("name", name)?;
    let flavor = flavor(&mut fields)?;
    let image = image(&mut fields)?;
    let metadata = match fields.take("metadata") {
        None => BTreeMap::new(),
        Some(metadata) => server_metadata::translate::read(metadata)?,
    };
    let tags = match fields.list("tags")? {
        Some(tags) if at.minor >= 52 => server_tag::translate::read(tags)?,
        Some(_) => return Err(unexpected(&fields, "tags")),
        None => BTreeSet::new(),
    };
    let least = fields.integer("min_count", 1..=MOST_AT_ONCE)?;
    let most = fields.integer("max_count", 1..=MOST_AT_ONCE)?;
    let count = most.or(least).unwrap_or(1);
    if least.is_some_and(|least| least > count) {
        return Err(ApiError::invalid("min_count must be <= max_count"));
    }
    let (firewalls, security_groups) = groups(&mut fields)?;
    let volumes = block_device::wanted(at, &mut fields)?;
    let password = fields.text("adminPass", 0..=usize::MAX)?;
    let new = NewServer {
        name,
        count,
        flavor,
        image,
        key_name: fields.name("key_name")?,
        metadata,
        tags,
        description: description(at, &mut fields)?.flatten(),
        hostname: hostname(at, &mut fields)?,
        user_data: user_data(&mut fields)?.flatten(),
        config_drive: fields.switch("config_drive")?.unwrap_or_default(),
        zone: fields.name("availability_zone")?,
        hints,
        group,
        networks: networks(at, &mut fields)?,
        firewalls,
        volumes,
        auto_disk: disk_config(&mut fields)?.unwrap_or_default(),
        access: AccessAddresses {
            ipv4: access(&mut fields, "accessIPv4", IpAddr::is_ipv4)?.flatten(),
            ipv6: access(&mut fields, "accessIPv6", IpAddr::is_ipv6)?.flatten(),
        },
    };
    let by_reservation = fields.switch("return_reservation_id")?.unwrap_or_default();
    fields.done()?;
    Ok(Wanted {
        new,
        by_reservation,
        security_groups,
        password: password.unwrap_or_else(made_up_password),
    })
}

/// What to change of a server.
pub(super) fn change(at: &At, body: Value) -> Result<ServerChange, ApiError> {
    let mut fields = Fields::of(body, "server")?;
    let change = ServerChange {
        name: fields.name("name")?,
        description: description(at, &mut fields)?,
        hostname: hostname(at, &mut fields)?,
        auto_disk: disk_config(&mut fields)?,
        access_ipv4: access(&mut fields, "accessIPv4", IpAddr::is_ipv4)?,
        access_ipv6: access(&mut fields, "accessIPv6", IpAddr::is_ipv6)?,
    };
    fields.done().map(|()| change)
}

/// A password, for clients that show one.
pub(in crate::nova) fn made_up_password() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(PASSWORD_LENGTH)
        .map(char::from)
        .collect()
}

fn unexpected(fields: &Fields, name: &str) -> ApiError {
    fields.complain(&format!(
        "Additional properties are not allowed ('{name}' was unexpected)"
    ))
}

/// The last part of a reference, which may be a whole address.
fn last_part(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

/// The flavor that is meant, by what users call it.
pub(in crate::nova) fn flavor(fields: &mut Fields) -> Result<String, ApiError> {
    let value = fields.take("flavorRef");
    match fields.required("flavorRef", value)? {
        Value::String(text) if !text.is_empty() => Ok(last_part(&text).to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(not_of("flavorRef", &other, &["string", "integer"])),
    }
}

fn image(fields: &mut Fields) -> Result<Option<Id>, ApiError> {
    match fields.take("imageRef") {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => image_id(&value).map(Some),
    }
}

/// The image that a reference means.
pub(in crate::nova) fn image_id(value: &Value) -> Result<Id, ApiError> {
    let text = value
        .as_str()
        .ok_or_else(|| not_of("imageRef", value, &["string"]))?;
    last_part(text)
        .parse()
        .map_err(|_| wrong("imageRef", value, format!("'{text}' is not a 'uuid'")))
}

fn description(at: &At, fields: &mut Fields) -> Result<Option<Option<String>>, ApiError> {
    if at.minor < 19 {
        return Ok(None);
    }
    fields.text_or_null("description", 0..=255)
}

fn hostname(at: &At, fields: &mut Fields) -> Result<Option<String>, ApiError> {
    if at.minor < 90 {
        return Ok(None);
    }
    let most = if at.minor >= 94 { 255 } else { 63 };
    let Some(text) = fields.text("hostname", 2..=most)? else {
        return Ok(None);
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || one == '-')
    };
    let labels: Vec<&str> = text.split('.').collect();
    if labels.iter().all(|label| is_label(label)) && (labels.len() == 1 || at.minor >= 94) {
        return Ok(Some(text));
    }
    let message = format!("'{text}' does not match '^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$'");
    Err(wrong("hostname", &Value::from(text), message))
}

/// User data; `null` takes it away.
pub(in crate::nova) fn user_data(fields: &mut Fields) -> Result<Option<Option<String>>, ApiError> {
    let data = fields.text_or_null("user_data", 0..=LONGEST_USER_DATA)?;
    if let Some(Some(text)) = &data {
        let bare: String = text.split_whitespace().collect();
        if STANDARD.decode(bare).is_err() {
            let message = format!("'{text}' is not a 'base64'");
            return Err(wrong("user_data", &json!(text), message));
        }
    }
    Ok(data)
}

/// Whether the disk grows by itself.
pub(in crate::nova) fn disk_config(fields: &mut Fields) -> Result<Option<bool>, ApiError> {
    let word = fields.one_of("OS-DCF:diskConfig", &["AUTO", "MANUAL"])?;
    Ok(word.map(|word| word == "AUTO"))
}

fn access(
    fields: &mut Fields,
    name: &str,
    is_family: impl Fn(&IpAddr) -> bool,
) -> Result<Option<Option<IpAddr>>, ApiError> {
    let Some(value) = fields.take(name) else {
        return Ok(None);
    };
    let text = value
        .as_str()
        .ok_or_else(|| not_of(name, &value, &["string"]))?;
    if text.is_empty() {
        return Ok(Some(None));
    }
    let family = if name.ends_with('4') { "ipv4" } else { "ipv6" };
    let address = text.parse().ok().filter(|address| is_family(address));
    let message = || wrong(name, &value, format!("'{text}' is not a '{family}'"));
    address
        .map(|address| Some(Some(address)))
        .ok_or_else(message)
}

/// What the scheduler is told, and the group that is named in it.
fn hints(document: &mut Fields) -> Result<(BTreeMap<String, Value>, Option<Id>), ApiError> {
    let new = document.take("os:scheduler_hints");
    let old = document.take("OS-SCH-HNT:scheduler_hints");
    let hints: BTreeMap<String, Value> = match new.or(old) {
        None => BTreeMap::new(),
        Some(Value::Object(hints)) => hints.into_iter().collect(),
        Some(other) => return Err(not_of("os:scheduler_hints", &other, &["object"])),
    };
    let group = match hints.get("group") {
        None => None,
        Some(Value::String(text)) => {
            let message = |_| wrong("group", &json!(text), format!("'{text}' is not a 'uuid'"));
            Some(text.parse().map_err(message)?)
        }
        Some(other) => return Err(not_of("group", other, &["string"])),
    };
    Ok((hints, group))
}

/// The groups' names, and how the answer shows them.
fn groups(fields: &mut Fields) -> Result<(Vec<String>, Value), ApiError> {
    let names = fields.objects("security_groups", |group| {
        let name = group.name("name")?;
        group.required("name", name)
    })?;
    let Some(names) = names else {
        return Ok((Vec::new(), json!([{ "name": "default" }])));
    };
    let shown: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    Ok((names, Value::from(shown)))
}

fn networks(at: &At, fields: &mut Fields) -> Result<NewNetworks, ApiError> {
    match fields.take("networks") {
        None if at.minor >= 37 => Err(fields.complain("'networks' is a required property")),
        None => Ok(NewNetworks::Any),
        Some(Value::String(word)) if at.minor >= 37 && word == "auto" => Ok(NewNetworks::Auto),
        Some(Value::String(word)) if at.minor >= 37 && word == "none" => Ok(NewNetworks::None),
        Some(Value::Array(places)) if places.is_empty() => Ok(NewNetworks::Any),
        Some(Value::Array(places)) => {
            let mut read: Vec<NewPlace> = Vec::new();
            for (position, value) in places.into_iter().enumerate() {
                let place = place(at, Fields::object_of(value, &position.to_string())?)?;
                if let Some(port) = place.port
                    && read.iter().any(|other| other.port == Some(port))
                {
                    return Err(ApiError::invalid(format!(
                        "Port ID '{port}' was specified twice: you cannot attach a port multiple times."
                    )));
                }
                read.push(place);
            }
            Ok(NewNetworks::These(read))
        }
        Some(other) => Err(not_of("networks", &other, &["array"])),
    }
}

fn place(at: &At, mut fields: Fields) -> Result<NewPlace, ApiError> {
    let port = match fields.take("port") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let parsed = value.as_str().and_then(|text| text.parse().ok());
            Some(parsed.ok_or_else(|| {
                let message = format!("{value} is not a 'uuid'");
                wrong("port", &value, message)
            })?)
        }
    };
    let place = NewPlace {
        network: fields.id("uuid")?,
        port,
        address: fields.parsed("fixed_ip", "a 'ip_address'")?,
        tag: match at.minor {
            32..=36 | 42.. => fields.text("tag", 1..=60)?,
            _ => None,
        },
    };
    if place.port.is_some() && place.address.is_some() {
        return Err(ApiError::invalid(
            "Specified Fixed IP cannot be used with port: the two cannot be specified together.",
        ));
    }
    fields.done().map(|()| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_may_be_addresses() {
        assert_eq!(last_part("http://x/flavors/42"), "42");
        assert_eq!(last_part("m1.tiny"), "m1.tiny");
    }

    #[test]
    fn user_data_is_base64() {
        let read = |text: &str| {
            let mut fields = Fields::document(json!({ "user_data": text })).unwrap();
            user_data(&mut fields)
        };
        assert_eq!(read("aGk=").unwrap(), Some(Some("aGk=".to_owned())));
        assert!(read("#!/bin/sh").is_err());
    }
}
