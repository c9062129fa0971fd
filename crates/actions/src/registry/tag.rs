//! Tags: names of manifests, and lists of them.

use model::repository::RepositoryTag;

use super::{RegistryError, RepositoryName, Right, Visitor, upstream};
use crate::Cloud;

/// Characters of the longest tag.
const LONGEST: usize = 128;

/// A part of a list of names, in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The names.
    pub names: Vec<String>,
    /// There are more after them.
    pub has_more: bool,
}

impl Names {
    /// Those of sorted `names` that come after `last`, at most `most`.
    pub(super) fn after(
        names: impl IntoIterator<Item = String>,
        last: Option<&str>,
        most: Option<usize>,
    ) -> Self {
        let is_after = |name: &String| last.is_none_or(|last| name.as_str() > last);
        let mut left = names.into_iter().filter(is_after);
        let names: Vec<String> = left.by_ref().take(most.unwrap_or(usize::MAX)).collect();
        Self {
            names,
            has_more: left.next().is_some(),
        }
    }
}

/// The tags of a repository after `last`, at most `most`; of one with an upstream, the upstream's.
///
/// # Errors
/// [`RegistryError::NameUnknown`], and for who may not pull.
pub async fn list(
    cloud: &Cloud,
    visitor: &Visitor,
    name: &RepositoryName,
    last: Option<&str>,
    most: Option<usize>,
) -> Result<Names, RegistryError> {
    let place = visitor.enter(cloud, name, Right::Pull)?;
    if let Some(source) = &place.source
        && let Some(tags) = upstream::manifest::tags(cloud, &place, source).await?
    {
        return Ok(Names::after(tags, last, most));
    }
    let owner = place.repository()?.value.as_owner();
    let tags = cloud.store.named::<RepositoryTag>(owner);
    let names = tags.into_iter().map(|tag| tag.value.meta.name.clone());
    Ok(Names::after(names, last, most))
}

/// Refuses what is no tag.
///
/// Source: OCI Distribution Specification v1.1, "Pulling manifests".
pub(super) fn check(tag: &str) -> Result<(), RegistryError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = tag.len() <= LONGEST
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if is_tag {
        Ok(())
    } else {
        Err(RegistryError::TagInvalid(tag.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_follows_the_grammar() {
        for tag in ["latest", "1.0-rc_1", "_x", &"a".repeat(128)] {
            assert!(check(tag).is_ok(), "{tag}");
        }
        for tag in [
            "",
            ".hidden",
            "-x",
            "a/b",
            "a:b",
            "..",
            "ü",
            &"a".repeat(129),
        ] {
            assert!(check(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn pages_join_to_the_whole_list() {
        let all = || ["a", "b", "c"].map(str::to_owned);
        let first = Names::after(all(), None, Some(2));
        assert_eq!(
            (first.names.as_slice(), first.has_more),
            (&all()[..2], true)
        );
        let rest = Names::after(all(), Some("b"), Some(2));
        assert_eq!((rest.names.as_slice(), rest.has_more), (&all()[2..], false));
        assert!(Names::after(all(), None, Some(0)).has_more);
        // The last one need not be there any more.
        assert_eq!(Names::after(all(), Some("bb"), None).names, ["c"]);
    }
}
