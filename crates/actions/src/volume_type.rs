//! Types of volumes: what an operator offers, and to whom.
//!
//! One is there from the first start: that of volumes which name none.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::volume::Volume;
use model::volume_type::{VolumeType, VolumeTypeSpec};
use model::{Id, Meta, ProjectId};
use store::Transaction;

use crate::policy::{self, Target};
use crate::volume::sized::invalid;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// What to make, or to make of one; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a type")]
pub struct TypeChange {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub public: Option<bool>,
    pub extra_specs: Option<BTreeMap<String, String>>,
}

/// Makes the type that is there from the first start, where it is missing.
pub(crate) fn ensure_default(cloud: &Cloud, transaction: &mut Transaction) {
    if cloud.store.get::<VolumeType>(VolumeType::DEFAULT).is_some() {
        return;
    }
    let mut meta = Meta::new(VolumeType::DEFAULT_NAME, ProjectId::SYSTEM, cloud.now());
    meta.id = VolumeType::DEFAULT;
    let spec = VolumeTypeSpec {
        description: Some("Default Volume Type".to_owned()),
        public: true,
        ..VolumeTypeSpec::default()
    };
    transaction.insert(VolumeType::DEFAULT, VolumeType { meta, spec });
}

/// Makes a type.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::AlreadyExists`].
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: TypeChange,
) -> Result<Arc<VolumeType>, ActionError> {
    caller.may(policy::Action::CreateVolumeType, &Target::SYSTEM)?;
    let name = new.name.unwrap_or_default();
    let record = VolumeType {
        meta: Meta::new(name.clone(), ProjectId::SYSTEM, cloud.now()),
        spec: VolumeTypeSpec {
            description: new.description.flatten(),
            public: new.public.unwrap_or(true),
            extra_specs: new.extra_specs.unwrap_or_default(),
            ..VolumeTypeSpec::default()
        },
    };
    let id = record.meta.id;
    let mut transaction = cloud.store.transaction();
    transaction.insert(id, record);
    let committed = cloud.store.commit(transaction).await;
    let committed = committed.map_err(|error| taken(error, &name))?;
    durable(committed.durable).await?;
    get(cloud, caller, id)
}

fn taken(error: store::CommitError, name: &str) -> ActionError {
    match error {
        store::CommitError::NameTaken { .. } => ActionError::new(
            ErrorKind::AlreadyExists,
            format!("Volume Type {name} already exists."),
        ),
        error => error.into(),
    }
}

/// The types that a caller may see, the newest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(cloud: &Cloud, caller: &Caller) -> Result<Vec<Arc<VolumeType>>, ActionError> {
    caller.may(policy::Action::GetVolumeType, &Target::SYSTEM)?;
    let mut types: Vec<_> = cloud
        .store
        .list::<VolumeType>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|one| caller.is_admin() || one.is_for(caller.project()))
        .collect();
    types.sort_by_key(|one| std::cmp::Reverse(one.meta.created_at));
    Ok(types)
}

/// One type.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<VolumeType>, ActionError> {
    let types = list(cloud, caller)?;
    let found = types.into_iter().find(|one| one.meta.id == id);
    found.ok_or_else(|| missing(&id.to_string()))
}

fn missing(wanted: &str) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Volume type {wanted} could not be found."),
    )
}

/// The type of this identity or name.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn find(cloud: &Cloud, caller: &Caller, wanted: &str) -> Result<Arc<VolumeType>, ActionError> {
    let by_id = wanted.parse().ok();
    let types = list(cloud, caller)?;
    let found = types
        .iter()
        .find(|one| Some(one.meta.id) == by_id)
        .or_else(|| types.iter().find(|one| one.meta.name == wanted));
    found.cloned().ok_or_else(|| missing(wanted))
}

/// Changes a type.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`], [`ErrorKind::AlreadyExists`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    wanted: TypeChange,
) -> Result<Arc<VolumeType>, ActionError> {
    change(cloud, caller, id, policy::Action::UpdateVolumeType, |one| {
        if let Some(name) = &wanted.name {
            one.meta.name.clone_from(name);
        }
        if let Some(description) = &wanted.description {
            one.spec.description.clone_from(description);
        }
        if let Some(extra_specs) = &wanted.extra_specs {
            one.spec.extra_specs.clone_from(extra_specs);
        }
        one.spec.public = wanted.public.unwrap_or(one.spec.public);
        Ok(())
    })
    .await
}

/// Lets a project use a type that is not public, or no longer.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a public type, [`ErrorKind::AlreadyExists`] and
/// [`ErrorKind::NotFound`] where that is so already.
pub async fn set_access(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    project: ProjectId,
    may: bool,
) -> Result<(), ActionError> {
    change(cloud, caller, id, policy::Action::GrantVolumeType, |one| {
        if one.spec.public {
            return Err(invalid(
                "Invalid volume type: Type access modification is not applicable to public volume type.",
            ));
        }
        let changed = if may {
            one.spec.access.insert(project)
        } else {
            one.spec.access.remove(&project)
        };
        if changed {
            return Ok(());
        }
        let (kind, words) = if may {
            (ErrorKind::AlreadyExists, "combination already exists")
        } else {
            (ErrorKind::NotFound, "combination not found")
        };
        Err(ActionError::new(
            kind,
            format!("Volume type access for {id} / {project} {words}."),
        ))
    })
    .await
    .map(drop)
}

async fn change(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    action: policy::Action,
    act: impl Fn(&mut VolumeType) -> Result<(), ActionError>,
) -> Result<Arc<VolumeType>, ActionError> {
    caller.may(action, &Target::SYSTEM)?;
    loop {
        let found = cloud
            .store
            .get::<VolumeType>(id)
            .ok_or_else(|| missing(&id.to_string()))?;
        let mut one = VolumeType::clone(&found.value);
        act(&mut one)?;
        one.meta.generation += 1;
        one.meta.updated_at = Some(cloud.now());
        let name = one.meta.name.clone();
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, one);
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return get(cloud, caller, id);
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(taken(error, &name)),
        }
    }
}

/// Removes a type.
///
/// # Errors
/// [`ErrorKind::Invalid`] for one that volumes have, or that of volumes which name none.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(policy::Action::DeleteVolumeType, &Target::SYSTEM)?;
    let found = cloud
        .store
        .get::<VolumeType>(id)
        .ok_or_else(|| missing(&id.to_string()))?;
    if id == VolumeType::DEFAULT {
        return Err(invalid(format!(
            "The volume type {id} is the default volume type and cannot be deleted."
        )));
    }
    let volumes = cloud.store.list::<Volume>();
    if volumes
        .iter()
        .any(|(_, volume)| volume.value.spec.volume_type == Some(id))
    {
        return Err(invalid(format!("Target volume type {id} is still in use.")));
    }
    let mut transaction = cloud.store.transaction();
    transaction.delete::<VolumeType>(id, Some(found.revision));
    cloud.commit_durably(transaction).await
}
