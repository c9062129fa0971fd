//! Microversions: which shape of an API a client asks for, between the oldest and the newest that a
//! service has. A layer around every service that has them; handlers find what was agreed on in
//! [`crate::front::At::minor`].
//!
//! Source: the API working group's guideline "Microversion Specification". The services' major
//! versions do not change, so that only the minor part is handed on.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The header that names a service's type and a version: `compute 2.96`.
const HEADER: &str = "openstack-api-version";

/// The microversions of a service.
#[derive(Debug)]
pub(crate) struct Microversions {
    /// The service's type, as the header names it.
    pub(crate) service: &'static str,
    /// A header of the service's own, from before there was one for all.
    pub(crate) own_header: Option<&'static str>,
    /// The part before the dot.
    pub(crate) major: u16,
    /// The oldest, which is also that of clients that name none.
    pub(crate) oldest: u16,
    /// The newest.
    pub(crate) newest: u16,
    /// The service's envelope.
    pub(crate) refuse: fn(StatusCode, String) -> Response,
}

/// What was agreed on: the part after the dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed(pub(crate) u16);

/// Why there is no agreement.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Disagreement {
    #[error("API Version String {0} is of invalid format. Must be of format MajorNum.MinorNum.")]
    Malformed(String),
    #[error(
        "Version {wanted} is not supported by the API. Minimum is {oldest} and maximum is {newest}."
    )]
    OutOfRange {
        wanted: String,
        oldest: String,
        newest: String,
    },
}

impl Microversions {
    /// A version as it is written: `2.96`.
    pub(crate) fn show(&self, minor: u16) -> String {
        format!("{}.{minor}", self.major)
    }

    /// What the headers ask for.
    fn wanted<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let texts = |name: &str| {
            let values = headers.get_all(name).into_iter();
            values
                .filter_map(|value| value.to_str().ok())
                .flat_map(|text| text.split(','))
                .map(str::trim)
                .collect::<Vec<_>>()
        };
        let of_ours = texts(HEADER).into_iter().find_map(|text| {
            let (service, version) = text.split_once(' ')?;
            (service == self.service).then(|| version.trim())
        });
        of_ours.or_else(|| texts(self.own_header?).into_iter().next())
    }

    fn agree(&self, headers: &HeaderMap) -> Result<u16, Disagreement> {
        let Some(text) = self.wanted(headers) else {
            return Ok(self.oldest);
        };
        if text == "latest" {
            return Ok(self.newest);
        }
        let number = |text: &str| {
            let is_plain = text == "0" || !text.starts_with('0');
            text.parse::<u16>()
                .ok()
                .filter(|_| is_plain && text.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let (major, minor) = text
            .split_once('.')
            .and_then(|(major, minor)| Some((number(major)?, number(minor)?)))
            .ok_or_else(|| Disagreement::Malformed(text.to_owned()))?;
        if major == self.major && (self.oldest..=self.newest).contains(&minor) {
            return Ok(minor);
        }
        Err(Disagreement::OutOfRange {
            wanted: text.to_owned(),
            oldest: self.show(self.oldest),
            newest: self.show(self.newest),
        })
    }
}

/// Agrees on a microversion before the service is asked, and says so in its answer.
pub(crate) async fn negotiate(
    State(versions): State<&'static Microversions>,
    mut request: Request,
    next: Next,
) -> Response {
    let agreed = versions.agree(request.headers());
    let said = agreed.as_ref().copied().unwrap_or(versions.oldest);
    let mut response = match agreed {
        Ok(minor) => {
            request.extensions_mut().insert(Agreed(minor));
            next.run(request).await
        }
        Err(disagreement) => {
            let status = match disagreement {
                Disagreement::Malformed(_) => StatusCode::BAD_REQUEST,
                Disagreement::OutOfRange { .. } => StatusCode::NOT_ACCEPTABLE,
            };
            (versions.refuse)(status, disagreement.to_string())
        }
    };
    let own = versions.own_header.map(HeaderName::from_static);
    let said = versions.show(said);
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.append(name, value);
        }
    };
    add(
        HeaderName::from_static(HEADER),
        &format!("{} {said}", versions.service),
    );
    add(VARY, "OpenStack-API-Version");
    if let Some(own) = own {
        add(own.clone(), &said);
        add(VARY, own.as_str());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPUTE: Microversions = Microversions {
        service: "compute",
        own_header: Some("x-openstack-nova-api-version"),
        major: 2,
        oldest: 1,
        newest: 96,
        refuse: |_, _| Response::default(),
    };

    fn agree(name: &'static str, value: &'static str) -> Result<u16, Disagreement> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        COMPUTE.agree(&headers)
    }

    #[test]
    fn the_oldest_is_for_those_who_name_none() {
        assert_eq!(COMPUTE.agree(&HeaderMap::new()), Ok(1));
        assert_eq!(agree(HEADER, "volume 3.71"), Ok(1));
    }

    #[test]
    fn versions_are_read_from_both_headers() {
        assert_eq!(agree(HEADER, "compute 2.96"), Ok(96));
        assert_eq!(agree(HEADER, "volume 3.1, compute 2.7"), Ok(7));
        assert_eq!(agree(HEADER, "compute latest"), Ok(96));
        assert_eq!(agree("x-openstack-nova-api-version", "2.26"), Ok(26));
    }

    #[test]
    fn what_is_no_version_is_refused_apart_from_what_is_out_of_range() {
        for text in ["compute 2", "compute 2.x", "compute 2.01", "compute 2.+1"] {
            let refused = agree(HEADER, text).unwrap_err();
            assert!(matches!(refused, Disagreement::Malformed(_)), "{text}");
        }
        for text in ["compute 2.0", "compute 2.97", "compute 3.1"] {
            let refused = agree(HEADER, text).unwrap_err();
            assert!(
                matches!(refused, Disagreement::OutOfRange { .. }),
                "{text}: {refused}"
            );
        }
    }
}
