//! `/VERSION/meta-data/...`: a tree of names and values, as Amazon's machines read it and
//! `nova/api/metadata/base.py` serves it. What a container has none of (a kernel, a disk) is left
//! out.

use std::net::IpAddr;

use actions::metadata::Facts;
use serde_json::{Map, Value};

use super::{Found, openstack, user_data};

const VERSIONS: [&str; 10] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "latest",
];

pub(super) fn versions() -> Found {
    Found::Text(VERSIONS.join("\n"))
}

pub(super) fn find(facts: &Facts, version: &str, rest: &[&str]) -> Option<Found> {
    if !VERSIONS.contains(&version) {
        return None;
    }
    match rest {
        [] => Some(Found::Text(match facts.guest.user_data {
            Some(_) => "meta-data/\nuser-data".to_owned(),
            None => "meta-data/".to_owned(),
        })),
        ["user-data"] => user_data(facts),
        ["meta-data", path @ ..] => meta_data(facts, path).map(Found::Text),
        _ => None,
    }
}

fn meta_data(facts: &Facts, path: &[&str]) -> Option<String> {
    let guest = &facts.guest;
    match path {
        [] => {
            let mut names = vec![
                "ami-launch-index",
                "hostname",
                "instance-action",
                "instance-id",
                "instance-type",
                "local-hostname",
                "local-ipv4",
                "placement/",
                "public-hostname",
                "public-ipv4",
                "reservation-id",
                "security-groups",
            ];
            if !guest.public_keys.is_empty() {
                names.insert(10, "public-keys/");
            }
            Some(names.join("\n"))
        }
        ["ami-launch-index"] => Some(guest.launch_index.to_string()),
        ["hostname" | "local-hostname" | "public-hostname"] => Some(openstack::host_name(facts)),
        ["instance-action"] => Some("none".to_owned()),
        ["instance-id"] => Some(format!("i-{}", &facts.id.simple()[..8])),
        ["instance-type"] => Some(guest.flavor.clone()),
        ["local-ipv4"] => {
            let addresses = facts
                .links
                .iter()
                .flat_map(|link| link.endpoint.addresses());
            let mut addresses = addresses.map(|(address, _)| address);
            Some(text(addresses.find(IpAddr::is_ipv4)))
        }
        ["public-ipv4"] => Some(text(facts.floating)),
        ["placement"] => Some("availability-zone".to_owned()),
        ["placement", "availability-zone"] => Some(guest.availability_zone.clone()),
        ["public-keys"] if !guest.public_keys.is_empty() => {
            let named = guest.public_keys.iter().enumerate();
            let lines: Vec<String> = named
                .map(|(number, key)| format!("{number}={}", key.name))
                .collect();
            Some(lines.join("\n"))
        }
        ["public-keys", number, rest @ ..] => {
            let key = guest.public_keys.get(number.parse::<usize>().ok()?)?;
            match rest {
                [] => Some("openssh-key".to_owned()),
                ["openssh-key"] => Some(key.data.clone()),
                _ => None,
            }
        }
        ["reservation-id"] => Some(guest.reservation.clone()),
        ["security-groups"] => Some(facts.firewalls.join("\n")),
        _ => None,
    }
}

/// The whole tree as one document, as configuration drives have it.
pub(super) fn document(facts: &Facts) -> Value {
    let names = meta_data(facts, &[]).unwrap_or_default();
    names
        .lines()
        .map(|name| branch(facts, &[], name))
        .collect::<Map<_, _>>()
        .into()
}

/// A name of the tree with what is at it: a value, or what is below a name that ends in `/`.
fn branch(facts: &Facts, above: &[&str], name: &str) -> (String, Value) {
    // Keys are listed as `0=NAME`.
    let (name, is_key) = match name.split_once('=') {
        Some((number, _)) => (number, true),
        None => (name, false),
    };
    let plain = name.trim_end_matches('/');
    let path = [above, &[plain]].concat();
    let text = meta_data(facts, &path).unwrap_or_default();
    let value = if is_key || name.ends_with('/') {
        let below = text.lines().map(|name| branch(facts, &path, name));
        below.collect::<Map<_, _>>().into()
    } else {
        Value::from(text)
    };
    (plain.to_owned(), value)
}

fn text(address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| address.to_string())
}
