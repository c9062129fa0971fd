//! All routes behind the version prefix, with the headers that every answer has.

use std::borrow::Cow;
use std::sync::Arc;

use actions::Cloud;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use edge::observe::observe;
use http::header::SERVER;
use http::{HeaderValue, Method, StatusCode, Uri};

use crate::Settings;
use crate::error::ApiError;
use crate::front::Front;
use crate::version::{Version, VersionError, split};

/// One operation of the API.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    /// The operation's name in the API's document, and in the coverage table.
    #[cfg_attr(not(test), expect(dead_code, reason = "the coverage test reads it"))]
    pub(crate) operation: &'static str,
    pub(crate) handler: MethodRouter<Front>,
}

impl Route {
    pub(crate) fn new(
        path: &'static str,
        operation: &'static str,
        handler: MethodRouter<Front>,
    ) -> Self {
        Self {
            path,
            operation,
            handler,
        }
    }
}

/// Every operation that has a handler, refusing ones included.
pub(crate) fn routes() -> Vec<Route> {
    [
        crate::system::routes::routes(),
        crate::event::routes::routes(),
        crate::container::routes::routes(),
        crate::exec::routes::routes(),
        crate::image::routes::routes(),
        crate::build::routes(),
        crate::buildkit::routes(),
        crate::network::routes::routes(),
        crate::volume::routes::routes(),
        crate::refused::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The whole API, acting in the operator's own project. Counts its requests itself.
pub fn router(cloud: Cloud, settings: Settings) -> Router {
    let metrics = settings.metrics.clone();
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, route.handler);
    }
    let router = router
        .fallback(page_not_found)
        .method_not_allowed_fallback(page_not_found)
        .with_state(Front {
            cloud,
            settings: Arc::new(settings),
            connections: Arc::default(),
        });
    // Requests are counted by route: inside, where the route is known.
    Router::new()
        .fallback_service(observe(router, metrics))
        .layer(from_fn(negotiate))
        .layer(from_fn(name_server))
}

async fn page_not_found() -> ApiError {
    ApiError::not_found("page not found")
}

/// Takes the version off the path, or refuses it.
async fn negotiate(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (version, rest) = match split(path) {
        Ok(found) => found,
        Err(error @ VersionError::TooOld(_)) => {
            // Clients that old print a body as it is.
            return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
        }
        Err(error @ VersionError::TooNew(_)) => {
            return ApiError::invalid(error.to_string()).into_response();
        }
    };
    // Whoever asks what may be asked is not told, but any path will do, as with dockerd.
    if request.method() == Method::OPTIONS {
        return StatusCode::OK.into_response();
    }
    let rest = with_one_name(rest);
    if rest != path {
        let query = request
            .uri()
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        match format!("{rest}{query}").parse::<Uri>() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return ApiError::not_found("page not found").into_response(),
        }
    }
    request.extensions_mut().insert(version);
    next.run(request).await
}

/// Words after the name of an image, or of what is refused for one.
const AFTER_NAMES: [&str; 7] = [
    "attestations",
    "get",
    "history",
    "json",
    "push",
    "tag",
    "upgrade",
];

/// Images' names have slashes: makes them one segment of the path.
fn with_one_name(path: &str) -> Cow<'_, str> {
    for prefix in ["/images/", "/distribution/"] {
        let Some(rest) = path.strip_prefix(prefix) else {
            continue;
        };
        let (name, after) = match rest.rsplit_once('/') {
            Some((name, after)) if AFTER_NAMES.contains(&after) && !name.is_empty() => {
                (name, Some(after))
            }
            Some(_) | None => (rest, None),
        };
        if !name.contains('/') {
            break;
        }
        let name = name.replace('/', "%2F");
        let after = after.map_or_else(String::new, |after| format!("/{after}"));
        return Cow::Owned(format!("{prefix}{name}{after}"));
    }
    Cow::Borrowed(path)
}

/// The headers that clients read the daemon's identity from.
async fn name_server(request: Request, next: Next) -> Response {
    const SERVER_NAME: &str = concat!("Longshore/", env!("CARGO_PKG_VERSION"), " (linux)");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    if let Ok(version) = HeaderValue::from_str(&Version::MAX.to_string()) {
        headers.insert("Api-Version", version);
    }
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    headers
        .entry("Docker-Experimental")
        .or_insert(HeaderValue::from_static("false"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_of_images_become_one_segment() {
        for (path, one) in [
            ("/images/json", "/images/json"),
            ("/images/busybox/json", "/images/busybox/json"),
            (
                "/images/local:5000/a/b:1/json",
                "/images/local:5000%2Fa%2Fb:1/json",
            ),
            ("/images/a/b", "/images/a%2Fb"),
            ("/containers/a/json", "/containers/a/json"),
        ] {
            assert_eq!(with_one_name(path), one);
        }
    }

    /// The table of the protocol's operations and the routes say the same.
    #[test]
    fn every_operation_of_the_coverage_table_has_a_route_and_no_other() {
        let table = include_str!("../../../spec/docker-engine/coverage.toml");
        let tables: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(table).unwrap();
        let listed = &tables["operations"];
        let known = ["tested", "refused", "later"];
        let are_known = listed.values().all(|state| known.contains(&state.as_str()));
        assert!(are_known, "{listed:?}");
        let refused: Vec<_> = crate::refused::routes()
            .iter()
            .map(|route| route.operation)
            .collect();
        for route in routes() {
            let state = listed
                .get(route.operation)
                .unwrap_or_else(|| panic!("{} is not listed", route.operation));
            assert_eq!(
                refused.contains(&route.operation),
                state != "tested",
                "{}",
                route.operation
            );
        }
        let served: Vec<_> = routes().iter().map(|route| route.operation).collect();
        for operation in listed.keys() {
            assert!(
                served.contains(&operation.as_str()),
                "{operation} has no route"
            );
        }
    }
}
