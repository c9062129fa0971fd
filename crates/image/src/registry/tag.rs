//! The tags of a repository.
//!
//! Source: OCI Distribution Specification, "Content Discovery".

use http::header::LINK;
use serde::Deserialize;

use super::endpoint::resolve;
use super::{RegistryError, Repository};

/// The longest page.
const LONGEST_PAGE: usize = 4 << 20;
/// The most tags that are listed.
const MOST_TAGS: usize = 100_000;

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Repository {
    /// Every tag, in the registry's order.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let mut uri = self.at("tags/list")?;
        let mut tags = Vec::new();
        loop {
            let answer = self.get(uri).await?;
            let next = match answer.header(LINK).and_then(next_page) {
                Some(location) => {
                    let next = resolve(&answer.uri, location)
                        .filter(|next| next.authority() == answer.uri.authority());
                    Some(next.ok_or_else(|| answer.unexpected("its next page is elsewhere"))?)
                }
                None => None,
            };
            let page: Page = self.transport().json(answer, LONGEST_PAGE).await?;
            let found = page.tags.unwrap_or_default();
            let is_last = found.is_empty();
            tags.extend(found);
            match next {
                Some(next) if !is_last && tags.len() < MOST_TAGS => uri = next,
                _ => return Ok(tags),
            }
        }
    }
}

/// The address in `<...>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (address, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let is_next = parameters
        .split(';')
        .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
    is_next.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_page_is_followed() {
        assert_eq!(
            next_page(r#"</v2/a/tags/list?last=b&n=1>; rel="next""#),
            Some("/v2/a/tags/list?last=b&n=1")
        );
        for link in ["", "<a>", "<a>; rel=\"prev\"", "a; rel=\"next\""] {
            assert_eq!(next_page(link), None, "{link}");
        }
    }
}
