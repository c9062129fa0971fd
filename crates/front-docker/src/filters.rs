//! The `filters` parameter: JSON of names to values, as a map or (from older clients) a list. Pure.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::Value;

use crate::error::ApiError;

/// Filters by name, each with its accepted values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// Reads the parameter; only these names may be in it.
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Self, ApiError> {
        let filters = Self::read(text).ok_or_else(|| ApiError::invalid("invalid filter"))?;
        match filters
            .0
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(ApiError::invalid(format!("invalid filter '{name}'"))),
            None => Ok(filters),
        }
    }

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let document: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
        let mut filters = BTreeMap::new();
        for (name, values) in document {
            let values: BTreeSet<String> = match values {
                Value::Object(values) => values
                    .into_iter()
                    .map(|(value, wanted)| wanted.as_bool().map(|wanted| (value, wanted)))
                    .collect::<Option<Vec<_>>>()?
                    .into_iter()
                    .filter_map(|(value, wanted)| wanted.then_some(value))
                    .collect(),
                Value::Array(values) => values
                    .into_iter()
                    .map(|value| Some(value.as_str()?.to_owned()))
                    .collect::<Option<_>>()?,
                Value::Null => BTreeSet::new(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            };
            filters.insert(name, values);
        }
        Some(Self(filters))
    }

    /// Whether the filter is set at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Its values.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Nothing is asked for, or exactly this.
    pub(crate) fn matches_exactly(&self, name: &str, text: &str) -> bool {
        self.0
            .get(name)
            .is_none_or(|values| values.is_empty() || values.contains(text))
    }

    /// Nothing is asked for, or one of the values is this text or begins it.
    pub(crate) fn matches_prefix(&self, name: &str, text: &str) -> bool {
        self.matches_exactly(name, text) || self.values(name).any(|value| text.starts_with(value))
    }

    /// The filter's values as regular expressions, compiled once for a whole list.
    pub(crate) fn patterns(&self, name: &str) -> Patterns {
        let values: Vec<_> = self
            .values(name)
            .map(|value| (value.to_owned(), Regex::new(value).ok()))
            .collect();
        Patterns(values)
    }

    /// Every `key` or `key=value` asked for is among the labels.
    pub(crate) fn matches_labels(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(name)
            .all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
                None => labels.contains_key(wanted),
            })
    }

    /// A yes-or-no filter.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(values) = self.0.get(name) else {
            return Ok(None);
        };
        let is_false = values.contains("0") || values.contains("false");
        let is_true = values.contains("1") || values.contains("true");
        if is_false == is_true {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            let shown = if values.is_empty() {
                String::new()
            } else {
                format!("=[{}]", values.join(" "))
            };
            return Err(ApiError::invalid(format!("invalid filter '{name}{shown}'")));
        }
        Ok(Some(is_true))
    }
}

/// Values of a filter that are regular expressions, or plain text where they are none.
#[derive(Debug)]
pub(crate) struct Patterns(Vec<(String, Option<Regex>)>);

impl Patterns {
    /// Nothing is asked for, or one of the values matches somewhere in the text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|(value, pattern)| {
                value == text
                    || pattern
                        .as_ref()
                        .is_some_and(|pattern| pattern.is_match(text))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(text: &str) -> Filters {
        Filters::parse(text, &["label", "name", "dangling"]).unwrap()
    }

    #[test]
    fn maps_and_lists_mean_the_same() {
        for text in [
            r#"{"label":{"a=1":true,"b":true,"c":false}}"#,
            r#"{"label":["a=1","b"]}"#,
        ] {
            let filters = filters(text);
            assert_eq!(filters.values("label").collect::<Vec<_>>(), ["a=1", "b"]);
        }
    }

    #[test]
    fn what_is_not_known_or_not_json_is_refused() {
        assert_eq!(
            Filters::parse("{", &[]).unwrap_err().message,
            "invalid filter"
        );
        assert_eq!(
            Filters::parse(r#"{"x":["1"]}"#, &["y"])
                .unwrap_err()
                .message,
            "invalid filter 'x'"
        );
        assert_eq!(
            Filters::parse(r#"{"x":1}"#, &["x"]).unwrap_err().message,
            "invalid filter"
        );
    }

    #[test]
    fn labels_must_all_be_there() {
        let labels = BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), String::new()),
        ]);
        assert!(filters(r#"{"label":["a=1","b"]}"#).matches_labels("label", &labels));
        assert!(!filters(r#"{"label":["a=2"]}"#).matches_labels("label", &labels));
        assert!(!filters(r#"{"label":["c"]}"#).matches_labels("label", &labels));
    }

    #[test]
    fn names_match_as_expressions_and_as_text() {
        let patterns = filters(r#"{"name":["^we","("]}"#).patterns("name");
        assert!(patterns.matches("web") && patterns.matches("("));
        assert!(!patterns.matches("owe"));
    }

    #[test]
    fn a_boolean_must_be_clear() {
        assert_eq!(
            filters(r#"{"dangling":["true"]}"#)
                .boolean("dangling")
                .unwrap(),
            Some(true)
        );
        assert_eq!(
            filters(r#"{"dangling":["true","false"]}"#)
                .boolean("dangling")
                .unwrap_err()
                .message,
            "invalid filter 'dangling=[false true]'"
        );
    }
}
