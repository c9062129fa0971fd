//! The image configuration document: read into the model's words, and written for new images.
//!
//! Source: OCI Image Configuration v1.1; `Healthcheck`, `OnBuild` and `Shell` are Docker's
//! (Docker Image Specification v1.3). Documents that are stored are never written anew: their
//! bytes are the image's id.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::container::HealthCheck;
use model::image::{Defaults, History, Image};
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;

/// Go writes this for "never".
const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The document, as far as it is looked at.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) author: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) comment: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) architecture: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) variant: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) os: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) config: RunDocument,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) rootfs: RootDocument,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) history: Vec<HistoryDocument>,
}

/// Its `config`: what containers start with.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct RunDocument {
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    user: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    exposed_ports: BTreeMap<String, Empty>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    env: Vec<String>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    entrypoint: Vec<String>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    cmd: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<HealthDocument>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    volumes: BTreeMap<String, Empty>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    working_dir: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    on_build: Vec<String>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    labels: BTreeMap<String, String>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    stop_signal: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    shell: Vec<String>,
}

/// `{}`: Go's sets are maps to it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Empty {}

/// `Healthcheck`; times in nanoseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HealthDocument {
    #[serde(deserialize_with = "null_is_default")]
    test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    start_period: u64,
    #[serde(skip_serializing_if = "is_zero")]
    start_interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    retries: u64,
}

/// `rootfs`: the layers, the base first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct RootDocument {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) diff_ids: Vec<Digest>,
}

/// One element of `history`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) created_by: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) author: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty_layer: bool,
}

/// Go writes `null` for an empty list or map.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn timestamp(text: Option<&String>) -> Option<Timestamp> {
    text.filter(|text| *text != GO_ZERO_TIME)
        .and_then(|text| text.parse().ok())
}

impl ConfigDocument {
    /// The image of this configuration, as yet without names.
    ///
    /// `layer_sizes` are the bytes of its layers, the base first.
    pub(crate) fn to_image(&self, id: Digest, layer_sizes: &[u64]) -> Image {
        let mut sizes = layer_sizes.iter();
        let history = self
            .history
            .iter()
            .map(|step| History {
                created_at: timestamp(step.created.as_ref()),
                created_by: step.created_by.clone(),
                author: step.author.clone(),
                comment: step.comment.clone(),
                empty_layer: step.empty_layer,
                size_bytes: if step.empty_layer {
                    0
                } else {
                    sizes.next().copied().unwrap_or_default()
                },
            })
            .collect();
        Image {
            id: id.to_string(),
            tags: Vec::new(),
            digests: Vec::new(),
            parent: None,
            created_at: timestamp(self.created.as_ref()),
            tagged_at: None,
            size_bytes: layer_sizes
                .iter()
                .fold(0, |sum, size| sum.saturating_add(*size)),
            layers: self.rootfs.diff_ids.iter().map(Digest::to_string).collect(),
            history,
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os: self.os.clone(),
            author: self.author.clone(),
            comment: self.comment.clone(),
            defaults: self.config.to_model(),
        }
    }
}

impl RunDocument {
    fn to_model(&self) -> Defaults {
        Defaults {
            user: self.user.clone(),
            exposed_ports: self.exposed_ports.keys().cloned().collect(),
            env: self.env.clone(),
            entrypoint: self.entrypoint.clone(),
            command: self.cmd.clone(),
            volumes: self.volumes.keys().cloned().collect(),
            working_dir: self.working_dir.clone(),
            labels: self.labels.clone(),
            stop_signal: Some(self.stop_signal.clone()).filter(|signal| !signal.is_empty()),
            health_check: self
                .healthcheck
                .as_ref()
                .and_then(|check| check.to_model(&self.shell)),
            on_build: self.on_build.clone(),
            shell: self.shell.clone(),
        }
    }

    pub(crate) fn from_model(defaults: &Defaults) -> Self {
        let keys = |set: &BTreeSet<String>| set.iter().map(|key| (key.clone(), Empty {})).collect();
        Self {
            user: defaults.user.clone(),
            exposed_ports: keys(&defaults.exposed_ports),
            env: defaults.env.clone(),
            entrypoint: defaults.entrypoint.clone(),
            cmd: defaults.command.clone(),
            healthcheck: defaults
                .health_check
                .as_ref()
                .map(HealthDocument::from_model),
            volumes: keys(&defaults.volumes),
            working_dir: defaults.working_dir.clone(),
            on_build: defaults.on_build.clone(),
            labels: defaults.labels.clone(),
            stop_signal: defaults.stop_signal.clone().unwrap_or_default(),
            shell: defaults.shell.clone(),
        }
    }
}

impl HealthDocument {
    /// `None` where it only inherits, as an empty test says.
    fn to_model(&self, shell: &[String]) -> Option<HealthCheck> {
        let (kind, rest) = self.test.split_first()?;
        let args = match kind.as_str() {
            "NONE" => Vec::new(),
            "CMD-SHELL" => {
                let default_shell = ["/bin/sh".to_owned(), "-c".to_owned()];
                let shell = if shell.is_empty() {
                    &default_shell
                } else {
                    shell
                };
                [shell, rest].concat()
            }
            "CMD" => rest.to_vec(),
            _ => self.test.clone(),
        };
        Some(HealthCheck {
            args,
            interval_ns: self.interval,
            timeout_ns: self.timeout,
            start_period_ns: self.start_period,
            start_interval_ns: self.start_interval,
            retries: u32::try_from(self.retries).unwrap_or(u32::MAX),
        })
    }

    fn from_model(check: &HealthCheck) -> Self {
        let kind = if check.args.is_empty() { "NONE" } else { "CMD" };
        Self {
            test: std::iter::once(kind.to_owned())
                .chain(check.args.iter().cloned())
                .collect(),
            interval: check.interval_ns,
            timeout: check.timeout_ns,
            start_period: check.start_period_ns,
            start_interval: check.start_interval_ns,
            retries: u64::from(check.retries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_docker_is_read_whole() {
        let text = r#"{"created":"2024-05-01T10:00:00.5Z","author":"me","architecture":"arm64","variant":"v8","os":"linux",
            "config":{"User":"1:2","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Entrypoint":["/e"],"Cmd":null,"Volumes":{"/v":{}},
            "WorkingDir":"/w","Labels":{"k":"v"},"StopSignal":"SIGQUIT","OnBuild":["RUN x"],
            "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":1000000000,"Retries":2}},
            "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},
            "history":[{"created_by":"ADD"},{"created_by":"CMD","empty_layer":true}],"unknown":[1]}"#;
        let document: ConfigDocument = serde_json::from_str(text).unwrap();
        let image = document.to_image(Digest::of(text.as_bytes()), &[42]);
        assert_eq!(image.size_bytes, 42);
        assert_eq!(
            image
                .history
                .iter()
                .map(|step| step.size_bytes)
                .collect::<Vec<_>>(),
            [42, 0]
        );
        assert_eq!(
            image.created_at.unwrap().to_string(),
            "2024-05-01T10:00:00.5Z"
        );
        let check = image.defaults.health_check.as_ref().unwrap();
        assert_eq!(check.args, ["/bin/sh", "-c", "true"]);
        assert_eq!((check.interval_ns, check.retries), (1_000_000_000, 2));
        assert_eq!(image.defaults.volumes, ["/v".to_owned()].into());
        assert_eq!(image.defaults.exposed_ports, ["80/tcp".to_owned()].into());
        assert!(image.defaults.command.is_empty());
    }

    #[test]
    fn defaults_survive_being_written_and_read() {
        let defaults = Defaults {
            user: "u".to_owned(),
            exposed_ports: ["80/tcp".to_owned()].into(),
            env: vec!["A=b".to_owned()],
            entrypoint: vec!["/e".to_owned()],
            command: vec!["c".to_owned()],
            volumes: ["/v".to_owned()].into(),
            working_dir: "/w".to_owned(),
            labels: [("k".to_owned(), "v".to_owned())].into(),
            stop_signal: Some("SIGTERM".to_owned()),
            health_check: Some(HealthCheck {
                args: Vec::new(),
                interval_ns: 1,
                timeout_ns: 2,
                start_period_ns: 3,
                start_interval_ns: 4,
                retries: 5,
            }),
            on_build: vec!["RUN x".to_owned()],
            shell: vec!["/bin/bash".to_owned(), "-c".to_owned()],
        };
        let text = serde_json::to_string(&RunDocument::from_model(&defaults)).unwrap();
        assert_eq!(
            serde_json::from_str::<RunDocument>(&text)
                .unwrap()
                .to_model(),
            defaults
        );
    }

    #[test]
    fn nothing_and_null_are_the_same() {
        let document: ConfigDocument = serde_json::from_str(
            r#"{"created":"0001-01-01T00:00:00Z","config":null,"rootfs":null,"history":null}"#,
        )
        .unwrap();
        let image = document.to_image(Digest::of(b""), &[]);
        assert_eq!(image.created_at, None);
        assert_eq!(image.defaults, Defaults::default());
    }
}
