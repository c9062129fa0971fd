//! Addresses of repositories, with what is wanted of them: `https://host/app.git#ref:directory`.
//!
//! Source: BuildKit, `frontend/dockerfile/dfgitutil/git_ref.go`, `util/gitutil/git_url.go`,
//! `util/sshutil/scpurl.go`; Docker's manual, "Build context", "Git repositories".

use std::path::Path;

use percent_encoding::percent_decode_str;

use crate::commit::is_commit_id;

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Where the repository is, as git is told it.
    pub remote: String,
    /// A branch, a tag, another reference or a commit; `None` is what the repository has as its head.
    pub reference: Option<String>,
    /// The directory in it that counts, without leading or trailing slash; empty is all of it.
    pub directory: String,
    /// What the id of the commit begins with.
    pub checksum: Option<String>,
    /// Whether `.git` stays; `None` where the address does not say it.
    pub keep_git_dir: Option<bool>,
    /// Whether the repositories in it are fetched, too.
    pub submodules: bool,
    /// The checksum says which commit it is, whatever the reference is by now.
    pub by_commit: bool,
    /// It is written as a path of the client's could be.
    pub looks_local: bool,
}

/// Why an address is none, though it is a repository's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has characters that no address has, or no host.
    #[error("{0:?} is no address of a git repository")]
    Malformed(String),
    /// Git would refuse it, or take it for something else.
    #[error("invalid git ref {0:?}")]
    Reference(String),
    /// A parameter that is not known.
    #[error("unexpected query {0:?}")]
    Unexpected(String),
    /// A parameter without a value.
    #[error("query {0:?} has no value")]
    NoValue(String),
    /// A parameter twice.
    #[error("query {0:?} has multiple values")]
    ManyValues(String),
    /// A parameter that is something else.
    #[error("invalid {name} value: {value:?}")]
    Value {
        /// The parameter.
        name: String,
        /// What it is.
        value: String,
    },
    /// It asks for two things.
    #[error("{what} conflicts: {one:?} vs {other:?}")]
    Conflict {
        /// Of what there is only one.
        what: &'static str,
        /// The first.
        one: String,
        /// The second.
        other: String,
    },
    /// The checksum is none of git's.
    #[error("invalid checksum {0} for Git URL, expected hex commit hash")]
    Checksum(String),
}

/// The parts of an address.
struct Parts<'a> {
    remote: String,
    query: &'a str,
    fragment: &'a str,
}

impl Repository {
    /// What an address asks for; `None` where it is no repository's.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Option<Self>, AddressError> {
        let looks_local = text.starts_with("github.com/");
        let parts = if looks_local {
            let (mut parts, _) = split(text);
            parts.remote.insert_str(0, "https://");
            Some(parts)
        } else {
            of_url(text).or_else(|| of_copy_style(text))
        };
        let Some(parts) = parts else {
            return Ok(None);
        };
        let is_odd = |letter: char| letter.is_control() || letter.is_whitespace();
        if parts.remote.contains(is_odd) || !has_host(&parts.remote) {
            return Err(AddressError::Malformed(text.to_owned()));
        }
        let mut read = Self {
            remote: parts.remote,
            reference: None,
            directory: String::new(),
            checksum: None,
            keep_git_dir: None,
            submodules: true,
            by_commit: false,
            looks_local,
        };
        let fragment = percent_decode_str(parts.fragment).decode_utf8_lossy();
        let (reference, directory) = fragment.split_once(':').unwrap_or((&fragment, ""));
        read.reference = Some(reference.to_owned()).filter(|text| !text.is_empty());
        directory.clone_into(&mut read.directory);
        read.take_query(parts.query)?;
        if let Some(reference) = &read.reference {
            check_reference(reference)?;
        }
        if let Some(checksum) = &read.checksum {
            check_checksum(checksum)?;
        }
        let directory = rooted::normalized(Path::new(&read.directory));
        read.directory = directory.to_string_lossy().into_owned();
        Ok(Some(read))
    }

    /// The same, of which a commit is expected as well.
    ///
    /// # Errors
    /// [`AddressError::Checksum`], [`AddressError::Conflict`].
    pub fn expecting(mut self, checksum: &str) -> Result<Self, AddressError> {
        check_checksum(checksum)?;
        set(&mut self.checksum, "checksum", checksum.to_owned())?;
        Ok(self)
    }

    /// The name of the server, as it is in the address.
    #[must_use]
    pub fn host(&self) -> &str {
        host(&self.remote)
    }

    /// Whether git goes there by SSH.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        self.remote.starts_with("ssh://") || !self.remote.contains("://")
    }

    /// Who signs in at a server of the web, as the address has it: perhaps a secret.
    #[must_use]
    pub fn sign_in(&self) -> Option<&str> {
        let (_, rest) = self.remote.split_once("://").filter(|_| !self.is_ssh())?;
        let authority = rest.split('/').next().unwrap_or_default();
        authority.rsplit_once('@').map(|(user, _)| user)
    }

    /// Where the repository is, without whoever signs in there.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.sign_in() {
            Some(user) => self.remote.replacen(&format!("//{user}@"), "//xxxxx@", 1),
            None => self.remote.clone(),
        }
    }

    fn take_query(&mut self, query: &str) -> Result<(), AddressError> {
        let mut seen: Vec<String> = Vec::new();
        let (mut tag, mut branch) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (unescaped(name), unescaped(value));
            if seen.contains(&name) {
                return Err(AddressError::ManyValues(name));
            }
            seen.push(name.clone());
            let is_flag = matches!(&*name, "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !is_flag {
                return Err(AddressError::NoValue(name));
            }
            match name.as_str() {
                "ref" => set(&mut self.reference, "ref", value)?,
                "tag" => tag = Some(below("refs/tags/", &value)),
                "branch" => branch = Some(below("refs/heads/", &value)),
                "subdir" if self.directory.is_empty() || self.directory == value => {
                    self.directory = value;
                }
                "subdir" => {
                    return Err(AddressError::Conflict {
                        what: "subdir",
                        one: self.directory.clone(),
                        other: value,
                    });
                }
                "checksum" | "commit" => set(&mut self.checksum, "checksum", value)?,
                "keep-git-dir" => self.keep_git_dir = Some(flag(&name, &value)?),
                "submodules" => self.submodules = flag(&name, &value)?,
                "fetch-by-commit" => self.by_commit = flag(&name, &value)?,
                // Files are as old as their commit either way.
                "mtime" if matches!(&*value, "checkout" | "commit") => {}
                "mtime" => return Err(AddressError::Value { name, value }),
                _ => return Err(AddressError::Unexpected(name)),
            }
        }
        if let (Some(one), Some(other)) = (&tag, &branch) {
            return Err(AddressError::Conflict {
                what: "ref",
                one: one.clone(),
                other: other.clone(),
            });
        }
        match tag.or(branch) {
            Some(whole) => set(&mut self.reference, "ref", whole),
            None => Ok(()),
        }
    }
}

/// An address with a scheme. One of the web is a repository's by its ending only.
fn of_url(text: &str) -> Option<Parts<'_>> {
    let (scheme, _) = text.split_once("://")?;
    let is_web = match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => true,
        "ssh" | "git" => false,
        _ => return None,
    };
    let (mut parts, _) = split(text);
    let lower = scheme.to_ascii_lowercase();
    parts.remote.replace_range(..scheme.len(), &lower);
    let is_repository = !is_web || parts.remote.ends_with(".git");
    is_repository.then_some(parts)
}

/// An address as `scp` has them: `git@host:app.git`.
fn of_copy_style(text: &str) -> Option<Parts<'_>> {
    let (parts, bare) = split(text);
    let (user, rest) = bare.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    let is_user = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let is_host = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
    let fits = !user.is_empty() && user.chars().all(is_user) && host.chars().all(is_host);
    fits.then_some(parts)
}

fn split(text: &str) -> (Parts<'_>, &str) {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (bare, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parts = Parts {
        remote: bare.to_owned(),
        query,
        fragment,
    };
    (parts, bare)
}

fn host(remote: &str) -> &str {
    let authority = match remote.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => remote.split_once(':').map_or(remote, |(before, _)| before),
    };
    authority.rsplit('@').next().unwrap_or_default()
}

/// Whether there is a host, which no program takes for one of its options, nor what is before it.
fn has_host(remote: &str) -> bool {
    let after_scheme = remote.split_once("://").map_or(remote, |(_, rest)| rest);
    let host = host(remote);
    !host.is_empty() && !host.starts_with([':', '-']) && !after_scheme.starts_with('-')
}

/// Refuses what git takes for no reference. Source: git, `git-check-ref-format(1)`.
fn check_reference(text: &str) -> Result<(), AddressError> {
    let is_odd = |letter: char| letter.is_control() || " ~^:?*[\\".contains(letter);
    if text.starts_with('-') || text.contains(is_odd) || text.contains("..") {
        return Err(AddressError::Reference(text.to_owned()));
    }
    Ok(())
}

fn check_checksum(text: &str) -> Result<(), AddressError> {
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && (text.len() <= 40 || is_commit_id(text)) {
        return Ok(());
    }
    Err(AddressError::Checksum(text.to_owned()))
}

/// Sets what may be set once, or twice to the same.
fn set(place: &mut Option<String>, what: &'static str, value: String) -> Result<(), AddressError> {
    match place.take() {
        Some(one) if one != value => Err(AddressError::Conflict {
            what,
            one,
            other: value,
        }),
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

fn below(prefix: &str, name: &str) -> String {
    let bare = name.strip_prefix(prefix).unwrap_or(name);
    format!("{prefix}{bare}")
}

/// A parameter that is on where it is named alone.
fn flag(name: &str, value: &str) -> Result<bool, AddressError> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(AddressError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
    }
}

fn unescaped(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Repository> {
        Repository::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Where it is, which reference, which directory.
    fn told(text: &str) -> (String, String, String) {
        let read = parsed(text).unwrap_or_else(|| panic!("{text} is a repository's"));
        let reference = read.reference.unwrap_or_default();
        (read.remote, reference, read.directory)
    }

    #[test]
    fn a_repository_is_known_by_its_address() {
        for text in [
            "https://example.com/",
            "https://example.com/app",
            "https://example.com/app.git/",
            "https://example.com/app.git.tar",
            "https://example.com/app.git:#branch",
            "https://example.com/app.tar?x=.git",
            "example.com/app.git",
            "ftp://example.com/app.git",
            "file:///srv/app.git",
            "ext::sh -c true",
            "./app.git",
            "../git@host:app.git",
            ".git",
            "a file@home:x",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        for (text, remote, reference, directory) in [
            ("https://host/app.git", "https://host/app.git", "", ""),
            (
                "HTTP://host:81/app.git#v1",
                "http://host:81/app.git",
                "v1",
                "",
            ),
            (
                "https://host/a.git#x/y:b/c",
                "https://host/a.git",
                "x/y",
                "b/c",
            ),
            ("https://host/a.git#:b", "https://host/a.git", "", "b"),
            (
                "https://host/a.git#v:/b/../../c/",
                "https://host/a.git",
                "v",
                "c",
            ),
            (
                "https://host/a.git?ref=v1&subdir=/b",
                "https://host/a.git",
                "v1",
                "b",
            ),
            (
                "https://host/a.git?subdir=b#v1",
                "https://host/a.git",
                "v1",
                "b",
            ),
            (
                "https://host/a.git?tag=v1",
                "https://host/a.git",
                "refs/tags/v1",
                "",
            ),
            (
                "https://host/a.git?branch=x",
                "https://host/a.git",
                "refs/heads/x",
                "",
            ),
            ("git://host/app#x", "git://host/app", "x", ""),
            ("ssh://git@host:22/a", "ssh://git@host:22/a", "", ""),
            ("git@host:a/b.git#v1:c", "git@host:a/b.git", "v1", "c"),
            (
                "other-user@host:/srv/b?subdir=c",
                "other-user@host:/srv/b",
                "",
                "c",
            ),
            ("github.com/a/b#x", "https://github.com/a/b", "x", ""),
        ] {
            let expected = (
                remote.to_owned(),
                reference.to_owned(),
                directory.to_owned(),
            );
            assert_eq!(told(text), expected, "{text}");
        }
        assert!(parsed("github.com/a/b").unwrap().looks_local);
    }

    #[test]
    fn an_address_says_what_is_wanted_besides() {
        let read =
            parsed("https://host/a.git?keep-git-dir&submodules=0&checksum=deadbeef").unwrap();
        assert_eq!(read.keep_git_dir, Some(true));
        assert!(!read.submodules && !read.by_commit);
        assert_eq!(read.checksum.as_deref(), Some("deadbeef"));
        let read =
            parsed("https://host/a.git?fetch-by-commit&commit=deadbeef&mtime=commit").unwrap();
        assert!(read.by_commit && read.submodules);
        assert_eq!(read.keep_git_dir, None);
        assert!(read.clone().expecting("deadbeef").is_ok());
        assert!(read.expecting("0123").is_err());
    }

    #[test]
    fn what_git_would_take_for_something_else_is_refused() {
        for (text, words) in [
            (
                "https://host/a.git#--upload-pack=x",
                "invalid git ref \"--upload-pack=x\"",
            ),
            ("https://host/a.git?ref=-x", "invalid git ref \"-x\""),
            ("https://host/a.git#a..b", "invalid git ref \"a..b\""),
            ("https://host/a.git#a%20b", "invalid git ref \"a b\""),
            ("https://host/a.git?ref=*", "invalid git ref \"*\""),
            (
                "ssh://-oProxyCommand=x/a",
                "\"ssh://-oProxyCommand=x/a\" is no address of a git repository",
            ),
            (
                "ssh://a@-oProxyCommand=x/a",
                "\"ssh://a@-oProxyCommand=x/a\" is no address of a git repository",
            ),
            (
                "-o@host:a",
                "\"-o@host:a\" is no address of a git repository",
            ),
            (
                "https://ho st/a.git",
                "\"https://ho st/a.git\" is no address of a git repository",
            ),
            (
                "https:///a.git",
                "\"https:///a.git\" is no address of a git repository",
            ),
            (
                "https://host/a.git?ref=a#b",
                "ref conflicts: \"b\" vs \"a\"",
            ),
            (
                "https://host/a.git?tag=a&branch=b",
                "ref conflicts: \"refs/tags/a\" vs \"refs/heads/b\"",
            ),
            ("https://host/a.git?x=1", "unexpected query \"x\""),
            ("https://host/a.git?ref=", "query \"ref\" has no value"),
            (
                "https://host/a.git?ref=a&ref=b",
                "query \"ref\" has multiple values",
            ),
            (
                "https://host/a.git?submodules=x",
                "invalid submodules value: \"x\"",
            ),
            (
                "https://host/a.git?mtime=now",
                "invalid mtime value: \"now\"",
            ),
            (
                "https://host/a.git?checksum=sha256:0",
                "invalid checksum sha256:0 for Git URL, expected hex commit hash",
            ),
        ] {
            let error = Repository::parse(text).unwrap_err();
            assert_eq!(error.to_string(), words, "{text}");
        }
    }

    #[test]
    fn who_signs_in_is_not_shown() {
        for (text, shown, host) in [
            (
                "https://me:secret@host:81/a.git",
                "https://xxxxx@host:81/a.git",
                "host:81",
            ),
            (
                "https://token@host/a.git",
                "https://xxxxx@host/a.git",
                "host",
            ),
            ("https://host/a@b.git", "https://host/a@b.git", "host"),
            ("ssh://git@host/a", "ssh://git@host/a", "host"),
            ("git@host:a.git", "git@host:a.git", "host"),
        ] {
            let read = parsed(text).unwrap();
            assert_eq!((read.shown().as_str(), read.host()), (shown, host));
        }
    }
}
