//! Rules of security groups, and groups with their rules, as Nova shows them: those on what comes in.

use actions::firewall::{self, NewRule};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use http::StatusCode;
use model::firewall::{Direction, Family, Firewall, Remote, Rule};
use model::network::Cidr;
use serde_json::{Value, json};

use super::firewall::path_id;
use super::{Old, retold};
use crate::front::At;
use crate::id;
use crate::nova::Body;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, python};
use crate::route::Route;

/// Protocols that a rule can be on.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "icmp"];
/// Any type or code of ICMP.
const ANY: i64 = -1;

pub(super) fn routes() -> Vec<Route> {
    let all = "/v2.1/os-security-group-rules";
    let one = "/v2.1/os-security-group-rules/{id}";
    vec![
        Route::new(all, "addSecurityGroupRule", post(create)),
        Route::new(one, "removeSecurityGroupRule", delete(remove)),
    ]
}

async fn create(at: Old, body: Body) -> Result<Response, ApiError> {
    let mut document = Fields::document(body.0)?;
    let mut fields = document.required_object("security_group_rule")?;
    let parent = fields.id("parent_group_id")?;
    let parent = fields.required("parent_group_id", parent)?;
    let group = match fields.take("group_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(path_id(&text)?),
        Some(other) => return Err(wrong("group_id", &other)),
    };
    let remote = match group {
        Some(group) => Remote::Firewall(group),
        None => Remote::Prefix(range(fields.take("cidr"))?),
    };
    let new = rule(
        remote,
        fields.take("ip_protocol"),
        fields.take("from_port"),
        fields.take("to_port"),
    )?;
    firewall::get(&at.cloud, &at.caller, parent)?;
    let made = firewall::add_rules(&at.cloud, &at.caller, parent, &[new]).await;
    let made = made.map_err(retold)?;
    let shown: Option<Value> = made.first().map(|rule| {
        let parent = json!(parent.to_string());
        shown_rule(&at, &parent, rule)
    });
    Ok(Json(json!({ "security_group_rule": shown })).into_response())
}

async fn remove(at: Old, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let removed = firewall::remove_rule(&at.cloud, &at.caller, path_id(&id)?).await;
    removed.map_err(retold)?;
    Ok(StatusCode::ACCEPTED)
}

fn wrong(name: &str, value: &Value) -> ApiError {
    crate::nova::fields::wrong(name, value, "it is of another type")
}

/// The addresses that something may come from; all of IPv4 where none are named.
fn range(value: Option<Value>) -> Result<Cidr, ApiError> {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => return Err(wrong("cidr", &other)),
    };
    let text = if text.is_empty() { "0.0.0.0/0" } else { &text };
    text.parse()
        .map_err(|_| ApiError::invalid(format!("Invalid cidr {text}.")))
}

/// A number, as such or as a text; none where nothing is said.
fn number(value: Option<Value>) -> Result<Option<i64>, ApiError> {
    let number = match &value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| {
        ApiError::invalid("Invalid input received: To and From ports must be integers")
    })
}

/// The rule that a request asks for.
fn rule(
    remote: Remote,
    protocol: Option<Value>,
    from: Option<Value>,
    to: Option<Value>,
) -> Result<NewRule, ApiError> {
    let protocol = match protocol {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.to_ascii_lowercase()).filter(|it| !it.is_empty()),
        Some(other) => return Err(bad_protocol(&python(&other))),
    };
    let (mut from, mut to) = (number(from)?, number(to)?);
    let by_group = matches!(remote, Remote::Firewall(_));
    if by_group && from.is_none() && to.is_none() {
        // All of a protocol, where another group is the other end.
        (from, to) = match protocol.as_deref() {
            Some("icmp") => (Some(ANY), Some(ANY)),
            Some("tcp" | "udp") => (Some(1), Some(i64::from(u16::MAX))),
            _ => (None, None),
        };
    }
    let mut new = NewRule {
        direction: Direction::In,
        family: match remote {
            Remote::Prefix(cidr) if cidr.address().is_ipv6() => Family::Ipv6,
            _ => Family::Ipv4,
        },
        protocol: None,
        port_min: None,
        port_max: None,
        remote,
        description: String::new(),
    };
    let (protocol, from, to) = match (protocol, from, to) {
        (Some(protocol), Some(from), Some(to)) => (protocol, from, to),
        _ if by_group => return Ok(new),
        _ => {
            return Err(ApiError::invalid(
                "Not enough parameters to build a valid rule.",
            ));
        }
    };
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return Err(bad_protocol(&protocol));
    }
    let bad_range =
        |why: String| ApiError::invalid(format!("Invalid port range {from}:{to}. {why}"));
    if protocol == "icmp" {
        let is_value = |value: i64| (ANY..=255).contains(&value);
        if !is_value(from) || !is_value(to) {
            return Err(bad_range(
                "For ICMP, the type:code must be valid".to_owned(),
            ));
        }
    } else if from > to {
        return Err(bad_range(
            "Former value cannot be greater than the later".to_owned(),
        ));
    } else if from < 1 || to > i64::from(u16::MAX) {
        let protocol = protocol.to_ascii_uppercase();
        return Err(bad_range(format!(
            "Valid {protocol} ports should be between 1-65535"
        )));
    }
    // Less than 0 is any.
    new.port_min = u16::try_from(from).ok();
    new.port_max = u16::try_from(to).ok();
    new.protocol = Some(protocol);
    Ok(new)
}

fn bad_protocol(protocol: &str) -> ApiError {
    ApiError::invalid(format!("Invalid IP protocol {protocol}."))
}

/// A group, with its rules on what comes in.
pub(in crate::nova) fn shown_group(at: &At, firewall: &Firewall) -> Value {
    let parent = json!(firewall.meta.id.to_string());
    let rules = firewall.spec.rules.iter();
    let coming_in = rules.filter(|rule| rule.direction == Direction::In);
    json!({
        "id": parent,
        "name": firewall.meta.name,
        "description": firewall.spec.description,
        "tenant_id": id::show(firewall.meta.project.0),
        "rules": coming_in.map(|rule| shown_rule(at, &parent, rule)).collect::<Vec<_>>(),
    })
}

/// A rule of the group `parent`.
fn shown_rule(at: &At, parent: &Value, rule: &Rule) -> Value {
    let (mut from, mut to) = (rule.port_min.map(i64::from), rule.port_max.map(i64::from));
    if rule.protocol.is_some() && from.is_none() && to.is_none() {
        (from, to) = match rule.protocol_number() {
            Some(6 | 17) => (Some(1), Some(i64::from(u16::MAX))),
            _ => (Some(ANY), Some(ANY)),
        };
    }
    let (mut group, mut range) = (json!({}), json!({}));
    match rule.remote {
        Remote::Firewall(other) => {
            if let Ok(other) = firewall::get(&at.cloud, &at.caller, other) {
                let project = id::show(other.meta.project.0);
                group = json!({ "name": other.meta.name, "tenant_id": project });
            }
        }
        Remote::Prefix(cidr) => range = json!({ "cidr": cidr.to_string() }),
        // As Nova: whatever the family is.
        Remote::Any => range = json!({ "cidr": "0.0.0.0/0" }),
    }
    json!({
        "id": rule.id.to_string(),
        "parent_group_id": parent,
        "ip_protocol": rule.protocol,
        "from_port": from,
        "to_port": to,
        "group": group,
        "ip_range": range,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Remote {
        Remote::Prefix(range(None).unwrap())
    }

    fn read(remote: Remote, protocol: &str, from: i64, to: i64) -> Result<NewRule, ApiError> {
        rule(
            remote,
            Some(json!(protocol)),
            Some(json!(from)),
            Some(json!(to.to_string())),
        )
    }

    #[test]
    fn ports_types_and_codes_are_what_the_protocol_has() {
        let made = read(any(), "TCP", 22, 80).unwrap();
        assert_eq!(made.protocol.as_deref(), Some("tcp"));
        assert_eq!((made.port_min, made.port_max), (Some(22), Some(80)));
        let made = read(any(), "icmp", -1, -1).unwrap();
        assert_eq!((made.port_min, made.port_max), (None, None));
        for (protocol, from, to, words) in [
            ("tcp", 23, 22, "Former value"),
            ("udp", 0, 22, "Valid UDP ports"),
            ("tcp", 1, 65_536, "Valid TCP ports"),
            ("icmp", 256, -1, "type:code"),
            ("gre", 1, 1, "Invalid IP protocol gre"),
        ] {
            let refused = read(any(), protocol, from, to).unwrap_err().to_string();
            assert!(refused.contains(words), "{protocol}: {refused}");
        }
    }

    #[test]
    fn only_with_another_group_may_ports_be_left_out() {
        assert!(rule(any(), Some(json!("tcp")), None, None).is_err());
        let group = Remote::Firewall(model::Id::random());
        let made = rule(group, Some(json!("tcp")), None, None).unwrap();
        assert_eq!((made.port_min, made.port_max), (Some(1), Some(u16::MAX)));
        assert!(rule(group, None, None, None).unwrap().protocol.is_none());
    }
}
