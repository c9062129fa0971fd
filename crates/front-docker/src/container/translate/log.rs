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

    fn unknown(self, option: &str) -> ApiError {
        ApiError::invalid(match self {
            Self::JsonFile => format!("unknown log opt '{option}' for json-file log driver"),
            Self::Local => format!("unknown log opt '{option}' for log driver local"),
        })
    }

    fn nothing_to_compress(self) -> &'static str {
        match self {
            Self::JsonFile => {
                "compress cannot be true when max-file is less than 2 or max-size is not set"
            }
            Self::Local => "compression cannot be enabled when max file count is 1",
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
    let mut compress = driver == Driver::Local;
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
            "compress" => compress = boolean(value)?,
            "mode" | "max-buffer-size" => check_mode(config)?,
            "env" => details.env = names(value),
            "env-regex" => details.env_matching = pattern(value)?,
            "labels" => details.labels = names(value),
            "labels-regex" => details.labels_matching = pattern(value)?,
            "tag" => details.tag = tag(value)?,
            _ => return Err(driver.unknown(name)),
        }
    }
    if compress && (max_files < 2 || max_size_bytes.is_none()) {
        return Err(ApiError::invalid(driver.nothing_to_compress()));
    }
    Ok(LogConfig::JsonFile {
        max_size_bytes,
        max_files,
        compress,
        details,
    })
}

/// Whether whoever writes waits for the log. Both ways are the same here: a log is a file, and what
/// the disk has no room for is left out, so nobody waits and nothing is to be buffered.
fn check_mode(config: &wire::LogConfig) -> Result<(), ApiError> {
    let mode = config.config.get("mode").map_or("", String::as_str);
    if !matches!(mode, "" | "blocking" | "non-blocking") {
        return Err(ApiError::invalid(format!(
            "logger: logging mode not supported: {mode}"
        )));
    }
    let Some(size) = config.config.get("max-buffer-size") else {
        return Ok(());
    };
    if mode != "non-blocking" {
        return Err(ApiError::invalid(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ));
    }
    bytes(size, 1024).map(drop).map_err(|error| {
        ApiError::invalid(format!(
            "error parsing option max-buffer-size: {}",
            error.message
        ))
    })
}

/// The words of Go's `strconv.ParseBool`.
fn boolean(value: &str) -> Result<bool, ApiError> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(ApiError::invalid(format!(
            "strconv.ParseBool: parsing {value:?}: invalid syntax"
        ))),
    }
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
    let bytes = bytes(text, 1000)?;
    if bytes == 0 {
        return Err(ApiError::invalid("max-size must be a positive number"));
    }
    Ok(Some(bytes))
}

/// A size such as `10m`, in powers of `base`.
fn bytes(text: &str, base: u64) -> Result<u64, ApiError> {
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
    number.checked_mul(base.pow(power)).ok_or_else(invalid)
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
                compress: false,
                details: LogDetails::default(),
            })
        );
        assert_eq!(read("none", &[]), Ok(LogConfig::None));
        assert_eq!(
            read("local", &[("max-file", "2")]),
            Ok(LogConfig::JsonFile {
                max_size_bytes: Some(20 << 20),
                max_files: 2,
                compress: true,
                details: LogDetails::default(),
            })
        );
        let options = [
            ("mode", "non-blocking"),
            ("max-buffer-size", "4m"),
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
            read("local", &[("x", "1")]).unwrap_err(),
            "unknown log opt 'x' for log driver local"
        );
        for (kind, options, words) in [
            (
                "",
                &[("compress", "true"), ("max-file", "2")][..],
                "compress cannot be true",
            ),
            ("", &[("compress", "yes")], "ParseBool: parsing \"yes\""),
            (
                "local",
                &[("max-file", "1")],
                "compression cannot be enabled",
            ),
            ("", &[("mode", "lazy")], "logging mode not supported: lazy"),
            (
                "",
                &[("max-buffer-size", "1m")],
                "only supported with 'mode=non-blocking'",
            ),
            (
                "",
                &[("max-buffer-size", "many"), ("mode", "non-blocking")],
                "error parsing option max-buffer-size",
            ),
        ] {
            let error = read(kind, options).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
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
