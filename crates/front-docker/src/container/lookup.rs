//! Finding a container by what a client calls it: identifier, name, or the beginning of an
//! identifier, in this order.

use actions::instance::{self, View};
use actions::{ActionError, ErrorKind};
use model::Id;
use model::instance::{NamespaceMode, NetworkMode};

use crate::error::ApiError;
use crate::front::At;
use crate::id::{Parsed, docker_id, parse};

/// The container of this name or identifier.
pub(crate) fn find(at: &At, term: &str) -> Result<View, ApiError> {
    if term.is_empty() {
        return Err(ApiError::invalid(format!(
            "invalid name or ID supplied: {term:?}"
        )));
    }
    let parsed = parse(term);
    if let Parsed::Whole(id) = parsed
        && let Ok(view) = instance::get(&at.cloud, &at.caller, id)
    {
        return Ok(view);
    }
    if let Some(view) = instance::by_name(
        &at.cloud,
        &at.caller,
        term.strip_prefix('/').unwrap_or(term),
    ) {
        return Ok(view);
    }
    if let Parsed::Prefix(digits) = parsed {
        let mut found = instance::by_id_prefix(&at.cloud, &at.caller, digits);
        match (found.pop(), found.is_empty()) {
            (Some(view), true) => return Ok(view),
            (Some(_), false) => {
                return Err(ApiError::invalid(format!(
                    "multiple IDs found with provided prefix: {term}"
                )));
            }
            (None, _) => {}
        }
    }
    Err(ApiError::not_found(format!("No such container: {term}")))
}

/// An error about a container, with the identifier that clients know.
pub(crate) fn about(id: Id, error: ActionError) -> ApiError {
    let mut error = ApiError::from(error);
    name_as_clients_do(id, &mut error);
    error
}

/// As [`about`], where it may be about one whose namespaces it shares.
pub(crate) fn about_any(view: &View, error: ActionError) -> ApiError {
    let spec = &view.instance.spec;
    let mut error = about(view.instance.meta.id, error);
    if let NetworkMode::Instance(other) = spec.network {
        name_as_clients_do(other, &mut error);
    }
    for namespace in [&spec.namespaces.pid, &spec.namespaces.ipc] {
        if let NamespaceMode::Instance(other) = namespace {
            name_as_clients_do(*other, &mut error);
        }
    }
    error
}

fn name_as_clients_do(id: Id, error: &mut ApiError) {
    for own in [id.to_string(), id.simple()] {
        if error.message.contains(&own) && !error.message.contains(&docker_id(id)) {
            error.message = error.message.replace(&own, &docker_id(id));
        }
    }
}

/// The name is taken: by whom, in dockerd's words.
pub(crate) fn name_taken(at: &At, name: &str, error: ActionError) -> ApiError {
    if error.kind != ErrorKind::AlreadyExists {
        return error.into();
    }
    match instance::by_name(&at.cloud, &at.caller, name) {
        Some(holder) => ApiError::conflict(format!(
            "Conflict. The container name \"/{name}\" is already in use by container {:?}. You have to remove (or rename) that container to be able to reuse that name.",
            docker_id(holder.instance.meta.id)
        )),
        None => error.into(),
    }
}
