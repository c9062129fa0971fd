//! Who asks: what a request shows in `Authorization`, and what one that shows too little is told.
//!
//! Source: Docker Registry v2 "Token Authentication Specification"; RFC 7617.

use actions::Cloud;
use actions::registry::{RegistryError, Visitor, token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::front::Settings;
use crate::path::{Wanted, What};

/// A user and a password.
pub(crate) struct Basic {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// The user and password that a request shows; an error where what it shows is none.
pub(crate) fn basic(headers: &HeaderMap) -> Result<Option<Basic>, RegistryError> {
    let Some(encoded) = shown(headers, "basic") else {
        return Ok(None);
    };
    let wrong = || RegistryError::Unauthenticated;
    let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Some(Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    }))
}

/// What comes after the name of a scheme, where it is the one that is used.
fn shown<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (found, rest) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Who asks.
pub(crate) async fn visitor(
    cloud: &Cloud,
    headers: &HeaderMap,
    request_id: String,
) -> Result<Visitor, RegistryError> {
    if let Some(sealed) = shown(headers, "bearer") {
        return token::open(cloud, sealed, request_id);
    }
    if let Some(basic) = basic(headers)? {
        return token::log_in(cloud, &basic.user, &basic.password, request_id).await;
    }
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(RegistryError::TokenInvalid);
    }
    Ok(Visitor::nobody(request_id))
}

/// Where to get a token, for what, and what is wrong with the one that was shown.
///
/// `from` is the repository that a blob is to be mounted from.
pub(crate) fn challenge(
    settings: Settings,
    headers: &HeaderMap,
    method: &Method,
    wanted: Wanted<'_>,
    from: Option<&str>,
    wrong: &str,
) -> Option<HeaderValue> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let scheme = if settings.is_tls { "https" } else { "http" };
    let mut text = format!("Bearer realm=\"{scheme}://{host}/v2/token\",service=\"{host}\"");
    match wanted {
        Wanted::Base | Wanted::Nothing => {}
        Wanted::Catalogue => text.push_str(",scope=\"registry:catalog:*\""),
        Wanted::In { name, what } => {
            let rights = rights(method, what);
            let also = from.map(|from| format!(" repository:{from}:pull"));
            let also = also.unwrap_or_default();
            text.push_str(&format!(",scope=\"repository:{name}:{rights}{also}\""));
        }
    }
    if !wrong.is_empty() {
        text.push_str(&format!(",error=\"{wrong}\""));
    }
    HeaderValue::from_str(&text).ok()
}

/// What a token must be for.
fn rights(method: &Method, what: What<'_>) -> &'static str {
    match (method, what) {
        (_, What::Uploads | What::Upload(_)) => "pull,push",
        (&Method::GET | &Method::HEAD, _) => "pull",
        (&Method::DELETE, _) => "delete",
        _ => "pull,push",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Settings = Settings { is_tls: false };

    fn headers(authorization: &str) -> HeaderMap {
        let value = HeaderValue::from_str(authorization).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    #[test]
    fn a_password_may_have_colons() {
        let shown = headers(&format!("bAsIc {}", STANDARD.encode("domain/user:a:b")));
        let basic = basic(&shown).unwrap().unwrap();
        assert_eq!(
            (basic.user.as_str(), basic.password.as_str()),
            ("domain/user", "a:b")
        );
        assert!(super::basic(&headers("Basic !")).is_err());
        assert!(super::basic(&headers("Bearer x")).unwrap().is_none());
    }

    #[test]
    fn a_challenge_says_where_and_what_for() {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("h:1"))]);
        let wanted = Wanted::read("a/b/manifests/1");
        let text = challenge(PLAIN, &headers, &Method::PUT, wanted, None, "invalid_token").unwrap();
        assert_eq!(
            text.to_str().unwrap(),
            "Bearer realm=\"http://h:1/v2/token\",service=\"h:1\",\
             scope=\"repository:a/b:pull,push\",error=\"invalid_token\""
        );
        let wanted = Wanted::read("a/b/blobs/uploads/");
        let text = challenge(PLAIN, &headers, &Method::POST, wanted, Some("c/d"), "").unwrap();
        assert_eq!(
            text.to_str().unwrap(),
            "Bearer realm=\"http://h:1/v2/token\",service=\"h:1\",\
             scope=\"repository:a/b:pull,push repository:c/d:pull\""
        );
    }
}
