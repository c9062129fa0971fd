//! Between a flavor and what clients read and write of it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actions::flavor::{NewFlavor, Visibility};
use axum::Json;
use axum::response::{IntoResponse, Response};
use model::flavor::{Flavor, FlavorSpec};
use model::{Id, ProjectId};
use serde_json::{Map, Value, json};

use crate::front::At;
use crate::id;
use crate::nova::error::ApiError;
use crate::nova::fields::{Fields, not_of, wrong};
use crate::nova::list;

/// The largest number of anything.
const MOST: u32 = 0x7FFF_FFFF;
/// Characters of the longest description.
const LONGEST: usize = 65_535;

/// A flavor in few words.
pub(super) fn brief(at: &At, flavor: &Flavor) -> Value {
    let mut shown = json!({
        "id": flavor.id,
        "name": flavor.meta.name,
        "links": list::links(at, "flavors", &flavor.id),
    });
    if at.minor >= 55 {
        shown["description"] = json!(flavor.spec.description);
    }
    shown
}

/// A flavor as clients read it.
pub(super) fn shown(at: &At, flavor: &Flavor) -> Value {
    let spec = &flavor.spec;
    let swap = match spec.swap_mib {
        0 if at.minor < 75 => json!(""),
        swap => json!(swap),
    };
    let mut shown = brief(at, flavor);
    shown["ram"] = json!(spec.ram_mib);
    shown["disk"] = json!(spec.disk_gib);
    shown["vcpus"] = json!(spec.vcpus);
    shown["swap"] = swap;
    shown["rxtx_factor"] = json!(spec.rxtx_factor);
    shown["OS-FLV-EXT-DATA:ephemeral"] = json!(spec.ephemeral_gib);
    shown["OS-FLV-DISABLED:disabled"] = json!(spec.disabled);
    shown["os-flavor-access:is_public"] = json!(spec.is_public);
    if at.minor >= 61 {
        shown["extra_specs"] = json!(spec.extra_specs);
    }
    shown
}

/// A list of flavors.
pub(super) fn many(flavors: Vec<Value>, next: Option<Value>) -> Response {
    let mut body = json!({ "flavors": flavors });
    if let Some(next) = next {
        body["flavors_links"] = next;
    }
    Json(body).into_response()
}

/// The flavor to make.
pub(super) fn new(at: &At, body: Value) -> Result<NewFlavor, ApiError> {
    let mut fields = Fields::of(body, "flavor")?;
    let name = fields.name("name")?;
    let name = fields.required("name", name)?;
    let id = match fields.take("id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id),
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(other) => return Err(not_of("id", &other, &["string", "number", "null"])),
    };
    let ram_mib = fields.integer("ram", 1..=MOST)?;
    let vcpus = fields.integer("vcpus", 1..=MOST)?;
    let disk_gib = fields.integer("disk", 0..=MOST)?;
    let description = match at.minor {
        55.. => fields.text_or_null("description", 0..=LONGEST)?.flatten(),
        _ => None,
    };
    let spec = FlavorSpec {
        ram_mib: fields.required("ram", ram_mib)?,
        vcpus: fields.required("vcpus", vcpus)?,
        disk_gib: fields.required("disk", disk_gib)?,
        ephemeral_gib: fields
            .integer("OS-FLV-EXT-DATA:ephemeral", 0..=MOST)?
            .unwrap_or(0),
        swap_mib: fields.integer("swap", 0..=MOST)?.unwrap_or(0),
        rxtx_factor: rxtx_factor(&mut fields)?,
        is_public: fields.switch("os-flavor-access:is_public")?.unwrap_or(true),
        access: BTreeSet::new(),
        extra_specs: BTreeMap::new(),
        description,
        disabled: false,
    };
    fields.done()?;
    Ok(NewFlavor { id, name, spec })
}

/// A number above 0, as such or as a text.
fn rxtx_factor(fields: &mut Fields) -> Result<f64, ApiError> {
    let name = "rxtx_factor";
    let Some(value) = fields.take(name) else {
        return Ok(1.0);
    };
    let number = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| not_of(name, &value, &["number", "string"]))?;
    if number > 0.0 && number <= f64::from(f32::MAX) {
        return Ok(number);
    }
    Err(wrong(
        name,
        &value,
        "It must be above 0 and at most 3.40282e+38",
    ))
}

/// What to say of a flavor.
pub(super) fn description(body: Value) -> Result<Option<String>, ApiError> {
    let mut fields = Fields::of(body, "flavor")?;
    let description = fields.text_or_null("description", 0..=LONGEST)?;
    let description = fields.required("description", description)?;
    fields.done().map(|()| description)
}

/// Which flavors `is_public` means.
pub(super) fn visibility(text: &str) -> Result<Visibility, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Ok(Visibility::All),
        "1" | "t" | "true" | "on" | "y" | "yes" => Ok(Visibility::Usable),
        "0" | "f" | "false" | "off" | "n" | "no" => Ok(Visibility::Private),
        _ => Err(ApiError::invalid(format!(
            "Invalid is_public filter [{text}]"
        ))),
    }
}

/// The least that a parameter asks for.
pub(super) fn least(at: &At, name: &str) -> Result<Option<i64>, ApiError> {
    let parse = |text: &str| {
        let parsed = text.parse().map(Some);
        parsed.map_err(|_| ApiError::invalid(format!("Invalid {name} filter [{text}]")))
    };
    at.query.get(name).map_or(Ok(None), parse)
}

/// Puts flavors into the order that a client wants.
pub(super) fn sort(at: &At, flavors: &mut [Arc<Flavor>]) -> Result<(), ApiError> {
    let key = at.query.get("sort_key").unwrap_or("flavorid");
    let by: fn(&Flavor, &Flavor) -> Ordering = match key {
        "flavorid" | "id" => |a, b| a.id.cmp(&b.id),
        "name" => |a, b| a.meta.name.cmp(&b.meta.name),
        "memory_mb" => |a, b| a.spec.ram_mib.cmp(&b.spec.ram_mib),
        "root_gb" => |a, b| a.spec.disk_gib.cmp(&b.spec.disk_gib),
        "vcpus" | "vcpu_weight" => |a, b| a.spec.vcpus.cmp(&b.spec.vcpus),
        "ephemeral_gb" => |a, b| a.spec.ephemeral_gib.cmp(&b.spec.ephemeral_gib),
        "swap" => |a, b| a.spec.swap_mib.cmp(&b.spec.swap_mib),
        "rxtx_factor" => |a, b| a.spec.rxtx_factor.total_cmp(&b.spec.rxtx_factor),
        "is_public" => |a, b| a.spec.is_public.cmp(&b.spec.is_public),
        "disabled" => |a, b| a.spec.disabled.cmp(&b.spec.disabled),
        "description" => |a, b| a.spec.description.cmp(&b.spec.description),
        "created_at" => |a, b| a.meta.created_at.cmp(&b.meta.created_at),
        "updated_at" => |a, b| a.meta.updated_at.cmp(&b.meta.updated_at),
        other => {
            return Err(ApiError::invalid(format!(
                "Invalid input for query parameters sort_key. Value: {other}. '{other}' is not one \
                 of the keys of a flavor"
            )));
        }
    };
    match at.query.get("sort_dir") {
        None | Some("asc") => flavors.sort_by(|a, b| by(a, b)),
        Some("desc") => flavors.sort_by(|a, b| by(b, a)),
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "Invalid input for query parameters sort_dir. Value: {other}. '{other}' is not one \
                 of ['asc', 'desc']"
            )));
        }
    }
    Ok(())
}

/// Who may use a flavor that is not public.
pub(super) fn access(flavor: &str, projects: &BTreeSet<ProjectId>) -> Response {
    let shown: Vec<Value> = projects
        .iter()
        .map(|project| json!({ "flavor_id": flavor, "tenant_id": id::show(project.0) }))
        .collect();
    Json(json!({ "flavor_access": shown })).into_response()
}

/// Whom to let in, or to shut out.
pub(super) enum AccessChange {
    Add(Id),
    Remove(Id),
}

/// What an action on a flavor is.
pub(super) fn access_change(body: Value) -> Result<AccessChange, ApiError> {
    let mut fields = Fields::document(body)?;
    let (action, change): (_, fn(Id) -> AccessChange) =
        if fields.names().any(|name| name == "addTenantAccess") {
            ("addTenantAccess", AccessChange::Add)
        } else if fields.names().any(|name| name == "removeTenantAccess") {
            ("removeTenantAccess", AccessChange::Remove)
        } else {
            let names: Vec<&str> = fields.names().collect();
            return Err(ApiError::invalid(format!(
                "There is no such action: {}",
                names.join(", ")
            )));
        };
    let mut inner = fields.required_object(action)?;
    fields.done()?;
    let tenant = inner.text("tenant", 1..=255)?;
    let tenant = inner.required("tenant", tenant)?;
    inner.done()?;
    let project = id::parse(&tenant)
        .ok_or_else(|| ApiError::invalid(format!("Project ID {tenant} is not a valid project.")))?;
    Ok(change(project))
}

/// The extra specs to set.
pub(super) fn extra_specs(body: Value) -> Result<BTreeMap<String, String>, ApiError> {
    let mut fields = Fields::document(body)?;
    let specs = fields.take("extra_specs");
    let specs = fields.required("extra_specs", specs)?;
    fields.done()?;
    let Value::Object(specs) = specs else {
        return Err(not_of("extra_specs", &specs, &["object"]));
    };
    each_text(specs)
}

/// The one extra spec to set, which the path names.
pub(super) fn extra_spec(key: &str, body: Value) -> Result<String, ApiError> {
    let Value::Object(fields) = body else {
        return Err(not_of("body", &body, &["object"]));
    };
    let mut specs = each_text(fields)?;
    match (specs.remove(key), specs.is_empty()) {
        (Some(value), true) => Ok(value),
        (None, _) => Err(ApiError::invalid("Request body and URI mismatch")),
        (Some(_), false) => Err(ApiError::invalid("Request body contains too many items")),
    }
}

/// Texts by name; numbers are texts too.
fn each_text(fields: Map<String, Value>) -> Result<BTreeMap<String, String>, ApiError> {
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(number) => Ok((name, number.to_string())),
        other => Err(not_of(&name, &other, &["string", "number"])),
    };
    fields.into_iter().map(text).collect()
}
