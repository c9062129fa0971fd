//! Query parameters, read as dockerd reads them.

use axum::extract::Query;
use http::Uri;

use crate::error::ApiError;

/// The query parameters of a request, in order; a name may come more than once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|error| ApiError::invalid(error.to_string()))
    }

    /// The first value; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// The first value, unless it is missing or empty.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// Whether there is a value, be it empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Every value.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// Anything but nothing, `0`, `no`, `false` and `none` is true.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        !matches!(
            self.get(name).trim().to_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// As [`Self::is_true`], with what holds when the parameter is missing.
    pub(crate) fn is_true_or(&self, name: &str, default: bool) -> bool {
        if self.has(name) {
            self.is_true(name)
        } else {
            default
        }
    }

    /// A whole number, unless it is missing or empty.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.non_empty(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| ApiError::invalid(not_a_number(text)))
            })
            .transpose()
    }

    /// A size of a terminal; both sides must be there.
    pub(crate) fn terminal_size(&self) -> Result<model::container::TerminalSize, ApiError> {
        let side = |name: &str, what: &str| {
            let text = self.get(name);
            text.parse::<u32>()
                .map(|cells| u16::try_from(cells).unwrap_or(u16::MAX))
                .map_err(|_| {
                    let problem = if text.parse::<i128>().is_ok() {
                        "value out of range"
                    } else {
                        "invalid syntax"
                    };
                    ApiError::invalid(format!("invalid resize {what} {text:?}: {problem}"))
                })
        };
        Ok(model::container::TerminalSize {
            rows: side("h", "height")?,
            columns: side("w", "width")?,
        })
    }
}

fn not_a_number(text: &str) -> String {
    format!("strconv.Atoi: parsing {text:?}: invalid syntax")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(query: &str) -> Form {
        Form::parse(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn truth_is_what_dockerd_takes_for_it() {
        for query in ["a=1", "a=true", "a=True", "a=yes", "a=-1"] {
            assert!(form(query).is_true("a"), "{query}");
        }
        for query in ["", "a", "a=", "a=0", "a=False", "a=no", "a=none"] {
            assert!(!form(query).is_true("a"), "{query}");
        }
        assert!(form("").is_true_or("a", true));
        assert!(!form("a=").is_true_or("a", true));
    }

    #[test]
    fn values_repeat_and_are_decoded() {
        let form = form("names=a%2Fb&names=c+d&t=-1");
        assert_eq!(form.all("names"), ["a/b", "c d"]);
        assert_eq!(form.number("t").unwrap(), Some(-1));
        assert!(form.number("names").is_err());
    }
}
