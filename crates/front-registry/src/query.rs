//! Query parameters: a name may come more than once.

use http::Uri;

use crate::error::ApiError;

/// The query parameters of a request, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Anything that is no parameter is left out.
    pub(crate) fn parse(uri: &Uri) -> Self {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_or_else(|_| Self::default(), |query| Self(query.0))
    }

    /// From the body of a form.
    pub(crate) fn of_form(form: &[u8]) -> Self {
        let text = String::from_utf8_lossy(form);
        let uri = format!("/?{text}").parse::<Uri>();
        uri.map_or_else(|_| Self::default(), |uri| Self::parse(&uri))
    }

    /// The first value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Every value.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, ApiError> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| ApiError::wrong_parameter(name, "a number from 0 on"))
            })
            .transpose()
    }
}
