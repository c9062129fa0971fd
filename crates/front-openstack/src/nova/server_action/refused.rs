//! Actions that cannot be done to a container, or not by this cloud: whoever asks is told why.

use actions::server;
use http::StatusCode;
use model::Id;

use super::routes::Outcome;
use crate::front::At;
use crate::nova::error::ApiError;

/// Says why a server that is there cannot have something done to it.
async fn refuse(at: At, id: Id, status: StatusCode, why: String) -> Outcome {
    server::get(&at.cloud, &at.caller, id)?;
    Err(ApiError::new(status, why))
}

pub(super) async fn restore(at: At, id: Id) -> Outcome {
    let state = server::get(&at.cloud, &at.caller, id)?.state().as_str();
    let why = format!("Cannot 'restore' instance {id} while it is in vm_state {state}");
    refuse(at, id, StatusCode::CONFLICT, why).await
}

pub(super) async fn rescue(at: At, id: Id) -> Outcome {
    let why = "Rescue: a container has no disk that another image could look after; rebuild it";
    refuse(at, id, StatusCode::BAD_REQUEST, why.to_owned()).await
}

pub(super) async fn password(at: At, id: Id) -> Outcome {
    let why = "Unable to set password on instance: a container has nobody to tell it to";
    refuse(at, id, StatusCode::CONFLICT, why.to_owned()).await
}

pub(super) async fn migrate(at: At, id: Id) -> Outcome {
    let why = "No valid host was found. There is no other node to go to";
    refuse(at, id, StatusCode::BAD_REQUEST, why.to_owned()).await
}

pub(super) async fn console(at: At, id: Id) -> Outcome {
    let why = "Unavailable console type: a container has a serial console only";
    refuse(at, id, StatusCode::BAD_REQUEST, why.to_owned()).await
}
