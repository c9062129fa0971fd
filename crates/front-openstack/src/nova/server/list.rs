//! Lists of servers: which are wanted, in which order, and which part of them.

use std::cmp::Ordering;

use actions::server::{self, View};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use regex_lite::Regex;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::translate::{power_state, status};
use crate::front::At;
use crate::id;
use crate::nova::error::ApiError;
use crate::query::Query;

/// Most servers of one answer.
const MOST: usize = 1_000;

/// Filters that everybody has, and since which microversion.
const FILTERS: [(&str, u16); 29] = [
    ("reservation_id", 1),
    ("name", 1),
    ("status", 1),
    ("image", 1),
    ("flavor", 1),
    ("ip", 1),
    ("changes-since", 1),
    ("all_tenants", 1),
    ("ip6", 5),
    ("tags", 26),
    ("tags-any", 26),
    ("not-tags", 26),
    ("not-tags-any", 26),
    ("changes-before", 66),
    ("locked", 73),
    ("availability_zone", 83),
    ("config_drive", 83),
    ("key_name", 83),
    ("created_at", 83),
    ("launched_at", 83),
    ("terminated_at", 83),
    ("power_state", 83),
    ("task_state", 83),
    ("vm_state", 83),
    ("progress", 83),
    ("user_id", 83),
    ("hostname", 90),
    // Without effect, as for Nova's members.
    ("deleted", u16::MAX),
    ("tenant_id", u16::MAX),
];
/// Parameters that are no filters.
const NO_FILTERS: [&str; 6] = [
    "limit",
    "marker",
    "sort_key",
    "sort_dir",
    "page_size",
    "offset",
];
/// Filters that operators have beside.
const OPERATORS_FILTERS: [&str; 12] = [
    "project_id",
    "host",
    "node",
    "uuid",
    "instance_name",
    "description",
    "display_name",
    "display_description",
    "launch_index",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
];
/// What lists can be sorted by.
const SORT_KEYS: [&str; 18] = [
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "availability_zone",
    "config_drive",
    "created_at",
    "display_description",
    "display_name",
    "host",
    "hostname",
    "image_ref",
    "instance_type_id",
    "key_name",
    "launch_index",
    "launched_at",
    "project_id",
    "updated_at",
    "uuid",
];

/// One page of the servers that a client asks for, each shown by `show`.
pub(super) fn page(
    at: &At,
    path: &str,
    show: impl Fn(&At, &View) -> Value,
) -> Result<Response, ApiError> {
    check_parameters(at)?;
    let query = &at.query;
    let limit = limit(query)?;
    let is_operator = at.caller.is_admin();
    let all = match query.get("all_tenants") {
        None => false,
        Some(text) => switch("all_tenants", text)?,
    };
    let mut found = server::list(&at.cloud, &at.caller, all)?;
    if asks_for_deleted(at)? {
        found.clear();
    }
    let filters = Filters::read(at)?;
    found.retain(|view| filters.fit(at, view, is_operator));
    sort(at, &mut found)?;
    if let Some(marker) = query.get("marker") {
        let is_marker = |view: &View| view.server.meta.id.to_string() == marker;
        let position = found
            .iter()
            .position(is_marker)
            .ok_or_else(|| ApiError::invalid(format!("marker [{marker}] not found")))?;
        found.drain(..=position);
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let page = Page {
        servers: Each {
            views: &found,
            show: |view: &View| show(at, view),
        },
        servers_links: last.map(|last| {
            let href = next(at, path, &last.server.meta.id.to_string());
            json!([{ "rel": "next", "href": href }])
        }),
    };
    Ok(Json(page).into_response())
}

#[derive(Serialize)]
#[serde(bound = "F: Fn(&View) -> Value")]
struct Page<'a, F> {
    servers: Each<'a, F>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers_links: Option<Value>,
}

/// Servers of a list. Each is shown when it is written: a thousand at once would be a hundred
/// thousand values, and most of the time that of allocating them.
struct Each<'a, F> {
    views: &'a [View],
    show: F,
}

impl<F: Fn(&View) -> Value> Serialize for Each<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.views.iter().map(&self.show))
    }
}

/// Refuses parameters that are none, for clients that want them refused.
fn check_parameters(at: &At) -> Result<(), ApiError> {
    if at.minor < 75 {
        return Ok(());
    }
    let is_known = |name: &str| {
        NO_FILTERS.contains(&name)
            || OPERATORS_FILTERS.contains(&name)
            || FILTERS.iter().any(|(known, _)| *known == name)
    };
    match at.query.pairs().find(|(name, _)| !is_known(name)) {
        None => Ok(()),
        Some((name, _)) => Err(ApiError::invalid(format!(
            "Additional properties are not allowed ('{name}' was unexpected)"
        ))),
    }
}

fn bad_parameter(name: &str, value: &str, what: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid input for query parameters {name}. Value: {value}. '{value}' {what}"
    ))
}

fn limit(query: &Query) -> Result<usize, ApiError> {
    let Some(text) = query.get("limit") else {
        return Ok(MOST);
    };
    let number: usize = text
        .parse()
        .map_err(|_| bad_parameter("limit", text, "does not match '^[0-9]*$'"))?;
    Ok(number.min(MOST))
}

fn switch(name: &str, text: &str) -> Result<bool, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" | "on" | "t" | "y" => Ok(true),
        "0" | "false" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(ApiError::invalid(format!(
            "Unrecognized value '{text}' for {name}"
        ))),
    }
}

/// Servers that are gone are forgotten: whoever may ask for them gets none.
fn asks_for_deleted(at: &At) -> Result<bool, ApiError> {
    let query = &at.query;
    let is_deleted =
        |text: &str| matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes");
    if at.caller.is_admin() {
        let by_status = query
            .get("status")
            .is_some_and(|status| status.eq_ignore_ascii_case("deleted"));
        return Ok(by_status || query.get("deleted").is_some_and(is_deleted));
    }
    let statuses = query.pairs().filter(|(name, _)| *name == "status");
    let mut statuses = statuses.map(|(_, status)| status);
    if statuses.any(|status| status.eq_ignore_ascii_case("deleted")) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "Only administrators may list deleted instances",
        ));
    }
    Ok(false)
}

/// What is to be read of the parameters once, not for each server.
struct Filters {
    name: Option<Regex>,
    ip: Option<Regex>,
    ip6: Option<Regex>,
    statuses: Vec<String>,
    since: Option<Timestamp>,
    before: Option<Timestamp>,
    /// The others, by name.
    plain: Vec<(String, String)>,
}

impl Filters {
    fn read(at: &At) -> Result<Self, ApiError> {
        let query = &at.query;
        let regex = |name: &str| {
            let Some(text) = query.get(name) else {
                return Ok(None);
            };
            let built = Regex::new(text);
            built
                .map(Some)
                .map_err(|_| bad_parameter(name, text, "is not a 'regex'"))
        };
        let moment = |name: &str, since: u16| match query.get(name) {
            Some(text) if at.minor >= since => moment(text)
                .map(Some)
                .ok_or_else(|| ApiError::invalid(format!("Invalid filter field: {name}."))),
            _ => Ok(None),
        };
        let statuses: Vec<String> = query
            .pairs()
            .filter(|(name, _)| *name == "status")
            .map(|(_, status)| status.to_ascii_uppercase())
            .collect();
        if at.minor >= 38 && statuses.iter().any(|status| !is_status(status)) {
            return Err(ApiError::invalid("Invalid status value"));
        }
        let own = [
            "name",
            "ip",
            "ip6",
            "status",
            "changes-since",
            "changes-before",
        ];
        let is_wanted = |name: &str| {
            let known = FILTERS.iter().find(|(known, _)| *known == name);
            !own.contains(&name)
                && (known.is_some_and(|(_, since)| at.minor >= *since) || at.caller.is_admin())
        };
        let (since, before) = (moment("changes-since", 1)?, moment("changes-before", 66)?);
        if since
            .zip(before)
            .is_some_and(|(since, before)| before < since)
        {
            return Err(ApiError::invalid(
                "The value of changes-since must be less than or equal to changes-before.",
            ));
        }
        Ok(Self {
            name: regex("name")?,
            ip: regex("ip")?,
            ip6: regex("ip6")?,
            statuses,
            since,
            before,
            plain: query
                .pairs()
                .filter(|(name, _)| is_wanted(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    fn fit(&self, at: &At, view: &View, is_operator: bool) -> bool {
        let meta = &view.server.meta;
        let updated = meta.updated_at.unwrap_or(meta.created_at);
        let shown = status(view.state(), view.task());
        let fits = |regex: &Option<Regex>, text: &str| {
            regex.as_ref().is_none_or(|regex| regex.is_match(text))
        };
        let addressed = |regex: &Option<Regex>, is_v4: bool| {
            regex.as_ref().is_none_or(|regex| {
                let places = view.places(&at.cloud);
                let mut addresses = places.iter().flat_map(|place| &place.addresses);
                addresses.any(|fixed| {
                    fixed.address.is_ipv4() == is_v4 && regex.is_match(&fixed.address.to_string())
                })
            })
        };
        fits(&self.name, &meta.name)
            && (self.statuses.is_empty() || self.statuses.iter().any(|status| status == shown))
            && self.since.is_none_or(|since| updated >= since)
            && self.before.is_none_or(|before| updated <= before)
            && self
                .plain
                .iter()
                .all(|(name, value)| fits_plain(at, view, name, value, is_operator))
            && addressed(&self.ip, true)
            && addressed(&self.ip6, false)
    }
}

fn fits_plain(at: &At, view: &View, name: &str, value: &str, is_operator: bool) -> bool {
    let (server, spec) = (&view.server, &view.server.spec);
    let tags = || value.split(',');
    match name {
        "tags" => tags().all(|tag| spec.tags.contains(tag)),
        "tags-any" => tags().any(|tag| spec.tags.contains(tag)),
        "not-tags" => !tags().all(|tag| spec.tags.contains(tag)),
        "not-tags-any" => !tags().any(|tag| spec.tags.contains(tag)),
        "image" => {
            let last = value.rsplit('/').next();
            spec.image.as_ref().map(|image| image.id.as_str()) == last
        }
        "flavor" => Some(spec.flavor.id.as_str()) == value.rsplit('/').next(),
        "locked" | "config_drive" => {
            let is_so = if name == "locked" {
                spec.lock.is_some()
            } else {
                spec.config_drive
            };
            switch(name, value).is_ok_and(|wanted| wanted == is_so)
        }
        "project_id" | "tenant_id" => {
            !is_operator || id::parse(value) == Some(server.meta.project.0)
        }
        "user_id" => id::parse(value) == Some(spec.creator.user),
        "uuid" => server.meta.id.to_string() == value,
        "power_state" => power_state(view).to_string() == value,
        "task_state" => view.task_name().unwrap_or_default() == value,
        "vm_state" => view.state().as_str() == value,
        "launch_index" => spec.launch_index.to_string() == value,
        "reservation_id" => spec.reservation == value,
        "key_name" => spec.key.as_ref().is_some_and(|key| key.name == value),
        "hostname" => spec.hostname == value,
        "host" | "node" => view.host(&at.cloud).as_deref() == Some(value),
        "availability_zone" => view.zone(&at.cloud).as_deref() == Some(value),
        "display_name" => server.meta.name == value,
        "description" | "display_description" => spec.description.as_deref() == Some(value),
        "instance_name" => view
            .instance
            .as_ref()
            .is_some_and(|view| view.instance.meta.name == value),
        "created_at" => moment(value) == Some(server.meta.created_at),
        "launched_at" => moment(value) == server.launched_at,
        "access_ip_v4" => spec.access.ipv4.map(|ip| ip.to_string()).as_deref() == Some(value),
        "access_ip_v6" => spec.access.ipv6.map(|ip| ip.to_string()).as_deref() == Some(value),
        // What every server has, or what is asked of none.
        _ => true,
    }
}

/// A moment as clients write it, with or without a zone.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.replace(' ', "+");
    text.parse()
        .or_else(|_| format!("{text}Z").parse())
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .ok()
}

/// Whether a status is one that servers can have.
fn is_status(status: &str) -> bool {
    const KNOWN: [&str; 19] = [
        "ACTIVE",
        "BUILD",
        "DELETED",
        "ERROR",
        "HARD_REBOOT",
        "MIGRATING",
        "PASSWORD",
        "PAUSED",
        "REBOOT",
        "REBUILD",
        "RESCUE",
        "RESIZE",
        "REVERT_RESIZE",
        "SHELVED",
        "SHELVED_OFFLOADED",
        "SHUTOFF",
        "SOFT_DELETED",
        "SUSPENDED",
        "VERIFY_RESIZE",
    ];
    KNOWN.contains(&status)
}

/// Sorts by the keys that the client names, the first one first; newest first where it names none.
fn sort(at: &At, views: &mut [View]) -> Result<(), ApiError> {
    let values = |wanted: &'static str| {
        let pairs = at.query.pairs().filter(move |(name, _)| *name == wanted);
        pairs.map(|(_, value)| value)
    };
    let directions: Vec<&str> = values("sort_dir").collect();
    let default = directions.last().copied().unwrap_or("desc");
    let keys: Vec<&str> = values("sort_key").collect();
    for (position, key) in keys.iter().enumerate().rev() {
        if !SORT_KEYS.contains(key) {
            return Err(bad_parameter("sort_key", key, "is not a key to sort by"));
        }
        let is_up = match directions.get(position).copied().unwrap_or(default) {
            "asc" => true,
            "desc" => false,
            other => {
                return Err(bad_parameter(
                    "sort_dir",
                    other,
                    "is not one of ['asc', 'desc']",
                ));
            }
        };
        // A stable sort by the last key first.
        views.sort_by(|a, b| {
            let order = compare(at, key, a, b);
            if is_up { order } else { order.reverse() }
        });
    }
    if keys.is_empty() && directions.first() == Some(&"asc") {
        views.reverse();
    }
    Ok(())
}

fn compare(at: &At, key: &str, a: &View, b: &View) -> Ordering {
    let text = |view: &View| {
        let (server, spec) = (&view.server, &view.server.spec);
        match key {
            "uuid" => server.meta.id.to_string(),
            "display_name" => server.meta.name.clone(),
            "display_description" => spec.description.clone().unwrap_or_default(),
            "hostname" => spec.hostname.clone(),
            "host" => view.host(&at.cloud).unwrap_or_default(),
            "image_ref" => spec
                .image
                .as_ref()
                .map_or_else(String::new, |it| it.id.clone()),
            "instance_type_id" => spec.flavor.id.clone(),
            "key_name" => spec
                .key
                .as_ref()
                .map_or_else(String::new, |it| it.name.clone()),
            "project_id" => id::show(server.meta.project.0),
            "launch_index" => format!("{:010}", spec.launch_index),
            "launched_at" => server
                .launched_at
                .map_or_else(String::new, |it| it.to_string()),
            "config_drive" => spec.config_drive.to_string(),
            "auto_disk_config" => spec.auto_disk.to_string(),
            "availability_zone" => spec.zone.clone().unwrap_or_default(),
            "access_ip_v4" => spec
                .access
                .ipv4
                .map_or_else(String::new, |it| it.to_string()),
            "access_ip_v6" => spec
                .access
                .ipv6
                .map_or_else(String::new, |it| it.to_string()),
            _ => String::new(),
        }
    };
    let moment = |view: &View| {
        let meta = &view.server.meta;
        match key {
            "updated_at" => meta.updated_at.unwrap_or(meta.created_at),
            _ => meta.created_at,
        }
    };
    match key {
        "created_at" | "updated_at" => moment(a).cmp(&moment(b)),
        _ => text(a).cmp(&text(b)),
    }
}

fn next(at: &At, path: &str, marker: &str) -> String {
    let path = format!("{}/compute/v2.1/{path}", at.settings.url);
    at.query.address(&path, Some(marker))
}
