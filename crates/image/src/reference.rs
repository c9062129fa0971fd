//! What images are called: Docker's reference grammar, normalised and familiar.
//!
//! `busybox` is short for `docker.io/library/busybox:latest`. The store keeps the long, normalised
//! form and people see the short, familiar one. Pure; source: the grammar in the package
//! documentation of `distribution/reference`.

use std::fmt;

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// A normalised reference: a repository's name with a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no reference; the messages are those that Docker's users know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// The name has upper-case letters.
    #[error("invalid reference format: repository name ({name}) must be lowercase")]
    UpperCase {
        /// The name without its domain.
        name: String,
    },
    /// The name is too long.
    #[error("repository name must not be more than {LONGEST_NAME} characters")]
    TooLong,
    /// The name would be taken for an id.
    #[error("invalid repository name ({name}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId {
        /// The text.
        name: String,
    },
    /// The digest's algorithm is not known.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// The digest has not as many digits as its algorithm needs.
    #[error("invalid checksum digest length")]
    DigestLength,
}

impl Reference {
    /// Reads a familiar or full reference.
    ///
    /// # Errors
    /// When it does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if is_id(text) {
            return Err(ReferenceError::LooksLikeId {
                name: text.to_owned(),
            });
        }
        let (domain, rest) = split_domain(text);
        let name_end = rest.find([':', '@']).unwrap_or(rest.len());
        let (name, suffix) = rest.split_at(name_end);
        let name = if domain == DEFAULT_DOMAIN && !name.contains('/') {
            format!("{OFFICIAL_PREFIX}{name}")
        } else {
            name.to_owned()
        };
        if name.chars().any(char::is_uppercase) {
            return Err(ReferenceError::UpperCase { name });
        }
        if !is_domain(domain) || !name.split('/').all(is_path_component) {
            return Err(ReferenceError::Format);
        }
        let (tag, digest) = match suffix.split_once('@') {
            Some((tag, digest)) => (tag, Some(digest)),
            None => (suffix, None),
        };
        let tag = match tag.strip_prefix(':') {
            Some(tag) if is_tag(tag) => Some(tag.to_owned()),
            None if tag.is_empty() => None,
            _ => return Err(ReferenceError::Format),
        };
        if let Some(digest) = digest {
            check_digest(digest)?;
        }
        if domain.len() + 1 + name.len() > LONGEST_NAME {
            return Err(ReferenceError::TooLong);
        }
        Ok(Self {
            domain: domain.to_owned(),
            path: name,
            tag,
            digest: digest.map(str::to_owned),
        })
    }

    /// The same with tag `latest` where it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// Host, and port, of its registry: `docker.io`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository's name there: `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest: `sha256:...`.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The repository's full name without tag and digest: `docker.io/library/busybox`.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository's name as people write it: `busybox`. A name that would then mean another
    /// registry's image, as `docker.io/quay.example/app` would, stays whole.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        let short = match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(short) if !short.contains('/') => short,
            _ => &self.path,
        };
        let means_this = |read: Self| (&read.domain, &read.path) == (&self.domain, &self.path);
        if Self::parse(short).is_ok_and(means_this) {
            short.to_owned()
        } else {
            self.repository()
        }
    }

    /// As people write it: `busybox:latest`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut name: String) -> String {
        for (mark, part) in [(':', &self.tag), ('@', &self.digest)] {
            if let Some(part) = part {
                name.push(mark);
                name.push_str(part);
            }
        }
        name
    }
}

impl fmt::Display for Reference {
    /// The full form: `docker.io/library/busybox:latest`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with_suffix(self.repository()))
    }
}

/// Whether `text` is a whole id: 64 lower-case hex digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 64 && is_lower_hex(text)
}

/// Whether `text` is lower-case hex digits only, at least one.
pub(crate) fn is_lower_hex(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Takes the domain off the front where there is one.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((LEGACY_DEFAULT_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, port)) => {
            if address.is_empty()
                || !address
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
            {
                return false;
            }
            (None, port.strip_prefix(':').ok_or(port))
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (Some(host), Ok(port)),
            None => (Some(domain), Err("")),
        },
    };
    let good_host = host.is_none_or(|host| {
        host.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
    });
    let good_port = match port {
        Ok(port) => !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()),
        Err(rest) => rest.is_empty(),
    };
    good_host && good_port
}

/// Lower-case letters and digits, with separators (`.`, `_`, `__` or dashes) between them.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().is_some_and(|byte| is_word(*byte))
        || !bytes.last().is_some_and(|byte| is_word(*byte))
    {
        return false;
    }
    bytes.split(|byte| is_word(*byte)).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
    })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn check_digest(digest: &str) -> Result<(), ReferenceError> {
    let (algorithm, digits) = digest.split_once(':').ok_or(ReferenceError::Format)?;
    let good_algorithm = algorithm.split(['-', '_', '+', '.']).all(|part| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if !good_algorithm || digits.len() < 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Err(ReferenceError::Format);
    }
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(ReferenceError::DigestAlgorithm),
    };
    if digits.len() != length {
        return Err(ReferenceError::DigestLength);
    }
    if is_lower_hex(digits) {
        Ok(())
    } else {
        Err(ReferenceError::Format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn short_names_are_completed_and_shortened_again() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            (
                "docker.io/quay.example/app",
                "docker.io/quay.example/app",
                "docker.io/quay.example/app",
            ),
            (
                "docker.io/localhost/app",
                "docker.io/localhost/app",
                "docker.io/localhost/app",
            ),
            (
                "busybox:1.36",
                "docker.io/library/busybox:1.36",
                "busybox:1.36",
            ),
            ("library/busybox", "docker.io/library/busybox", "busybox"),
            ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
            (
                "index.docker.io/busybox",
                "docker.io/library/busybox",
                "busybox",
            ),
            ("user/app:v1", "docker.io/user/app:v1", "user/app:v1"),
            (
                "library/foo/bar",
                "docker.io/library/foo/bar",
                "library/foo/bar",
            ),
            ("localhost/app", "localhost/app", "localhost/app"),
            (
                "localhost:5000/app",
                "localhost:5000/app",
                "localhost:5000/app",
            ),
            (
                "quay.io/a/b__c-d--e:T.x-1",
                "quay.io/a/b__c-d--e:T.x-1",
                "quay.io/a/b__c-d--e:T.x-1",
            ),
            (
                "[2001:db8::1]:5000/app",
                "[2001:db8::1]:5000/app",
                "[2001:db8::1]:5000/app",
            ),
            (
                "[2001:db8::1]/app",
                "[2001:db8::1]/app",
                "[2001:db8::1]/app",
            ),
            ("Host/app", "Host/app", "Host/app"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
            assert_eq!(Reference::parse(full).unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn tag_and_digest_are_told_apart() {
        let reference = Reference::parse(&format!("busybox:1@sha256:{HEX}")).unwrap();
        assert_eq!(reference.tag(), Some("1"));
        assert_eq!(reference.digest(), Some(format!("sha256:{HEX}").as_str()));
        assert_eq!(reference.or_latest().tag(), Some("1"));
        assert_eq!(
            Reference::parse("busybox").unwrap().or_latest().tag(),
            Some("latest")
        );
        let digested = Reference::parse(&format!("busybox@sha256:{HEX}")).unwrap();
        assert_eq!(digested.or_latest().tag(), None);
    }

    #[test]
    fn what_is_no_reference_is_refused_in_dockers_words() {
        for text in [
            "",
            ":",
            "@",
            "a:",
            ":tag",
            "a@",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a.-b",
            "a___b",
            "a b",
            "a\0",
            "a:tag:tag",
            "a:-tag",
            "a:t/g",
            "ü",
            "a@sha256:00",
            "host:port/a",
            "host:/a",
            "-h.x/a",
            "[::1/a",
            "[]/a",
            "a@:0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(
                Reference::parse(text),
                Err(ReferenceError::Format),
                "{text:?}"
            );
        }
        let said = |text: &str| Reference::parse(text).unwrap_err().to_string();
        assert_eq!(
            said("Busybox"),
            "invalid reference format: repository name (library/Busybox) must be lowercase"
        );
        assert_eq!(
            said("x/Foo:1"),
            "invalid reference format: repository name (x/Foo) must be lowercase"
        );
        assert_eq!(
            said(HEX),
            format!("invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings")
        );
        assert_eq!(
            said(&"a".repeat(256)),
            "repository name must not be more than 255 characters"
        );
        assert_eq!(
            said(&format!("a:{}", "t".repeat(129))),
            "invalid reference format"
        );
        assert_eq!(
            said(&format!("a@md5:{HEX}")),
            "unsupported digest algorithm"
        );
        assert_eq!(
            said(&format!("a@sha256:{HEX}00")),
            "invalid checksum digest length"
        );
    }
}
