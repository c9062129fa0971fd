//! What Nova had and has not any more, for any microversion: asked for it, it says so.
//!
//! Source: nova, `nova/api/openstack/compute/routes.py`, the controllers that are `removed`.

use axum::routing::{MethodFilter, on};
use http::StatusCode;

use crate::nova::error::ApiError;
use crate::route::Route;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// Paths, and the methods that they had.
const GONE: &[(&str, MethodFilter)] = &[
    ("/v2.1/os-agents", GET.or(POST)),
    ("/v2.1/os-agents/{id}", PUT.or(DELETE)),
    ("/v2.1/os-cells", GET.or(POST)),
    ("/v2.1/os-cells/capacities", GET),
    ("/v2.1/os-cells/detail", GET),
    ("/v2.1/os-cells/info", GET),
    ("/v2.1/os-cells/sync_instances", POST),
    ("/v2.1/os-cells/{id}", GET.or(PUT).or(DELETE)),
    ("/v2.1/os-cells/{id}/capacities", GET),
    ("/v2.1/os-certificates", POST),
    ("/v2.1/os-certificates/{id}", GET),
    ("/v2.1/os-cloudpipe", GET.or(POST)),
    ("/v2.1/os-cloudpipe/{id}", PUT),
    ("/v2.1/os-fixed-ips/{id}", GET),
    ("/v2.1/os-fixed-ips/{id}/action", POST),
    ("/v2.1/os-floating-ip-dns", GET),
    ("/v2.1/os-floating-ip-dns/{id}", PUT.or(DELETE)),
    (
        "/v2.1/os-floating-ip-dns/{id}/entries/{name}",
        GET.or(PUT).or(DELETE),
    ),
    ("/v2.1/os-floating-ips-bulk", GET.or(POST)),
    ("/v2.1/os-floating-ips-bulk/{id}", GET.or(PUT)),
    ("/v2.1/os-fping", GET),
    ("/v2.1/os-fping/{id}", GET),
    ("/v2.1/os-networks", POST),
    ("/v2.1/os-networks/add", POST),
    ("/v2.1/os-networks/{id}", DELETE),
    ("/v2.1/os-networks/{id}/action", POST),
    ("/v2.1/os-security-group-default-rules", GET.or(POST)),
    ("/v2.1/os-security-group-default-rules/{id}", GET.or(DELETE)),
    ("/v2.1/os-tenant-networks", POST),
    ("/v2.1/os-tenant-networks/{id}", DELETE),
    ("/v2.1/servers/{id}/consoles", GET.or(POST)),
    ("/v2.1/servers/{id}/consoles/{console}", GET.or(DELETE)),
    ("/v2.1/servers/{id}/os-virtual-interfaces", GET),
];

pub(super) fn routes() -> Vec<Route> {
    let route =
        |(path, methods): &(&'static str, _)| Route::new(path, "removed", on(*methods, answer));
    GONE.iter().map(route).collect()
}

async fn answer() -> ApiError {
    ApiError::new(
        StatusCode::GONE,
        "This resource is no longer available. No forwarding address is given.",
    )
}
