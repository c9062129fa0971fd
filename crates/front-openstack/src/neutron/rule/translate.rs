//! Between a rule and what clients read and write of it.

use actions::firewall::NewRule;
use http::StatusCode;
use model::Id;
use model::firewall::{Direction, Family, Firewall, Remote, Rule};
use model::network::Cidr;
use serde_json::{Map, Value, json};

use super::routes::NOUN;
use crate::neutron::answer::{Object, project, with};
use crate::neutron::error::ApiError;
use crate::neutron::fields::{Fields, missing, wrong};
use crate::time;

/// A rule as clients read it.
pub(in crate::neutron) fn shown(firewall: &Firewall, rule: &Rule) -> Object {
    let project = project(firewall.meta.project);
    let at = time::seconds(rule.created_at);
    let (prefix, group) = match rule.remote {
        Remote::Any => (None, None),
        Remote::Prefix(cidr) => (Some(cidr.to_string()), None),
        Remote::Firewall(id) => (None, Some(id.to_string())),
    };
    let direction = match rule.direction {
        Direction::In => "ingress",
        Direction::Out => "egress",
    };
    let family = match rule.family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    };
    with(
        Map::new(),
        [
            ("id", json!(rule.id.to_string())),
            ("security_group_id", json!(firewall.meta.id.to_string())),
            ("project_id", json!(project)),
            ("tenant_id", json!(project)),
            ("direction", json!(direction)),
            ("ethertype", json!(family)),
            ("protocol", json!(rule.protocol)),
            ("port_range_min", json!(rule.port_min)),
            ("port_range_max", json!(rule.port_max)),
            ("remote_ip_prefix", json!(prefix)),
            ("remote_group_id", json!(group)),
            ("remote_address_group_id", Value::Null),
            ("description", json!(rule.description)),
            ("tags", json!(rule.tags)),
            ("created_at", json!(at)),
            ("updated_at", json!(at)),
            ("revision_number", json!(0)),
        ],
    )
}

/// The rule to make, and the security group it is to be of.
pub(super) fn new(body: Value) -> Result<(Id, NewRule), ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    // A rule is its group's project's, whoever makes it.
    fields.take("project_id");
    fields.take("tenant_id");
    fields.only("remote_address_group_id", &[Value::Null])?;
    let group = group(&mut fields, "security_group_id")?;
    let group = group.ok_or_else(|| missing("security_group_id"))?;
    let direction = fields
        .text("direction")?
        .ok_or_else(|| missing("direction"))?;
    let family = fields
        .parsed("ethertype", "a string")?
        .unwrap_or_else(|| "IPv4".to_owned());
    let new = NewRule {
        direction: match direction.to_ascii_lowercase().as_str() {
            "ingress" => Direction::In,
            "egress" => Direction::Out,
            _ => return Err(wrong("direction", &json!(direction), "ingress or egress")),
        },
        family: match family.to_ascii_lowercase().as_str() {
            "ipv4" => Family::Ipv4,
            "ipv6" => Family::Ipv6,
            _ => return Err(wrong("ethertype", &json!(family), "IPv4 or IPv6")),
        },
        protocol: fields
            .parsed("protocol", "a string")?
            .filter(|protocol| protocol != "any"),
        port_min: port(&mut fields, "port_range_min")?,
        port_max: port(&mut fields, "port_range_max")?,
        remote: remote(&mut fields)?,
        description: fields.text("description")?.unwrap_or_default(),
    };
    fields.done()?;
    Ok((group, new))
}

/// A port, or what stands in its place for ICMP.
fn port(fields: &mut Fields, name: &str) -> Result<Option<u16>, ApiError> {
    let Some(text) = fields.parsed::<String>(name, "a number")? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        let message = format!("Invalid value for port {text}");
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "SecurityGroupInvalidPortValue",
            message,
        )
    })
}

/// A security group; what is none's identity is no group's.
fn group(fields: &mut Fields, name: &str) -> Result<Option<Id>, ApiError> {
    let Some(text) = fields.parsed::<String>(name, "a string")? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        let message = format!("Security group {text} does not exist");
        ApiError::new(StatusCode::NOT_FOUND, "SecurityGroupNotFound", message)
    })
}

fn remote(fields: &mut Fields) -> Result<Remote, ApiError> {
    let prefix = fields.parsed::<String>("remote_ip_prefix", "a string")?;
    let group = group(fields, "remote_group_id")?;
    match (prefix, group) {
        (None, None) => Ok(Remote::Any),
        (None, Some(group)) => Ok(Remote::Firewall(group)),
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "Only remote_ip_prefix or remote_group_id may be provided.",
        )),
        (Some(text), None) => {
            let cidr = match text.parse() {
                Ok(address @ std::net::IpAddr::V4(_)) => Cidr::new(address, 32),
                Ok(address) => Cidr::new(address, 128),
                Err(_) => text.parse().ok(),
            };
            cidr.map(Remote::Prefix)
                .ok_or_else(|| wrong("remote_ip_prefix", &json!(text), "a valid CIDR"))
        }
    }
}
