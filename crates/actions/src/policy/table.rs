//! The table: every action, its name in messages, and who may.
//!
//! Rows on identity follow `keystone/common/policies` of the release 2026.1.

use super::Who;

macro_rules! actions {
    ($($(#[$about:meta])* $action:ident $name:literal $($who:ident)|+;)*) => {
        /// What can be asked for. Its documentation is its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each name says what is asked for")]
        pub enum Action {
            $($(#[$about])* $action,)*
        }

        impl Action {
            /// The name in messages: the part of the house, and what is asked of it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }

            /// Who may: any of these.
            pub(super) const fn who(self) -> &'static [Who] {
                match self {
                    $(Self::$action => &[$(Who::$who),+],)*
                }
            }
        }
    };
}

actions! {
    // Tokens.
    ValidateToken "identity:validate_token" Admin | SystemReader | Service | Owner;
    CheckToken "identity:check_token" Admin | SystemReader | Owner;
    RevokeToken "identity:revoke_token" Admin | Owner;
    ListRevocations "identity:list_revocations" Admin | Service;

    // Domains.
    GetDomain "identity:get_domain" Admin | SystemReader | DomainGuest;
    ListDomains "identity:list_domains" Admin | SystemReader | DomainReader;
    CreateDomain "identity:create_domain" Admin;
    UpdateDomain "identity:update_domain" Admin;
    DeleteDomain "identity:delete_domain" Admin;

    // Projects.
    GetProject "identity:get_project" Admin | SystemReader | DomainReader | ProjectGuest;
    ListProjects "identity:list_projects" Admin | SystemReader | DomainReader;
    ListUserProjects "identity:list_user_projects" Admin | SystemReader | DomainReader | Owner;
    CreateProject "identity:create_project" Admin | DomainManager;
    UpdateProject "identity:update_project" Admin | DomainManager;
    DeleteProject "identity:delete_project" Admin | DomainManager;
    ListProjectTags "identity:list_project_tags" Admin | SystemReader | DomainReader | ProjectGuest;
    GetProjectTag "identity:get_project_tag" Admin | SystemReader | DomainReader | ProjectGuest;
    UpdateProjectTags "identity:update_project_tags" Admin | DomainManager;
    CreateProjectTag "identity:create_project_tag" Admin | DomainManager;
    DeleteProjectTag "identity:delete_project_tag" Admin | DomainManager;
    DeleteProjectTags "identity:delete_project_tags" Admin | DomainManager;

    // Users.
    GetUser "identity:get_user" Admin | SystemReader | DomainReader | Owner;
    ListUsers "identity:list_users" Admin | SystemReader | DomainReader;
    CreateUser "identity:create_user" Admin | DomainManager;
    UpdateUser "identity:update_user" Admin | DomainManager;
    DeleteUser "identity:delete_user" Admin | DomainManager;

    // Groups.
    GetGroup "identity:get_group" Admin | SystemReader | DomainReader;
    ListGroups "identity:list_groups" Admin | SystemReader | DomainReader;
    ListGroupsForUser "identity:list_groups_for_user" Admin | SystemReader | DomainReader | Owner;
    ListUsersInGroup "identity:list_users_in_group" Admin | SystemReader | DomainReader;
    CheckUserInGroup "identity:check_user_in_group" Admin | SystemReader | DomainReader;
    CreateGroup "identity:create_group" Admin | DomainManager;
    UpdateGroup "identity:update_group" Admin | DomainManager;
    DeleteGroup "identity:delete_group" Admin | DomainManager;
    AddUserToGroup "identity:add_user_to_group" Admin | DomainManager;
    RemoveUserFromGroup "identity:remove_user_from_group" Admin | DomainManager;

    // Roles.
    GetRole "identity:get_role" Admin | SystemReader;
    ListRoles "identity:list_roles" Admin | SystemReader;
    CreateRole "identity:create_role" Admin;
    UpdateRole "identity:update_role" Admin;
    DeleteRole "identity:delete_role" Admin;
    GetDomainRole "identity:get_domain_role" Admin | SystemReader;
    ListDomainRoles "identity:list_domain_roles" Admin | SystemReader;
    CreateDomainRole "identity:create_domain_role" Admin;
    UpdateDomainRole "identity:update_domain_role" Admin;
    DeleteDomainRole "identity:delete_domain_role" Admin;
    GetImpliedRole "identity:get_implied_role" Admin | SystemReader;
    ListImpliedRoles "identity:list_implied_roles" Admin | SystemReader;
    CheckImpliedRole "identity:check_implied_role" Admin | SystemReader;
    ListRoleInferenceRules "identity:list_role_inference_rules" Admin | SystemReader;
    CreateImpliedRole "identity:create_implied_role" Admin;
    DeleteImpliedRole "identity:delete_implied_role" Admin;

    // Assignments.
    ListRoleAssignments "identity:list_role_assignments" Admin | SystemReader | DomainReader;
    ListRoleAssignmentsForTree "identity:list_role_assignments_for_tree" Admin | SystemReader | DomainReader;
    CheckGrant "identity:check_grant" Admin | SystemReader | DomainReader;
    ListGrants "identity:list_grants" Admin | SystemReader | DomainReader;
    CreateGrant "identity:create_grant" Admin;
    RevokeGrant "identity:revoke_grant" Admin;
    ListSystemGrantsForUser "identity:list_system_grants_for_user" Admin | SystemReader;
    CheckSystemGrantForUser "identity:check_system_grant_for_user" Admin | SystemReader;
    CreateSystemGrantForUser "identity:create_system_grant_for_user" Admin;
    RevokeSystemGrantForUser "identity:revoke_system_grant_for_user" Admin;
    ListSystemGrantsForGroup "identity:list_system_grants_for_group" Admin | SystemReader;
    CheckSystemGrantForGroup "identity:check_system_grant_for_group" Admin | SystemReader;
    CreateSystemGrantForGroup "identity:create_system_grant_for_group" Admin;
    RevokeSystemGrantForGroup "identity:revoke_system_grant_for_group" Admin;

    // Credentials.
    GetCredential "identity:get_credential" Admin | SystemReader | Owner;
    ListCredentials "identity:list_credentials" Admin | SystemReader | Owner;
    CreateCredential "identity:create_credential" Admin | Owner;
    UpdateCredential "identity:update_credential" Admin | Owner;
    DeleteCredential "identity:delete_credential" Admin | Owner;
    GetEc2Credential "identity:ec2_get_credential" Admin | SystemReader | Owner;
    ListEc2Credentials "identity:ec2_list_credentials" Admin | SystemReader | Owner;
    CreateEc2Credential "identity:ec2_create_credential" Admin | Owner;
    DeleteEc2Credential "identity:ec2_delete_credential" Admin | Owner;
    ValidateEc2Token "identity:ec2tokens_validate" Admin | Service;
    ValidateS3Token "identity:s3tokens_validate" Admin | Service;
    GetApplicationCredential "identity:get_application_credential" Admin | SystemReader | Owner;
    ListApplicationCredentials "identity:list_application_credentials" Admin | SystemReader | Owner;
    CreateApplicationCredential "identity:create_application_credential" Owner;
    DeleteApplicationCredential "identity:delete_application_credential" Admin | Owner;
    GetAccessRule "identity:get_access_rule" SystemReader | Owner;
    ListAccessRules "identity:list_access_rules" SystemReader | Owner;
    DeleteAccessRule "identity:delete_access_rule" Admin | Owner;

    // Trusts: the owner is the trustor, where the name does not say otherwise.
    CreateTrust "identity:create_trust" Owner;
    ListTrusts "identity:list_trusts" Admin | SystemReader;
    ListTrustsForTrustor "identity:list_trusts_for_trustor" Admin | SystemReader | Owner;
    ListTrustsForTrustee "identity:list_trusts_for_trustee" Admin | SystemReader | Owner;
    GetTrust "identity:get_trust" Admin | SystemReader | Owner;
    DeleteTrust "identity:delete_trust" Admin | Owner;

    // The catalogue.
    GetService "identity:get_service" Admin | SystemReader;
    GetEndpoint "identity:get_endpoint" Admin | SystemReader;
    GetRegion "identity:get_region" Anyone;
    ListServices "identity:list_services" Admin | SystemReader;
    ListEndpoints "identity:list_endpoints" Admin | SystemReader;
    ListRegions "identity:list_regions" Anyone;
    CreateService "identity:create_service" Admin;
    UpdateService "identity:update_service" Admin;
    DeleteService "identity:delete_service" Admin;
    CreateEndpoint "identity:create_endpoint" Admin;
    UpdateEndpoint "identity:update_endpoint" Admin;
    DeleteEndpoint "identity:delete_endpoint" Admin;
    CreateRegion "identity:create_region" Admin;
    UpdateRegion "identity:update_region" Admin;
    DeleteRegion "identity:delete_region" Admin;

    // Limits.
    GetLimit "identity:get_limit" Admin | SystemReader | DomainGuest | ProjectGuest;
    CreateLimits "identity:create_limits" Admin;
    UpdateLimit "identity:update_limit" Admin;
    DeleteLimit "identity:delete_limit" Admin;
    CreateRegisteredLimits "identity:create_registered_limits" Admin;
    UpdateRegisteredLimit "identity:update_registered_limit" Admin;
    DeleteRegisteredLimit "identity:delete_registered_limit" Admin;

    // What is done to instances as servers.
    SuspendServer "os_compute_api:os-suspend-server:suspend" Admin | ProjectMember;
    ResumeServer "os_compute_api:os-suspend-server:resume" Admin | ProjectMember;
    ShelveServer "os_compute_api:os-shelve:shelve" Admin | ProjectMember;
    OffloadServer "os_compute_api:os-shelve:shelve_offload" Admin;
    UnshelveServer "os_compute_api:os-shelve:unshelve" Admin | ProjectMember;
    LockServer "os_compute_api:os-lock-server:lock" Admin | ProjectMember;
    UnlockServer "os_compute_api:os-lock-server:unlock" Admin | ProjectMember;
    UnlockServerOfAdmin "os_compute_api:os-lock-server:unlock:unlock_override" Admin;
    ResetServer "os_compute_api:os-admin-actions:reset_state" Admin;
    InjectServerNetwork "os_compute_api:os-admin-actions:inject_network_info" Admin;
    MigrateServer "os_compute_api:os-migrate-server:migrate" Admin;
    MigrateServerLive "os_compute_api:os-migrate-server:migrate_live" Admin;
    EvacuateServer "os_compute_api:os-evacuate" Admin;
    ResizeServer "os_compute_api:servers:resize" Admin | ProjectMember;
    ConfirmResize "os_compute_api:servers:confirm_resize" Admin | ProjectMember;
    RevertResize "os_compute_api:servers:revert_resize" Admin | ProjectMember;
    RebuildServer "os_compute_api:servers:rebuild" Admin | ProjectMember;
    SetServerMetadata "os_compute_api:server-metadata:update" Admin | ProjectMember;
    SetServerTags "os_compute_api:os-server-tags:update" Admin | ProjectMember;
    ChangeServerFirewalls "os_compute_api:os-security-groups:add" Admin | ProjectMember;
    OpenConsole "os_compute_api:os-remote-consoles:grant" Admin | ProjectMember;
    GetServerDiagnostics "os_compute_api:os-server-diagnostics" Admin;
    GetServerPassword "os_compute_api:os-server-password:show" Admin | ProjectReader;
    ClearServerPassword "os_compute_api:os-server-password:clear" Admin | ProjectMember;
    ShowConsoleToken "os_compute_api:os-console-auth-tokens" Admin;

    // Flavors and key pairs.
    CreateFlavor "os_compute_api:os-flavor-manage:create" Admin;
    UpdateFlavor "os_compute_api:os-flavor-manage:update" Admin;
    DeleteFlavor "os_compute_api:os-flavor-manage:delete" Admin;
    ListFlavorAccess "os_compute_api:os-flavor-access" Admin;
    AddFlavorAccess "os_compute_api:os-flavor-access:add_tenant_access" Admin;
    RemoveFlavorAccess "os_compute_api:os-flavor-access:remove_tenant_access" Admin;
    ListExtraSpecs "os_compute_api:os-flavor-extra-specs:index" Admin | ProjectReader;
    GetExtraSpec "os_compute_api:os-flavor-extra-specs:show" Admin | ProjectReader;
    CreateExtraSpecs "os_compute_api:os-flavor-extra-specs:create" Admin;
    UpdateExtraSpec "os_compute_api:os-flavor-extra-specs:update" Admin;
    DeleteExtraSpec "os_compute_api:os-flavor-extra-specs:delete" Admin;
    ListKeyPairs "os_compute_api:os-keypairs:index" Admin | Owner;
    GetKeyPair "os_compute_api:os-keypairs:show" Admin | Owner;
    CreateKeyPair "os_compute_api:os-keypairs:create" Admin | Owner;
    DeleteKeyPair "os_compute_api:os-keypairs:delete" Admin | Owner;

    // Instances. Rows follow `nova/policies`; what Nova has no word for is called as in Zun.
    GetInstance "os_compute_api:servers:show" Admin | ProjectReader;
    ListInstances "os_compute_api:servers:index" Admin | ProjectReader;
    ListAllInstances "os_compute_api:servers:index:get_all_tenants" Admin;
    CreateInstance "os_compute_api:servers:create" Admin | ProjectMember;
    UpdateInstance "os_compute_api:servers:update" Admin | ProjectMember;
    DeleteInstance "os_compute_api:servers:delete" Admin | ProjectMember;
    StartInstance "os_compute_api:servers:start" Admin | ProjectMember;
    StopInstance "os_compute_api:servers:stop" Admin | ProjectMember;
    RebootInstance "os_compute_api:servers:reboot" Admin | ProjectMember;
    PauseInstance "os_compute_api:os-pause-server:pause" Admin | ProjectMember;
    UnpauseInstance "os_compute_api:os-pause-server:unpause" Admin | ProjectMember;
    CommitInstance "os_compute_api:servers:create_image" Admin | ProjectMember;
    AttachInterface "os_compute_api:os-attach-interfaces:create" Admin | ProjectMember;
    DetachInterface "os_compute_api:os-attach-interfaces:delete" Admin | ProjectMember;
    ReadLog "os_compute_api:os-console-output" Admin | ProjectMember;
    AttachStreams "os_compute_api:os-remote-consoles" Admin | ProjectMember;
    ListEvents "os_compute_api:os-instance-actions:list" Admin | ProjectReader;
    SignalInstance "container:kill" Admin | ProjectMember;
    ResizeTerminal "container:resize" Admin | ProjectMember;
    Execute "container:execute" Admin | ProjectMember;
    GetStatistics "container:stats" Admin | ProjectReader;
    ListProcesses "container:top" Admin | ProjectReader;
    ListChanges "container:diff" Admin | ProjectReader;
    ReadArchive "container:get_archive" Admin | ProjectMember;
    WriteArchive "container:put_archive" Admin | ProjectMember;
    GetHost "host:get" Admin | ProjectReader;

    // Images.
    GetImage "get_image" Admin | ProjectReader;
    ListImages "get_images" Admin | ProjectReader;
    AddImage "add_image" Admin | ProjectMember;
    ModifyImage "modify_image" Admin | ProjectMember;
    DeleteImage "delete_image" Admin | ProjectMember;
    DownloadImage "download_image" Admin | ProjectMember;

    // Repositories of the registry. From a public one everybody pulls.
    PullRepository "registry:pull" Admin | ProjectReader;
    PushRepository "registry:push" Admin | ProjectMember;
    DeleteFromRepository "registry:delete" Admin | ProjectMember;
    PublicizeRepository "registry:publicize" Admin | ProjectMember;

    // Volumes.
    GetVolume "volume:get" Admin | ProjectReader;
    ListVolumes "volume:get_all" Admin | ProjectReader;
    CreateVolume "volume:create" Admin | ProjectMember;
    DeleteVolume "volume:delete" Admin | ProjectMember;

    // Groups of servers, and what they run on.
    ListServerGroups "os_compute_api:os-server-groups:index" Admin | ProjectReader;
    GetServerGroup "os_compute_api:os-server-groups:show" Admin | ProjectReader;
    CreateServerGroup "os_compute_api:os-server-groups:create" Admin | ProjectMember;
    DeleteServerGroup "os_compute_api:os-server-groups:delete" Admin | ProjectMember;
    ListNodes "os_compute_api:os-hypervisors:list-detail" Admin;
    UpdateNode "os_compute_api:os-services:update" Admin;
    DeleteNode "os_compute_api:os-services:delete" Admin;
    ForceNode "os_compute_api:servers:create:forced_host" Admin;
    ListAggregates "os_compute_api:os-aggregates:index" Admin;
    CreateAggregate "os_compute_api:os-aggregates:create" Admin;
    UpdateAggregate "os_compute_api:os-aggregates:update" Admin;
    DeleteAggregate "os_compute_api:os-aggregates:delete" Admin;
    AddAggregateNode "os_compute_api:os-aggregates:add_host" Admin;
    RemoveAggregateNode "os_compute_api:os-aggregates:remove_host" Admin;
    CacheAggregateImages "compute:aggregates:images" Admin;
    ListUsage "os_compute_api:os-simple-tenant-usage:list" Admin;
    GetUsage "os_compute_api:os-simple-tenant-usage:show" Admin | ProjectReader;
    ListUsageAudits "os_compute_api:os-instance-usage-audit-log:list" Admin;
    ListMigrations "os_compute_api:os-migrations:index" Admin;

    // Quotas.
    GetComputeQuota "os_compute_api:os-quota-sets:show" Admin | ProjectReader;
    UpdateComputeQuota "os_compute_api:os-quota-sets:update" Admin;
    DeleteComputeQuota "os_compute_api:os-quota-sets:delete" Admin;
    GetQuotaClass "os_compute_api:os-quota-class-sets:show" Admin;
    UpdateQuotaClass "os_compute_api:os-quota-class-sets:update" Admin;
    GetNetworkQuota "get_quota" Admin | ProjectGuest;
    UpdateNetworkQuota "update_quota" Admin;
    DeleteNetworkQuota "delete_quota" Admin;
    ListQuotas "get_quotas" Admin;
    GetVolumeQuota "volume_extension:quotas:show" Admin | ProjectReader;
    UpdateVolumeQuota "volume_extension:quotas:update" Admin;
    DeleteVolumeQuota "volume_extension:quotas:delete" Admin;

    // The network.
    GetNetwork "get_network" Admin | ProjectReader;
    CreateNetwork "create_network" Admin | ProjectMember;
    UpdateNetwork "update_network" Admin | ProjectMember;
    DeleteNetwork "delete_network" Admin | ProjectMember;
    ShareNetwork "create_network:shared" Admin;
    CreateSubnet "create_subnet" Admin | ProjectMember;
    UpdateSubnet "update_subnet" Admin | ProjectMember;
    DeleteSubnet "delete_subnet" Admin | ProjectMember;
    CreatePort "create_port" Admin | ProjectMember;
    UpdatePort "update_port" Admin | ProjectMember;
    DeletePort "delete_port" Admin | ProjectMember;
    UnguardPort "create_port:port_security_enabled" Admin;
    CreateFirewall "create_security_group" Admin | ProjectMember;
    UpdateFirewall "update_security_group" Admin | ProjectMember;
    DeleteFirewall "delete_security_group" Admin | ProjectMember;
    CreateRule "create_security_group_rule" Admin | ProjectMember;
    UpdateRule "update_security_group_rule" Admin | ProjectMember;
    DeleteRule "delete_security_group_rule" Admin | ProjectMember;
    CreateRouter "create_router" Admin | ProjectMember;
    UpdateRouter "update_router" Admin | ProjectMember;
    DeleteRouter "delete_router" Admin | ProjectMember;
    AddRouterInterface "add_router_interface" Admin | ProjectMember;
    RemoveRouterInterface "remove_router_interface" Admin | ProjectMember;
    CreateFloating "create_floatingip" Admin | ProjectMember;
    UpdateFloating "update_floatingip" Admin | ProjectMember;
    DeleteFloating "delete_floatingip" Admin | ProjectMember;

    // Registered images. What is public or shared is seen by the rules of `registered_image`.
    UploadImage "upload_image" Admin | ProjectMember;
    PublicizeImage "publicize_image" Admin;
    CommunitizeImage "communitize_image" Admin | ProjectMember;
    DeactivateImage "deactivate" Admin | ProjectMember;
    ReactivateImage "reactivate" Admin | ProjectMember;
    AddMember "add_member" Admin | ProjectMember;
    DeleteMember "delete_member" Admin | ProjectMember;
    ModifyMember "modify_member" Admin | ProjectMember;
    AccessImageTasks "tasks_api_access" Admin;
    ShowStores "stores_info_detail" Admin;
    GetMetadataNamespaces "get_metadef_namespaces" Admin | ProjectReader;
    AddMetadataNamespace "add_metadef_namespace" Admin;
    ModifyMetadataNamespace "modify_metadef_namespace" Admin;
    DeleteMetadataNamespace "delete_metadef_namespace" Admin;

    // The life of volumes with a size.
    UpdateVolume "volume:update" Admin | ProjectMember;
    ForceDeleteVolume "volume_extension:volume_admin_actions:force_delete" Admin;
    ResetVolume "volume_extension:volume_admin_actions:reset_status" Admin;
    ExtendVolume "volume:extend" Admin | ProjectMember;
    ForceDetachVolume "volume_extension:volume_admin_actions:force_detach" Admin;
    UploadVolume "volume_extension:volume_actions:upload_image" Admin | ProjectMember;
    ListVolumeServices "volume_extension:services:index" Admin;
    UpdateVolumeServices "volume_extension:services:update" Admin;
    ListVolumeHosts "volume_extension:hosts" Admin;
    ListVolumePools "scheduler_extension:scheduler_stats:get_pools" Admin;
    ShowVolumeCapabilities "volume_extension:capabilities" Admin;
    AttachVolume "volume_extension:volume_actions:attach" Admin | ProjectMember;
    GetSnapshot "volume:get_snapshot" Admin | ProjectReader;
    CreateSnapshot "volume:create_snapshot" Admin | ProjectMember;
    UpdateSnapshot "volume:update_snapshot" Admin | ProjectMember;
    DeleteSnapshot "volume:delete_snapshot" Admin | ProjectMember;
    ForceDeleteSnapshot "volume_extension:snapshot_admin_actions:force_delete" Admin;
    ReportSnapshot "snapshot_extension:snapshot_actions:update_snapshot_status" Admin | ProjectMember;
    ResetSnapshot "volume_extension:snapshot_admin_actions:reset_status" Admin;
    GetVolumeType "volume_extension:type_get" Anyone;
    CreateVolumeType "volume_extension:type_create" Admin;
    UpdateVolumeType "volume_extension:type_update" Admin;
    DeleteVolumeType "volume_extension:type_delete" Admin;
    EncryptVolumeType "volume_extension:volume_type_encryption:create" Admin;
    GrantVolumeType "volume_extension:volume_type_access" Admin;
    GetTransfer "volume:get_transfer" Admin | ProjectReader;
    CreateTransfer "volume:create_transfer" Admin | ProjectMember;
    AcceptTransfer "volume:accept_transfer" Admin | ProjectMember;
    DeleteTransfer "volume:delete_transfer" Admin | ProjectMember;
    ListServerVolumes "os_compute_api:os-volumes-attachments:index" Admin | ProjectReader;
    AttachServerVolume "os_compute_api:os-volumes-attachments:create" Admin | ProjectMember;
    DetachServerVolume "os_compute_api:os-volumes-attachments:delete" Admin | ProjectMember;
}
