//! What a path asks for. Names of repositories have slashes, so it is read from its end.
//!
//! Source: OCI Distribution Specification v1.1, "Endpoints". What begins with an underscore is an
//! extension there.

/// What is asked for, in the words of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// Whether this is a registry.
    Base,
    /// The list of repositories.
    Catalogue,
    /// Something in the repository `name`.
    In { name: &'a str, what: What<'a> },
    /// Nothing that is here.
    Nothing,
}

/// Something in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Blob(&'a str),
    Uploads,
    Upload(&'a str),
    Manifest(&'a str),
    Tags,
    Referrers(&'a str),
    Visibility,
}

impl<'a> What<'a> {
    /// What the path names in the repository: a digest, a tag, an upload.
    pub(crate) const fn argument(self) -> &'a str {
        match self {
            Self::Uploads | Self::Tags | Self::Visibility => "",
            Self::Blob(name)
            | Self::Upload(name)
            | Self::Manifest(name)
            | Self::Referrers(name) => name,
        }
    }
}

impl<'a> Wanted<'a> {
    /// Reads what comes after `/v2/`, decoded.
    pub(crate) fn read(path: &'a str) -> Self {
        match path {
            "" => return Self::Base,
            "_catalog" => return Self::Catalogue,
            _ => {}
        }
        let found = |(name, what)| Self::In { name, what };
        if let Some(name) = path.strip_suffix("/tags/list") {
            return found((name, What::Tags));
        }
        if let Some(name) = path.strip_suffix("/_longshore/visibility") {
            return found((name, What::Visibility));
        }
        if let Some(name) = path
            .strip_suffix("/blobs/uploads/")
            .or_else(|| path.strip_suffix("/blobs/uploads"))
        {
            return found((name, What::Uploads));
        }
        let Some((rest, last)) = path.rsplit_once('/') else {
            return Self::Nothing;
        };
        let Some((name, noun)) = rest.rsplit_once('/') else {
            return Self::Nothing;
        };
        match noun {
            "uploads" => match name.strip_suffix("/blobs") {
                Some(name) => found((name, What::Upload(last))),
                None => Self::Nothing,
            },
            "blobs" => found((name, What::Blob(last))),
            "manifests" => found((name, What::Manifest(last))),
            "referrers" => found((name, What::Referrers(last))),
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_its_end() {
        for (path, name, what) in [
            ("a/b/tags/list", "a/b", What::Tags),
            ("a/b/blobs/sha256:0", "a/b", What::Blob("sha256:0")),
            ("a/b/blobs/uploads/", "a/b", What::Uploads),
            ("a/b/blobs/uploads", "a/b", What::Uploads),
            ("a/b/blobs/uploads/7", "a/b", What::Upload("7")),
            (
                "a/manifests/manifests/1",
                "a/manifests",
                What::Manifest("1"),
            ),
            ("a/b/referrers/sha256:0", "a/b", What::Referrers("sha256:0")),
            ("a/b/_longshore/visibility", "a/b", What::Visibility),
        ] {
            assert_eq!(Wanted::read(path), Wanted::In { name, what }, "{path}");
        }
        assert_eq!(Wanted::read(""), Wanted::Base);
        assert_eq!(Wanted::read("_catalog"), Wanted::Catalogue);
        for path in ["a", "a/b", "a/b/c", "uploads/7", "a/uploads/7"] {
            assert_eq!(Wanted::read(path), Wanted::Nothing, "{path}");
        }
    }
}
