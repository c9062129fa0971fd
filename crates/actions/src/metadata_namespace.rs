//! Metadata namespaces: what words about images, volumes and other things mean. Everybody reads those
//! that are public or their project's; admins write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use model::metadata_namespace::{
    Association, Definition, MetadataNamespace, MetadataNamespaceSpec, MetadataObject, Stamp,
};
use model::{Meta, ProjectId};

use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, is_seen};

/// What OpenStack's services have to say words about, whether any namespace does or not.
///
/// Source: Glance's own definitions, `etc/metadefs`.
const RESOURCE_TYPES: [&str; 6] = [
    "OS::Cinder::Volume",
    "OS::Glance::Image",
    "OS::Nova::Aggregate",
    "OS::Nova::Flavor",
    "OS::Nova::Server",
    "OS::Trove::Instance",
];

/// What to make of a namespace itself; what is in it stays.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// What it is called; unique in the installation.
    pub name: String,
    /// Whose it is; `None` is the caller's project.
    pub owner: Option<ProjectId>,
    /// What it is called before users.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Everybody sees it.
    pub public: bool,
    /// Neither it nor what is in it can be removed.
    pub protected: bool,
}

impl Header {
    fn write(&self, caller: &Caller, spec: &mut MetadataNamespaceSpec) {
        spec.owner = self.owner.unwrap_or_else(|| caller.project());
        spec.title.clone_from(&self.title);
        spec.description.clone_from(&self.description);
        spec.public = self.public;
        spec.protected = self.protected;
    }
}

/// Something to be in a namespace.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A word with the schema of its values.
    Property(String, Definition),
    /// Words that are said together; its stamp is written here.
    Object(String, MetadataObject),
    /// What the words are about; its stamp is written here.
    ResourceType(String, Association),
    /// A word without values.
    Tag(String),
}

impl Entry {
    fn place(&self) -> (Part, &str) {
        match self {
            Self::Property(name, _) => (Part::Properties, name),
            Self::Object(name, _) => (Part::Objects, name),
            Self::ResourceType(name, _) => (Part::ResourceTypes, name),
            Self::Tag(name) => (Part::Tags, name),
        }
    }
}

/// The things in a namespace that have one sort of names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields of a namespace")]
pub enum Part {
    Properties,
    Objects,
    ResourceTypes,
    Tags,
}

impl Part {
    const fn noun(self) -> &'static str {
        match self {
            Self::Properties => "property",
            Self::Objects => "object",
            Self::ResourceTypes => "resource type",
            Self::Tags => "tag",
        }
    }
}

/// The namespaces that are there for the caller, the newest first.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn list(cloud: &Cloud, caller: &Caller) -> Result<Vec<Arc<MetadataNamespace>>, ActionError> {
    caller.may(
        Action::GetMetadataNamespaces,
        &Target::project(caller.project()),
    )?;
    let all = cloud.store.list::<MetadataNamespace>().into_iter();
    let mut seen: Vec<_> = all
        .map(|(_, found)| found.value)
        .filter(|namespace| is_there(caller, namespace))
        .collect();
    seen.sort_by_key(|one| std::cmp::Reverse((one.meta.created_at, one.meta.id)));
    Ok(seen)
}

fn is_there(caller: &Caller, namespace: &MetadataNamespace) -> bool {
    namespace.spec.public || is_seen(caller, namespace.spec.owner)
}

/// One namespace, by its name.
///
/// # Errors
/// [`ErrorKind::NotFound`], also where it is not for the caller.
pub fn get(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
) -> Result<Arc<MetadataNamespace>, ActionError> {
    caller.may(
        Action::GetMetadataNamespaces,
        &Target::project(caller.project()),
    )?;
    find(cloud, name)
        .map(|found| found.value)
        .filter(|namespace| is_there(caller, namespace))
        .ok_or_else(|| missing(name))
}

fn find(cloud: &Cloud, name: &str) -> Option<store::Versioned<MetadataNamespace>> {
    cloud
        .store
        .by_name::<MetadataNamespace>(ProjectId::SYSTEM, name)
}

/// The types of resources that words can be about, by name.
///
/// # Errors
/// [`ErrorKind::Forbidden`].
pub fn resource_types(cloud: &Cloud, caller: &Caller) -> Result<BTreeSet<String>, ActionError> {
    let namespaces = list(cloud, caller)?;
    let used = namespaces
        .iter()
        .flat_map(|one| one.spec.resource_types.keys().cloned());
    Ok(RESOURCE_TYPES
        .map(str::to_owned)
        .into_iter()
        .chain(used)
        .collect())
}

/// Makes a namespace with what is in it from the start.
///
/// # Errors
/// [`ErrorKind::Forbidden`], [`ErrorKind::AlreadyExists`].
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    header: Header,
    entries: Vec<Entry>,
) -> Result<Arc<MetadataNamespace>, ActionError> {
    caller.may(Action::AddMetadataNamespace, &Target::SYSTEM)?;
    let now = cloud.now();
    let mut namespace = MetadataNamespace {
        meta: Meta::new(header.name.clone(), ProjectId::SYSTEM, now),
        spec: MetadataNamespaceSpec::new(caller.project()),
    };
    header.write(caller, &mut namespace.spec);
    for entry in entries {
        put(&mut namespace, None, entry, now)?;
    }
    let mut transaction = cloud.store.transaction();
    transaction.insert(namespace.meta.id, namespace.clone());
    let committed = cloud.store.commit(transaction).await;
    let committed = committed.map_err(|error| taken(error, &header.name))?;
    durable(committed.durable).await?;
    Ok(Arc::new(namespace))
}

/// Changes a namespace, but not what is in it.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`], [`ErrorKind::AlreadyExists`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    header: Header,
) -> Result<Arc<MetadataNamespace>, ActionError> {
    change(cloud, caller, name, |namespace, _| {
        namespace.meta.name.clone_from(&header.name);
        header.write(caller, &mut namespace.spec);
        Ok(())
    })
    .await
}

/// Removes a namespace with all that is in it.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`], also where it is protected.
pub async fn remove(cloud: &Cloud, caller: &Caller, name: &str) -> Result<(), ActionError> {
    get(cloud, caller, name)?;
    caller.may(Action::DeleteMetadataNamespace, &Target::SYSTEM)?;
    while let Some(found) = find(cloud, name) {
        may_remove(&found.value)?;
        let mut transaction = cloud.store.transaction();
        transaction.delete::<MetadataNamespace>(found.value.meta.id, Some(found.revision));
        match cloud.store.commit(transaction).await {
            Ok(committed) => return durable(committed.durable).await,
            Err(store::CommitError::Conflict { .. } | store::CommitError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(missing(name))
}

fn may_remove(namespace: &MetadataNamespace) -> Result<(), ActionError> {
    if !namespace.spec.protected {
        return Ok(());
    }
    Err(ActionError::new(
        ErrorKind::Forbidden,
        format!(
            "Metadata definition namespace {} is protected and cannot be deleted.",
            namespace.meta.name
        ),
    ))
}

/// Puts something into a namespace.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`], [`ErrorKind::AlreadyExists`].
pub async fn add(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    entry: Entry,
) -> Result<Arc<MetadataNamespace>, ActionError> {
    change(cloud, caller, name, |namespace, now| {
        put(namespace, None, entry.clone(), now)
    })
    .await
}

/// Puts something into the place of what is called `old`; it may be called otherwise.
///
/// # Errors
/// As [`add`].
pub async fn replace(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    old: &str,
    entry: Entry,
) -> Result<Arc<MetadataNamespace>, ActionError> {
    change(cloud, caller, name, |namespace, now| {
        put(namespace, Some(old), entry.clone(), now)
    })
    .await
}

/// Puts tags into a namespace, beside those that it has, or instead of them.
///
/// # Errors
/// As [`add`].
pub async fn set_tags(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    tags: &[String],
    beside: bool,
) -> Result<Arc<MetadataNamespace>, ActionError> {
    change(cloud, caller, name, |namespace, now| {
        if !beside {
            namespace.spec.tags.clear();
        }
        let entries = tags.iter().cloned().map(Entry::Tag);
        for entry in entries {
            put(namespace, None, entry, now)?;
        }
        Ok(())
    })
    .await
}

/// Takes something out of a namespace.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`], also where the namespace is protected.
pub async fn take_out(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    part: Part,
    entry: &str,
) -> Result<(), ActionError> {
    change(cloud, caller, name, |namespace, _| {
        may_remove(namespace)?;
        let spec = &mut namespace.spec;
        let was_there = match part {
            Part::Properties => spec.properties.remove(entry).is_some(),
            Part::Objects => spec.objects.remove(entry).is_some(),
            Part::ResourceTypes => spec.resource_types.remove(entry).is_some(),
            Part::Tags => spec.tags.remove(entry).is_some(),
        };
        was_there
            .then_some(())
            .ok_or_else(|| missing_in(part, entry, name))
    })
    .await
    .map(drop)
}

/// Takes everything of one part out of a namespace.
///
/// # Errors
/// As [`take_out`].
pub async fn clear(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    part: Part,
) -> Result<(), ActionError> {
    change(cloud, caller, name, |namespace, _| {
        may_remove(namespace)?;
        let spec = &mut namespace.spec;
        match part {
            Part::Properties => spec.properties.clear(),
            Part::Objects => spec.objects.clear(),
            Part::ResourceTypes => spec.resource_types.clear(),
            Part::Tags => spec.tags.clear(),
        }
        Ok(())
    })
    .await
    .map(drop)
}

/// Puts something in, in the place of `old` where there is one.
fn put(
    namespace: &mut MetadataNamespace,
    old: Option<&str>,
    entry: Entry,
    now: Timestamp,
) -> Result<(), ActionError> {
    let (part, _) = entry.place();
    let spec = &mut namespace.spec;
    let stamp_of = |before: Option<Stamp>| Stamp {
        created_at: before.map_or(now, |stamp| stamp.created_at),
        updated_at: now,
    };
    let placed = match entry {
        Entry::Property(name, property) => place(&mut spec.properties, old, name, |_| property),
        Entry::Object(name, object) => place(&mut spec.objects, old, name, |before| {
            let stamp = stamp_of(before.map(|before| before.stamp));
            MetadataObject { stamp, ..object }
        }),
        Entry::ResourceType(name, about) => place(&mut spec.resource_types, old, name, |before| {
            let stamp = stamp_of(before.map(|before| before.stamp));
            Association { stamp, ..about }
        }),
        Entry::Tag(name) => place(&mut spec.tags, old, name, stamp_of),
    };
    placed.map_err(|unplaced| match unplaced {
        Unplaced::Missing(entry) => missing_in(part, &entry, &namespace.meta.name),
        Unplaced::Taken(entry) => ActionError::new(
            ErrorKind::AlreadyExists,
            format!(
                "A metadata definition {} with name={entry} already exists in namespace={}.",
                part.noun(),
                namespace.meta.name
            ),
        ),
    })
}

/// Why something could not be put among others.
enum Unplaced {
    /// There is nothing of this name to be replaced.
    Missing(String),
    /// There is something of this name.
    Taken(String),
}

/// Puts what `make` makes of its predecessor into a map.
fn place<T>(
    map: &mut BTreeMap<String, T>,
    old: Option<&str>,
    name: String,
    make: impl FnOnce(Option<T>) -> T,
) -> Result<(), Unplaced> {
    if old != Some(name.as_str()) && map.contains_key(&name) {
        return Err(Unplaced::Taken(name));
    }
    let before = match old {
        None => None,
        Some(old) => match map.remove(old) {
            None => return Err(Unplaced::Missing(old.to_owned())),
            before => before,
        },
    };
    map.insert(name, make(before));
    Ok(())
}

/// Changes a namespace, again where somebody else changed it meanwhile.
async fn change(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    act: impl Fn(&mut MetadataNamespace, Timestamp) -> Result<(), ActionError>,
) -> Result<Arc<MetadataNamespace>, ActionError> {
    loop {
        get(cloud, caller, name)?;
        caller.may(Action::ModifyMetadataNamespace, &Target::SYSTEM)?;
        let found = find(cloud, name).ok_or_else(|| missing(name))?;
        let mut namespace = MetadataNamespace::clone(&found.value);
        let now = cloud.now();
        act(&mut namespace, now)?;
        namespace.meta.generation += 1;
        namespace.meta.updated_at = Some(now);
        let (id, called) = (namespace.meta.id, namespace.meta.name.clone());
        let mut transaction = cloud.store.transaction();
        transaction.update(id, found.revision, namespace.clone());
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(Arc::new(namespace));
            }
            Err(store::CommitError::Conflict { .. } | store::CommitError::NotFound { .. }) => {}
            Err(error) => return Err(taken(error, &called)),
        }
    }
}

fn taken(error: store::CommitError, name: &str) -> ActionError {
    match error {
        store::CommitError::NameTaken { .. } => ActionError::new(
            ErrorKind::AlreadyExists,
            format!("The metadata definition namespace={name} already exists."),
        ),
        error => error.into(),
    }
}

fn missing(name: &str) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!("Metadata definition namespace={name} was not found."),
    )
}

/// That there is no such thing in a namespace.
#[must_use]
pub fn missing_in(part: Part, entry: &str, namespace: &str) -> ActionError {
    ActionError::new(
        ErrorKind::NotFound,
        format!(
            "The metadata definition {} with name={entry} was not found in namespace={namespace}.",
            part.noun()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace() -> MetadataNamespace {
        MetadataNamespace {
            meta: Meta::new("space", ProjectId::SYSTEM, Timestamp::UNIX_EPOCH),
            spec: MetadataNamespaceSpec::new(ProjectId::ADMIN),
        }
    }

    #[test]
    fn a_name_is_taken_once_and_kept_by_what_replaces_it() {
        let mut namespace = namespace();
        let tag = |name: &str| Entry::Tag(name.to_owned());
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(9).unwrap());
        put(&mut namespace, None, tag("a"), first).unwrap();
        put(&mut namespace, None, tag("b"), first).unwrap();
        let again = put(&mut namespace, None, tag("a"), first).unwrap_err();
        assert_eq!(again.kind, ErrorKind::AlreadyExists);
        put(&mut namespace, Some("a"), tag("a"), later).unwrap();
        let over = put(&mut namespace, Some("a"), tag("b"), later).unwrap_err();
        assert_eq!(over.kind, ErrorKind::AlreadyExists);
        put(&mut namespace, Some("a"), tag("c"), later).unwrap();
        let gone = put(&mut namespace, Some("a"), tag("d"), later).unwrap_err();
        assert_eq!(gone.kind, ErrorKind::NotFound);
        let names: Vec<_> = namespace.spec.tags.keys().collect();
        assert_eq!(names, ["b", "c"]);
        let stamp = namespace.spec.tags["c"];
        assert_eq!((stamp.created_at, stamp.updated_at), (first, later));
    }
}
