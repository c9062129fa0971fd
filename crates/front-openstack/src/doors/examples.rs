//! One of everything, and a good body for every operation that takes one. `<network/v2.0/networks>`
//! stands for the identity of the thing that was made in that collection.

use serde_json::Value;

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
    Thing {
        by: Who::Admin,
        ..thing(
            "/compute/v2.1/flavors",
            r#"{"flavor": {"name": "private", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": false}}"#,
        )
    },
];

/// What everybody may do, whatever their role and wherever they act.
pub(super) const EVERYBODYS: &[(&str, &str)] = &[
    ("revokeToken", "everybody ends tokens of their own"),
    ("removed", "nobody has what Nova took away"),
    ("createKeyPair", "everybody has key pairs of their own"),
    ("deleteKeyPair", "everybody has key pairs of their own"),
    (
        "showQuotaSetDefaults",
        "they are the same for every project",
    ),
];

/// Paths that are tried without a token only, and why.
pub(super) const UNTRIED: &[(&str, &str)] = &[
    (
        "/compute/v2.1/servers",
        "no server is made in this house: it would need an image",
    ),
    ("/image/", "no image is made in this house"),
    ("/volume/", "no volume is made in this house"),
    (
        "/compute/v2.1/os-volumes_boot",
        "no server is made in this house",
    ),
    ("/compute/v2.1/images", "no image is made in this house"),
    (
        "/compute/v2.1/os-snapshots",
        "no volume is made in this house",
    ),
];

/// Good bodies, by operation.
const EXAMPLES: &[(&str, &str)] = &[
    ("createProject", r#"{"project": {"name": "x"}}"#),
    ("updateProject", r#"{"project": {"description": "x"}}"#),
    ("replaceProjectTags", r#"{"tags": ["x"]}"#),
    ("createDomain", r#"{"domain": {"name": "x"}}"#),
    ("updateDomain", r#"{"domain": {"description": "x"}}"#),
    ("createUser", r#"{"user": {"name": "x"}}"#),
    ("updateUser", r#"{"user": {"description": "x"}}"#),
    ("createGroup", r#"{"group": {"name": "x"}}"#),
    ("updateGroup", r#"{"group": {"description": "x"}}"#),
    ("createRole", r#"{"role": {"name": "x"}}"#),
    ("updateRole", r#"{"role": {"description": "x"}}"#),
    (
        "createCredential",
        r#"{"credential": {"type": "x", "blob": "y", "user_id": "<identity/v3/users>"}}"#,
    ),
    (
        "createEc2Credential",
        r#"{"tenant_id": "<identity/v3/projects>"}"#,
    ),
    (
        "createTrust",
        r#"{"trust": {"trustor_user_id": "<identity/v3/users>", "trustee_user_id": "<identity/v3/users>", "project_id": "<identity/v3/projects>", "impersonation": false, "roles": [{"name": "reader"}]}}"#,
    ),
    (
        "validateEc2Signature",
        r#"{"credentials": {"access": "a", "signature": "b"}}"#,
    ),
    (
        "validateS3Signature",
        r#"{"credentials": {"access": "a", "signature": "b", "token": "Yw=="}}"#,
    ),
    ("updateCredential", r#"{"credential": {"blob": "y"}}"#),
    (
        "createApplicationCredential",
        r#"{"application_credential": {"name": "x"}}"#,
    ),
    ("createService", r#"{"service": {"type": "x"}}"#),
    ("updateService", r#"{"service": {"name": "x"}}"#),
    (
        "createEndpoint",
        r#"{"endpoint": {"service_id": "11111111222243338444555555555555", "interface": "public", "url": "http://x"}}"#,
    ),
    ("updateEndpoint", r#"{"endpoint": {"url": "http://x"}}"#),
    ("createRegion", r#"{"region": {"id": "x"}}"#),
    ("updateRegion", r#"{"region": {"description": "x"}}"#),
    ("createRegionWithId", r#"{"region": {"description": "x"}}"#),
    (
        "createRegisteredLimits",
        r#"{"registered_limits": [{"service_id": "11111111222243338444555555555555", "resource_name": "x", "default_limit": 1}]}"#,
    ),
    (
        "updateRegisteredLimit",
        r#"{"registered_limit": {"default_limit": 2}}"#,
    ),
    (
        "createLimits",
        r#"{"limits": [{"project_id": "<identity/v3/projects>", "service_id": "11111111222243338444555555555555", "resource_name": "x", "resource_limit": 1}]}"#,
    ),
    ("updateLimit", r#"{"limit": {"resource_limit": 2}}"#),
    ("createNetwork", r#"{"network": {"name": "x"}}"#),
    ("updateNetwork", r#"{"network": {"name": "x"}}"#),
    (
        "createSubnet",
        r#"{"subnet": {"network_id": "<network/v2.0/networks>", "cidr": "10.8.0.0/24", "ip_version": 4}}"#,
    ),
    ("updateSubnet", r#"{"subnet": {"name": "x"}}"#),
    (
        "createPort",
        r#"{"port": {"network_id": "<network/v2.0/networks>"}}"#,
    ),
    ("updatePort", r#"{"port": {"name": "x"}}"#),
    (
        "createSecurityGroup",
        r#"{"security_group": {"name": "x", "description": ""}}"#,
    ),
    (
        "updateSecurityGroup",
        r#"{"security_group": {"name": "x", "description": ""}}"#,
    ),
    (
        "createSecurityGroupRule",
        r#"{"security_group_rule": {"security_group_id": "<network/v2.0/security-groups>", "direction": "egress"}}"#,
    ),
    (
        "addSecurityGroupRule",
        r#"{"security_group_rule": {"parent_group_id": "<network/v2.0/security-groups>", "ip_protocol": "tcp", "from_port": 22, "to_port": 22}}"#,
    ),
    ("allocateFloatingIp", r#"{"pool": "x"}"#),
    ("createVolume", r#"{"volume": {"size": 1}}"#),
    ("createRouter", r#"{"router": {"name": "x"}}"#),
    ("updateRouter", r#"{"router": {"name": "x"}}"#),
    (
        "addRouterInterface",
        r#"{"subnet_id": "<network/v2.0/subnets>"}"#,
    ),
    (
        "removeRouterInterface",
        r#"{"subnet_id": "<network/v2.0/subnets>"}"#,
    ),
    (
        "createFloatingIp",
        r#"{"floatingip": {"floating_network_id": "<network/v2.0/networks>"}}"#,
    ),
    (
        "updateFloatingIp",
        r#"{"floatingip": {"description": "x"}}"#,
    ),
    ("replaceTags", r#"{"tags": ["x"]}"#),
    ("updateQuota", r#"{"quota": {"network": 1}}"#),
    (
        "createFlavor",
        r#"{"flavor": {"name": "x", "ram": 64, "vcpus": 1, "disk": 1}}"#,
    ),
    ("updateFlavor", r#"{"flavor": {"description": "x"}}"#),
    (
        "addTenantAccess",
        r#"{"addTenantAccess": {"tenant": "<identity/v3/projects>"}}"#,
    ),
    (
        "removeTenantAccess",
        r#"{"removeTenantAccess": {"tenant": "<identity/v3/projects>"}}"#,
    ),
    ("createFlavorExtraSpecs", r#"{"extra_specs": {"a": "b"}}"#),
    (
        "updateFlavorExtraSpec",
        r#"{"11111111-2222-4333-8444-555555555555": "b"}"#,
    ),
    ("updateQuotaSet", r#"{"quota_set": {"cores": 1}}"#),
    (
        "updateQuotaClassSet",
        r#"{"quota_class_set": {"cores": 1}}"#,
    ),
    ("createAggregate", r#"{"aggregate": {"name": "x"}}"#),
    ("updateAggregate", r#"{"aggregate": {"name": "x"}}"#),
    ("addAggregateHost", r#"{"add_host": {"host": "node"}}"#),
    (
        "removeAggregateHost",
        r#"{"remove_host": {"host": "node"}}"#,
    ),
    (
        "setAggregateMetadata",
        r#"{"set_metadata": {"metadata": {"a": "b"}}}"#,
    ),
    (
        "cacheAggregateImages",
        r#"{"cache": [{"id": "11111111-2222-4333-8444-555555555555"}]}"#,
    ),
    ("updateService", r#"{"status": "disabled"}"#),
    ("updateHost", r#"{"status": "disable"}"#),
    (
        "createServerGroup",
        r#"{"server_group": {"name": "x", "policy": "affinity"}}"#,
    ),
];

/// A good body for an operation.
pub(super) fn example(operation: &str) -> Option<Value> {
    let known = EXAMPLES.iter().find(|(name, _)| *name == operation);
    known.map(|(_, body)| serde_json::from_str(body).unwrap())
}
