//! What there is of a volume at one moment: its records, and who uses it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::container::MountSource;
use model::instance::{AttachedVolume, Instance, InstanceStatus, Phase};
use model::volume::{Volume, VolumePhase, VolumeStatus};
use model::{Id, ProjectId};

use crate::policy::{self, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, is_seen, is_visible};

/// A volume as it is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for.
    pub volume: Arc<Volume>,
    /// What its node saw; `None` before it did.
    pub status: Option<Arc<VolumeStatus>>,
    /// Who uses it: instances of this cloud, and whoever else says so.
    pub uses: Vec<Use>,
}

/// That somebody uses a volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// Identity of the attachment.
    pub id: Id,
    /// The machine, as its user wrote it, or an instance's identity.
    pub instance: Option<String>,
    /// It is an instance of this cloud, which mounts it.
    pub mounted: bool,
    /// The host of that machine.
    pub host: Option<String>,
    /// Where it is seen there: a device, or a path.
    pub device: Option<String>,
    /// It may not be written there.
    pub read_only: bool,
    /// When it was asked for.
    pub attached_at: Timestamp,
    /// How far it is.
    pub phase: VolumePhase,
}

impl View {
    /// What is being done with it: what its node knows counts more than what was said.
    #[must_use]
    pub fn phase(&self) -> VolumePhase {
        let spec = &self.volume.spec;
        let status = self.status.as_deref();
        let failed = status.is_some_and(|status| {
            status.error.is_some() && status.generation >= self.volume.meta.generation
        });
        if self.volume.meta.deleted_at.is_some() {
            return if failed {
                VolumePhase::ErrorDeleting
            } else {
                VolumePhase::Deleting
            };
        }
        let Some(status) = status else {
            return VolumePhase::Creating;
        };
        if spec.size_gib.is_some() && status.size_gib.is_none() {
            return if status.error.is_some() {
                VolumePhase::Error
            } else {
                VolumePhase::Creating
            };
        }
        if spec.size_gib > status.size_gib {
            return if failed {
                VolumePhase::ErrorExtending
            } else {
                VolumePhase::Extending
            };
        }
        if spec.phase != VolumePhase::Available {
            return spec.phase;
        }
        // Of several users the one that is on its way counts.
        let mut phases = self.uses.iter().map(|one| one.phase);
        match phases.clone().find(|phase| *phase != VolumePhase::InUse) {
            Some(phase) => phase,
            None => phases.next().unwrap_or(VolumePhase::Available),
        }
    }

    /// Nothing is being done with it; with `while_used`, it may be used.
    #[must_use]
    pub fn is_at_rest(&self, while_used: bool) -> bool {
        match self.phase() {
            VolumePhase::Available => true,
            VolumePhase::InUse => while_used,
            _ => false,
        }
    }

    /// An instance of this cloud mounts it, or will at its next start.
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        self.uses.iter().any(|one| one.mounted)
    }

    /// What its user calls it: the title of one with a size, the name of another.
    #[must_use]
    pub fn title(&self) -> &str {
        match self.volume.spec.size_gib {
            Some(_) => &self.volume.spec.title,
            None => &self.volume.meta.name,
        }
    }
}

/// The volumes of the caller's project, or for an admin who asks for it of every project; the newest
/// first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list_all(
    cloud: &Cloud,
    caller: &Caller,
    everybodys: bool,
) -> Result<Vec<View>, ActionError> {
    caller.may(
        policy::Action::GetVolume,
        &Target::project(caller.project()),
    )?;
    let mut uses = uses(cloud);
    let mut views: Vec<View> = cloud
        .store
        .list::<Volume>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|volume| {
            let project = volume.meta.project;
            is_visible(caller, project) || everybodys && is_seen(caller, project)
        })
        .map(|volume| {
            let key = (volume.meta.project, volume.meta.name.clone());
            view(cloud, volume, uses.remove(&key).unwrap_or_default())
        })
        .collect();
    views.sort_by_key(|view| std::cmp::Reverse((view.volume.meta.created_at, view.volume.meta.id)));
    Ok(views)
}

/// One volume.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`].
pub fn show(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    let found = cloud
        .store
        .get::<Volume>(id)
        .filter(|found| is_seen(caller, found.value.meta.project))
        .ok_or_else(|| not_found(id))?;
    let volume = found.value;
    caller.may(
        policy::Action::GetVolume,
        &Target::project(volume.meta.project),
    )?;
    let mut of_instances = Vec::new();
    for (_, found) in cloud.store.list::<Instance>() {
        let instance = &found.value;
        if instance.meta.project == volume.meta.project {
            let uses = uses_of(cloud, instance);
            let mine = uses.filter(|(name, _)| *name == volume.meta.name);
            of_instances.extend(mine.map(|(_, one)| one));
        }
    }
    Ok(view(cloud, volume, of_instances))
}

/// That there is no such volume, or not for this caller.
pub(crate) fn not_found(id: Id) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Volume {id} could not be found."),
    )
}

fn view(cloud: &Cloud, volume: Arc<Volume>, mut uses: Vec<Use>) -> View {
    for one in &mut uses {
        if one.id == Id::from_bytes([0; 16]) {
            one.id = volume.meta.id;
        }
    }
    uses.extend(volume.spec.claims.iter().map(|claim| Use {
        id: claim.id,
        instance: claim.instance.clone(),
        mounted: false,
        host: claim.host.clone(),
        device: claim.device.clone(),
        read_only: claim.read_only,
        attached_at: claim.created_at,
        phase: claim.phase,
    }));
    let status = cloud.store.get::<VolumeStatus>(volume.meta.id);
    View {
        status: status.map(|found| found.value),
        volume,
        uses,
    }
}

/// Who mounts which volume, by project and name.
fn uses(cloud: &Cloud) -> HashMap<(ProjectId, String), Vec<Use>> {
    let mut all: HashMap<_, Vec<Use>> = HashMap::new();
    for (_, found) in cloud.store.list::<Instance>() {
        let project = found.value.meta.project;
        for (name, one) in uses_of(cloud, &found.value) {
            all.entry((project, name)).or_default().push(one);
        }
    }
    all
}

/// The volumes that an instance uses, by name.
fn uses_of(cloud: &Cloud, instance: &Instance) -> impl Iterator<Item = (String, Use)> {
    let id = instance.meta.id;
    let status = cloud.store.get::<InstanceStatus>(id);
    let status = status.map(|found| found.value);
    let is_up = status
        .as_deref()
        .is_some_and(|status| matches!(status.phase, Phase::Running | Phase::Paused));
    let seen = status.map_or(0, |status| status.generation);
    let mounts = instance
        .spec
        .containers
        .iter()
        .flat_map(|container| &container.mounts);
    let attached = &instance.spec.attached_volumes;
    let mounted: Vec<(String, Use)> = mounts
        .filter_map(|mount| {
            let MountSource::Volume { name, .. } = &mount.source else {
                return None;
            };
            let known = attached.iter().find(|known| known.target == mount.target);
            let pending = known.is_some_and(|known| is_up && known.attached_by > seen);
            let one = Use {
                // A mount that was there from the start has the identity of its volume.
                id: known.map_or(Id::from_bytes([0; 16]), |known| known.id),
                instance: Some(id.to_string()),
                mounted: true,
                host: None,
                device: Some(
                    known.map_or_else(|| mount.target.clone(), |known| known.device.clone()),
                ),
                read_only: mount.read_only,
                attached_at: known.map_or(instance.meta.created_at, |known| known.attached_at),
                phase: if pending {
                    VolumePhase::Attaching
                } else {
                    VolumePhase::InUse
                },
            };
            Some((name.clone(), one))
        })
        .collect();
    let leaving: Vec<(String, Use)> = attached
        .iter()
        .filter(|known| is_up && known.detached_by.is_some_and(|by| by > seen))
        .filter_map(|known| Some((name_of(cloud, known)?, leaving(instance, known))))
        .collect();
    mounted.into_iter().chain(leaving)
}

fn name_of(cloud: &Cloud, known: &AttachedVolume) -> Option<String> {
    let found = cloud.store.get::<Volume>(known.volume)?;
    Some(found.value.meta.name.clone())
}

/// The use of a volume that is being unmounted.
fn leaving(instance: &Instance, known: &AttachedVolume) -> Use {
    Use {
        id: known.id,
        instance: Some(instance.meta.id.to_string()),
        mounted: true,
        host: None,
        device: Some(known.device.clone()),
        read_only: false,
        attached_at: known.attached_at,
        phase: VolumePhase::Detaching,
    }
}
