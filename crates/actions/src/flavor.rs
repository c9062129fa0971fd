//! Flavors: the sizes that instances are made in, who may use which, and what else is said of them.
//!
//! An operator makes them; everybody sees the public ones, and those that their project was let
//! into. Messages are Nova's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::flavor::{Flavor, FlavorSpec};
use model::{Id, Meta, ProjectId};
use ring::digest::{SHA256, digest};
use store::{CommitError, Transaction, Versioned};

use crate::error::invalid;
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, durable};

/// Characters of the longest name, identity, and extra spec.
const LONGEST: usize = 255;

/// What there is from the first start: identity, name, processors, MiB of memory, GiB of disk. Names
/// and numbers are those that DevStack makes, the smallest ones among them: a container needs little.
const DEFAULTS: [(&str, &str, u32, u32, u32); 6] = [
    ("42", "m1.nano", 1, 128, 1),
    ("84", "m1.micro", 1, 256, 1),
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
];

/// A flavor to make.
#[derive(Clone, Debug)]
pub struct NewFlavor {
    /// What users will call it by; `None` makes a UUID.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is to be.
    pub spec: FlavorSpec,
}

/// Which flavors an operator wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The public ones, and those of the caller's project.
    Usable,
    /// Those that are not public.
    Private,
    /// All of them.
    All,
}

/// Makes a flavor.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a name, identity or size that cannot be, [`ErrorKind::AlreadyExists`]
/// when the name or the identity is taken.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewFlavor,
) -> Result<Arc<Flavor>, ActionError> {
    caller.may(Action::CreateFlavor, &Target::SYSTEM)?;
    check(&new)?;
    let NewFlavor { id, name, spec } = new;
    let id = id.unwrap_or_else(|| Id::random().to_string());
    let flavor = record(cloud, id, name, spec);
    let mut transaction = cloud.store.transaction();
    transaction.insert(flavor.meta.id, flavor.clone());
    match cloud.store.commit(transaction).await {
        Ok(committed) => durable(committed.durable).await?,
        Err(error @ CommitError::NameTaken { .. }) => {
            return Err(exists("name", &flavor.meta.name).caused_by(error));
        }
        Err(error @ CommitError::Exists { .. }) => {
            return Err(exists("ID", &flavor.id).caused_by(error));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Arc::new(flavor))
}

/// Makes those that every installation has from its first start.
pub(crate) fn make_defaults(cloud: &Cloud, transaction: &mut Transaction) {
    for (id, name, vcpus, ram_mib, disk_gib) in DEFAULTS {
        let spec = FlavorSpec {
            vcpus,
            ram_mib,
            disk_gib,
            ephemeral_gib: 0,
            swap_mib: 0,
            rxtx_factor: 1.0,
            is_public: true,
            access: BTreeSet::new(),
            extra_specs: BTreeMap::new(),
            description: None,
            disabled: false,
        };
        let flavor = record(cloud, id.to_owned(), name.to_owned(), spec);
        transaction.insert(flavor.meta.id, flavor);
    }
}

fn record(cloud: &Cloud, id: String, name: String, spec: FlavorSpec) -> Flavor {
    let mut meta = Meta::new(name, ProjectId::SYSTEM, cloud.now());
    meta.id = key(&id);
    Flavor { meta, id, spec }
}

/// The identity of the record of the flavor that users call by `id`: the store holds it unique.
fn key(id: &str) -> Id {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(&SHA256, format!("flavor {id}").as_bytes()).as_ref()[..16]);
    Id::from_bytes(bytes)
}

/// One flavor, by what users call it.
///
/// # Errors
/// [`ErrorKind::NotFound`], also for one that is not for the caller.
pub fn get(cloud: &Cloud, caller: &Caller, id: &str) -> Result<Arc<Flavor>, ActionError> {
    find(cloud, caller, id).map(|found| found.value)
}

fn find(cloud: &Cloud, caller: &Caller, id: &str) -> Result<Versioned<Flavor>, ActionError> {
    cloud
        .store
        .get::<Flavor>(key(id))
        .filter(|found| caller.is_admin() || found.value.is_for(caller.project()))
        .ok_or_else(|| missing(format!("Flavor {id} could not be found.")))
}

/// The flavors that a caller may see, by identity; only an admin sees more than the usable ones, and
/// those that are disabled.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller, wanted: Visibility) -> Vec<Arc<Flavor>> {
    let is_admin = caller.is_admin();
    let is_wanted = |flavor: &Flavor| match wanted {
        _ if !is_admin => flavor.is_for(caller.project()) && !flavor.spec.disabled,
        Visibility::Usable => flavor.is_for(caller.project()),
        Visibility::Private => !flavor.spec.is_public,
        Visibility::All => true,
    };
    let all = cloud.store.list::<Flavor>().into_iter();
    let mut found: Vec<Arc<Flavor>> = all
        .map(|(_, found)| found.value)
        .filter(|flavor| is_wanted(flavor))
        .collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// Says something else about a flavor to people.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn describe(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    description: Option<String>,
) -> Result<Arc<Flavor>, ActionError> {
    caller.may(Action::UpdateFlavor, &Target::SYSTEM)?;
    change(cloud, caller, id, |flavor| {
        flavor.spec.description.clone_from(&description);
        Ok(())
    })
    .await
}

/// Deletes a flavor; what was made from it stays as it is.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn remove(cloud: &Cloud, caller: &Caller, id: &str) -> Result<(), ActionError> {
    caller.may(Action::DeleteFlavor, &Target::SYSTEM)?;
    let found = find(cloud, caller, id)?;
    let mut transaction = cloud.store.transaction();
    transaction.delete::<Flavor>(found.value.meta.id, None);
    cloud.commit_durably(transaction).await
}

/// The projects that are let into a flavor that is not public.
///
/// # Errors
/// [`ErrorKind::NotFound`], also for a public one.
pub fn access(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
) -> Result<BTreeSet<ProjectId>, ActionError> {
    caller.may(Action::ListFlavorAccess, &Target::SYSTEM)?;
    let flavor = get(cloud, caller, id)?;
    if flavor.spec.is_public {
        return Err(missing("Access list not available for public flavors."));
    }
    Ok(flavor.spec.access.clone())
}

/// Lets a project into a flavor, and answers who is.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the flavor, [`ErrorKind::Invalid`] without the project,
/// [`ErrorKind::Conflict`] where it is in already.
pub async fn let_in(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    project: Id,
) -> Result<BTreeSet<ProjectId>, ActionError> {
    caller.may(Action::AddFlavorAccess, &Target::SYSTEM)?;
    if cloud
        .store
        .get::<model::project::Project>(project)
        .is_none()
    {
        return Err(invalid(format!(
            "Project ID {} is not a valid project.",
            project.simple()
        )));
    }
    let changed = change(cloud, caller, id, |flavor| {
        if flavor.spec.access.insert(ProjectId(project)) {
            return Ok(());
        }
        Err(ActionError::new(
            ErrorKind::Conflict,
            format!(
                "Flavor access already exists for flavor {id} and project {} combination.",
                project.simple()
            ),
        ))
    });
    Ok(changed.await?.spec.access.clone())
}

/// Takes a project out of a flavor, and answers who is still in. The project need not exist.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the flavor, or where the project is not in.
pub async fn shut_out(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    project: Id,
) -> Result<BTreeSet<ProjectId>, ActionError> {
    caller.may(Action::RemoveFlavorAccess, &Target::SYSTEM)?;
    let changed = change(cloud, caller, id, |flavor| {
        if flavor.spec.access.remove(&ProjectId(project)) {
            return Ok(());
        }
        Err(missing(format!(
            "Flavor access not found for {id} / {} combination.",
            project.simple()
        )))
    });
    Ok(changed.await?.spec.access.clone())
}

/// Sets extra specs; those that are not named stay.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Invalid`] for a key or value that cannot be.
pub async fn set_extra_specs(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    specs: BTreeMap<String, String>,
) -> Result<Arc<Flavor>, ActionError> {
    caller.may(Action::CreateExtraSpecs, &Target::SYSTEM)?;
    check_extra_specs(&specs)?;
    change(cloud, caller, id, |flavor| {
        flavor.spec.extra_specs.extend(specs.clone());
        Ok(())
    })
    .await
}

/// Sets one extra spec.
///
/// # Errors
/// As [`set_extra_specs`].
pub async fn set_extra_spec(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    key: String,
    value: String,
) -> Result<Arc<Flavor>, ActionError> {
    caller.may(Action::UpdateExtraSpec, &Target::SYSTEM)?;
    let specs = BTreeMap::from([(key, value)]);
    check_extra_specs(&specs)?;
    change(cloud, caller, id, |flavor| {
        flavor.spec.extra_specs.extend(specs.clone());
        Ok(())
    })
    .await
}

/// Takes one extra spec away.
///
/// # Errors
/// [`ErrorKind::NotFound`], also for the key.
pub async fn unset_extra_spec(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    key: &str,
) -> Result<(), ActionError> {
    caller.may(Action::DeleteExtraSpec, &Target::SYSTEM)?;
    let changed = change(cloud, caller, id, |flavor| {
        let gone = flavor.spec.extra_specs.remove(key);
        gone.map(|_| ())
            .ok_or_else(|| missing(format!("Flavor {id} has no extra specs with key {key}.")))
    });
    changed.await.map(|_| ())
}

/// Changes a flavor; again where somebody else changed it meanwhile.
async fn change(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    change: impl Fn(&mut Flavor) -> Result<(), ActionError>,
) -> Result<Arc<Flavor>, ActionError> {
    loop {
        let found = find(cloud, caller, id)?;
        let mut flavor = Flavor::clone(&found.value);
        change(&mut flavor)?;
        flavor.meta.generation += 1;
        flavor.meta.updated_at = Some(cloud.now());
        let mut transaction = cloud.store.transaction();
        transaction.update(flavor.meta.id, found.revision, flavor.clone());
        match cloud.commit_durably(transaction).await {
            Ok(()) => return Ok(Arc::new(flavor)),
            Err(error) if error.kind == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

fn check(new: &NewFlavor) -> Result<(), ActionError> {
    let wrong = |field: &str, value: &dyn std::fmt::Debug, reason: &str| {
        Err(invalid(format!(
            "Invalid input for field/attribute {field}. Value: {value:?}. {reason}"
        )))
    };
    let NewFlavor { id, name, spec } = new;
    if name.trim().is_empty() || name.trim() != name || name.chars().count() > LONGEST {
        return wrong(
            "name",
            name,
            "It must have 1 to 255 characters, and no blank at either end.",
        );
    }
    if let Some(id) = id.as_ref().filter(|id| !is_identity(id)) {
        return wrong(
            "id",
            id,
            "It must have 1 to 255 letters, digits, dots, dashes, underscores or inner blanks.",
        );
    }
    for (field, value) in [("vcpus", spec.vcpus), ("ram", spec.ram_mib)] {
        if value == 0 {
            return wrong(field, &value, "0 is less than the minimum of 1");
        }
    }
    if !(spec.rxtx_factor > 0.0 && spec.rxtx_factor <= f64::from(f32::MAX)) {
        return wrong("rxtx_factor", &spec.rxtx_factor, "It must be above 0.");
    }
    check_extra_specs(&spec.extra_specs)
}

fn is_identity(id: &str) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.trim() == id && id.chars().all(is_plain)
}

/// Refuses keys and values that cannot be.
fn check_extra_specs(specs: &BTreeMap<String, String>) -> Result<(), ActionError> {
    for (key, value) in specs {
        let is_key = |letter: char| is_plain(letter) || letter == ':';
        if !(1..=LONGEST).contains(&key.len()) || !key.chars().all(is_key) {
            return Err(invalid(format!(
                "Invalid input for field/attribute extra_specs. Value: {key:?}. A key must have 1 \
                 to 255 letters, digits, dots, dashes, underscores, colons or blanks."
            )));
        }
        if value.chars().count() > LONGEST {
            return Err(invalid(format!(
                "Invalid input for field/attribute {key}. Value: {value}. {value:?} is too long"
            )));
        }
    }
    Ok(())
}

const fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ' ')
}

fn exists(by: &str, value: &str) -> ActionError {
    ActionError::new(
        ErrorKind::AlreadyExists,
        format!("Flavor with {by} {value} already exists."),
    )
}

fn missing(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::NotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identity_is_one_record() {
        assert_eq!(key("1"), key("1"));
        assert_ne!(key("1"), key("2"));
    }

    #[test]
    fn identities_have_no_blank_at_their_ends() {
        for (id, is_one) in [
            ("1", true),
            ("m1.tiny", true),
            ("two words", true),
            ("", false),
            (" 1", false),
            ("a/b", false),
        ] {
            assert_eq!(is_identity(id), is_one, "{id:?}");
        }
    }
}
