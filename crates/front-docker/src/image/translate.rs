//! Images out of the model: names as people write them, summaries, details, history. Pure.

use actions::image::Removed;
use model::image::{Defaults, Image};
use serde_json::{Map, Value, json};

use super::wire::{GraphDriver, Inspect, Metadata, RootFs, Step, Summary};
use crate::container::translate::config::{declare, shown_health_check};
use crate::container::wire::Config;
use crate::time::rfc3339;
use crate::version::Version;

/// A full name as people write it: `busybox:latest` for `docker.io/library/busybox:latest`.
pub(crate) fn familiar(name: &str) -> &str {
    let Some(rest) = name.strip_prefix("docker.io/") else {
        return name;
    };
    match rest.strip_prefix("library/") {
        Some(short) if !short.contains('/') => short,
        Some(_) | None => rest,
    }
}

pub(crate) fn familiar_all(names: &[String]) -> Vec<String> {
    names.iter().map(|name| familiar(name).to_owned()).collect()
}

/// An image in the list.
pub(crate) fn summary(image: &Image, containers: i64, version: Version) -> Summary {
    let mut repo_tags = familiar_all(&image.tags);
    let mut repo_digests = familiar_all(&image.digests);
    if !version.has(43) && repo_tags.is_empty() && repo_digests.is_empty() {
        repo_tags.push("<none>:<none>".to_owned());
        repo_digests.push("<none>@<none>".to_owned());
    }
    Summary {
        containers: if version.has(51) { containers } else { -1 },
        created: image.created_at.map_or(0, jiff::Timestamp::as_second),
        id: image.id.clone(),
        labels: Some(image.defaults.labels.clone()).filter(|labels| !labels.is_empty()),
        parent_id: image.parent.clone().unwrap_or_default(),
        repo_digests,
        repo_tags,
        shared_size: -1,
        size: image.size_bytes,
        virtual_size: (!version.has(44)).then_some(image.size_bytes),
    }
}

/// An image in detail.
pub(crate) fn inspect(image: &Image, version: Version) -> Inspect {
    let created = match image.created_at {
        None if version.has(44) => String::new(),
        created_at => rfc3339(created_at),
    };
    Inspect {
        id: image.id.clone(),
        repo_tags: familiar_all(&image.tags),
        repo_digests: familiar_all(&image.digests),
        parent: image.parent.clone().unwrap_or_default(),
        comment: image.comment.clone(),
        created,
        docker_version: "",
        author: image.author.clone(),
        config: config(&image.defaults, version),
        architecture: image.architecture.clone(),
        variant: image.variant.clone(),
        os: image.os.clone(),
        size: image.size_bytes,
        virtual_size: (!version.has(44)).then_some(image.size_bytes),
        graph_driver: GraphDriver {
            data: None,
            name: "overlay2",
        },
        root_fs: RootFs {
            kind: "layers",
            layers: image.layers.clone(),
        },
        metadata: Metadata {
            last_tag_time: rfc3339(image.tagged_at),
        },
        container: (!version.has(45)).then_some(""),
        container_config: (!version.has(45)).then(|| config(&image.defaults, version)),
    }
}

/// What containers start with. From version 1.50 on only what an image can say, and of that only
/// what it does say.
pub(super) fn config(defaults: &Defaults, version: Version) -> Value {
    let list = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
    let mut config = Config {
        user: defaults.user.clone(),
        env: list(&defaults.env),
        entrypoint: list(&defaults.entrypoint),
        cmd: list(&defaults.command),
        working_dir: defaults.working_dir.clone(),
        labels: defaults.labels.clone(),
        stop_signal: defaults.stop_signal.clone().unwrap_or_default(),
        healthcheck: shown_health_check(None, defaults.health_check.as_ref()),
        shell: list(&defaults.shell),
        on_build: list(&defaults.on_build),
        ..Config::default()
    };
    declare(&mut config, defaults);
    let mut document = serde_json::to_value(config).unwrap_or_default();
    if version.has(50)
        && let Value::Object(fields) = &mut document
    {
        fields.retain(|name, value| {
            let foreign = matches!(
                name.as_str(),
                "AttachStdin"
                    | "AttachStdout"
                    | "AttachStderr"
                    | "Tty"
                    | "OpenStdin"
                    | "StdinOnce"
                    | "Hostname"
                    | "Domainname"
                    | "Image"
            );
            !foreign && !is_empty(value)
        });
    }
    document
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => Map::is_empty(fields),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// How an image was made, the newest step first.
pub(crate) fn history(image: &Image) -> Vec<Step> {
    let mut steps: Vec<_> = image
        .history
        .iter()
        .map(|step| Step {
            comment: step.comment.clone(),
            created: step.created_at.map_or(0, jiff::Timestamp::as_second),
            created_by: step.created_by.clone(),
            id: "<missing>".to_owned(),
            size: step.size_bytes,
            tags: None,
        })
        .collect();
    steps.reverse();
    if let Some(newest) = steps.first_mut() {
        newest.id.clone_from(&image.id);
        newest.tags = Some(familiar_all(&image.tags)).filter(|tags| !tags.is_empty());
    }
    steps
}

/// What became of a name or an image.
pub(crate) fn removed(removed: &Removed) -> Value {
    match removed {
        Removed::Untagged(name) => json!({ "Untagged": name }),
        Removed::Deleted(id) => json!({ "Deleted": id }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use model::image::History;

    pub(crate) fn image() -> Image {
        let step = |created_by: &str| History {
            created_by: created_by.to_owned(),
            ..History::default()
        };
        Image {
            id: "sha256:1".to_owned(),
            tags: vec!["docker.io/library/busybox:latest".to_owned()],
            size_bytes: 5,
            layers: vec!["sha256:2".to_owned()],
            history: vec![step("ADD"), step("CMD")],
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            defaults: Defaults {
                command: vec!["sh".to_owned()],
                ..Defaults::default()
            },
            ..Image::default()
        }
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        for (full, short) in [
            ("docker.io/library/busybox:latest", "busybox:latest"),
            ("docker.io/who/what:1", "who/what:1"),
            ("localhost:5000/x:1", "localhost:5000/x:1"),
        ] {
            assert_eq!(familiar(full), short);
        }
    }

    #[test]
    fn older_versions_see_a_whole_configuration() {
        let new = inspect(&image(), Version::MAX).config;
        assert_eq!(new, json!({ "Cmd": ["sh"] }));
        let old = inspect(&image(), Version::new(1, 49)).config;
        assert_eq!((&old["Cmd"], &old["Tty"]), (&json!(["sh"]), &json!(false)));
    }

    #[test]
    fn versions_of_composes_time_see_what_an_image_was_made_with() {
        let old = inspect(&image(), Version::new(1, 44)).container_config;
        assert_eq!(old.unwrap()["Cmd"], json!(["sh"]));
        let new = inspect(&image(), Version::new(1, 45)).container_config;
        assert_eq!(new, None);
    }

    #[test]
    fn history_begins_with_the_newest_step() {
        let steps = history(&image());
        assert_eq!(
            steps
                .iter()
                .map(|step| step.created_by.as_str())
                .collect::<Vec<_>>(),
            ["CMD", "ADD"]
        );
        assert_eq!(
            (steps[0].id.as_str(), steps[1].id.as_str()),
            ("sha256:1", "<missing>")
        );
        assert_eq!(
            steps[0].tags.as_deref(),
            Some(&["busybox:latest".to_owned()][..])
        );
    }
}
