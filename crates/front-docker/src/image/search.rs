//! `GET /images/search`: repositories of a registry.
//!
//! Spec: Docker Engine API 1.51, `ImageSearch`.

use actions::distribution::{self, Found};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::ApiError;
use crate::filters::Filters;
use crate::front::At;

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

pub(crate) async fn search(at: At) -> Result<Response, ApiError> {
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
    let found = distribution::search(&at.cloud, &at.caller, registry, term, limit).await?;
    let is_wanted = |found: &Found| {
        found.star_count >= least_stars
            && is_official.is_none_or(|wanted| wanted == found.is_official)
            // Nothing has been built by the registry itself for years.
            && is_automated != Some(true)
    };
    let shown: Vec<Shown> = found
        .into_iter()
        .filter(is_wanted)
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

/// The registry, and what to look for there: `host:5000/what`.
fn split(term: &str) -> Result<(&str, &str), ApiError> {
    if term.contains("://") {
        return Err(ApiError::invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    Ok(match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", term.strip_prefix("library/").unwrap_or(term)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        for (term, registry, rest) in [
            ("busybox", "docker.io", "busybox"),
            ("library/busybox", "docker.io", "busybox"),
            ("who/what", "docker.io", "who/what"),
            ("localhost:5000/who/what", "localhost:5000", "who/what"),
            ("docker.io/what", "docker.io", "what"),
        ] {
            assert_eq!(split(term).unwrap(), (registry, rest));
        }
        assert_eq!(split("https://a/b").unwrap_err().status.as_u16(), 400);
    }
}
