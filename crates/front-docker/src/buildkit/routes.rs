//! Paths whose connections are taken over.

use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use bollard_buildkit_proto::moby::buildkit::v1::control_server::ControlServer;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_server::LlbBridgeServer;
use http::request::Parts;
use tonic::service::Routes;

use super::control::Control;
use super::early;
use super::gateway::Gateway;
use super::session::Take;
use crate::error::ApiError;
use crate::front::At;
use crate::router::Route;

/// The protocol that is spoken after the answer, as its header names it.
const PROTOCOL: &str = "h2c";

const CONTENT_TYPE: &str = "application/vnd.docker.raw-stream";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("/session", "Session", post(session)),
        // Undocumented: what clients with buildx talk to.
        Route::new("/grpc", "Grpc", post(grpc)),
        // Undocumented, too: what clients before buildx end a build with.
        Route::new("/build/cancel", "BuildCancel", post(early::cancel)),
    ]
}

/// Serves BuildKit's services on the connection.
async fn grpc(at: At, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    check_protocol(&parts)?;
    let services = Routes::new(ControlServer::new(Control::new(at.clone())))
        .add_service(LlbBridgeServer::new(Gateway::new(at)));
    let serve =
        move |connection| edge::h2c::serve(connection, services.prepare().into_axum_router());
    take_over(&parts, serve)
}

/// Becomes the client of the connection: whoever opened it can be asked by builds.
async fn session(at: At, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    check_protocol(&parts)?;
    let take = Take::of(&parts.headers)?;
    let connections = at.connections;
    let place = connections.sessions.reserve(&take)?;
    take_over(&parts, move |connection| async move {
        connections.sessions.keep(place, take, connection).await;
    })
}

fn check_protocol(parts: &Parts) -> Result<(), ApiError> {
    let upgrade = parts.headers.get(http::header::UPGRADE);
    match upgrade.map(http::HeaderValue::as_bytes) {
        Some(wanted) if wanted == PROTOCOL.as_bytes() => Ok(()),
        Some(wanted) => Err(ApiError::invalid(format!(
            "protocol {} not supported: upgrade to {PROTOCOL}",
            String::from_utf8_lossy(wanted)
        ))),
        None => Err(ApiError::invalid(format!(
            "no upgrade in request: this path speaks {PROTOCOL} only"
        ))),
    }
}

fn take_over<F, S>(parts: &Parts, session: F) -> Result<Response, ApiError>
where
    F: FnOnce(edge::hijack::Connection) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    edge::hijack::hijack(parts, PROTOCOL, CONTENT_TYPE, session)
        .map_err(|error| ApiError::invalid(error.to_string()))
}
