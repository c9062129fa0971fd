//! The operations of this protocol: which one a method and a path ask for, and who carries it out.
//!
//! Their names are those of `spec/registry/coverage.toml`.

use actions::Cloud;
use actions::registry::{RegistryError, Visitor, upstream};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use edge::observe::RequestId;
use http::{Method, header};
use serde_json::json;

use crate::error::ApiError;
use crate::front::{At, Front};
use crate::path::{Wanted, What};
use crate::query::Query;
use crate::{auth, blob, catalogue, manifest, referrer, tag, upload, visibility};

/// Methods that something here answers to.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

macro_rules! operations {
    ($($operation:ident $name:literal: $wanted:pat, $method:pat,)*) => {
        /// What can be asked for. Its documentation is its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($operation,)*
        }

        impl Operation {
            /// The operation of a path and a method.
            fn of(wanted: Wanted<'_>, method: &Method) -> Option<Self> {
                match (wanted, method) {
                    $(($wanted, $method) => Some(Self::$operation),)*
                    _ => None,
                }
            }

            /// Their names.
            #[cfg(test)]
            const NAMES: &[&str] = &[$($name),*];
        }
    };
}

operations! {
    Base "base": Wanted::Base, &Method::GET | &Method::HEAD,
    ListRepositories "list-repositories": Wanted::Catalogue, &Method::GET,
    GetBlob "get-blob": Wanted::In { what: What::Blob(_), .. }, &Method::GET,
    HeadBlob "head-blob": Wanted::In { what: What::Blob(_), .. }, &Method::HEAD,
    DeleteBlob "delete-blob": Wanted::In { what: What::Blob(_), .. }, &Method::DELETE,
    BeginUpload "begin-upload": Wanted::In { what: What::Uploads, .. }, &Method::POST,
    UploadStatus "upload-status": Wanted::In { what: What::Upload(_), .. }, &Method::GET,
    AppendUpload "append-upload": Wanted::In { what: What::Upload(_), .. }, &Method::PATCH,
    FinishUpload "finish-upload": Wanted::In { what: What::Upload(_), .. }, &Method::PUT,
    CancelUpload "cancel-upload": Wanted::In { what: What::Upload(_), .. }, &Method::DELETE,
    GetManifest "get-manifest": Wanted::In { what: What::Manifest(_), .. }, &Method::GET,
    HeadManifest "head-manifest": Wanted::In { what: What::Manifest(_), .. }, &Method::HEAD,
    PutManifest "put-manifest": Wanted::In { what: What::Manifest(_), .. }, &Method::PUT,
    DeleteManifest "delete-manifest": Wanted::In { what: What::Manifest(_), .. }, &Method::DELETE,
    ListTags "list-tags": Wanted::In { what: What::Tags, .. }, &Method::GET,
    ListReferrers "list-referrers": Wanted::In { what: What::Referrers(_), .. }, &Method::GET,
    GetVisibility "get-visibility": Wanted::In { what: What::Visibility, .. }, &Method::GET,
    PutVisibility "put-visibility": Wanted::In { what: What::Visibility, .. }, &Method::PUT,
}

/// Answers a request below `/v2/`.
pub(crate) async fn run(
    State(Front { cloud, settings }): State<Front>,
    path: RawPathParams,
    request: Request,
) -> Response {
    let path = path
        .iter()
        .next()
        .map_or_else(String::new, |(_, path)| path.to_owned());
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let query = Query::parse(request.uri());
    let wanted = Wanted::read(&path);
    match answer(&cloud, wanted, query.clone(), request).await {
        Ok(response) => response,
        Err(error) => {
            let challenge = error.challenge.and_then(|wrong| {
                auth::challenge(
                    settings,
                    &headers,
                    &method,
                    wanted,
                    query.get("from"),
                    wrong,
                )
            });
            let mut response = error.into_response();
            if let Some(challenge) = challenge {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

async fn answer(
    cloud: &Cloud,
    wanted: Wanted<'_>,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let request_id = parts
        .extensions
        .get::<RequestId>()
        .map_or_else(String::new, |id| id.0.clone());
    let visitor = auth::visitor(cloud, &parts.headers, request_id).await?;
    let Some(operation) = Operation::of(wanted, &parts.method) else {
        return Err(not_there(wanted));
    };
    let Wanted::In { name, what } = wanted else {
        return match operation {
            Operation::ListRepositories => catalogue::routes::list(cloud, &visitor, &query),
            _ => base(&visitor),
        };
    };
    let at = At {
        cloud,
        visitor,
        name: upstream::meant(cloud, name, query.get("ns"))?,
        query,
        headers: parts.headers,
    };
    carry_out(operation, at, what.argument(), body).await
}

/// Why a path and a method are no operation.
fn not_there(wanted: Wanted<'_>) -> ApiError {
    let allowed: Vec<&str> = METHODS
        .iter()
        .filter(|method| Operation::of(wanted, method).is_some())
        .map(Method::as_str)
        .collect();
    if allowed.is_empty() {
        ApiError::nothing_here()
    } else {
        ApiError::wrong_method(&allowed.join(", "))
    }
}

/// That this is a registry; for whoever has a token, that it is good.
fn base(visitor: &Visitor) -> Result<Response, ApiError> {
    if visitor.is_nobody() && !visitor.has_token() {
        return Err(RegistryError::Unauthenticated.into());
    }
    Ok(Json(json!({})).into_response())
}

async fn carry_out(
    operation: Operation,
    at: At<'_>,
    argument: &str,
    body: Body,
) -> Result<Response, ApiError> {
    match operation {
        Operation::Base | Operation::ListRepositories => Err(ApiError::nothing_here()),
        Operation::GetBlob => blob::routes::get(at, argument).await,
        Operation::HeadBlob => blob::routes::head(&at, argument).await,
        Operation::DeleteBlob => blob::routes::delete(&at, argument).await,
        Operation::BeginUpload => upload::routes::begin(at, body).await,
        Operation::UploadStatus => upload::routes::status(&at, argument),
        Operation::AppendUpload => upload::routes::append(at, argument, body).await,
        Operation::FinishUpload => upload::routes::finish(at, argument, body).await,
        Operation::CancelUpload => upload::routes::cancel(&at, argument),
        Operation::GetManifest => manifest::routes::get(at, argument).await,
        Operation::HeadManifest => manifest::routes::head(&at, argument).await,
        Operation::PutManifest => manifest::routes::put(at, argument, body).await,
        Operation::DeleteManifest => manifest::routes::delete(&at, argument).await,
        Operation::ListTags => tag::routes::list(&at).await,
        Operation::ListReferrers => referrer::routes::list(&at, argument),
        Operation::GetVisibility => visibility::routes::get(&at),
        Operation::PutVisibility => visibility::routes::put(at, body).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn the_operations_are_what_the_coverage_table_says() {
        let table = include_str!("../../../spec/registry/coverage.toml");
        let tables: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(table).unwrap();
        let listed: BTreeSet<&str> = tables["operations"].keys().map(String::as_str).collect();
        // These have paths of their own.
        let others = ["get-token", "post-token", "ping-search", "search"];
        let served: BTreeSet<&str> = Operation::NAMES.iter().copied().chain(others).collect();
        assert_eq!(served, listed);
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let told = not_there(Wanted::read("a/b/tags/list")).to_string();
        assert!(told.ends_with(": GET"), "{told}");
        let told = not_there(Wanted::read("a/b/blobs/uploads/7")).to_string();
        assert!(told.ends_with(": GET, PUT, PATCH, DELETE"), "{told}");
    }
}
