//! API versions: which one a request speaks, and which are spoken here.
//!
//! What differs between versions is decided where it differs, by comparing a [`Version`].

use std::fmt;

/// A version of the API, such as 1.51.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// The newest that is spoken, and what a path without a version means.
    pub(crate) const MAX: Self = Self::new(1, 51);
    /// The oldest that is spoken.
    pub(crate) const MIN: Self = Self::new(1, 24);

    pub(crate) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Whether this version has what came with version 1.`minor`.
    pub(crate) fn has(self, minor: u32) -> bool {
        self >= Self::new(1, minor)
    }

    /// Reads `1.51`; what is left out or no number counts as 0, as in dockerd.
    fn parse(text: &str) -> Self {
        let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
        Self {
            major: numbers.next().unwrap_or(0),
            minor: numbers.next().unwrap_or(0),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A version that is not spoken here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    #[error(
        "client version {0} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version",
        min = Version::MIN
    )]
    TooOld(String),
    #[error("client version {0} is too new. Maximum supported API version is {max}", max = Version::MAX)]
    TooNew(String),
}

/// Splits a path into the version it asks for and the rest: `/v1.41/info` is 1.41 and `/info`.
pub(crate) fn split(path: &str) -> Result<(Version, &str), VersionError> {
    let prefixed = path.strip_prefix("/v").and_then(|rest| {
        let end = rest.find('/')?;
        let (text, rest) = rest.split_at(end);
        let is_version = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_version.then_some((text, rest))
    });
    let Some((text, rest)) = prefixed else {
        return Ok((Version::MAX, path));
    };
    let version = Version::parse(text);
    if version < Version::MIN {
        return Err(VersionError::TooOld(text.to_owned()));
    }
    if version > Version::MAX {
        return Err(VersionError::TooNew(text.to_owned()));
    }
    Ok((version, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_its_version_or_means_the_newest() {
        assert_eq!(split("/v1.41/info"), Ok((Version::new(1, 41), "/info")));
        assert_eq!(split("/info"), Ok((Version::MAX, "/info")));
        assert_eq!(split("/volumes/x"), Ok((Version::MAX, "/volumes/x")));
        assert_eq!(split("/version"), Ok((Version::MAX, "/version")));
    }

    #[test]
    fn versions_outside_the_range_are_refused_in_dockerds_words() {
        assert_eq!(
            split("/v1.23/info").unwrap_err().to_string(),
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        assert_eq!(
            split("/v1.52/info").unwrap_err().to_string(),
            "client version 1.52 is too new. Maximum supported API version is 1.51"
        );
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(Version::new(1, 9) < Version::new(1, 24));
        assert!(Version::new(1, 44).has(44) && !Version::new(1, 43).has(44));
    }
}
