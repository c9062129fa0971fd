//! Where output is kept: log drivers and their options. Pure.
//!
//! Source: moby, `daemon/logger/factory.go`, `daemon/logger/jsonfilelog`, `daemon/logger/local`. The
//! files of `local` are its daemon's own business; here they are those of `json-file`, rotated
//! when `local` rotates.

use model::container::{LogConfig, LogDetails, TagPart};
use regex_lite::Regex;

use crate::container::wire;
use crate::error::ApiError;

/// What a tag is made of, as dockerd's templates call it.
const TAG_FIELDS: [(&str, TagPart); 5] = [
    (".ID", TagPart::Id),
    (".Name", TagPart::Name),
    (".ImageName", TagPart::Image),
    (".ImageFullID", TagPart::ImageId),
    (".ImageID", TagPart::ShortImageId),
];

/// Drivers that dockerd has and this daemon does not.
const FOREIGN: [&str; 8] = [
    "awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog",
];

/// The drivers that write files here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    JsonFile,
    Local,
}

impl Driver {
    /// Bytes of a file before it is rotated, and most files, where nothing is said.
    fn rotation(self) -> (Option<u64>, u32) {
        match self {
            Self::JsonFile => (None, 1),
            Self::Local => (Some(20 << 20), 5),
        }
    }
}

/// The log configuration as the model has it.
pub(crate) fn to_model(config: &wire::LogConfig) -> Result<LogConfig, ApiError> {
    let driver = match config.kind.as_str() {
        "" | "json-file" => Driver::JsonFile,
        "local" => Driver::Local,
        "none" => return Ok(LogConfig::None),
        name if FOREIGN.contains(&name) => {
            return Err(ApiError::invalid(format!(
                "HostConfig.LogConfig.Type: log driver {name:?} is not supported by this daemon; use \"json-file\", \"local\" or \"none\""
            )));
        }
        name => {
            return Err(ApiError::invalid(format!(
                "logger: no log driver named '{name}' is registered"
            )));
        }
    };
    let (mut max_size_bytes, mut max_files) = driver.rotation();
    let mut details = LogDetails::default();
    for (name, value) in &config.config {
        match name.as_str() {
            "max-size" => max_size_bytes = size(value)?,
            "max-file" => {
                max_files = value.parse().map_err(|_| {
                    ApiError::invalid(format!("strconv.Atoi: parsing {value:?}: invalid syntax"))
                })?;
                if max_files < 1 {
                    return Err(ApiError::invalid("max-file cannot be less than 1"));
                }
            }
            "mode" if matches!(value.as_str(), "" | "blocking") => {}
            "compress" if value == "false" => {}
            "compress" | "max-buffer-size" | "mode" => return Err(not_honoured(name, value)),
            _ if driver == Driver::Local => {
                return Err(ApiError::invalid(format!(
                    "unknown log opt '{name}' for log driver local"
                )));
            }
            "env" => details.env = names(value),
            "env-regex" => details.env_matching = pattern(value)?,
            "labels" => details.labels = names(value),
            "labels-regex" => details.labels_matching = pattern(value)?,
            "tag" => details.tag = tag(value)?,
            _ => {
                return Err(ApiError::invalid(format!(
                    "unknown log opt '{name}' for json-file log driver"
                )));
            }
        }
    }
    Ok(LogConfig::JsonFile {
        max_size_bytes,
        max_files,
        details,
    })
}

fn names(value: &str) -> Vec<String> {
    let names = value.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn pattern(value: &str) -> Result<String, ApiError> {
    Regex::new(value)
        .map_err(|error| ApiError::invalid(format!("error parsing regexp: {error}: `{value}`")))?;
    Ok(value.to_owned())
}

/// Of dockerd's templates the fields: `{{.ImageName}}/{{.Name}}`.
fn tag(template: &str) -> Result<Vec<TagPart>, ApiError> {
    let mut parts = Vec::new();
    let text = |text: &str, parts: &mut Vec<TagPart>| {
        if !text.is_empty() {
            parts.push(TagPart::Text(text.to_owned()));
        }
    };
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text(before, &mut parts);
        let (field, after) = after.split_once("}}").ok_or_else(|| {
            ApiError::invalid(format!("template: log-tag:1: unclosed action: {template}"))
        })?;
        rest = after;
        let field = field.trim();
        if field == ".DaemonName" {
            text("docker", &mut parts);
            continue;
        }
        let known = TAG_FIELDS.iter().find(|(name, _)| *name == field);
        let (_, part) = known.ok_or_else(|| not_honoured("tag", template))?;
        parts.push(part.clone());
    }
    text(rest, &mut parts);
    Ok(parts)
}

fn not_honoured(name: &str, value: &str) -> ApiError {
    ApiError::invalid(format!(
        "HostConfig.LogConfig.Config: {name}={value} is not supported by this daemon"
    ))
}

/// A size such as `10m`, in powers of 1,000; `-1` is none.
fn size(text: &str) -> Result<Option<u64>, ApiError> {
    if text == "-1" {
        return Ok(None);
    }
    let invalid = || ApiError::invalid(format!("invalid size: '{text}'"));
    let lower = text.trim().to_lowercase();
    let bare = lower
        .strip_suffix('b')
        .unwrap_or(&lower)
        .trim_end_matches('i')
        .trim_end();
    let (digits, power) = match bare.char_indices().last() {
        Some((at, 'k')) => (&bare[..at], 1),
        Some((at, 'm')) => (&bare[..at], 2),
        Some((at, 'g')) => (&bare[..at], 3),
        Some((at, 't')) => (&bare[..at], 4),
        Some(_) | None => (bare, 0),
    };
    let number: u64 = digits.trim().parse().map_err(|_| invalid())?;
    let bytes = number
        .checked_mul(1000_u64.pow(power))
        .ok_or_else(invalid)?;
    if bytes == 0 {
        return Err(ApiError::invalid("max-size must be a positive number"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, options: &[(&str, &str)]) -> Result<LogConfig, String> {
        let config = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        to_model(&wire::LogConfig {
            kind: kind.to_owned(),
            config,
        })
        .map_err(|error| error.message)
    }

    #[test]
    fn options_that_are_known_are_honoured() {
        assert_eq!(
            read("", &[("max-size", "10m"), ("max-file", "3")]),
            Ok(LogConfig::JsonFile {
                max_size_bytes: Some(10_000_000),
                max_files: 3,
                details: LogDetails::default(),
            })
        );
        assert_eq!(read("none", &[]), Ok(LogConfig::None));
        assert_eq!(
            read("local", &[("max-file", "2")]),
            Ok(LogConfig::JsonFile {
                max_size_bytes: Some(20 << 20),
                max_files: 2,
                details: LogDetails::default(),
            })
        );
        let options = [
            ("labels", "a,b"),
            ("env-regex", "^X"),
            ("tag", "{{.ImageName}}/{{ .Name }}-{{.DaemonName}}"),
        ];
        let Ok(LogConfig::JsonFile { details, .. }) = read("", &options) else {
            panic!()
        };
        assert_eq!(details.labels, ["a", "b"]);
        assert_eq!(details.env_matching, "^X");
        assert_eq!(
            details.tag,
            [
                TagPart::Image,
                TagPart::Text("/".to_owned()),
                TagPart::Name,
                TagPart::Text("-".to_owned()),
                TagPart::Text("docker".to_owned()),
            ]
        );
    }

    #[test]
    fn others_are_refused_by_name() {
        assert_eq!(
            read("json-file", &[("x", "1")]).unwrap_err(),
            "unknown log opt 'x' for json-file log driver"
        );
        assert_eq!(
            read("paper", &[]).unwrap_err(),
            "logger: no log driver named 'paper' is registered"
        );
        assert!(
            read("syslog", &[])
                .unwrap_err()
                .contains("HostConfig.LogConfig.Type")
        );
        assert_eq!(
            read("local", &[("tag", "x")]).unwrap_err(),
            "unknown log opt 'tag' for log driver local"
        );
        for (name, value, words) in [
            ("tag", "{{.FullID}}", "tag={{.FullID}} is not supported"),
            ("tag", "{{.ID", "unclosed action"),
            ("env-regex", "(", "error parsing regexp"),
        ] {
            assert!(read("", &[(name, value)]).unwrap_err().contains(words));
        }
        assert_eq!(
            read("", &[("max-file", "0")]).unwrap_err(),
            "max-file cannot be less than 1"
        );
        assert_eq!(
            read("", &[("max-size", "x")]).unwrap_err(),
            "invalid size: 'x'"
        );
    }
}
