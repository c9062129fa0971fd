//! From quotas to the names that limits have.

use std::collections::BTreeMap;

use actions::quota::Figure;
use model::quota::Resource;
use serde_json::{Map, Value, json};

use crate::front::At;

/// Names of limits; the last microversion that has each.
const LIMITS: [(&str, Resource, u16); 10] = [
    ("maxTotalRAMSize", Resource::RamMib, u16::MAX),
    ("maxTotalInstances", Resource::Instances, u16::MAX),
    ("maxTotalCores", Resource::Cores, u16::MAX),
    ("maxTotalKeypairs", Resource::KeyPairs, u16::MAX),
    ("maxServerMeta", Resource::MetadataItems, u16::MAX),
    ("maxServerGroups", Resource::ServerGroups, u16::MAX),
    (
        "maxServerGroupMembers",
        Resource::ServerGroupMembers,
        u16::MAX,
    ),
    ("maxImageMeta", Resource::MetadataItems, 38),
    ("maxPersonality", Resource::InjectedFiles, 56),
    ("maxPersonalitySize", Resource::InjectedFileBytes, 56),
];
/// Names of what is used.
const USED: [(&str, Resource); 4] = [
    ("totalRAMUsed", Resource::RamMib),
    ("totalCoresUsed", Resource::Cores),
    ("totalInstancesUsed", Resource::Instances),
    ("totalServerGroupsUsed", Resource::ServerGroups),
];
/// What the network service has counted since Nova has no networks of its own: without end here, and
/// told up to 2.35.
const ELSEWHERE: [(&str, i64); 5] = [
    ("maxTotalFloatingIps", -1),
    ("maxSecurityGroups", -1),
    ("maxSecurityGroupRules", -1),
    ("totalFloatingIpsUsed", 0),
    ("totalSecurityGroupsUsed", 0),
];

/// Every limit that a microversion tells.
pub(super) fn absolute(at: &At, figures: &BTreeMap<Resource, Figure>) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, resource, last) in LIMITS {
        if let Some(figure) = figures.get(&resource).filter(|_| at.minor <= last) {
            shown.insert(name.to_owned(), json!(figure.limit));
        }
    }
    for (name, resource) in USED {
        if let Some(figure) = figures.get(&resource) {
            shown.insert(name.to_owned(), json!(figure.used));
        }
    }
    if at.minor <= 35 {
        shown.extend(ELSEWHERE.map(|(name, number)| (name.to_owned(), json!(number))));
    }
    shown
}
