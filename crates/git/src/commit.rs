//! Which commit an address means: asked of the repository, without its files.
//!
//! Source: BuildKit, `source/git/source.go`.

use crate::Repository;
use crate::program::{Git, GitError, Transports};

/// What an address means now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The id of the object that was asked for: a commit, or a tag that has a text.
    pub object: String,
    /// The id of the commit, as far as it is known before it is fetched.
    pub id: String,
    /// The whole name of the reference; `None` of a commit by its id.
    pub reference: Option<String>,
}

impl Commit {
    fn of_id(id: &str, reference: Option<String>) -> Self {
        Self {
            object: id.to_owned(),
            id: id.to_owned(),
            reference,
        }
    }
}

/// Whether this is the whole id of a commit, by SHA-1 or SHA-256.
pub(crate) fn is_commit_id(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    matches!(text.len(), 40 | 64) && text.bytes().all(is_digit)
}

impl Git<'_> {
    /// The commit that an address means now.
    ///
    /// # Errors
    /// [`GitError`], also where it is another commit than the address expects.
    pub async fn commit(&self, repository: &Repository) -> Result<Commit, GitError> {
        let found = self.found(repository).await?;
        if let Some(expected) = &repository.checksum
            && !found.object.starts_with(expected)
            && !found.id.starts_with(expected)
        {
            return Err(GitError::Checksum {
                expected: expected.clone(),
                found: found.id,
            });
        }
        Ok(found)
    }

    async fn found(&self, repository: &Repository) -> Result<Commit, GitError> {
        let reference = repository.reference.as_deref();
        if let Some(id) = reference.filter(|text| is_commit_id(text)) {
            return Ok(Commit::of_id(id, None));
        }
        if repository.by_commit {
            let id = repository.checksum.as_deref().unwrap_or_default();
            if !is_commit_id(id) {
                return Err(GitError::NoCommit);
            }
            let whole = reference.map(|name| match name.starts_with("refs/") {
                true => name.to_owned(),
                false => format!("refs/heads/{name}"),
            });
            return Ok(Commit::of_id(id, whole));
        }
        let remote = repository.remote.as_str();
        let mut args = vec!["ls-remote", "--symref", "--", remote];
        let asked = reference.unwrap_or("HEAD");
        let peeled = format!("{asked}^{{}}");
        args.extend([asked, &peeled]);
        let listed = self.run(repository, &args, Transports::Own).await?;
        let listed = String::from_utf8_lossy(&listed);
        let found = match reference {
            Some(name) => named(&listed, name),
            None => head(&listed),
        };
        found.ok_or_else(|| GitError::NoReference {
            reference: asked.to_owned(),
            repository: repository.shown(),
        })
    }
}

/// The id that a list has for a name.
fn id_of<'l>(listed: &'l str, name: &str) -> Option<&'l str> {
    let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
    let found = lines.find(|(id, known)| is_commit_id(id) && *known == name);
    found.map(|(id, _)| id)
}

/// What a name means: whole, of a branch, of a tag.
fn named(listed: &str, name: &str) -> Option<Commit> {
    let below = |prefix: &str| {
        let bare = name.strip_prefix(prefix).unwrap_or(name);
        format!("{prefix}{bare}")
    };
    for whole in [below("refs/"), below("refs/heads/"), below("refs/tags/")] {
        if let Some(object) = id_of(listed, &whole) {
            let id = id_of(listed, &format!("{whole}^{{}}")).unwrap_or(object);
            return Some(Commit {
                object: object.to_owned(),
                id: id.to_owned(),
                reference: Some(whole),
            });
        }
    }
    None
}

/// What a repository begins with. Servers without a program of git's do not say which branch that is.
fn head(listed: &str) -> Option<Commit> {
    let id = id_of(listed, "HEAD")?;
    let mut lines = listed.lines();
    let branch = lines.find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
    let branch = branch.filter(|name| name.starts_with("refs/heads/"));
    Some(Commit::of_id(id, branch.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";
    const TAG: &str = "3333333333333333333333333333333333333333";

    fn told(found: Option<Commit>) -> Option<(String, String, String)> {
        found.map(|commit| {
            let reference = commit.reference.unwrap_or_default();
            (commit.object, commit.id, reference)
        })
    }

    fn of(object: &str, id: &str, reference: &str) -> Option<(String, String, String)> {
        Some((object.to_owned(), id.to_owned(), reference.to_owned()))
    }

    #[test]
    fn a_branch_comes_before_a_tag_and_a_tag_leads_to_its_commit() {
        let listed = format!(
            "{ONE}\trefs/heads/a\n{TWO}\trefs/heads/x/a\n{TAG}\trefs/tags/a\n{TWO}\trefs/tags/a^{{}}\n\
             {TWO}\trefs/pull/1/head\n"
        );
        assert_eq!(told(named(&listed, "a")), of(ONE, ONE, "refs/heads/a"));
        assert_eq!(
            told(named(&listed, "refs/tags/a")),
            of(TAG, TWO, "refs/tags/a")
        );
        assert_eq!(told(named(&listed, "tags/a")), of(TAG, TWO, "refs/tags/a"));
        assert_eq!(
            told(named(&listed, "pull/1/head")),
            of(TWO, TWO, "refs/pull/1/head")
        );
        assert_eq!(told(named(&listed, "head")), None);
    }

    #[test]
    fn the_head_is_a_branch_where_the_server_says_so() {
        let listed = format!("ref: refs/heads/main\tHEAD\n{ONE}\tHEAD\n");
        assert_eq!(told(head(&listed)), of(ONE, ONE, "refs/heads/main"));
        assert_eq!(told(head(&format!("{ONE}\tHEAD\n"))), of(ONE, ONE, ""));
        assert_eq!(told(head("")), None);
    }
}
