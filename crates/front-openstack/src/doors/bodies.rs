//! Bodies for every operation that takes one. `<network/v2.0/networks>` stands for the identity of the
//! thing that was made in that collection.

use serde_json::{Value, json};

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
    ("createImage", r#"{"name": "x"}"#),
    (
        "updateImage",
        r#"[{"op": "replace", "path": "/name", "value": "x"}]"#,
    ),
    ("importImage", r#"{"method": {"name": "glance-direct"}}"#),
    (
        "createImageMember",
        r#"{"member": "<identity/v3/projects>"}"#,
    ),
    ("updateImageMember", r#"{"status": "accepted"}"#),
    ("createMetadefNamespace", r#"{"namespace": "x"}"#),
    ("updateMetadefNamespace", r#"{"namespace": "x"}"#),
    ("createMetadefObject", r#"{"name": "x"}"#),
    ("updateMetadefObject", r#"{"name": "x"}"#),
    (
        "createMetadefProperty",
        r#"{"name": "x", "title": "x", "type": "string"}"#,
    ),
    (
        "updateMetadefProperty",
        r#"{"name": "x", "title": "x", "type": "string"}"#,
    ),
    ("createMetadefAssociation", r#"{"name": "x"}"#),
    ("createMetadefTags", r#"{"tags": [{"name": "x"}]}"#),
    ("updateMetadefTag", r#"{"name": "x"}"#),
    (
        "createServer",
        r#"{"server": {"name": "x", "imageRef": "<image/v2/images>", "flavorRef": "1", "networks": [{"uuid": "<network/v2.0/networks>"}]}}"#,
    ),
    ("updateServer", r#"{"server": {"name": "x"}}"#),
    (
        "createRemoteConsole",
        r#"{"remote_console": {"protocol": "serial", "type": "serial"}}"#,
    ),
    (
        "createServerInterface",
        r#"{"interfaceAttachment": {"net_id": "<network/v2.0/networks>"}}"#,
    ),
    ("createServerMetadata", r#"{"metadata": {"a": "b"}}"#),
    ("replaceServerMetadata", r#"{"metadata": {"a": "b"}}"#),
    (
        "updateServerMetadata",
        r#"{"meta": {"11111111-2222-4333-8444-555555555555": "b"}}"#,
    ),
    ("replaceServerTags", r#"{"tags": ["x"]}"#),
    (
        "createVolumeAttachment",
        r#"{"volumeAttachment": {"volumeId": "<volume/v3/<identity/v3/projects>/volumes>"}}"#,
    ),
    (
        "updateVolumeAttachment",
        r#"{"volumeAttachment": {"volumeId": "<volume/v3/<identity/v3/projects>/volumes>", "delete_on_termination": true}}"#,
    ),
    (
        "createVolumeSnapshot",
        r#"{"snapshot": {"volume_id": "<volume/v3/<identity/v3/projects>/volumes>"}}"#,
    ),
    ("updateVolume", r#"{"volume": {"name": "x"}}"#),
    ("createVolumeMetadata", r#"{"metadata": {"a": "b"}}"#),
    ("replaceVolumeMetadata", r#"{"metadata": {"a": "b"}}"#),
    (
        "updateVolumeMetadata",
        r#"{"meta": {"11111111-2222-4333-8444-555555555555": "b"}}"#,
    ),
    ("createSnapshotMetadata", r#"{"metadata": {"a": "b"}}"#),
    ("replaceSnapshotMetadata", r#"{"metadata": {"a": "b"}}"#),
    (
        "updateSnapshotMetadata",
        r#"{"meta": {"11111111-2222-4333-8444-555555555555": "b"}}"#,
    ),
    (
        "createSnapshot",
        r#"{"snapshot": {"volume_id": "<volume/v3/<identity/v3/projects>/volumes>"}}"#,
    ),
    ("updateSnapshot", r#"{"snapshot": {"name": "x"}}"#),
    ("createVolumeType", r#"{"volume_type": {"name": "x"}}"#),
    ("updateVolumeType", r#"{"volume_type": {"name": "x"}}"#),
    ("createExtraSpecs", r#"{"extra_specs": {"a": "b"}}"#),
    (
        "updateExtraSpec",
        r#"{"11111111-2222-4333-8444-555555555555": "b"}"#,
    ),
    (
        "createTransfer",
        r#"{"transfer": {"volume_id": "<volume/v3/<identity/v3/projects>/volumes>"}}"#,
    ),
    ("acceptTransfer", r#"{"accept": {"auth_key": "x"}}"#),
    (
        "createOldTransfer",
        r#"{"transfer": {"volume_id": "<volume/v3/<identity/v3/projects>/volumes>"}}"#,
    ),
    ("acceptOldTransfer", r#"{"accept": {"auth_key": "x"}}"#),
    (
        "createAttachment",
        r#"{"attachment": {"volume_uuid": "<volume/v3/<identity/v3/projects>/volumes>", "instance_uuid": "<compute/v2.1/servers>"}}"#,
    ),
    (
        "updateAttachment",
        r#"{"attachment": {"connector": {"host": "node"}}}"#,
    ),
    ("updateQuotas", r#"{"quota_set": {"volumes": 1}}"#),
    ("updateQuotaClass", r#"{"quota_class_set": {"volumes": 1}}"#),
    (
        "enableService",
        r#"{"host": "node", "binary": "cinder-volume"}"#,
    ),
    (
        "disableService",
        r#"{"host": "node", "binary": "cinder-volume"}"#,
    ),
    ("reboot", r#"{"reboot": {"type": "SOFT"}}"#),
    ("resize", r#"{"resize": {"flavorRef": "2"}}"#),
    (
        "rebuild",
        r#"{"rebuild": {"imageRef": "<image/v2/images>"}}"#,
    ),
    (
        "addSecurityGroup",
        r#"{"addSecurityGroup": {"name": "crew"}}"#,
    ),
    (
        "removeSecurityGroup",
        r#"{"removeSecurityGroup": {"name": "crew"}}"#,
    ),
    ("os-getConsoleOutput", r#"{"os-getConsoleOutput": {}}"#),
    ("os-resetState", r#"{"os-resetState": {"state": "active"}}"#),
    (
        "createBackup",
        r#"{"createBackup": {"name": "x", "backup_type": "daily", "rotation": 1}}"#,
    ),
    (
        "os-getSerialConsole",
        r#"{"os-getSerialConsole": {"type": "serial"}}"#,
    ),
    (
        "addFixedIp",
        r#"{"addFixedIp": {"networkId": "<network/v2.0/networks>"}}"#,
    ),
    (
        "removeFixedIp",
        r#"{"removeFixedIp": {"address": "10.9.0.9"}}"#,
    ),
    (
        "addFloatingIp",
        r#"{"addFloatingIp": {"address": "10.9.0.9"}}"#,
    ),
    (
        "removeFloatingIp",
        r#"{"removeFloatingIp": {"address": "10.9.0.9"}}"#,
    ),
    (
        "os-attach",
        r#"{"os-attach": {"instance_uuid": "<compute/v2.1/servers>", "mountpoint": "/dev/vdb", "mode": "rw"}}"#,
    ),
    ("os-extend", r#"{"os-extend": {"new_size": 2}}"#),
    (
        "os-reset_status",
        r#"{"os-reset_status": {"status": "available"}}"#,
    ),
    (
        "os-set_bootable",
        r#"{"os-set_bootable": {"bootable": true}}"#,
    ),
    (
        "os-update_readonly_flag",
        r#"{"os-update_readonly_flag": {"readonly": true}}"#,
    ),
    (
        "os-set_image_metadata",
        r#"{"os-set_image_metadata": {"metadata": {"a": "b"}}}"#,
    ),
    (
        "os-unset_image_metadata",
        r#"{"os-unset_image_metadata": {"key": "a"}}"#,
    ),
    ("os-retype", r#"{"os-retype": {"new_type": "x"}}"#),
    (
        "os-volume_upload_image",
        r#"{"os-volume_upload_image": {"image_name": "x"}}"#,
    ),
    (
        "snapshot:os-reset_status",
        r#"{"os-reset_status": {"status": "available"}}"#,
    ),
    (
        "snapshot:os-update_snapshot_status",
        r#"{"os-update_snapshot_status": {"status": "available"}}"#,
    ),
];

/// Bodies that say all that an operation can be told, for what breaks them. They need not be done.
pub(super) const FULL: &[(&str, &str)] = &[
    (
        "authenticate",
        r#"{"auth": {"identity": {"methods": ["password", "token"], "password": {"user": {"id": "a", "name": "b", "domain": {"id": "default", "name": "Default"}, "password": "c"}}, "token": {"id": "x"}}, "scope": {"project": {"id": "a", "name": "b", "domain": {"name": "c"}}, "domain": {"id": "x"}, "system": {"all": true}, "OS-TRUST:trust": {"id": "y"}}}}"#,
    ),
    (
        "authenticate",
        r#"{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "a", "name": "b", "secret": "c", "user": {"id": "d", "name": "e", "domain": {"id": "default"}}}}}}"#,
    ),
    (
        "createUser",
        r#"{"user": {"name": "full", "password": "p", "domain_id": "default", "default_project_id": "<identity/v3/projects>", "enabled": true, "description": "d", "email": "e", "options": {"ignore_password_expiry": true, "lock_password": false, "multi_factor_auth_rules": [["password"]]}}}"#,
    ),
    (
        "createProject",
        r#"{"project": {"name": "full", "domain_id": "default", "parent_id": "<identity/v3/projects>", "is_domain": false, "enabled": true, "description": "d", "tags": ["a"], "options": {"immutable": false}}}"#,
    ),
    (
        "createApplicationCredential",
        r#"{"application_credential": {"name": "full", "secret": "s", "description": "d", "expires_at": "2999-01-01T00:00:00.000000Z", "unrestricted": false, "roles": [{"id": "a", "name": "member"}], "access_rules": [{"path": "/v2.1/servers", "method": "GET", "service": "compute"}]}}"#,
    ),
    (
        "createTrust",
        r#"{"trust": {"trustor_user_id": "<identity/v3/users>", "trustee_user_id": "<identity/v3/users>", "project_id": "<identity/v3/projects>", "impersonation": false, "expires_at": "2999-01-01T00:00:00Z", "remaining_uses": 1, "allow_redelegation": true, "redelegation_count": 2, "roles": [{"id": "a"}]}}"#,
    ),
    (
        "createNetwork",
        r#"{"network": {"name": "full", "description": "d", "admin_state_up": true, "shared": false, "router:external": false, "mtu": 1400, "port_security_enabled": true, "availability_zone_hints": ["nova"], "dns_domain": "a.", "provider:network_type": "vxlan", "provider:segmentation_id": 7, "project_id": "<identity/v3/projects>", "is_default": false}}"#,
    ),
    (
        "createSubnet",
        r#"{"subnet": {"network_id": "<network/v2.0/networks>", "name": "full", "cidr": "10.7.0.0/24", "ip_version": 4, "gateway_ip": "10.7.0.1", "enable_dhcp": true, "allocation_pools": [{"start": "10.7.0.10", "end": "10.7.0.20"}], "dns_nameservers": ["10.7.0.2"], "host_routes": [{"destination": "10.1.0.0/24", "nexthop": "10.7.0.3"}], "service_types": ["network:x"], "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac", "subnetpool_id": "x", "prefixlen": 24}}"#,
    ),
    (
        "updateSubnet",
        r#"{"subnet": {"name": "full", "gateway_ip": null, "enable_dhcp": false, "allocation_pools": [{"start": "10.9.0.10", "end": "10.9.0.20"}], "dns_nameservers": ["10.9.0.2"], "host_routes": [{"destination": "10.1.0.0/24", "nexthop": "10.9.0.3"}]}}"#,
    ),
    (
        "createPort",
        r#"{"port": {"network_id": "<network/v2.0/networks>", "name": "full", "admin_state_up": true, "mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"subnet_id": "<network/v2.0/subnets>", "ip_address": "10.9.0.50"}], "security_groups": ["<network/v2.0/security-groups>"], "device_id": "a", "device_owner": "b", "allowed_address_pairs": [{"ip_address": "10.9.0.60", "mac_address": "fa:16:3e:00:00:02"}], "extra_dhcp_opts": [{"opt_name": "a", "opt_value": "b", "ip_version": 4}], "port_security_enabled": true, "binding:host_id": "node", "binding:vnic_type": "normal", "binding:profile": {"a": 1}, "dns_name": "c", "tags": ["t"]}}"#,
    ),
    (
        "updatePort",
        r#"{"port": {"name": "full", "admin_state_up": true, "fixed_ips": [{"ip_address": "10.9.0.51"}], "security_groups": [], "device_id": "", "device_owner": "", "allowed_address_pairs": [], "extra_dhcp_opts": [], "port_security_enabled": false, "binding:host_id": "", "binding:profile": {}}}"#,
    ),
    (
        "createRouter",
        r#"{"router": {"name": "full", "description": "d", "admin_state_up": true, "external_gateway_info": {"network_id": "<network/v2.0/networks>", "enable_snat": true, "external_fixed_ips": [{"subnet_id": "<network/v2.0/subnets>", "ip_address": "10.9.0.70"}]}, "distributed": false, "ha": false, "availability_zone_hints": []}}"#,
    ),
    (
        "updateRouter",
        r#"{"router": {"routes": [{"destination": "10.2.0.0/24", "nexthop": "10.9.0.9"}], "external_gateway_info": {}, "admin_state_up": false}}"#,
    ),
    (
        "createSecurityGroupRule",
        r#"{"security_group_rule": {"security_group_id": "<network/v2.0/security-groups>", "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 1, "port_range_max": 9, "remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "<network/v2.0/security-groups>", "description": "d"}}"#,
    ),
    (
        "createFloatingIp",
        r#"{"floatingip": {"floating_network_id": "<network/v2.0/networks>", "port_id": "<network/v2.0/ports>", "fixed_ip_address": "10.9.0.5", "floating_ip_address": "10.9.0.6", "subnet_id": "<network/v2.0/subnets>", "description": "d", "dns_name": "a", "dns_domain": "b"}}"#,
    ),
    (
        "createFlavor",
        r#"{"flavor": {"name": "full", "id": "f", "ram": 64, "vcpus": 1, "disk": 1, "swap": 0, "OS-FLV-EXT-DATA:ephemeral": 0, "rxtx_factor": 1.0, "os-flavor-access:is_public": true, "description": "d"}}"#,
    ),
    (
        "createServer",
        r#"{"server": {"name": "full", "imageRef": "11111111-2222-4333-8444-555555555555", "flavorRef": "1", "adminPass": "p", "key_name": "hawser", "user_data": "IyEvYmluL3No", "config_drive": true, "metadata": {"a": "b"}, "security_groups": [{"name": "crew"}], "networks": [{"uuid": "<network/v2.0/networks>", "port": "<network/v2.0/ports>", "fixed_ip": "10.9.0.80", "tag": "t"}], "availability_zone": "nova", "min_count": 1, "max_count": 2, "return_reservation_id": true, "block_device_mapping_v2": [{"boot_index": 0, "uuid": "11111111-2222-4333-8444-555555555555", "source_type": "image", "destination_type": "volume", "volume_size": 1, "volume_type": "v", "delete_on_termination": true, "device_name": "/dev/vdb", "guest_format": "ext4", "disk_bus": "virtio", "device_type": "disk", "tag": "t"}], "accessIPv4": "10.0.0.1", "accessIPv6": "::1", "OS-DCF:diskConfig": "AUTO", "tags": ["t"], "trusted_image_certificates": ["c"], "description": "d", "hostname": "h", "host": "node", "hypervisor_hostname": "node"}, "os:scheduler_hints": {"group": "<compute/v2.1/os-server-groups>", "different_host": ["a"], "query": "[]"}}"#,
    ),
    (
        "createKeyPair",
        r#"{"keypair": {"name": "full", "public_key": "ssh-rsa AAAA x", "type": "ssh", "user_id": "<identity/v3/users>"}}"#,
    ),
    (
        "createServerGroup",
        r#"{"server_group": {"name": "full", "policy": "anti-affinity", "rules": {"max_server_per_host": 1}}}"#,
    ),
    (
        "createAggregate",
        r#"{"aggregate": {"name": "full", "availability_zone": "z"}}"#,
    ),
    (
        "createVolume",
        r#"{"volume": {"size": 1, "name": "full", "description": "d", "volume_type": "v", "availability_zone": "nova", "snapshot_id": "a", "source_volid": "b", "imageRef": "c", "metadata": {"a": "b"}, "multiattach": false, "consistencygroup_id": null, "group_id": null, "backup_id": null}, "OS-SCH-HNT:scheduler_hints": {"same_host": ["a"]}}"#,
    ),
    (
        "createSnapshot",
        r#"{"snapshot": {"volume_id": "11111111-2222-4333-8444-555555555555", "name": "full", "description": "d", "force": true, "metadata": {"a": "b"}}}"#,
    ),
    (
        "createVolumeType",
        r#"{"volume_type": {"name": "full", "description": "d", "os-volume-type-access:is_public": false, "extra_specs": {"a": "b"}}}"#,
    ),
    (
        "createTransfer",
        r#"{"transfer": {"volume_id": "11111111-2222-4333-8444-555555555555", "name": "full", "no_snapshots": true}}"#,
    ),
    (
        "createAttachment",
        r#"{"attachment": {"volume_uuid": "11111111-2222-4333-8444-555555555555", "instance_uuid": "11111111-2222-4333-8444-555555555555", "mode": "rw", "connector": {"a": 1}}}"#,
    ),
    (
        "createImage",
        r#"{"id": "11111111-2222-4333-8444-555555555556", "name": "full", "disk_format": "raw", "container_format": "bare", "visibility": "private", "protected": false, "min_disk": 1, "min_ram": 1, "os_hidden": false, "tags": ["a"], "os_command_line": "sh", "locations": []}"#,
    ),
    (
        "createImageMember",
        r#"{"member": "<identity/v3/projects>"}"#,
    ),
    ("updateImageMember", r#"{"status": "accepted"}"#),
    (
        "importImage",
        r#"{"method": {"name": "web-download", "uri": "http://example.com/a.tar"}, "all_stores": true, "all_stores_must_succeed": true, "stores": ["a"]}"#,
    ),
    (
        "createTask",
        r#"{"type": "import", "input": {"import_from": "http://x", "import_from_format": "raw", "image_properties": {"a": "b"}}}"#,
    ),
    (
        "updateServer",
        r#"{"server": {"name": "full", "description": "d", "accessIPv4": "10.0.0.1", "accessIPv6": "::1", "OS-DCF:diskConfig": "AUTO", "hostname": "h"}}"#,
    ),
    ("lock", r#"{"lock": {"locked_reason": "r"}}"#),
    ("reboot", r#"{"reboot": {"type": "HARD"}}"#),
    ("os-resetState", r#"{"os-resetState": {"state": "active"}}"#),
    (
        "resize",
        r#"{"resize": {"flavorRef": "1", "OS-DCF:diskConfig": "AUTO"}}"#,
    ),
    (
        "rebuild",
        r#"{"rebuild": {"imageRef": "11111111-2222-4333-8444-555555555555", "name": "n", "adminPass": "p", "metadata": {"a": "b"}, "accessIPv4": "10.0.0.1", "preserve_ephemeral": false, "description": "d", "key_name": "hawser", "user_data": "IyEvYmluL3No", "hostname": "h", "trusted_image_certificates": null}}"#,
    ),
    (
        "createImage",
        r#"{"createImage": {"name": "n", "metadata": {"a": "b"}}}"#,
    ),
    (
        "createBackup",
        r#"{"createBackup": {"name": "n", "backup_type": "daily", "rotation": 1, "metadata": {"a": "b"}}}"#,
    ),
    (
        "addSecurityGroup",
        r#"{"addSecurityGroup": {"name": "crew"}}"#,
    ),
    (
        "removeSecurityGroup",
        r#"{"removeSecurityGroup": {"name": "crew"}}"#,
    ),
    (
        "os-getConsoleOutput",
        r#"{"os-getConsoleOutput": {"length": 10}}"#,
    ),
    (
        "os-getSerialConsole",
        r#"{"os-getSerialConsole": {"type": "serial"}}"#,
    ),
    (
        "createRemoteConsole",
        r#"{"remote_console": {"protocol": "serial", "type": "serial"}}"#,
    ),
    (
        "createServerInterface",
        r#"{"interfaceAttachment": {"net_id": "<network/v2.0/networks>", "port_id": "<network/v2.0/ports>", "fixed_ips": [{"ip_address": "10.9.0.90"}], "tag": "t"}}"#,
    ),
    (
        "createVolumeAttachment",
        r#"{"volumeAttachment": {"volumeId": "<volume/v3/<identity/v3/projects>/volumes>", "device": "/dev/vdc", "tag": "t", "delete_on_termination": true}}"#,
    ),
    (
        "updateVolumeAttachment",
        r#"{"volumeAttachment": {"volumeId": "<volume/v3/<identity/v3/projects>/volumes>", "delete_on_termination": true}}"#,
    ),
    ("createServerMetadata", r#"{"metadata": {"a": "b"}}"#),
    ("updateServerMetadata", r#"{"meta": {"a": "b"}}"#),
    ("updateServerMetadata", r#"{"metadata": {"a": "b"}}"#),
];

/// A good body for an operation at a path. Most actions are told by their name alone.
pub(super) fn example(operation: &str, path: &str) -> Option<Value> {
    let is_action = path.ends_with("/action");
    if operation == "createImage" && is_action {
        return Some(json!({ "createImage": { "name": "x" } }));
    }
    let known = EXAMPLES.iter().find(|(name, _)| *name == operation);
    let known = known.map(|(_, body)| serde_json::from_str(body).unwrap());
    known.or_else(|| {
        let name = operation.strip_prefix("snapshot:").unwrap_or(operation);
        is_action.then(|| json!({ name: null }))
    })
}
