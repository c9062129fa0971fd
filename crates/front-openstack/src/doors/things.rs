//! One of everything. `<network/v2.0/networks>` stands for the identity of the thing that was made in
//! that collection.

use super::house::Who;

/// Something to make before doors are tried.
pub(super) struct Thing {
    /// Where it is made, and found.
    pub(super) collection: &'static str,
    /// The name of what it is found by.
    pub(super) key: &'static str,
    pub(super) by: Who,
    pub(super) body: &'static str,
}

const fn thing(collection: &'static str, body: &'static str) -> Thing {
    Thing {
        collection,
        key: "id",
        by: Who::Owner,
        body,
    }
}

pub(super) const VOLUMES: &str = "/volume/v3/<identity/v3/projects>/volumes";
pub(super) const SNAPSHOTS: &str = "/volume/v3/<identity/v3/projects>/snapshots";

pub(super) const THINGS: &[Thing] = &[
    thing("/network/v2.0/networks", r#"{"network": {"name": "quay"}}"#),
    thing(
        "/network/v2.0/subnets",
        r#"{"subnet": {"network_id": "<network/v2.0/networks>", "cidr": "10.9.0.0/24", "ip_version": 4}}"#,
    ),
    thing(
        "/network/v2.0/ports",
        r#"{"port": {"network_id": "<network/v2.0/networks>"}}"#,
    ),
    thing("/network/v2.0/routers", r#"{"router": {"name": "lock"}}"#),
    thing(
        "/network/v2.0/security-groups",
        r#"{"security_group": {"name": "crew"}}"#,
    ),
    thing(
        "/network/v2.0/security-group-rules",
        r#"{"security_group_rule": {"security_group_id": "<network/v2.0/security-groups>", "direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}}"#,
    ),
    thing(
        "/compute/v2.1/os-server-groups",
        r#"{"server_group": {"name": "fleet", "policy": "affinity"}}"#,
    ),
    Thing {
        key: "name",
        ..thing(
            "/compute/v2.1/os-keypairs",
            r#"{"keypair": {"name": "hawser"}}"#,
        )
    },
    thing(
        "/image/v2/images",
        r#"{"name": "figurehead", "container_format": "bare", "disk_format": "raw", "os_command_line": "sleep 1000"}"#,
    ),
    thing(
        "/compute/v2.1/servers",
        r#"{"server": {"name": "lighter", "imageRef": "<image/v2/images>", "flavorRef": "1", "networks": "none"}}"#,
    ),
    thing(VOLUMES, r#"{"volume": {"size": 1}}"#),
    thing(
        SNAPSHOTS,
        r#"{"snapshot": {"volume_id": "<volume/v3/<identity/v3/projects>/volumes>"}}"#,
    ),
    Thing {
        by: Who::Admin,
        ..thing(
            "/compute/v2.1/flavors",
            r#"{"flavor": {"name": "private", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": false}}"#,
        )
    },
];
