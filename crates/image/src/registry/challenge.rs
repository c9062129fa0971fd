//! What a registry says when it wants to know who asks: `WWW-Authenticate`, read. Pure.
//!
//! Source: RFC 9110, section 11; Docker Registry v2 authentication, "How to authenticate".

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One way to say who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token, which another service gives.
    Bearer {
        /// Address of that service.
        realm: String,
        /// What it shall call the registry.
        service: Option<String>,
        /// What the request needs: `repository:library/busybox:pull`; several are set apart by spaces.
        scope: Option<String>,
    },
}

/// The challenges of an answer that are understood here, tokens first.
pub(crate) fn read(headers: &HeaderMap) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(parse)
        .collect();
    challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
    challenges
}

/// The challenges of one header; several may share it.
fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header.trim();
    while !rest.is_empty() {
        let scheme_end = rest.find([' ', ',']).unwrap_or(rest.len());
        let (scheme, after) = rest.split_at(scheme_end);
        let (parameters, after) = parameters(after);
        rest = after.trim_start_matches([',', ' ']);
        let find = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = find("realm")
        {
            challenges.push(Challenge::Bearer {
                realm,
                service: find("service").filter(|service| !service.is_empty()),
                scope: find("scope").filter(|scope| !scope.is_empty()),
            });
        }
    }
    challenges
}

/// `key="value"` pairs up to the next scheme, and what is left.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.trim_start_matches([',', ' ', '\t']);
        let key_end = at.find(['=', ' ', ',', '"']).unwrap_or(at.len());
        // Without an equals sign it is the next scheme.
        let Some(value) = at[key_end..].strip_prefix('=').filter(|_| key_end > 0) else {
            return (found, at);
        };
        let (value, after) = value_of(value);
        found.push((at[..key_end].to_owned(), value));
        rest = after;
    }
}

/// A quoted or bare value, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"bearer  realm=https://a/t , service=x"#,
                vec![bearer("https://a/t", Some("x"), None)],
            ),
            (
                r#"Basic realm="a", Bearer realm="b\"c",scope="""#,
                vec![Challenge::Basic, bearer("b\"c", None, None)],
            ),
            (r#"Negotiate, Basic realm="x""#, vec![Challenge::Basic]),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn tokens_come_before_passwords() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, r#"Basic realm="a""#.parse().unwrap());
        headers.append(WWW_AUTHENTICATE, r#"Bearer realm="b""#.parse().unwrap());
        assert_eq!(read(&headers), [bearer("b", None, None), Challenge::Basic]);
    }

    #[test]
    fn nonsense_is_no_challenge_and_ends() {
        for header in [
            "",
            ",,,",
            "=",
            "Bearer",
            "Bearer =",
            r#"Bearer realm"#,
            r#"Bearer service="x""#,
            "\"",
            "Bearer \"\"",
            "Bearer realm=\"never closed",
        ] {
            assert!(
                parse(header)
                    .iter()
                    .all(|challenge| *challenge == bearer("never closed", None, None)),
                "{header}"
            );
        }
    }
}
