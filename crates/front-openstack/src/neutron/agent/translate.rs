//! From a node to the agents that clients know.

use actions::node::View;
use actions::zone;
use jiff::Timestamp;
use model::Id;
use serde_json::json;

use crate::front::At;
use crate::neutron::answer::Object;

/// What a node's program does, in the words of Neutron's programs.
#[derive(Clone, Copy)]
pub(super) struct Agent {
    /// Tells it from the node's others.
    number: u8,
    kind: &'static str,
    topic: &'static str,
}

pub(super) const AGENTS: [Agent; 3] = [
    Agent {
        number: 2,
        kind: "Linux bridge agent",
        topic: "N/A",
    },
    Agent {
        number: 3,
        kind: "L3 agent",
        topic: "l3_agent",
    },
    Agent {
        number: 4,
        kind: "Metadata agent",
        topic: "N/A",
    },
];

/// An agent as clients read it.
pub(super) fn shown(at: &At, view: &View, agent: &Agent) -> Object {
    let mut id = *view.node.meta.id.as_bytes();
    id[15] ^= agent.number;
    // As Neutron writes it: `2026-11-21 12:00:00`.
    let moment = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let seen_at = view.status.as_ref().map(|status| status.seen_at);
    let started_at = seen_at.unwrap_or(view.node.meta.created_at);
    let fields = [
        ("id", json!(Id::from_bytes(id).to_string())),
        ("agent_type", json!(agent.kind)),
        ("binary", json!("longshore")),
        ("topic", json!(agent.topic)),
        ("host", json!(view.node.meta.name)),
        ("admin_state_up", json!(true)),
        ("alive", json!(view.answers())),
        (
            "availability_zone",
            json!(zone::of_node(&at.cloud, view.node.meta.id)),
        ),
        ("configurations", json!({})),
        ("resources_synced", json!(null)),
        ("created_at", json!(moment(view.node.meta.created_at))),
        ("started_at", json!(moment(started_at))),
        ("heartbeat_timestamp", json!(moment(started_at))),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}
