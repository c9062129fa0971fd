//! What each line of a log tells of its container. Pure.
//!
//! Source: moby, `daemon/logger/loginfo.go` and `daemon/logger/jsonfilelog`.

use std::collections::BTreeMap;

use model::container::{ContainerSpec, LogDetails, TagPart};
use model::instance::Instance;
use regex_lite::Regex;

/// Digits and letters of an identity that is cut short.
const SHORT: usize = 12;

/// A JSON object as the keeper writes it beside each line; nothing where there is nothing to tell.
pub(super) fn attributes(
    instance: &Instance,
    container: &ContainerSpec,
    details: &LogDetails,
) -> Result<String, regex_lite::Error> {
    let labels = instance.meta.labels.iter();
    let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
    let env = container.env.iter().filter_map(|text| text.split_once('='));
    let mut told = chosen(labels, &details.labels, &details.labels_matching)?;
    told.extend(chosen(env, &details.env, &details.env_matching)?);
    if !details.tag.is_empty() {
        told.insert("tag", tag(instance, container, &details.tag));
    }
    if told.is_empty() {
        return Ok(String::new());
    }
    let text = serde_json::json!(told).to_string();
    // As Go writes it, for readers that compare bytes.
    let escaped = text.replace('<', r"\u003c").replace('>', r"\u003e");
    Ok(escaped.replace('&', r"\u0026"))
}

/// Those of these names, and those whose name has a match.
fn chosen<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    names: &[String],
    matching: &str,
) -> Result<BTreeMap<&'a str, String>, regex_lite::Error> {
    let matching = Some(matching).filter(|text| !text.is_empty());
    let matching = matching.map(Regex::new).transpose()?;
    let is_chosen = |name: &str| {
        names.iter().any(|wanted| wanted == name)
            || matching
                .as_ref()
                .is_some_and(|pattern| pattern.is_match(name))
    };
    let chosen = all.filter(|(name, _)| is_chosen(name));
    Ok(chosen
        .map(|(name, value)| (name, value.to_owned()))
        .collect())
}

fn tag(instance: &Instance, container: &ContainerSpec, parts: &[TagPart]) -> String {
    let short = |text: &str| text.chars().take(SHORT).collect();
    let part = |part: &TagPart| match part {
        TagPart::Text(text) => text.clone(),
        TagPart::Id => short(&instance.meta.id.simple()),
        TagPart::Name => instance.meta.name.clone(),
        TagPart::Image => container.image.clone(),
        TagPart::ImageId => container.image_id.clone(),
        TagPart::ShortImageId => short(&container.image_id),
    };
    parts.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{Meta, ProjectId};

    use super::*;

    #[test]
    fn what_is_asked_for_is_told() {
        let mut meta = Meta::new("web", ProjectId::ADMIN, Timestamp::UNIX_EPOCH);
        let labels = [("team", "a<b"), ("org.x", "1"), ("other", "2")];
        meta.labels = labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let instance = Instance {
            meta,
            spec: Default::default(),
        };
        let container = ContainerSpec {
            image: "busybox".to_owned(),
            env: ["MODE=x=y", "PATH=/bin"].map(str::to_owned).into(),
            ..ContainerSpec::default()
        };
        let told = |details: &LogDetails| attributes(&instance, &container, details).unwrap();
        assert_eq!(told(&LogDetails::default()), "");
        let details = LogDetails {
            labels: vec!["team".to_owned(), "missing".to_owned()],
            labels_matching: "^org".to_owned(),
            env: vec!["MODE".to_owned()],
            env_matching: String::new(),
            tag: vec![TagPart::Image, TagPart::Text("/".to_owned()), TagPart::Name],
        };
        assert_eq!(
            told(&details),
            r#"{"MODE":"x=y","org.x":"1","tag":"busybox/web","team":"a\u003cb"}"#
        );
    }
}
