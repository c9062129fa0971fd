//! Between a floating address and what clients read and write of it.

use actions::Caller;
use actions::floating::{FloatingChange, NewFloating, NewTarget, View};
use serde_json::{Value, json};

use super::routes::NOUN;
use crate::front::At;
use crate::neutron::answer::{Object, common, with};
use crate::neutron::error::ApiError;
use crate::neutron::fields::{Fields, missing, wrong};

/// A floating address as clients read it.
pub(super) fn shown(view: &View) -> Object {
    let spec = &view.floating.spec;
    let target = spec.target.as_ref();
    let mut object = with(
        common(&view.floating.meta, &spec.description, &spec.tags),
        [
            ("fixed_ip_address", json!(target.map(|to| to.address))),
            ("floating_ip_address", json!(view.address)),
            ("floating_network_id", json!(spec.network.to_string())),
            ("port_id", json!(target.map(|to| to.port.to_string()))),
            ("router_id", json!(target.map(|to| to.router.to_string()))),
            ("status", json!(if view.active { "ACTIVE" } else { "DOWN" })),
        ],
    );
    object.remove("name");
    object
}

/// Where it is to lead: `None` where nothing is said, `Some(None)` nowhere.
fn target(fields: &mut Fields) -> Result<Option<Option<NewTarget>>, ApiError> {
    let address = fields.parsed("fixed_ip_address", "a valid IP address")?;
    match fields.take("port_id") {
        None if address.is_some() => Err(missing("port_id")),
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => {
            let port = value.as_str().and_then(|text| text.parse().ok());
            let port = port.ok_or_else(|| wrong("port_id", &value, "a valid UUID"))?;
            Ok(Some(Some(NewTarget { port, address })))
        }
    }
}

/// The floating address to take, and who takes it.
pub(super) fn new(at: &At, body: Value) -> Result<(Caller, NewFloating), ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    let caller = fields.caller(at)?;
    let new = NewFloating {
        network: fields.required_id("floating_network_id")?,
        subnet: fields.id("subnet_id")?,
        address: fields.parsed("floating_ip_address", "a valid IP address")?,
        target: target(&mut fields)?.flatten(),
        description: fields.text("description")?.unwrap_or_default(),
        tags: fields.tags()?.unwrap_or_default(),
    };
    fields.done()?;
    Ok((caller, new))
}

/// What to change of a floating address.
pub(super) fn change(body: Value) -> Result<FloatingChange, ApiError> {
    let mut fields = Fields::of(body, NOUN.one)?;
    let change = FloatingChange {
        target: target(&mut fields)?,
        description: fields.text("description")?,
        tags: None,
    };
    fields.done().map(|()| change)
}
