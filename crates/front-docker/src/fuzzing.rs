//! Doors for the fuzz targets in `fuzz/`, into what no other crate calls. Built for them only.

use axum::body::Body;
use axum::extract::Request;
use futures_util::FutureExt;
use http::Uri;

pub use crate::buildkit::fuzzing::{files, solve};
use crate::container::translate::fixture::{Fixture, image};
use crate::container::translate::{Create, Surroundings, check, to_model};
use crate::error::ApiError;
use crate::filters::Filters;
use crate::query::Form;
use crate::version::Version;

/// Reads the body of `POST /containers/create` and makes an instance of it, for the newest version of
/// the API and for the oldest. Answers whether the newest takes it.
#[must_use]
pub fn create(body: &[u8]) -> bool {
    let is_taken = |version| created(body.to_vec(), version).is_ok();
    is_taken(Version::MIN);
    is_taken(Version::MAX)
}

fn created(body: Vec<u8>, version: Version) -> Result<(), ApiError> {
    let request = Request::builder()
        .header("content-type", "application/json")
        .body(Body::from(body))
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let Some(document) = crate::json::document(request).now_or_never() else {
        unreachable!("a body that is there is not waited for");
    };
    let fixture = Fixture::new();
    let mut create = Create::read("name", document?)?;
    let warnings = check(&mut create, version, &fixture.host())?;
    to_model(create, &image(), version, warnings, &fixture).map(drop)
}

/// Reads the parameters of a request, and its `filters`; asks all that a list asks of them.
pub fn filters(query: &str) {
    let Ok(uri) = format!("/containers/json?{query}").parse::<Uri>() else {
        return;
    };
    let Ok(form) = Form::parse(&uri) else {
        return;
    };
    let _answer = form.number("limit");
    let _answer = form.terminal_size();
    let known = ["label", "name", "dangling", "publish"];
    let Ok(filters) = Filters::parse(form.get("filters"), &known) else {
        return;
    };
    let _answer = filters.boolean("dangling");
    let _is_named = filters.patterns("name").matches("web-1.example");
    let _is_meant = filters.matches_prefix("name", "web");
    let labels = [("a".to_owned(), "1".to_owned())].into();
    let _is_labelled = filters.matches_labels("label", &labels);
    let _answer = crate::container::port_filter(&filters, "publish");
}
