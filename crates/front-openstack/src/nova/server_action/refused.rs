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

pub(super) async fn crash_dump(at: At, id: Id) -> Outcome {
    let why = "Triggering crash dump is not supported: a container has no kernel of its own";
    refuse(at, id, StatusCode::BAD_REQUEST, why.to_owned()).await
}

pub(super) async fn reset_network(at: At, id: Id) -> Outcome {
    let why = "This action is no longer available";
    refuse(at, id, StatusCode::GONE, why.to_owned()).await
}

pub(super) async fn console(at: At, id: Id) -> Outcome {
    let why = "Unavailable console type: a container has a serial console only";
    refuse(at, id, StatusCode::BAD_REQUEST, why.to_owned()).await
}
