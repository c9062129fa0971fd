//! Between services, endpoints, regions and what clients read and write of them.

use actions::identity::service::{EndpointChanges, RegionChanges, ServiceChanges};
use model::endpoint::{Endpoint, Interface};
use model::region::Region;
use model::service::Service;
use serde_json::{Value, json};

use crate::front::At;
use crate::id;
use crate::keystone::answer::linked;
use crate::keystone::error::ApiError;
use crate::keystone::fields::Fields;

/// A service as clients read it.
pub(super) fn service(at: &At, service: &Service) -> Value {
    let own = id::show(service.meta.id);
    let spec = &service.spec;
    let mut shown = spec.extra.clone();
    if let Some(name) = &spec.name {
        shown.insert("name".to_owned(), json!(name));
    }
    if let Some(description) = &spec.description {
        shown.insert("description".to_owned(), json!(description));
    }
    shown.insert("enabled".to_owned(), json!(spec.enabled));
    shown.insert("id".to_owned(), json!(own));
    shown.insert("type".to_owned(), json!(spec.kind));
    linked(at, "services", &own, shown)
}

/// What is to be of a service.
pub(super) fn service_changes(mut fields: Fields) -> Result<ServiceChanges, ApiError> {
    Ok(ServiceChanges {
        name: fields.text("name")?,
        kind: fields.word("type")?,
        description: fields.nullable("description")?,
        enabled: fields.switch("enabled")?,
        extra: fields.rest(),
    })
}

/// An endpoint as clients read it.
pub(super) fn endpoint(at: &At, endpoint: &Endpoint) -> Value {
    let own = id::show(endpoint.meta.id);
    let spec = &endpoint.spec;
    let mut shown = spec.extra.clone();
    if let Some(name) = &spec.name {
        shown.insert("name".to_owned(), json!(name));
    }
    for (name, value) in [
        ("enabled", json!(spec.enabled)),
        ("id", json!(own)),
        ("interface", json!(spec.interface.as_str())),
        ("region", json!(spec.region)),
        ("region_id", json!(spec.region)),
        ("service_id", json!(id::show(spec.service))),
        ("url", json!(spec.url)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    linked(at, "endpoints", &own, shown)
}

/// What is to be of an endpoint. `region` is what `region_id` was called once.
pub(super) fn endpoint_changes(mut fields: Fields) -> Result<EndpointChanges, ApiError> {
    let interface = fields.text("interface")?;
    let older = fields.nullable("region")?;
    Ok(EndpointChanges {
        service: fields.id("service_id", "service")?.flatten(),
        region: fields.nullable("region_id")?.or(older),
        interface: interface.map(|text| self::interface(&text)).transpose()?,
        url: fields.text("url")?,
        name: fields.text("name")?,
        enabled: fields.switch("enabled")?,
        extra: fields.rest(),
    })
}

/// Whom an endpoint is for.
pub(super) fn interface(text: &str) -> Result<Interface, ApiError> {
    match text {
        "admin" => Ok(Interface::Admin),
        "internal" => Ok(Interface::Internal),
        "public" => Ok(Interface::Public),
        _ => Err(ApiError::invalid(format!(
            "Invalid input for field 'interface': '{text}' is not one of ['admin', 'internal', 'public']"
        ))),
    }
}

/// A region as clients read it.
pub(super) fn region(at: &At, region: &Region) -> Value {
    let mut shown = region.spec.extra.clone();
    shown.insert("description".to_owned(), json!(region.spec.description));
    shown.insert("id".to_owned(), json!(region.meta.name));
    shown.insert("parent_region_id".to_owned(), json!(region.spec.parent));
    linked(at, "regions", &region.meta.name, shown)
}

/// What is to be of a region.
pub(super) fn region_changes(mut fields: Fields) -> Result<RegionChanges, ApiError> {
    Ok(RegionChanges {
        parent: fields.nullable("parent_region_id")?,
        description: fields
            .nullable("description")?
            .map(Option::unwrap_or_default),
        extra: fields.rest(),
    })
}
