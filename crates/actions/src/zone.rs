//! Availability zones: what aggregates say of nodes, as everybody sees it. Messages are Nova's.

use std::collections::BTreeMap;

use model::aggregate::zone_of;
use model::instance::Site;
use model::node::{Node, NodeStatus};
use model::{Id, ProjectId};

use crate::error::invalid;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, aggregate};

/// The zone that a node is in.
#[must_use]
pub fn of_node(cloud: &Cloud, node: Id) -> String {
    let all = aggregate::all(cloud);
    zone_of(node, all.iter().map(|found| &**found)).to_owned()
}

/// Every zone with a node, and whether something new can be placed in it. Everybody may know.
#[must_use]
pub fn list(cloud: &Cloud) -> BTreeMap<String, bool> {
    let aggregates = aggregate::all(cloud);
    let mut zones = BTreeMap::new();
    for (id, node) in cloud.store.list::<Node>() {
        let zone = zone_of(id, aggregates.iter().map(|found| &**found));
        let orders = &node.value.orders;
        let answers = cloud
            .store
            .get::<NodeStatus>(id)
            .is_some_and(|status| status.value.ready);
        let is_open = answers && !orders.cordoned && !orders.forced_down;
        *zones.entry(zone.to_owned()).or_default() |= is_open;
    }
    zones
}

/// Where a user wants something to be placed: `ZONE`, or for the operator `ZONE:NODE`, in which the zone
/// may be left out.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for what is not there, [`crate::ErrorKind::Forbidden`] for who may not
/// name nodes.
pub(crate) fn chosen(cloud: &Cloud, caller: &Caller, text: &str) -> Result<Site, ActionError> {
    let mut parts = text.split(':');
    let zone = parts.next().filter(|zone| !zone.is_empty());
    // The host, and the hypervisor on it: here these are one.
    let hosts: Vec<&str> = parts.filter(|host| !host.is_empty()).collect();
    if let Some(zone) = zone
        && !list(cloud).contains_key(zone)
    {
        return Err(invalid("The requested availability zone is not available"));
    }
    let mut site = Site {
        zone: zone.map(str::to_owned),
        node: None,
    };
    if text.split(':').count() > 3 {
        return Err(invalid(format!("Unable to parse availability_zone {text}")));
    }
    let Some(host) = hosts.first() else {
        return Ok(site);
    };
    caller.may(Action::ForceNode, &Target::SYSTEM)?;
    let node = cloud.store.by_name::<Node>(ProjectId::ADMIN, host);
    let node = node.filter(|_| hosts.iter().all(|other| other == host));
    let node = node.ok_or_else(|| invalid(format!("No valid host was found. {host}")))?;
    site.node = Some(node.value.meta.id);
    Ok(site)
}
