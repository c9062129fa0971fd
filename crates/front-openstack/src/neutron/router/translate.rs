//! Between a router and what clients read and write of it.

use actions::Caller;
use actions::router::{Interface, Leg, NewGateway, NewRouter, RouterChange, View};
use serde_json::{Value, json};

use super::routes::NOUN;
use crate::front::At;
use crate::neutron::answer::{Object, common, project, with};
use crate::neutron::error::ApiError;
use crate::neutron::fields::Fields;

/// A router as clients read it.
pub(super) fn shown(view: &View) -> Object {
    let spec = &view.router.spec;
    let addresses: Vec<Value> = view
        .gateway_addresses
        .iter()
        .map(|fixed| json!({ "subnet_id": fixed.subnet.to_string(), "ip_address": fixed.address }))
        .collect();
    let gateway = spec.gateway.map(|gateway| {
        json!({
            "network_id": gateway.network.to_string(),
            "enable_snat": gateway.snat,
            "external_fixed_ips": addresses,
        })
    });
    let routes: Vec<Value> = spec
        .routes
        .iter()
        .map(|route| {
            json!({ "destination": route.destination.to_string(), "nexthop": route.next_hop })
        })
        .collect();
    let failed = view
        .status
        .as_ref()
        .is_some_and(|status| status.error.is_some());
    with(
        common(&view.router.meta, &spec.description, &spec.tags),
        [
            ("admin_state_up", json!(spec.admin_up)),
            ("availability_zone_hints", json!([])),
            ("availability_zones", json!(["nova"])),
            ("distributed", json!(false)),
            ("external_gateway_info", json!(gateway)),
            ("flavor_id", Value::Null),
            ("ha", json!(false)),
            ("routes", json!(routes)),
            ("status", json!(if failed { "ERROR" } else { "ACTIVE" })),
        ],
    )
}

/// The way out: `None` where nothing is said, `Some(None)` where there is to be none.
fn gateway(fields: &mut Fields) -> Result<Option<Option<NewGateway>>, ApiError> {
    let value = match fields.take("external_gateway_info") {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(Value::Object(empty)) if empty.is_empty() => return Ok(Some(None)),
        Some(value) => value,
    };
    let mut fields = Fields::all(value, "external_gateway_info")?;
    let gateway = NewGateway {
        network: fields.required_id("network_id")?,
        snat: fields.switch("enable_snat")?,
        addresses: fields.addresses("external_fixed_ips")?.unwrap_or_default(),
    };
    fields.done().map(|()| Some(Some(gateway)))
}

fn check_rest(fields: &mut Fields) -> Result<(), ApiError> {
    fields.only("ha", &[json!(false), Value::Null])?;
    fields.only("distributed", &[json!(false), Value::Null])?;
    fields.only("availability_zone_hints", &[json!([]), json!(["nova"])])
}

/// The router to make, and who makes it.
pub(super) fn new(at: &At, body: Value) -> Result<(Caller, NewRouter), ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    let caller = fields.caller(at)?;
    check_rest(&mut fields)?;
    let new = NewRouter {
        name: fields.text("name")?.unwrap_or_default(),
        description: fields.text("description")?.unwrap_or_default(),
        admin_up: fields.switch("admin_state_up")?.unwrap_or(true),
        gateway: gateway(&mut fields)?.flatten(),
        tags: fields.tags()?.unwrap_or_default(),
    };
    fields.done()?;
    Ok((caller, new))
}

/// What to change of a router.
pub(super) fn change(body: Value) -> Result<RouterChange, ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    check_rest(&mut fields)?;
    let change = RouterChange {
        name: fields.text("name")?,
        description: fields.text("description")?,
        admin_up: fields.switch("admin_state_up")?,
        gateway: gateway(&mut fields)?,
        routes: fields.routes("routes")?,
        tags: None,
    };
    fields.done().map(|()| change)
}

/// The leg that a request is about.
pub(super) fn leg(body: Value) -> Result<Leg, ApiError> {
    let mut fields = Fields::all(body, "body")?;
    let leg = Leg {
        subnet: fields.id("subnet_id")?,
        port: fields.id("port_id")?,
    };
    fields.done().map(|()| leg)
}

/// A leg as clients read it.
pub(super) fn interface(interface: &Interface) -> Value {
    let project = project(interface.router.meta.project);
    let subnets: Vec<String> = interface.subnets.iter().map(ToString::to_string).collect();
    json!({
        "id": interface.router.meta.id.to_string(),
        "project_id": project,
        "tenant_id": project,
        "port_id": interface.port.to_string(),
        "network_id": interface.network.to_string(),
        "subnet_id": subnets.first(),
        "subnet_ids": subnets,
    })
}
