//! Query parameters, as OpenStack's services read them.

use edge::paging::Page;
use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The query parameters of a request, in order; a name may come more than once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl FromIterator<(String, String)> for Query {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Query {
    /// Anything that is no parameter is left out.
    pub(crate) fn parse(uri: &Uri) -> Self {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_or_else(|_| Self::default(), |query| Self(query.0))
    }

    /// The first value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every parameter.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is a value, be it empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A switch: on where it stands without a value, or with any but `0` and `false`.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.get(name)
            .map(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "false"))
    }

    /// The address of another page: `path` with the same parameters, from `marker` on, or from the
    /// beginning.
    pub(crate) fn address(&self, path: &str, marker: Option<&str>) -> String {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let parameters: Vec<String> = self
            .pairs()
            .filter(|(name, _)| *name != "marker")
            .chain(marker.map(|marker| ("marker", marker)))
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        if parameters.is_empty() {
            return path.to_owned();
        }
        format!("{path}?{}", parameters.join("&"))
    }

    /// The page that is wanted. `None` where the limit is no number.
    pub(crate) fn page(&self) -> Option<Page> {
        let limit = match self.get("limit") {
            None => None,
            Some(text) => std::num::NonZeroUsize::new(text.parse::<usize>().ok()?),
        };
        Some(Page {
            limit,
            marker: self.get("marker").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn a_switch_is_on_without_a_value() {
        assert_eq!(query("effective").switch("effective"), Some(true));
        assert_eq!(query("effective=1").switch("effective"), Some(true));
        assert_eq!(query("effective=False").switch("effective"), Some(false));
        assert_eq!(query("").switch("effective"), None);
    }

    #[test]
    fn a_page_is_asked_for_with_the_same_parameters() {
        assert_eq!(
            query("name=a%20b&marker=old").address("/v2/images", Some("new")),
            "/v2/images?name=a%20b&marker=new"
        );
        assert_eq!(query("").address("/v2/images", None), "/v2/images");
    }

    #[test]
    fn values_repeat_and_are_decoded() {
        let query = query("a=1%2F2&a=b+c");
        assert_eq!(query.get("a"), Some("1/2"));
        assert_eq!(
            query.pairs().collect::<Vec<_>>(),
            [("a", "1/2"), ("a", "b c")]
        );
    }
}
