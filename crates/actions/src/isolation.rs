//! What sets the containers of tenants apart: a range of user ids for each project, and the list of
//! what they cannot have, because it is the node's.
//!
//! A tenant is every project but the operator's own. Asked by [`crate::instance`] whenever a
//! specification is made or changed, and by [`crate::volume`]; how ids are mapped is the engine's.

use model::container::{ContainerSpec, MountSource};
use model::id_range::{IDS, IdRanges};
use model::instance::{InstanceSpec, NamespaceMode, NetworkMode};
use model::security::{DEFAULT_CAPABILITIES, Seccomp, UserNamespace};
use model::{Id, ProjectId};

use crate::{ActionError, Cloud, ErrorKind};

/// Where the ranges are kept.
const RANGES: Id = ProjectId::SYSTEM.0;

/// Most processes in a tenant's container that names no limit.
const PROCESSES: i64 = 16_384;

/// Whether a project is not the operator's own.
pub(crate) fn is_tenant(project: ProjectId) -> bool {
    !matches!(project, ProjectId::ADMIN | ProjectId::SYSTEM)
}

/// Refuses what a project's instance cannot have, and gives it the project's ids.
///
/// # Errors
/// [`ErrorKind::Forbidden`], naming the field; [`ErrorKind::NoCapacity`] when no range is left.
pub(crate) async fn confine(
    cloud: &Cloud,
    project: ProjectId,
    spec: &mut InstanceSpec,
) -> Result<(), ActionError> {
    if !is_tenant(project) {
        return Ok(());
    }
    check(project, spec)?;
    let first = first_id(cloud, project).await?;
    for container in &mut spec.containers {
        container.security.user_namespace = UserNamespace::Range { first, count: IDS };
        container.security.no_new_privileges = true;
        container.resources.pids_limit.get_or_insert(PROCESSES);
    }
    Ok(())
}

/// Refuses what a project's instance cannot have.
///
/// # Errors
/// [`ErrorKind::Forbidden`], naming the field.
pub(crate) fn check(project: ProjectId, spec: &InstanceSpec) -> Result<(), ActionError> {
    if !is_tenant(project) {
        return Ok(());
    }
    let namespaces = &spec.namespaces;
    let modes = [
        ("namespaces.pid", &namespaces.pid),
        ("namespaces.ipc", &namespaces.ipc),
        ("namespaces.uts", &namespaces.uts),
        ("namespaces.cgroup", &namespaces.cgroup),
    ];
    for (field, mode) in modes {
        if matches!(mode, NamespaceMode::Host | NamespaceMode::Instance(_)) {
            return Err(refused(field));
        }
    }
    let fields = [
        (
            "network",
            matches!(spec.network, NetworkMode::Host | NetworkMode::Instance(_)),
        ),
        ("published_ports", !spec.published_ports.is_empty()),
        ("cgroup_parent", !spec.cgroup_parent.is_empty()),
    ];
    refuse_any(&fields)?;
    spec.containers.iter().try_for_each(check_container)
}

fn check_container(container: &ContainerSpec) -> Result<(), ActionError> {
    let (security, resources) = (&container.security, &container.resources);
    if let Some(added) = security
        .capabilities_add
        .iter()
        .find(|added| !DEFAULT_CAPABILITIES.contains(&added.as_str()))
    {
        return Err(refused(&format!("capabilities_add {added}")));
    }
    let binds = container
        .mounts
        .iter()
        .find_map(|mount| match &mount.source {
            MountSource::Bind { path, .. } => Some(path),
            MountSource::Volume { .. } | MountSource::Image { .. } | MountSource::Tmpfs { .. } => {
                None
            }
        });
    if let Some(path) = binds {
        return Err(refused(&format!("mounts {path}")));
    }
    refuse_any(&[
        ("privileged", security.privileged),
        ("seccomp", security.seccomp != Seccomp::Default),
        ("masked_paths", security.masked_paths.is_some()),
        ("read_only_paths", security.read_only_paths.is_some()),
        ("device_rules", !security.device_rules.is_empty()),
        ("writable_cgroups", security.writable_cgroups == Some(true)),
        ("devices", !container.devices.is_empty()),
        (
            "oom_score_adj",
            security.oom_score_adj.is_some_and(|score| score < 0),
        ),
        ("oom_kill_disable", resources.oom_kill_disable),
        (
            "cpu_realtime_runtime",
            resources.cpu_realtime_runtime_us.is_some(),
        ),
    ])
}

fn refuse_any(fields: &[(&str, bool)]) -> Result<(), ActionError> {
    match fields.iter().find(|(_, is_wanted)| *is_wanted) {
        Some((field, _)) => Err(refused(field)),
        None => Ok(()),
    }
}

/// The refusal of something that is the node's.
pub(crate) fn refused(field: &str) -> ActionError {
    ActionError::new(
        ErrorKind::Forbidden,
        format!("{field}: it is the node's, and only the operator's own project may have it"),
    )
}

/// The first id of a project's range, which it is given now if it has none.
async fn first_id(cloud: &Cloud, project: ProjectId) -> Result<u32, ActionError> {
    loop {
        let found = cloud.store.get::<IdRanges>(RANGES);
        let mut ranges = found
            .as_ref()
            .map_or_else(IdRanges::default, |found| IdRanges::clone(&found.value));
        if let Some(known) = ranges.of(project) {
            return Ok(known);
        }
        let first = ranges.give(project).ok_or_else(|| {
            ActionError::new(
                ErrorKind::NoCapacity,
                "every range of user ids was given to a project; none is left",
            )
        })?;
        let mut transaction = cloud.store.transaction();
        match found {
            Some(found) => transaction.update(RANGES, found.revision, ranges),
            None => transaction.insert(RANGES, ranges),
        };
        match cloud.store.commit(transaction).await {
            // What uses the range is written after it, and so is no more durable than it.
            Ok(_) => return Ok(first),
            Err(store::CommitError::Conflict { .. } | store::CommitError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::container::{Device, Mount, Propagation};
    use model::security::Security;

    type Change = fn(&mut InstanceSpec);

    fn refusal(project: ProjectId, change: Change) -> Option<String> {
        let mut spec = InstanceSpec {
            containers: vec![ContainerSpec::default()],
            ..InstanceSpec::default()
        };
        change(&mut spec);
        let error = check(project, &spec).err()?;
        assert_eq!(error.kind, ErrorKind::Forbidden);
        Some(error.message)
    }

    fn security(spec: &mut InstanceSpec) -> &mut Security {
        &mut spec.containers[0].security
    }

    #[test]
    fn what_is_the_nodes_is_refused_by_name() {
        let tenant = ProjectId(Id::random());
        let cases: [(&str, Change); 15] = [
            ("privileged", |spec| security(spec).privileged = true),
            ("seccomp", |spec| {
                security(spec).seccomp = Seccomp::Unconfined;
            }),
            ("seccomp", |spec| {
                security(spec).seccomp = Seccomp::Profile("{}".to_owned());
            }),
            ("masked_paths", |spec| {
                security(spec).masked_paths = Some(Vec::new());
            }),
            ("capabilities_add CAP_SYS_ADMIN", |spec| {
                security(spec).capabilities_add =
                    vec!["CAP_CHOWN".to_owned(), "CAP_SYS_ADMIN".to_owned()];
            }),
            ("capabilities_add ALL", |spec| {
                security(spec).capabilities_add = vec!["ALL".to_owned()];
            }),
            ("namespaces.pid", |spec| {
                spec.namespaces.pid = NamespaceMode::Host;
            }),
            ("namespaces.ipc", |spec| {
                spec.namespaces.ipc = NamespaceMode::Instance(Id::random());
            }),
            ("network", |spec| spec.network = NetworkMode::Host),
            ("cgroup_parent", |spec| {
                spec.cgroup_parent = "/system".to_owned();
            }),
            ("device_rules", |spec| {
                security(spec).device_rules = vec!["b 8:0 rwm".to_owned()];
            }),
            ("writable_cgroups", |spec| {
                security(spec).writable_cgroups = Some(true);
            }),
            ("devices", |spec| {
                spec.containers[0].devices = vec![Device {
                    host_path: "/dev/vda".to_owned(),
                    container_path: "/dev/vda".to_owned(),
                    permissions: "r".to_owned(),
                }];
            }),
            ("mounts /etc", |spec| {
                spec.containers[0].mounts = vec![Mount {
                    target: "/mnt".to_owned(),
                    source: MountSource::Bind {
                        path: "/etc".to_owned(),
                        propagation: Propagation::Rprivate,
                        create: false,
                        non_recursive: false,
                        read_only_non_recursive: false,
                    },
                    read_only: true,
                }];
            }),
            ("oom_score_adj", |spec| {
                security(spec).oom_score_adj = Some(-1);
            }),
        ];
        for (field, change) in cases {
            let message = refusal(tenant, change);
            assert!(
                message
                    .as_ref()
                    .is_some_and(|message| message.starts_with(&format!("{field}: "))),
                "{field}: {message:?}"
            );
            assert_eq!(refusal(ProjectId::ADMIN, change), None, "{field}");
        }
        assert_eq!(refusal(tenant, |_| {}), None);
    }
}
