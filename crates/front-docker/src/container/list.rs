//! `GET /containers/json`: every container that passes the filters, in one pass over the records.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use actions::instance::{self, View};
use actions::{image, stream};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use model::ProjectId;
use model::instance::Phase;
use serde::Serialize;
use serde_json::Value;

use super::lookup;
use super::show::{self, MountPoint, Networks};
use crate::error::ApiError;
use crate::filters::{Filters, Patterns};
use crate::front::At;
use crate::id::docker_id;
use crate::network::wire::EndpointSettings;

const FILTERS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: [&str; 7] = [
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// A container in the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    id: String,
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    command: String,
    created: i64,
    ports: Vec<Port>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    labels: BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: SummaryHost,
    network_settings: SummaryNetworks,
    mounts: Vec<MountPoint>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryHost {
    network_mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryNetworks {
    networks: BTreeMap<String, EndpointSettings>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
    ip: String,
    private_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    kind: String,
}

pub(crate) async fn list(at: At) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let selection = Selection::new(&at, filters)?;
    let limit = usize::try_from(at.form.number("limit")?.unwrap_or(0)).unwrap_or(0);
    let shows_all = at.form.is_true("all") || limit > 0 || selection.filters.has("status");
    let with_size = at.form.is_true("size");

    let networks = known_networks(&at);
    let now = Timestamp::now();
    let mut images = Images::default();
    let mut summaries = Vec::new();
    let views = instance::list(&at.cloud, &at.caller);
    let linked = Linked::among(&views, &networks);
    for view in selection.window(views) {
        if limit > 0 && summaries.len() == limit {
            break;
        }
        if !(shows_all || view.is_up() || view.is_restarting()) {
            continue;
        }
        let mut summary = summary(&at, &view, &networks, &mut images, &linked, now);
        if !selection.includes(&view, &summary, &networks) {
            continue;
        }
        if with_size {
            let writable =
                stream::writable_size(&at.cloud, &at.caller, view.instance.meta.id).await?;
            summary.set_size(&at, writable);
        }
        summaries.push(summary);
    }
    Ok(axum::Json(summaries).into_response())
}

impl Summary {
    /// With the bytes in its writable layer, and those of its image.
    pub(crate) fn set_size(&mut self, at: &At, writable: u64) {
        let image =
            image::get(&at.cloud, &at.caller, &self.image_id).map_or(0, |image| image.size_bytes);
        self.size_rw = Some(writable);
        self.size_root_fs = Some(image + writable);
    }
}

/// Every network that the caller sees.
pub(crate) fn known_networks(at: &At) -> Networks {
    let networks = actions::network::list(&at.cloud, &at.caller);
    networks
        .into_iter()
        .map(|network| (network.meta.id, network))
        .collect()
}

/// These containers as the list shows them.
pub(crate) fn summaries(at: &At, views: &[View]) -> Vec<Summary> {
    let (networks, now, mut images) = (known_networks(at), Timestamp::now(), Images::default());
    let linked = Linked::among(&instance::list(&at.cloud, &at.caller), &networks);
    views
        .iter()
        .map(|view| summary(at, view, &networks, &mut images, &linked, now))
        .collect()
}

fn summary(
    at: &At,
    view: &View,
    networks: &Networks,
    images: &mut Images,
    others: &Linked,
    now: Timestamp,
) -> Summary {
    let spec = &view.instance.spec;
    let container = spec.containers.first();
    let text = |pointer| {
        show::origin(spec, pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    Summary {
        id: docker_id(view.instance.meta.id),
        names: [format!("/{}", view.instance.meta.name)]
            .into_iter()
            .chain(others.names_of(view))
            .collect(),
        image: container
            .map(|container| images.shown(at, container))
            .unwrap_or_default(),
        image_id: container
            .map(|container| container.image_id.clone())
            .unwrap_or_default(),
        command: container
            .map(|container| command(&container.args))
            .unwrap_or_default(),
        created: view.instance.meta.created_at.as_second(),
        ports: ports(view),
        size_rw: None,
        size_root_fs: None,
        labels: view.instance.meta.labels.clone(),
        state: show::state(view),
        status: show::status(view, now),
        host_config: SummaryHost {
            network_mode: text("/HostConfig/NetworkMode").to_owned(),
            annotations: show::origin(spec, "/HostConfig/Annotations")
                .filter(|_| at.version.has(46))
                .cloned(),
        },
        network_settings: SummaryNetworks {
            networks: show::networks(view, networks),
        },
        mounts: show::mounts(view, &at.settings.data_dir),
    }
}

/// The command line, with arguments that have spaces in quotes.
fn command(args: &[String]) -> String {
    let mut line = String::new();
    for (place, arg) in args.iter().enumerate() {
        let separator = if place == 0 { "" } else { " " };
        let quote = if place > 0 && arg.contains(' ') {
            "'"
        } else {
            ""
        };
        // Writing into a string cannot fail.
        let _ = write!(line, "{separator}{quote}{arg}{quote}");
    }
    line
}

fn ports(view: &View) -> Vec<Port> {
    let mut ports = Vec::new();
    for (key, bindings) in show::ports(view) {
        let (number, kind) = key.split_once('/').unwrap_or((&key, "tcp"));
        let private_port = number.parse().unwrap_or(0);
        let port = |ip: String, public_port| Port {
            ip,
            private_port,
            public_port,
            kind: kind.to_owned(),
        };
        match bindings {
            None => ports.push(port(String::new(), None)),
            Some(bindings) => ports.extend(
                bindings
                    .into_iter()
                    .map(|binding| port(binding.host_ip, binding.host_port.parse().ok())),
            ),
        }
    }
    ports
}

/// What containers are called by those that are linked to them on the default network.
struct Linked(HashMap<(ProjectId, String), Vec<String>>);

impl Linked {
    fn among(views: &[View], networks: &Networks) -> Self {
        let mut linked: HashMap<_, Vec<String>> = HashMap::new();
        for view in views {
            for (other, alias) in show::links(view, networks) {
                let own = &view.instance.meta;
                linked
                    .entry((own.project, other.clone()))
                    .or_default()
                    .push(format!("/{}/{alias}", own.name));
            }
        }
        Self(linked)
    }

    fn names_of(&self, view: &View) -> Vec<String> {
        let meta = &view.instance.meta;
        let names = self.0.get(&(meta.project, meta.name.clone()));
        names.cloned().unwrap_or_default()
    }
}

/// Remembers, within one list, which image a name means now.
#[derive(Default)]
struct Images(HashMap<String, Option<String>>);

impl Images {
    /// The name that was given, unless it means another image by now: then the identifier.
    fn shown(&mut self, at: &At, container: &model::container::ContainerSpec) -> String {
        let now = self.0.entry(container.image.clone()).or_insert_with(|| {
            image::get(&at.cloud, &at.caller, &container.image)
                .ok()
                .map(|image| image.id.clone())
        });
        // One without an image has the name of the volume that is its root.
        if now.as_deref() == Some(&container.image_id) || container.image_id.is_empty() {
            container.image.clone()
        } else {
            container.image_id.clone()
        }
    }
}

/// The filters of one list, read once.
struct Selection {
    filters: Filters,
    names: Patterns,
    ids: Patterns,
    exited: Vec<i32>,
    before: Option<model::Id>,
    since: Option<model::Id>,
    images: Option<BTreeSet<String>>,
    published: Vec<Ports>,
    exposed: Vec<Ports>,
    is_task: Option<bool>,
}

impl Selection {
    fn new(at: &At, filters: Filters) -> Result<Self, ApiError> {
        let exited = filters
            .values("exited")
            .map(|value| {
                value.parse().map_err(|_| {
                    ApiError::invalid(format!(
                        "invalid filter 'exited={value}': strconv.Atoi: parsing {value:?}: invalid syntax"
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        for (name, known, what) in [
            ("status", &STATES[..], "state"),
            ("health", &HEALTH[..], "health status"),
        ] {
            if let Some(value) = filters.values(name).find(|value| !known.contains(value)) {
                let known = known.join(", ");
                return Err(ApiError::invalid(format!(
                    "invalid filter '{name}={value}': invalid value for {what} ({value}): must be one of {known}"
                )));
            }
        }
        let named = |name| {
            filters
                .values(name)
                .last()
                .map(|term| lookup::find(at, term))
                .transpose()
        };
        let (before, since) = (named("before")?, named("since")?);
        Ok(Self {
            names: filters.patterns("name"),
            ids: filters.patterns("id"),
            exited,
            before: before.map(|view| view.instance.meta.id),
            since: since.map(|view| view.instance.meta.id),
            images: filters.has("ancestor").then(|| descendants(at, &filters)),
            published: port_filter(&filters, "publish")?,
            exposed: port_filter(&filters, "expose")?,
            is_task: filters.boolean("is-task")?,
            filters,
        })
    }

    /// What lies between the containers named by `before` and `since`; the newest comes first.
    fn window(&self, mut views: Vec<View>) -> impl Iterator<Item = View> {
        let place = |views: &[View], id| {
            views
                .iter()
                .position(|view| Some(view.instance.meta.id) == id)
        };
        if let Some(end) = place(&views, self.since) {
            views.truncate(end);
        }
        let begin = place(&views, self.before).map_or(0, |place| place + 1);
        views.into_iter().skip(begin)
    }

    fn includes(&self, view: &View, summary: &Summary, networks: &Networks) -> bool {
        let name = &view.instance.meta.name;
        let health = view.status.health.as_ref().filter(|_| view.is_up());
        (self.names.matches(name) || self.names.matches(&summary.names[0]))
            && self.ids.matches(&summary.id)
            // There are no services here, and so no tasks.
            && self.is_task != Some(true)
            && self.filters.matches_labels("label", &summary.labels)
            && self.filters.values("isolation").all(|isolation| isolation == "default")
            && (self.exited.is_empty() || self.has_exited(view))
            && self.filters.matches_exactly("status", summary.state)
            && self.filters.matches_exactly("health", health.map_or("none", |health| show::health_word(health.state)))
            && self.images.as_ref().is_none_or(|images| images.contains(&summary.image_id))
            && self.has_volume(summary)
            && self.has_network(view, summary, networks)
            && self.has_port(summary)
    }

    fn has_exited(&self, view: &View) -> bool {
        !view.is_up()
            && view.status.phase == Phase::Exited
            && self.exited.contains(&show::exit_code(view))
    }

    fn has_volume(&self, summary: &Summary) -> bool {
        !self.filters.has("volume")
            || self.filters.values("volume").any(|wanted| {
                summary.mounts.iter().any(|mount| {
                    mount.destination == wanted
                        || mount.name == wanted
                        || (mount.name.is_empty() && mount.source == wanted)
                })
            })
    }

    fn has_network(&self, view: &View, summary: &Summary, networks: &Networks) -> bool {
        !self.filters.has("network")
            || self.filters.values("network").any(|wanted| {
                summary
                    .network_settings
                    .networks
                    .iter()
                    .any(|(name, endpoint)| {
                        name == wanted
                            || (!endpoint.network_id.is_empty()
                                && endpoint.network_id.starts_with(wanted))
                    })
                    || view.instance.spec.attachments.iter().any(|attachment| {
                        networks
                            .get(&attachment.network)
                            .is_some_and(|network| network.meta.name == wanted)
                    })
            })
    }

    fn has_port(&self, summary: &Summary) -> bool {
        if self.published.is_empty() && self.exposed.is_empty() {
            return true;
        }
        let is_in = |sought: &[Ports], number: u16, kind: &str| {
            sought
                .iter()
                .any(|ports| ports.kind == kind && ports.numbers.contains(&number))
        };
        summary.ports.iter().any(|port| {
            port.public_port
                .is_some_and(|public| is_in(&self.published, public, &port.kind))
                || is_in(&self.exposed, port.private_port, &port.kind)
        })
    }
}

/// The images that `ancestor` names, and those made from them.
fn descendants(at: &At, filters: &Filters) -> BTreeSet<String> {
    let known = image::list(&at.cloud, &at.caller);
    let mut found: BTreeSet<String> = filters
        .values("ancestor")
        .filter_map(|name| image::get(&at.cloud, &at.caller, name).ok())
        .map(|image| image.id.clone())
        .collect();
    loop {
        let before = found.len();
        for image in &known {
            if image
                .parent
                .as_ref()
                .is_some_and(|parent| found.contains(parent))
            {
                found.insert(image.id.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Ports that a filter names: kept as they are written, for a request may name all of them many times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    numbers: RangeInclusive<u16>,
    kind: String,
}

/// Ports such as `80`, `80/udp` and `8000-8010/tcp`.
pub(crate) fn port_filter(filters: &Filters, name: &str) -> Result<Vec<Ports>, ApiError> {
    let mut ports = Vec::new();
    for value in filters.values(name) {
        if value.contains(':') {
            return Err(ApiError::invalid(format!(
                "filter for '{name}' should not contain ':': {value}"
            )));
        }
        let (numbers, kind) = value.split_once('/').unwrap_or((value, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last => ports.push(Ports {
                numbers: first..=last,
                kind: kind.to_owned(),
            }),
            _ => {
                return Err(ApiError::invalid(format!(
                    "error while looking up for {name} {value}: invalid port specification"
                )));
            }
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_with_spaces_are_quoted() {
        let args = ["sh", "-c", "echo hi"].map(ToOwned::to_owned);
        assert_eq!(command(&args), "sh -c 'echo hi'");
    }

    #[test]
    fn ports_are_filtered_by_number_range_and_protocol() {
        let filters = Filters::parse(r#"{"publish":["80","90-91/udp"]}"#, &["publish"]).unwrap();
        let ports = port_filter(&filters, "publish").unwrap();
        let ports = ports.into_iter().map(|ports| (ports.numbers, ports.kind));
        assert_eq!(
            ports.collect::<Vec<_>>(),
            [(80..=80, "tcp".to_owned()), (90..=91, "udp".to_owned())]
        );
        let wrong = Filters::parse(r#"{"publish":["1:2"]}"#, &["publish"]).unwrap();
        assert_eq!(
            port_filter(&wrong, "publish").unwrap_err().message,
            "filter for 'publish' should not contain ':': 1:2"
        );
    }
}
