//! Servers as clients read them, by the microversion that they ask for.

use std::collections::HashMap;
use std::net::IpAddr;

use actions::server::{Place, State, View};
use actions::volume_attachment::{self, Attachment};
use actions::{firewall, floating, server_group};
use model::instance::Phase;
use model::server::{Server, Task};
use model::{Id, ProjectId};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::routes::href;
use crate::front::At;
use crate::{id, time};

/// How much of a server is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::nova) enum Whole {
    /// All.
    Alone,
    /// All but what takes more than the server itself.
    InList,
    /// What older clients read after a change.
    Changed,
}

/// What is looked up once for all servers that are shown.
pub(in crate::nova) struct Showing<'a> {
    at: &'a At,
    /// Floating addresses that lead to a port's address.
    floating: HashMap<(Id, IpAddr), IpAddr>,
}

/// Where a server is, as a client reads it.
pub(super) fn links(at: &At, id: Id) -> Value {
    json!([
        { "rel": "self", "href": href(at, id) },
        { "rel": "bookmark", "href": format!("{}/compute/servers/{id}", at.settings.url) },
    ])
}

/// A server in a list of names.
pub(super) fn brief(at: &At, view: &View) -> Value {
    let meta = &view.server.meta;
    json!({ "id": meta.id.to_string(), "name": meta.name, "links": links(at, meta.id) })
}

/// What a state is called while something is done.
pub(in crate::nova) const fn status(state: State, task: Option<Task>) -> &'static str {
    match (state, task) {
        (State::Active, Some(Task::Rebooting)) => "REBOOT",
        (State::Active, Some(Task::RebootingHard)) => "HARD_REBOOT",
        (State::Active | State::Stopped | State::Broken, Some(Task::Rebuilding)) => "REBUILD",
        (State::Active | State::Stopped, Some(Task::Resizing)) => "RESIZE",
        (State::Resized, Some(Task::Reverting)) => "REVERT_RESIZE",
        (State::Building, _) => "BUILD",
        (State::Active, _) => "ACTIVE",
        (State::Paused, _) => "PAUSED",
        (State::Suspended, _) => "SUSPENDED",
        (State::Stopped, _) => "SHUTOFF",
        (State::Resized, _) => "VERIFY_RESIZE",
        (State::Offloaded, _) => "SHELVED_OFFLOADED",
        (State::Broken, _) => "ERROR",
    }
}

/// What a server does, as Nova numbers it.
pub(in crate::nova) fn power_state(view: &View) -> u8 {
    match (view.state(), view.phase()) {
        (State::Building | State::Offloaded, _) => 0,
        (State::Suspended, _) => 7,
        (_, Phase::Running) => 1,
        (_, Phase::Paused) => 3,
        (_, Phase::Created | Phase::Exited) => 4,
        (_, Phase::Dead) => 6,
    }
}

impl<'a> Showing<'a> {
    pub(in crate::nova) fn new(at: &'a At) -> Self {
        let leading = floating::list(&at.cloud, &at.caller);
        let floating = leading
            .iter()
            .filter_map(|view| {
                let target = view.floating.spec.target.as_ref()?;
                Some(((target.port, target.address), view.address?))
            })
            .collect();
        Self { at, floating }
    }

    /// A server.
    pub(in crate::nova) fn server(&self, view: &View, whole: Whole) -> Value {
        let (at, server) = (self.at, &*view.server);
        let mut shown = Map::new();
        let mut add = |name: &str, value: Value| {
            shown.insert(name.to_owned(), value);
        };
        let (meta, spec) = (&server.meta, &server.spec);
        let status = status(view.state(), view.task());
        add("id", json!(meta.id.to_string()));
        add("name", json!(meta.name));
        add("status", json!(status));
        add("tenant_id", json!(id::show(meta.project.0)));
        add("user_id", json!(id::show(spec.creator.user)));
        add("created", json!(time::seconds(meta.created_at)));
        let updated = meta.updated_at.unwrap_or(meta.created_at);
        add("updated", json!(time::seconds(updated)));
        let places = view.places(&at.cloud);
        add("addresses", self.addresses(view, &places, whole));
        add("image", self.image(server));
        add("flavor", self.flavor(server));
        add(
            "hostId",
            json!(host_id(meta.project, view.host(&at.cloud).as_deref())),
        );
        add("links", links(at, meta.id));
        add("metadata", json!(spec.metadata));
        let address =
            |address: Option<IpAddr>| address.map_or_else(String::new, |it| it.to_string());
        add("accessIPv4", json!(address(spec.access.ipv4)));
        add("accessIPv6", json!(address(spec.access.ipv6)));
        let disk = if spec.auto_disk { "AUTO" } else { "MANUAL" };
        add("OS-DCF:diskConfig", json!(disk));
        if ["ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE"].contains(&status) {
            add("progress", json!(0));
        }
        if status == "ERROR"
            && let Some(fault) = &server.fault
        {
            let mut of = json!({
                "code": fault.code,
                "created": time::seconds(fault.at),
                "message": fault.message,
            });
            if at.caller.is_admin() {
                of["details"] = json!(fault.message);
            }
            add("fault", of);
        }
        if at.minor >= 9 {
            add("locked", json!(spec.lock.is_some()));
        }
        if at.minor >= 19 {
            add("description", json!(spec.description));
        }
        if at.minor >= 26 {
            add("tags", json!(spec.tags));
        }
        if at.minor >= 63 {
            add("trusted_image_certificates", Value::Null);
        }
        if at.minor >= 73 {
            let reason = spec.lock.as_ref().and_then(|lock| lock.reason.as_ref());
            add("locked_reason", json!(reason));
        }
        if at.minor >= 71 && whole != Whole::InList {
            let group = server_group::of(&at.cloud, server);
            let groups: Vec<String> = group.iter().map(Id::to_string).collect();
            add("server_groups", json!(groups));
        }
        if at.minor >= 90 {
            add("OS-EXT-SRV-ATTR:hostname", json!(spec.hostname));
        }
        if whole != Whole::Changed {
            self.extend(view, &places, &mut shown);
        }
        Value::Object(shown)
    }

    /// What newer clients read of a changed server, too, and all clients of others.
    fn extend(&self, view: &View, places: &[Place], shown: &mut Map<String, Value>) {
        let (at, server) = (self.at, &*view.server);
        let spec = &server.spec;
        let mut add = |name: &str, value: Value| {
            shown.insert(name.to_owned(), value);
        };
        let host = view.host(&at.cloud);
        let zone = view.zone(&at.cloud);
        add(
            "OS-EXT-AZ:availability_zone",
            json!(zone.unwrap_or_default()),
        );
        add(
            "config_drive",
            json!(if spec.config_drive { "True" } else { "" }),
        );
        add("key_name", json!(spec.key.as_ref().map(|key| &key.name)));
        let naive = |at: Option<jiff::Timestamp>| {
            at.map(|at| time::micros(at).trim_end_matches('Z').to_owned())
        };
        add("OS-SRV-USG:launched_at", json!(naive(server.launched_at)));
        add("OS-SRV-USG:terminated_at", Value::Null);
        let groups: Vec<Value> = View::firewalls(places)
            .into_iter()
            .filter_map(|id| firewall::get(&at.cloud, &at.caller, id).ok())
            .map(|firewall| json!({ "name": firewall.meta.name }))
            .collect();
        // As Nova: a server without any has no list.
        if !groups.is_empty() {
            add("security_groups", Value::from(groups));
        }
        add("OS-EXT-STS:vm_state", json!(view.state().as_str()));
        add("OS-EXT-STS:task_state", json!(view.task_name()));
        add("OS-EXT-STS:power_state", json!(power_state(view)));
        add("os-extended-volumes:volumes_attached", volumes(at, view));
        if at.minor >= 96 {
            add("pinned_availability_zone", json!(spec.zone));
        }
        if !at.caller.is_admin() {
            return;
        }
        add("OS-EXT-SRV-ATTR:host", json!(host));
        add("OS-EXT-SRV-ATTR:hypervisor_hostname", json!(host));
        let name = view.instance.as_ref().map(|view| &view.instance.meta.name);
        add("OS-EXT-SRV-ATTR:instance_name", json!(name));
        if at.minor >= 3 {
            add("OS-EXT-SRV-ATTR:hostname", json!(spec.hostname));
            add("OS-EXT-SRV-ATTR:kernel_id", json!(""));
            add("OS-EXT-SRV-ATTR:ramdisk_id", json!(""));
            add("OS-EXT-SRV-ATTR:launch_index", json!(spec.launch_index));
            add("OS-EXT-SRV-ATTR:reservation_id", json!(spec.reservation));
            add("OS-EXT-SRV-ATTR:root_device_name", json!("/dev/vda"));
            add("OS-EXT-SRV-ATTR:user_data", json!(spec.user_data));
        }
        if at.minor >= 16 {
            add("host_status", json!(if host.is_some() { "UP" } else { "" }));
        }
    }

    /// Addresses by the name of their network.
    pub(in crate::nova) fn addresses(&self, view: &View, places: &[Place], whole: Whole) -> Value {
        if view.state() == State::Building {
            return json!({});
        }
        let mut networks = Map::new();
        for place in places {
            let Some(network) = &place.network else {
                continue;
            };
            let mac = &place.port.spec.mac;
            let one = |address: IpAddr, kind: &str| {
                let mut one = json!({
                    "version": if address.is_ipv4() { 4 } else { 6 },
                    "addr": address,
                });
                if whole != Whole::Changed {
                    one["OS-EXT-IPS:type"] = json!(kind);
                    one["OS-EXT-IPS-MAC:mac_addr"] = json!(mac);
                }
                one
            };
            let known = networks
                .entry(network.meta.name.clone())
                .or_insert_with(|| json!([]));
            let Value::Array(known) = known else {
                continue;
            };
            for fixed in &place.addresses {
                known.push(one(fixed.address, "fixed"));
                let leading = self.floating.get(&(place.port.meta.id, fixed.address));
                known.extend(leading.map(|address| one(*address, "floating")));
            }
        }
        Value::Object(networks)
    }

    fn image(&self, server: &Server) -> Value {
        match &server.spec.image {
            None => json!(""),
            Some(image) => json!({
                "id": image.id,
                "links": [{
                    "rel": "bookmark",
                    "href": format!("{}/compute/images/{}", self.at.settings.url, image.id),
                }],
            }),
        }
    }

    fn flavor(&self, server: &Server) -> Value {
        let flavor = &server.spec.flavor;
        if self.at.minor >= 47 {
            return json!({
                "original_name": flavor.name,
                "vcpus": flavor.vcpus,
                "ram": flavor.ram_mib,
                "disk": flavor.disk_gib,
                "ephemeral": flavor.ephemeral_gib,
                "swap": flavor.swap_mib,
                "extra_specs": flavor.extra_specs,
            });
        }
        json!({
            "id": flavor.id,
            "links": [{
                "rel": "bookmark",
                "href": format!("{}/compute/flavors/{}", self.at.settings.url, flavor.id),
            }],
        })
    }
}

/// The volumes of a server, as a client reads them.
fn volumes(at: &At, view: &View) -> Value {
    let Some(instance) = &view.instance else {
        return json!([]);
    };
    let attached = volume_attachment::of(&at.cloud, &instance.instance);
    let one = |attachment: &Attachment| {
        let mut one = json!({ "id": attachment.known.volume.to_string() });
        if at.minor >= 3 {
            one["delete_on_termination"] = json!(attachment.known.delete_with_instance);
        }
        one
    };
    attached.iter().map(one).collect()
}

/// Names a node to a project, without telling which it is; empty for none.
fn host_id(project: ProjectId, host: Option<&str>) -> String {
    let Some(host) = host else {
        return String::new();
    };
    let hash = digest(&SHA256, format!("{project}{host}").as_bytes());
    // As long as Nova's, which are of SHA-224.
    let bytes = hash.as_ref().iter().take(28);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_shows_in_the_status_where_clients_wait_for_it() {
        assert_eq!(status(State::Active, None), "ACTIVE");
        assert_eq!(status(State::Active, Some(Task::Deleting)), "ACTIVE");
        assert_eq!(status(State::Stopped, Some(Task::Starting)), "SHUTOFF");
        assert_eq!(status(State::Stopped, Some(Task::Rebuilding)), "REBUILD");
    }

    #[test]
    fn hosts_are_named_apart_to_projects() {
        let one = host_id(ProjectId::ADMIN, Some("a"));
        assert_eq!(one.len(), 56);
        assert_ne!(one, host_id(ProjectId::SYSTEM, Some("a")));
        assert_eq!(host_id(ProjectId::ADMIN, None), "");
    }
}
