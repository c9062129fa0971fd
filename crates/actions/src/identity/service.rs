//! Services, endpoints and regions: what the catalogue is made of.

use std::sync::Arc;

use model::endpoint::{Endpoint, EndpointSpec, Interface};
use model::region::{Region, RegionSpec};
use model::service::{Service, ServiceSpec};
use model::{Id, Meta, ProjectId};
use serde_json::{Map, Value};

use super::record::{invalid, not_found, refused};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud};

/// What is to be of a service; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ServiceChanges {
    /// What it is called.
    pub name: Option<String>,
    /// What it is.
    pub kind: Option<String>,
    /// The description.
    pub description: Option<Option<String>>,
    /// Whether it is in the catalogue.
    pub enabled: Option<bool>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// What is to be of an endpoint; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct EndpointChanges {
    /// The service that answers there.
    pub service: Option<Id>,
    /// The name of the region.
    pub region: Option<Option<String>>,
    /// Whom it is for.
    pub interface: Option<Interface>,
    /// The address.
    pub url: Option<String>,
    /// What it is called.
    pub name: Option<String>,
    /// Whether it is in the catalogue.
    pub enabled: Option<bool>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// What is to be of a region; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct RegionChanges {
    /// The name of the region that it is a part of.
    pub parent: Option<Option<String>>,
    /// The description.
    pub description: Option<String>,
    /// Further fields; `null` takes one away.
    pub extra: Map<String, Value>,
}

/// Metadata of what is known by its identity only.
fn nameless(cloud: &Cloud) -> Meta {
    let mut meta = Meta::new("", ProjectId::SYSTEM, cloud.now());
    meta.name = meta.id.simple();
    meta
}

fn required(field: &str) -> ActionError {
    invalid(format!("'{field}' is a required property"))
}

/// Makes a service.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] without a kind.
pub async fn create_service(
    cloud: &Cloud,
    caller: &Caller,
    changes: ServiceChanges,
) -> Result<Arc<Service>, ActionError> {
    caller.may(Action::CreateService, &Target::SYSTEM)?;
    let spec = ServiceSpec {
        name: changes.name,
        kind: changes.kind.ok_or_else(|| required("type"))?,
        description: changes.description.flatten(),
        enabled: changes.enabled.unwrap_or(true),
        extra: changes.extra,
    };
    let meta = nameless(cloud);
    cloud.make(Service { meta, spec }).await
}

/// The services that fit, the oldest first.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list_services(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&Service) -> bool,
) -> Result<Vec<Arc<Service>>, ActionError> {
    caller.may(Action::ListServices, &Target::SYSTEM)?;
    let mut found = cloud.all(fits);
    found.sort_by_key(|service| service.meta.created_at);
    Ok(found)
}

/// One service.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get_service(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Service>, ActionError> {
    caller.may(Action::GetService, &Target::SYSTEM)?;
    Ok(cloud.find::<Service>(id)?.value)
}

/// Changes a service.
///
/// # Errors
/// As [`get_service`].
pub async fn update_service(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: ServiceChanges,
) -> Result<Arc<Service>, ActionError> {
    caller.may(Action::UpdateService, &Target::SYSTEM)?;
    cloud
        .change::<Service>(id, |service| {
            let spec = &mut service.spec;
            if let Some(name) = &changes.name {
                spec.name = Some(name.clone());
            }
            if let Some(kind) = &changes.kind {
                spec.kind.clone_from(kind);
            }
            if let Some(description) = &changes.description {
                spec.description.clone_from(description);
            }
            spec.enabled = changes.enabled.unwrap_or(spec.enabled);
            super::merge(&mut spec.extra, &changes.extra);
            Ok(())
        })
        .await
}

/// Deletes a service with its endpoints.
///
/// # Errors
/// As [`get_service`].
pub async fn delete_service(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteService, &Target::SYSTEM)?;
    cloud.find::<Service>(id)?;
    let mut transaction = cloud.store.transaction();
    for endpoint in cloud.all::<Endpoint>(|endpoint| endpoint.spec.service == id) {
        transaction.delete::<Endpoint>(endpoint.meta.id, None);
    }
    transaction.delete::<Service>(id, None);
    cloud.commit_durably(transaction).await
}

/// Refuses an endpoint of what is not there.
fn check_ends(cloud: &Cloud, changes: &EndpointChanges) -> Result<(), ActionError> {
    if let Some(service) = changes.service
        && cloud.store.get::<Service>(service).is_none()
    {
        return Err(invalid(format!(
            "Could not find service: {}.",
            service.simple()
        )));
    }
    if let Some(Some(region)) = &changes.region
        && region_of(cloud, region).is_none()
    {
        return Err(invalid(format!("Could not find region: {region}.")));
    }
    if let Some(url) = &changes.url
        && !is_address(url)
    {
        return Err(invalid(format!(
            "Cannot create an endpoint with an invalid URL: {url}."
        )));
    }
    Ok(())
}

/// Whether every place in a template is one that is filled in.
fn is_address(url: &str) -> bool {
    let plain = ["project_id", "tenant_id", "user_id"]
        .iter()
        .fold(url.to_owned(), |text, word| {
            text.replace(&format!("$({word})s"), "")
                .replace(&format!("%({word})s"), "")
        });
    !plain.contains("$(") && !plain.contains("%(") && !url.is_empty()
}

/// Makes an endpoint.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when something is missing or not there.
pub async fn create_endpoint(
    cloud: &Cloud,
    caller: &Caller,
    changes: EndpointChanges,
) -> Result<Arc<Endpoint>, ActionError> {
    caller.may(Action::CreateEndpoint, &Target::SYSTEM)?;
    check_ends(cloud, &changes)?;
    let spec = EndpointSpec {
        service: changes.service.ok_or_else(|| required("service_id"))?,
        region: changes.region.flatten(),
        interface: changes.interface.ok_or_else(|| required("interface"))?,
        url: changes.url.ok_or_else(|| required("url"))?,
        name: changes.name,
        enabled: changes.enabled.unwrap_or(true),
        extra: changes.extra,
    };
    let meta = nameless(cloud);
    cloud.make(Endpoint { meta, spec }).await
}

/// The endpoints that fit, the oldest first.
///
/// # Errors
/// [`crate::ErrorKind::Forbidden`].
pub fn list_endpoints(
    cloud: &Cloud,
    caller: &Caller,
    fits: impl Fn(&Endpoint) -> bool,
) -> Result<Vec<Arc<Endpoint>>, ActionError> {
    caller.may(Action::ListEndpoints, &Target::SYSTEM)?;
    let mut found = cloud.all(fits);
    found.sort_by_key(|endpoint| endpoint.meta.created_at);
    Ok(found)
}

/// One endpoint.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Forbidden`].
pub fn get_endpoint(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Endpoint>, ActionError> {
    caller.may(Action::GetEndpoint, &Target::SYSTEM)?;
    Ok(cloud.find::<Endpoint>(id)?.value)
}

/// Changes an endpoint.
///
/// # Errors
/// As [`get_endpoint`] and [`create_endpoint`].
pub async fn update_endpoint(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    changes: EndpointChanges,
) -> Result<Arc<Endpoint>, ActionError> {
    caller.may(Action::UpdateEndpoint, &Target::SYSTEM)?;
    cloud.find::<Endpoint>(id)?;
    check_ends(cloud, &changes)?;
    cloud
        .change::<Endpoint>(id, |endpoint| {
            let spec = &mut endpoint.spec;
            spec.service = changes.service.unwrap_or(spec.service);
            if let Some(region) = &changes.region {
                spec.region.clone_from(region);
            }
            spec.interface = changes.interface.unwrap_or(spec.interface);
            if let Some(url) = &changes.url {
                spec.url.clone_from(url);
            }
            if let Some(name) = &changes.name {
                spec.name = Some(name.clone());
            }
            spec.enabled = changes.enabled.unwrap_or(spec.enabled);
            super::merge(&mut spec.extra, &changes.extra);
            Ok(())
        })
        .await
}

/// Deletes an endpoint.
///
/// # Errors
/// As [`get_endpoint`].
pub async fn delete_endpoint(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(Action::DeleteEndpoint, &Target::SYSTEM)?;
    cloud.find::<Endpoint>(id)?;
    cloud.unmake::<Endpoint>(id).await
}

fn region_of(cloud: &Cloud, name: &str) -> Option<Arc<Region>> {
    cloud
        .store
        .by_name::<Region>(ProjectId::SYSTEM, name)
        .map(|found| found.value)
}

fn region(cloud: &Cloud, name: &str) -> Result<Arc<Region>, ActionError> {
    region_of(cloud, name).ok_or_else(|| not_found("region", name))
}

/// Makes a region; without a name it gets one.
///
/// # Errors
/// [`crate::ErrorKind::AlreadyExists`] when the name is taken, [`crate::ErrorKind::NotFound`] without
/// the region that it is to be a part of.
pub async fn create_region(
    cloud: &Cloud,
    caller: &Caller,
    name: Option<String>,
    changes: RegionChanges,
) -> Result<Arc<Region>, ActionError> {
    caller.may(Action::CreateRegion, &Target::SYSTEM)?;
    let parent = changes.parent.flatten();
    if let Some(parent) = &parent {
        region(cloud, parent)?;
    }
    let name = name.unwrap_or_else(|| Id::random().simple());
    let meta = Meta::new(name, ProjectId::SYSTEM, cloud.now());
    let spec = RegionSpec {
        parent,
        description: changes.description.unwrap_or_default(),
        extra: changes.extra,
    };
    cloud.make(Region { meta, spec }).await
}

/// The regions that fit, by name. Everybody may see them.
#[must_use]
pub fn list_regions(cloud: &Cloud, fits: impl Fn(&Region) -> bool) -> Vec<Arc<Region>> {
    let mut found = cloud.all(fits);
    found.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    found
}

/// One region. Everybody may see it.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub fn get_region(cloud: &Cloud, name: &str) -> Result<Arc<Region>, ActionError> {
    region(cloud, name)
}

/// Changes a region.
///
/// # Errors
/// As [`create_region`], and [`crate::ErrorKind::Invalid`] where it would be a part of itself.
pub async fn update_region(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
    changes: RegionChanges,
) -> Result<Arc<Region>, ActionError> {
    caller.may(Action::UpdateRegion, &Target::SYSTEM)?;
    let id = region(cloud, name)?.meta.id;
    if let Some(Some(parent)) = &changes.parent {
        let mut above = Some(region(cloud, parent)?);
        while let Some(one) = above {
            if one.meta.id == id {
                return Err(invalid(format!(
                    "The specified parent region {parent} would create a circular region hierarchy."
                )));
            }
            above = one
                .spec
                .parent
                .as_deref()
                .and_then(|parent| region_of(cloud, parent));
        }
    }
    cloud
        .change::<Region>(id, |region| {
            if let Some(parent) = &changes.parent {
                region.spec.parent.clone_from(parent);
            }
            if let Some(description) = &changes.description {
                region.spec.description.clone_from(description);
            }
            super::merge(&mut region.spec.extra, &changes.extra);
            Ok(())
        })
        .await
}

/// Deletes a region with those that are parts of it.
///
/// # Errors
/// As [`get_region`], and [`crate::ErrorKind::Forbidden`] for one that has endpoints.
pub async fn delete_region(cloud: &Cloud, caller: &Caller, name: &str) -> Result<(), ActionError> {
    caller.may(Action::DeleteRegion, &Target::SYSTEM)?;
    let mut doomed = vec![region(cloud, name)?];
    let mut next = 0;
    while let Some(one) = doomed.get(next).cloned() {
        next += 1;
        let parts =
            cloud.all::<Region>(|region| region.spec.parent.as_ref() == Some(&one.meta.name));
        doomed.extend(parts);
    }
    let is_used = |endpoint: &Endpoint| {
        doomed
            .iter()
            .any(|region| endpoint.spec.region.as_ref() == Some(&region.meta.name))
    };
    if !cloud.all::<Endpoint>(is_used).is_empty() {
        return Err(refused(format!(
            "Unable to delete region {name} because it or its child regions have associated endpoints."
        )));
    }
    let mut transaction = cloud.store.transaction();
    for region in doomed {
        transaction.delete::<Region>(region.meta.id, None);
    }
    cloud.commit_durably(transaction).await
}
