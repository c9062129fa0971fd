//! Quotas: how much a project may have of what, and how much of it is used. [`claim`] is what
//! everything that counts goes through when it is made.
//!
//! Nothing is added up beforehand, so no sum can drift: what is used is counted among the records.
//! Numbers are those of Nova, Neutron and Cinder.

mod claim;

use std::collections::{BTreeMap, BTreeSet};

use model::firewall::Firewall;
use model::key_pair::KeyPair;
use model::network::{Network, Routing};
use model::port::Port;
use model::project::Project;
use model::quota::{Quota, QuotaGate, Resource};
use model::router::{FloatingAddress, Router};
use model::server::Server;
use model::server_group::ServerGroup;
use model::snapshot::Snapshot;
use model::volume::Volume;
use model::{Meta, ProjectId};
use store::record::Record;
use store::{Transaction, Versioned};

pub(crate) use claim::{Gate, Unmade, claim, commit, commit_for, is_contended};

use crate::error::invalid;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// The class of everybody who has no quota of their own.
pub const DEFAULT_CLASS: &str = "default";
/// The name of a project's own quota.
const OWN: &str = "own";
/// Without end.
pub const UNLIMITED: i64 = -1;
/// The largest limit.
pub const MOST: i64 = 0x7FFF_FFFF;

/// Who counts a resource, and in whose words it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Service {
    Compute,
    Network,
    Volume,
}

/// Each resource: who counts it, what it is called there, and how much everybody may have.
///
/// Sources: nova `nova/conf/quota.py`, neutron `neutron/conf/quota.py`, cinder `cinder/quota.py`, of
/// the release 2026.1.
const RESOURCES: [(Resource, Service, &str, i64); 21] = {
    use Resource as R;
    use Service::{Compute, Network, Volume};
    [
        (R::Instances, Compute, "instances", 10),
        (R::Cores, Compute, "cores", 20),
        (R::RamMib, Compute, "ram", 51_200),
        (R::MetadataItems, Compute, "metadata_items", 128),
        (R::InjectedFiles, Compute, "injected_files", 5),
        (
            R::InjectedFileBytes,
            Compute,
            "injected_file_content_bytes",
            10_240,
        ),
        (
            R::InjectedFilePath,
            Compute,
            "injected_file_path_bytes",
            255,
        ),
        (R::KeyPairs, Compute, "key_pairs", 100),
        (R::ServerGroups, Compute, "server_groups", 10),
        (R::ServerGroupMembers, Compute, "server_group_members", 10),
        (R::Networks, Network, "network", 100),
        (R::Subnets, Network, "subnet", 100),
        (R::Ports, Network, "port", 500),
        (R::Routers, Network, "router", 10),
        (R::FloatingAddresses, Network, "floatingip", 50),
        (R::Firewalls, Network, "security_group", 10),
        (R::FirewallRules, Network, "security_group_rule", 100),
        (R::Volumes, Volume, "volumes", 10),
        (R::VolumeGib, Volume, "gigabytes", 1_000),
        (R::PerVolumeGib, Volume, "per_volume_gigabytes", UNLIMITED),
        (R::Snapshots, Volume, "snapshots", 10),
    ]
};

/// The resources that a service counts, with their names there.
pub fn resources(service: Service) -> impl Iterator<Item = (Resource, &'static str)> {
    let of_it = RESOURCES.iter().filter(move |row| row.1 == service);
    of_it.map(|(resource, _, name, _)| (*resource, *name))
}

fn row(resource: Resource) -> (Service, &'static str, i64) {
    RESOURCES
        .iter()
        .find(|row| row.0 == resource)
        .map_or((Service::Compute, "", UNLIMITED), |row| {
            (row.1, row.2, row.3)
        })
}

/// How much there may be of something, and how much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figure {
    /// How much a project may have; -1 is without end.
    pub limit: i64,
    /// How much it has; what is counted within one object only, is 0.
    pub used: u64,
}

/// What a project may have of a service's resources, and has.
///
/// # Errors
/// [`ErrorKind::Forbidden`] for another project.
pub fn figures(
    cloud: &Cloud,
    caller: &Caller,
    service: Service,
    project: ProjectId,
) -> Result<BTreeMap<Resource, Figure>, ActionError> {
    let action = match service {
        Service::Compute => Action::GetComputeQuota,
        Service::Network => Action::GetNetworkQuota,
        Service::Volume => Action::GetVolumeQuota,
    };
    caller.may(action, &Target::project(project))?;
    let figures = resources(service).map(|(resource, _)| {
        let owner = match resource {
            // A user's, wherever they act.
            Resource::KeyPairs => ProjectId(caller.user),
            _ => project,
        };
        let figure = Figure {
            limit: limit(cloud, project, resource),
            used: used(cloud, owner, resource),
        };
        (resource, figure)
    });
    Ok(figures.collect())
}

/// Refuses a project that does not exist, where a service asks for one that does.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn check_project(cloud: &Cloud, project: ProjectId) -> Result<(), ActionError> {
    if cloud.store.get::<Project>(project.0).is_some() {
        return Ok(());
    }
    Err(invalid(format!(
        "Project ID {project} is not a valid project."
    )))
}

/// What everybody may have of a service's resources who has no quota of their own.
#[must_use]
pub fn defaults(cloud: &Cloud, service: Service) -> BTreeMap<Resource, i64> {
    of_class(cloud, service, DEFAULT_CLASS)
}

/// What a class gives of a service's resources; what it does not say is as usual.
fn of_class(cloud: &Cloud, service: Service, class: &str) -> BTreeMap<Resource, i64> {
    let known = find(cloud, ProjectId::SYSTEM, class);
    let limit = |resource| {
        let said = known
            .as_ref()
            .and_then(|class| class.value.limits.get(&resource));
        said.copied().unwrap_or(row(resource).2)
    };
    resources(service)
        .map(|(resource, _)| (resource, limit(resource)))
        .collect()
}

/// As [`defaults`], of any class.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn class(
    cloud: &Cloud,
    caller: &Caller,
    service: Service,
    class: &str,
) -> Result<BTreeMap<Resource, i64>, ActionError> {
    caller.may(Action::GetQuotaClass, &Target::SYSTEM)?;
    Ok(of_class(cloud, service, class))
}

/// Says what a class gives.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::Invalid`] for a name that cannot be.
pub async fn set_class(
    cloud: &Cloud,
    caller: &Caller,
    class: &str,
    limits: &BTreeMap<Resource, i64>,
) -> Result<(), ActionError> {
    caller.may(Action::UpdateQuotaClass, &Target::SYSTEM)?;
    if !(1..=255).contains(&class.chars().count()) {
        return Err(invalid("quota_class_name has 1 to 255 characters."));
    }
    change(cloud, ProjectId::SYSTEM, class, |known| {
        known.extend(limits);
    })
    .await
}

/// Says what a project may have; less than it has only where that is `forced`.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::Invalid`] for less than is used.
pub async fn set(
    cloud: &Cloud,
    caller: &Caller,
    service: Service,
    project: ProjectId,
    limits: &BTreeMap<Resource, i64>,
    forced: bool,
) -> Result<(), ActionError> {
    let action = match service {
        Service::Compute => Action::UpdateComputeQuota,
        Service::Network => Action::UpdateNetworkQuota,
        Service::Volume => Action::UpdateVolumeQuota,
    };
    caller.may(action, &Target::SYSTEM)?;
    for (resource, limit) in limits {
        let used = used(cloud, project, *resource);
        if forced || u64::try_from(*limit).is_ok_and(|limit| limit >= used) || *limit < 0 {
            continue;
        }
        let reserved = match service {
            Service::Network => "",
            Service::Compute | Service::Volume => " and reserved",
        };
        return Err(invalid(format!(
            "Quota limit {limit} for {} must be greater than or equal to already used{reserved} {used}.",
            row(*resource).1
        )));
    }
    change(cloud, project, OWN, |known| known.extend(limits)).await
}

/// Gives a project what everybody has.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub async fn reset(
    cloud: &Cloud,
    caller: &Caller,
    service: Service,
    project: ProjectId,
) -> Result<(), ActionError> {
    let action = match service {
        Service::Compute => Action::DeleteComputeQuota,
        Service::Network => Action::DeleteNetworkQuota,
        Service::Volume => Action::DeleteVolumeQuota,
    };
    caller.may(action, &Target::SYSTEM)?;
    change(cloud, project, OWN, |known| {
        known.retain(|resource, _| row(*resource).0 != service);
    })
    .await
}

/// Whether a project has a quota of its own of a service.
#[must_use]
pub fn has_own(cloud: &Cloud, service: Service, project: ProjectId) -> bool {
    find(cloud, project, OWN).is_some_and(|quota| {
        let mut limits = quota.value.limits.keys();
        limits.any(|resource| row(*resource).0 == service)
    })
}

/// The projects that have a quota of their own of a service.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn with_own(
    cloud: &Cloud,
    caller: &Caller,
    service: Service,
) -> Result<BTreeSet<ProjectId>, ActionError> {
    caller.may(Action::ListQuotas, &Target::SYSTEM)?;
    let all = cloud.store.list::<Quota>();
    let owners = all.iter().map(|(_, found)| found.value.meta.project);
    Ok(owners
        .filter(|project| *project != ProjectId::SYSTEM && has_own(cloud, service, *project))
        .collect())
}

/// How much a project may have of something.
pub(crate) fn limit(cloud: &Cloud, project: ProjectId, resource: Resource) -> i64 {
    let said = |owner, name| {
        let found: Option<Versioned<Quota>> = find(cloud, owner, name);
        found.and_then(|quota| quota.value.limits.get(&resource).copied())
    };
    said(project, OWN)
        .or_else(|| said(ProjectId::SYSTEM, DEFAULT_CLASS))
        .unwrap_or(row(resource).2)
}

fn find(cloud: &Cloud, owner: ProjectId, name: &str) -> Option<Versioned<Quota>> {
    cloud.store.by_name::<Quota>(owner, name)
}

/// Changes a quota, or makes one; again where somebody else did meanwhile.
async fn change(
    cloud: &Cloud,
    owner: ProjectId,
    name: &str,
    change: impl Fn(&mut BTreeMap<Resource, i64>),
) -> Result<(), ActionError> {
    loop {
        let mut transaction = cloud.store.transaction();
        match find(cloud, owner, name) {
            Some(found) => {
                let mut quota = Quota::clone(&found.value);
                change(&mut quota.limits);
                transaction.update(quota.meta.id, found.revision, quota);
            }
            None => {
                let mut quota = Quota {
                    meta: Meta::new(name, owner, cloud.now()),
                    limits: BTreeMap::new(),
                };
                change(&mut quota.limits);
                transaction.insert(quota.meta.id, quota);
            }
        }
        match cloud.commit_durably(transaction).await {
            Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
            done => return done,
        }
    }
}

/// What a network counts for. One that the node routes for its own containers, as the Docker API makes
/// them, is in no quota, as they are not.
pub(crate) fn of_network(network: &Network) -> Vec<(Resource, u64)> {
    let spec = &network.spec;
    if spec.routing == Routing::Node && !spec.external {
        return Vec::new();
    }
    vec![
        (Resource::Networks, 1),
        (Resource::Subnets, spec.subnets.len() as u64),
    ]
}

/// How much of something belongs to a project, or to a user where it is users who have it. What is
/// limited within one object is checked where that is changed.
fn used(cloud: &Cloud, owner: ProjectId, resource: Resource) -> u64 {
    let one = |project: ProjectId| u64::from(project == owner);
    let many = |project: ProjectId, many: usize| if project == owner { many as u64 } else { 0 };
    match resource {
        Resource::KeyPairs => sum::<KeyPair>(cloud, |pair| one(pair.meta.project)),
        Resource::Networks | Resource::Subnets => sum::<Network>(cloud, |network| {
            let wanted = of_network(network).into_iter();
            let counted = wanted.filter(|(counted, _)| *counted == resource);
            one(network.meta.project) * counted.map(|(_, count)| count).sum::<u64>()
        }),
        Resource::Ports => sum::<Port>(cloud, |port| one(port.meta.project)),
        Resource::Routers => sum::<Router>(cloud, |router| one(router.meta.project)),
        Resource::FloatingAddresses => {
            sum::<FloatingAddress>(cloud, |floating| one(floating.meta.project))
        }
        Resource::Firewalls => sum::<Firewall>(cloud, |firewall| one(firewall.meta.project)),
        Resource::FirewallRules => sum::<Firewall>(cloud, |firewall| {
            many(firewall.meta.project, firewall.spec.rules.len())
        }),
        Resource::Volumes => sum::<Volume>(cloud, |volume| match volume.spec.size_gib {
            Some(_) => one(volume.meta.project),
            // A directory of the node's is none of Cinder's.
            None => 0,
        }),
        Resource::VolumeGib => {
            let size = |project: ProjectId, size_gib: u32| one(project) * u64::from(size_gib);
            let volumes = sum::<Volume>(cloud, |volume| {
                size(volume.meta.project, volume.spec.size_gib.unwrap_or(0))
            });
            let snapshots = sum::<Snapshot>(cloud, |snapshot| {
                size(snapshot.meta.project, snapshot.spec.size_gib)
            });
            volumes + snapshots
        }
        Resource::Snapshots => sum::<Snapshot>(cloud, |snapshot| one(snapshot.meta.project)),
        Resource::Instances => sum::<Server>(cloud, |server| one(server.meta.project)),
        Resource::Cores => sum::<Server>(cloud, |server| {
            one(server.meta.project) * u64::from(server.spec.flavor.vcpus)
        }),
        Resource::RamMib => sum::<Server>(cloud, |server| {
            one(server.meta.project) * u64::from(server.spec.flavor.ram_mib)
        }),
        Resource::ServerGroups => sum::<ServerGroup>(cloud, |group| one(group.meta.project)),
        Resource::MetadataItems
        | Resource::InjectedFiles
        | Resource::InjectedFileBytes
        | Resource::InjectedFilePath
        | Resource::ServerGroupMembers
        | Resource::PerVolumeGib => 0,
    }
}

/// Adds up what each record is worth.
fn sum<R: Record>(cloud: &Cloud, worth: impl Fn(&R) -> u64) -> u64 {
    let all = cloud.store.list::<R>();
    all.iter().map(|(_, found)| worth(&found.value)).sum()
}

/// Adds to the batch that removes a project what was said of its quota, and its gate. What the
/// project has left behind is removed without either.
pub(crate) fn forget(cloud: &Cloud, transaction: &mut Transaction, project: ProjectId) {
    if let Some(own) = find(cloud, project, OWN) {
        transaction.delete::<Quota>(own.value.meta.id, None);
    }
    if cloud.store.get::<QuotaGate>(project.0).is_some() {
        transaction.delete::<QuotaGate>(project.0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_one_name_of_its_own() {
        let names: BTreeSet<_> = RESOURCES.iter().map(|row| (row.0, row.2)).collect();
        assert_eq!(names.len(), RESOURCES.len());
        assert_eq!(row(Resource::RamMib), (Service::Compute, "ram", 51_200));
    }
}
