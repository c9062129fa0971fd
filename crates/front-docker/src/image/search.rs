//! `GET /images/search`: repositories of our own registry, or of one that the term names.
//!
//! Spec: Docker Engine API 1.51, `ImageSearch`.

use actions::distribution::{self, Found};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;

use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::At;
use crate::image::credentials;

const FILTERS: [&str; 3] = ["is-automated", "is-official", "stars"];
/// How many are found unless the client says so, and the most that it may say.
const USUAL_LIMIT: i64 = 25;
const MOST: i64 = 100;

#[derive(Debug, Serialize)]
struct Shown {
    star_count: u64,
    is_official: bool,
    name: String,
    is_automated: bool,
    description: String,
}

pub(crate) async fn search(at: At, headers: HeaderMap) -> Result<Response, ApiError> {
    let filters = Filters::parse(at.form.get("filters"), &FILTERS)?;
    let limit = match at.form.number("limit")? {
        None | Some(0) => USUAL_LIMIT,
        Some(limit) if (1..=MOST).contains(&limit) => limit,
        Some(limit) => {
            return Err(ApiError::invalid(format!(
                "limit {limit} is outside the range of [1, {MOST}]"
            )));
        }
    };
    let is_official = filters.boolean("is-official")?;
    let is_automated = filters.boolean("is-automated")?;
    let stars = filters
        .values("stars")
        .map(|stars| {
            stars
                .parse::<u64>()
                .map_err(|_| ApiError::invalid(format!("invalid filter 'stars={stars}'")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let least_stars = stars.into_iter().max().unwrap_or(0);
    let (registry, term) = split(at.form.get("term"))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = match registry {
        Some(registry) => {
            let credentials = credentials::read(&headers);
            let search = distribution::search(
                &at.cloud,
                &at.caller,
                registry,
                term,
                limit,
                credentials.as_ref(),
            );
            search.await?
        }
        None => own(&at, term)?,
    };
    let is_wanted = |found: &Found| {
        found.star_count >= least_stars
            && is_official.is_none_or(|wanted| wanted == found.is_official)
            // Nothing has been built by the registry itself for years.
            && is_automated != Some(true)
    };
    let shown: Vec<Shown> = found
        .into_iter()
        .filter(is_wanted)
        .take(limit)
        .map(|found| Shown {
            star_count: found.star_count,
            is_official: found.is_official,
            name: found.name,
            is_automated: false,
            description: found.description,
        })
        .collect();
    Ok(axum::Json(shown).into_response())
}

/// What our own registry has, by names that can be pulled.
fn own(at: &At, term: &str) -> Result<Vec<Found>, ApiError> {
    let mut found = distribution::search_own(&at.cloud, &at.caller, term)?;
    for repository in &mut found {
        repository.name = format!("{}/{}", at.settings.registry, repository.name);
    }
    Ok(found)
}

/// The registry, and what to look for there: `host:5000/what`; without a registry, ours.
fn split(term: &str) -> Result<(Option<&str>, &str), ApiError> {
    if term.contains("://") {
        return Err(ApiError::invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    Ok(match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (Some(host), rest)
        }
        _ => (None, term),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        for (term, registry, rest) in [
            ("busybox", None, "busybox"),
            ("who/what", None, "who/what"),
            (
                "localhost:5000/who/what",
                Some("localhost:5000"),
                "who/what",
            ),
            ("docker.io/what", Some("docker.io"), "what"),
        ] {
            assert_eq!(split(term).unwrap(), (registry, rest));
        }
        assert_eq!(split("https://a/b").unwrap_err().status.as_u16(), 400);
    }
}
