//! Every service: where it is mounted, what stands in the catalogue about it, and what all of its
//! answers have in common.

use std::sync::Arc;

use actions::Cloud;
use actions::identity::first_start::OwnService;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use edge::observe::RequestId;
use http::{HeaderName, HeaderValue, Uri, header};

use crate::auth::require_token;
use crate::cinder;
use crate::front::Front;
use crate::glance;
use crate::keystone;
use crate::microversion::{Microversions, negotiate};
use crate::neutron;
use crate::nova;
use crate::route::Route;

/// What the front end must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients reach the binary, without a slash at the end: `http://127.0.0.1:7070`.
    pub url: String,
}

/// The identity of a request, as OpenStack's clients read it from an answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
/// The same, as clients of Nova and Cinder read it.
const COMPUTE_REQUEST_ID: HeaderName = HeaderName::from_static("x-compute-request-id");

/// One service.
pub(crate) struct Service {
    /// The type in the catalogue.
    kind: &'static str,
    /// The name in the catalogue.
    name: &'static str,
    /// Where it is mounted.
    pub(crate) path: &'static str,
    /// What the address in the catalogue has after that.
    suffix: &'static str,
    /// Its operations.
    pub(crate) routes: fn() -> Vec<Route>,
    /// The shapes of its API that clients choose from, where it has several.
    microversions: Option<&'static Microversions>,
    /// What it answers to paths, after that of the service, and to methods that are none of its.
    missing: fn(&str) -> Response,
    wrong_method: fn() -> Response,
}

/// Every service there is. A new one is a row here.
pub(crate) const SERVICES: &[Service] = &[
    Service {
        kind: "identity",
        name: "keystone",
        path: "/identity",
        suffix: "",
        routes: keystone::routes,
        microversions: None,
        missing: keystone::missing,
        wrong_method: keystone::wrong_method,
    },
    Service {
        kind: "image",
        name: "glance",
        path: "/image",
        suffix: "",
        routes: glance::routes,
        microversions: None,
        missing: glance::missing,
        wrong_method: glance::wrong_method,
    },
    Service {
        kind: "network",
        name: "neutron",
        path: "/network",
        suffix: "",
        routes: neutron::routes,
        microversions: None,
        missing: neutron::missing,
        wrong_method: neutron::wrong_method,
    },
    Service {
        kind: "compute",
        name: "nova",
        path: "/compute",
        suffix: "/v2.1",
        routes: nova::routes,
        microversions: Some(&nova::MICROVERSIONS),
        missing: nova::missing,
        wrong_method: nova::wrong_method,
    },
    Service {
        kind: "block-storage",
        name: "cinder",
        path: "/volume",
        suffix: "/v3/$(project_id)s",
        routes: cinder::routes,
        microversions: Some(&cinder::MICROVERSIONS),
        missing: cinder::missing,
        wrong_method: cinder::wrong_method,
    },
];

/// What stands in the catalogue about our own services.
#[must_use]
pub fn catalogue(settings: &Settings) -> Vec<OwnService> {
    SERVICES
        .iter()
        .map(|service| OwnService {
            kind: service.kind,
            name: service.name,
            url: format!("{}{}{}", settings.url, service.path, service.suffix),
        })
        .collect()
}

/// Every service, by path.
pub fn router(cloud: Cloud, settings: Settings) -> Router {
    let front = Front {
        cloud,
        settings: Arc::new(settings),
    };
    SERVICES.iter().fold(Router::new(), |router, service| {
        let mounted = mounted(service, &front);
        router
            .nest(service.path, mounted.clone())
            // Axum does not nest the path with a slash at the end.
            .nest_service(&format!("{}/", service.path), mounted)
    })
}

fn mounted(service: &Service, front: &Front) -> Router {
    let (missing, wrong_method) = (service.missing, service.wrong_method);
    let mut open = Router::new();
    let mut guarded = Router::new();
    for route in (service.routes)() {
        let router = if route.is_open {
            &mut open
        } else {
            &mut guarded
        };
        *router = std::mem::take(router).route(route.path, route.handler);
    }
    if guarded.has_routes() {
        let guard = from_fn_with_state((front.clone(), service.kind), require_token);
        guarded = guarded.route_layer(guard);
    }
    let mut router = open
        .merge(guarded)
        .fallback(move |uri: Uri| std::future::ready(missing(uri.path())))
        .method_not_allowed_fallback(move || std::future::ready(wrong_method()))
        .with_state(front.clone());
    if let Some(microversions) = service.microversions {
        router = router.layer(from_fn_with_state(microversions, negotiate));
    }
    router.layer(from_fn(finish))
}

/// The headers that every answer has.
async fn finish(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id.0).ok()) {
        headers.insert(COMPUTE_REQUEST_ID, id.clone());
        headers.insert(REQUEST_ID, id);
    }
    headers
        .entry(header::VARY)
        .or_insert(HeaderValue::from_static("X-Auth-Token"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The coverage tables, by the name of the service in the catalogue.
    const TABLES: &[(&str, &str)] = &[
        (
            "keystone",
            include_str!("../../../spec/keystone/coverage.toml"),
        ),
        ("glance", include_str!("../../../spec/glance/coverage.toml")),
        (
            "neutron",
            include_str!("../../../spec/neutron/coverage.toml"),
        ),
        ("nova", include_str!("../../../spec/nova/coverage.toml")),
        ("cinder", include_str!("../../../spec/cinder/coverage.toml")),
    ];

    #[derive(serde::Deserialize)]
    struct Table {
        operations: BTreeMap<String, State>,
    }

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum State {
        Tested,
        Tried,
        Refused,
        Later,
    }

    #[test]
    fn the_routes_are_what_the_coverage_tables_say() {
        for service in SERVICES {
            let (_, table) = TABLES
                .iter()
                .find(|(name, _)| *name == service.name)
                .unwrap_or_else(|| panic!("{} has no coverage table", service.name));
            let table: Table = toml::from_str(table).unwrap();
            let expected: BTreeSet<&str> = table
                .operations
                .iter()
                .filter(|(_, state)| !matches!(state, State::Later))
                .map(|(operation, _)| operation.as_str())
                .collect();
            let served: BTreeSet<&str> = (service.routes)()
                .iter()
                .flat_map(|route| route.operations.clone())
                .collect();
            assert_eq!(served, expected, "{}", service.name);
        }
    }
}
