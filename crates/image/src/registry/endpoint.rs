//! Where a registry answers, and which ones may do so without TLS. Pure.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, PathAndQuery};
use model::network::Cidr;

/// The registry of names without a host.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// Where its API is.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// A registry's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    scheme: Scheme,
    /// Host, and port where it is not the usual one.
    authority: String,
}

/// Registries that may be spoken to by plain HTTP, or with any certificate: those on loopback, and
/// those that the operator names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Insecure {
    /// `HOST` or `HOST:PORT`, as in references.
    pub hosts: Vec<String>,
    /// Addresses, where references name a registry by its address.
    pub networks: Vec<Cidr>,
}

/// A copy of Docker Hub: `https://HOST[:PORT]`, or `http://` where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub(crate) endpoint: Endpoint,
}

/// A text that names no mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no mirror: it must be http:// or https://, a host and perhaps a port")]
pub struct MirrorError {
    text: String,
}

impl Insecure {
    /// Whether this host, with or without a port, is among them.
    #[must_use]
    pub fn includes(&self, authority: &str) -> bool {
        let host = host_of(authority);
        if self
            .hosts
            .iter()
            .any(|insecure| insecure == authority || insecure == host)
        {
            return true;
        }
        match host.parse::<IpAddr>() {
            Ok(address) => {
                address.is_loopback()
                    || self
                        .networks
                        .iter()
                        .any(|network| network.contains(address))
            }
            Err(_) => host == "localhost",
        }
    }
}

impl std::str::FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let wrong = || MirrorError {
            text: text.to_owned(),
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(wrong()),
        };
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or_else(wrong)?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            endpoint: Endpoint::new(scheme, authority.as_str()),
        })
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/", self.endpoint)
    }
}

/// Host and port that the API of the registry of `domain` is at.
pub(crate) fn authority(domain: &str) -> &str {
    if domain == DOCKER_HUB {
        DOCKER_HUB_API
    } else {
        domain
    }
}

/// The host without its port, and without the brackets of an IPv6 address.
pub(crate) fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.split(':').next().unwrap_or(authority)
}

impl Endpoint {
    pub(crate) fn new(scheme: Scheme, authority: &str) -> Self {
        Self {
            scheme,
            authority: authority.to_owned(),
        }
    }

    /// The address of a path there: `/v2/...`, encoded, with its query.
    ///
    /// # Errors
    /// When the registry's name or the path is none.
    pub(crate) fn at(&self, path: &str) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.scheme.as_str())
            .authority(self.authority.as_str())
            .path_and_query(PathAndQuery::try_from(path)?)
            .build()
    }

    /// Whether an address is at this very registry: only there its credentials may go.
    pub(crate) fn is_origin_of(&self, uri: &Uri) -> bool {
        let usual = match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let Some(authority) = uri.authority() else {
            return false;
        };
        let Ok(own) = self.authority.parse::<Authority>() else {
            return false;
        };
        uri.scheme_str() == Some(self.scheme.as_str())
            && !authority.as_str().contains('@')
            && authority.host().eq_ignore_ascii_case(own.host())
            && authority.port_u16().unwrap_or(usual) == own.port_u16().unwrap_or(usual)
    }
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.as_str(), self.authority)
    }
}

/// The address that a `Location` of the answer from `base` means.
pub(crate) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let path = location.split('?').next().unwrap_or(location);
    if path.contains("://") {
        return location.parse().ok();
    }
    let mut parts = base.clone().into_parts();
    let target = if location.starts_with('/') {
        location.to_owned()
    } else {
        let directory = base
            .path()
            .rsplit_once('/')
            .map_or("", |(before, _)| before);
        format!("{directory}/{location}")
    };
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_what_is_named_may_be_without_tls() {
        let insecure = Insecure {
            hosts: vec!["build.example:5000".to_owned(), "old.example".to_owned()],
            networks: vec!["10.1.0.0/16".parse().unwrap()],
        };
        for (authority, expected) in [
            ("127.0.0.1:5000", true),
            ("127.8.9.1", true),
            ("localhost:5000", true),
            ("[::1]:5000", true),
            ("build.example:5000", true),
            ("build.example", false),
            ("old.example:443", true),
            ("10.1.2.3:5000", true),
            ("10.2.2.3:5000", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("registry-1.docker.io", false),
        ] {
            assert_eq!(insecure.includes(authority), expected, "{authority}");
        }
    }

    #[test]
    fn the_hub_answers_elsewhere_than_it_is_called() {
        let endpoint = Endpoint::new(Scheme::Https, authority("docker.io"));
        assert_eq!(
            endpoint.at("/v2/library/busybox/tags/list?n=1").unwrap(),
            "https://registry-1.docker.io/v2/library/busybox/tags/list?n=1"
        );
    }

    #[test]
    fn credentials_stay_at_scheme_host_and_port() {
        let endpoint = Endpoint::new(Scheme::Https, "a.example:5000");
        for (uri, expected) in [
            ("https://a.example:5000/v2/", true),
            ("http://a.example:5000/v2/", false),
            ("https://a.example/v2/", false),
            ("https://a.example:5000.evil.example/", false),
            ("https://x@a.example:5000/", false),
        ] {
            assert_eq!(
                endpoint.is_origin_of(&uri.parse().unwrap()),
                expected,
                "{uri}"
            );
        }
    }

    #[test]
    fn the_usual_port_may_be_said() {
        let endpoint = Endpoint::new(Scheme::Https, "a.example");
        assert!(endpoint.is_origin_of(&"https://A.example:443/v2/".parse().unwrap()));
    }

    #[test]
    fn a_location_may_be_relative() {
        let base: Uri = "http://a:1/v2/x/blobs/uploads/".parse().unwrap();
        for (location, expected) in [
            ("https://b/c?d=e", "https://b/c?d=e"),
            ("/v2/y?_state=1", "http://a:1/v2/y?_state=1"),
            ("1234?s=2", "http://a:1/v2/x/blobs/uploads/1234?s=2"),
        ] {
            assert_eq!(resolve(&base, location).unwrap(), expected);
        }
        assert_eq!(resolve(&base, "not a location"), None);
    }

    #[test]
    fn a_mirror_is_a_bare_address() {
        let mirror: Mirror = "http://127.0.0.1:5000".parse().unwrap();
        assert_eq!(mirror.endpoint.to_string(), "http://127.0.0.1:5000");
        for wrong in ["127.0.0.1:5000", "ftp://a", "http://a/b", "http://u@a", ""] {
            assert!(wrong.parse::<Mirror>().is_err(), "{wrong}");
        }
    }
}
