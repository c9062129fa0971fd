//! Events out of the model. Pure.
//!
//! Spec: Docker Engine API 1.51, `EventMessage`.

use std::collections::BTreeMap;

use model::Id;
use model::event::{Action, Event, Subject};
use serde::Serialize;

use crate::filters::Filters;
use crate::id::docker_id;

/// An event as clients see it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    scope: &'static str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: BTreeMap<String, String>,
}

/// An event in this protocol's words. `name_of` says what a network is called.
pub(crate) fn from_model(
    event: &Event,
    name_of: impl Fn(Id) -> Option<(String, &'static str)>,
) -> Message {
    let mut attributes = event.attributes.clone();
    let action = action(event, &mut attributes);
    let id = match event.subject {
        Subject::Instance | Subject::Network => translated(&event.id),
        Subject::Image | Subject::Volume => event.id.clone(),
    };
    if let Some(container) = attributes.get_mut("container") {
        *container = translated(container);
    }
    if event.subject == Subject::Network
        && let Some((name, driver)) = event.id.parse().ok().and_then(name_of)
    {
        attributes.entry("name".to_owned()).or_insert(name);
        attributes
            .entry("type".to_owned())
            .or_insert_with(|| driver.to_owned());
    }
    // Fields of the first versions, kept for containers and images.
    let is_old = matches!(event.subject, Subject::Instance | Subject::Image);
    Message {
        status: is_old.then(|| action.clone()),
        id: is_old.then(|| id.clone()),
        from: attributes
            .get("image")
            .filter(|_| event.subject == Subject::Instance)
            .cloned(),
        kind: match event.subject {
            Subject::Instance => "container",
            Subject::Image => "image",
            Subject::Network => "network",
            Subject::Volume => "volume",
        },
        action,
        actor: Actor { id, attributes },
        scope: "local",
        time: event.at.as_second(),
        time_nano: i64::try_from(event.at.as_nanosecond()).unwrap_or(i64::MAX),
    }
}

fn translated(id: &str) -> String {
    id.parse().map_or_else(|_| id.to_owned(), docker_id)
}

/// The action's name; some carry an attribute in it.
fn action(event: &Event, attributes: &mut BTreeMap<String, String>) -> String {
    let word = match event.action {
        Action::Attached => "attach",
        Action::Connected => "connect",
        Action::Copied => "copy",
        Action::Committed => "commit",
        Action::Created => "create",
        Action::Deleted => match event.subject {
            Subject::Image => "delete",
            Subject::Instance | Subject::Network | Subject::Volume => "destroy",
        },
        Action::Detached => "detach",
        Action::Died => "die",
        Action::Disconnected => "disconnect",
        Action::ExecCreated | Action::ExecStarted => {
            let word = if event.action == Action::ExecCreated {
                "exec_create"
            } else {
                "exec_start"
            };
            return format!(
                "{word}: {}",
                attributes.remove("command").unwrap_or_default()
            );
        }
        Action::ExecDetached => "exec_detach",
        Action::ExecDied => "exec_die",
        Action::Exported => "export",
        Action::HealthChanged => {
            return format!(
                "health_status: {}",
                attributes.remove("health").unwrap_or_default()
            );
        }
        Action::Imported => "import",
        Action::Killed => "kill",
        Action::Loaded => "load",
        Action::Mounted => "mount",
        Action::OutOfMemory => "oom",
        Action::Paused => "pause",
        Action::Pulled => "pull",
        Action::Pushed => "push",
        Action::Renamed => "rename",
        Action::Resized => "resize",
        Action::Restarted => "restart",
        Action::Saved => "save",
        Action::Started => "start",
        Action::Stopped => "stop",
        Action::Tagged => "tag",
        Action::Topped => "top",
        Action::Unmounted => "unmount",
        Action::Unpaused => "unpause",
        Action::Untagged => "untag",
        Action::Updated => "update",
        Action::ArchivePathRead => "archive-path",
        Action::ArchiveExtracted => "extract-to-dir",
    };
    word.to_owned()
}

/// Filters that name an object of that type.
const SUBJECTS: [&str; 9] = [
    "config",
    "container",
    "daemon",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "volume",
];

/// The filters that events know.
pub(crate) const FILTERS: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

impl Message {
    /// Whether the filters let it pass.
    pub(crate) fn passes(&self, filters: &Filters) -> bool {
        let name = self.actor.attributes.get("name").map_or("", String::as_str);
        let is_event = if filters
            .values("event")
            .any(|event| matches!(event, "health_status" | "exec_create" | "exec_start"))
        {
            filters.matches_prefix("event", &self.action)
        } else {
            filters.matches_exactly("event", &self.action)
        };
        let image = match self.kind {
            "image" => name,
            _ => self
                .actor
                .attributes
                .get("image")
                .map_or("", String::as_str),
        };
        let bare = |name: &str| {
            name.rsplit_once(':')
                .map_or(name, |(bare, _)| bare)
                .to_owned()
        };
        let is_image = !filters.has("image")
            || [
                self.actor.id.as_str(),
                image,
                &bare(&self.actor.id),
                &bare(image),
            ]
            .iter()
            .any(|name| filters.matches_exactly("image", name));
        is_event
            && filters.matches_exactly("type", self.kind)
            && filters.matches_exactly("scope", self.scope)
            && SUBJECTS.iter().all(|subject| {
                filters.matches_prefix(subject, &self.actor.id)
                    || filters.matches_prefix(subject, name)
            })
            && is_image
            && filters.matches_labels("label", &self.actor.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ProjectId;

    fn event(subject: Subject, action: Action, attributes: &[(&str, &str)]) -> Event {
        Event {
            at: "2026-01-02T03:04:05.5Z".parse().unwrap(),
            project: ProjectId::ADMIN,
            subject,
            id: Id::from_bytes([7; 16]).to_string(),
            action,
            attributes: attributes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn message(subject: Subject, action: Action, attributes: &[(&str, &str)]) -> Message {
        from_model(&event(subject, action, attributes), |_| {
            Some(("net".to_owned(), "bridge"))
        })
    }

    #[test]
    fn a_container_keeps_the_old_fields() {
        let message = message(
            Subject::Instance,
            Action::Died,
            &[("image", "busybox"), ("exitCode", "3")],
        );
        assert_eq!(
            (message.kind, message.action.as_str()),
            ("container", "die")
        );
        assert_eq!(message.from.as_deref(), Some("busybox"));
        assert_eq!(
            message.id.as_deref(),
            Some(docker_id(Id::from_bytes([7; 16])).as_str())
        );
        assert_eq!(
            message.time_nano - message.time * 1_000_000_000,
            500_000_000
        );
    }

    #[test]
    fn commands_and_verdicts_are_part_of_the_action() {
        let exec = message(
            Subject::Instance,
            Action::ExecCreated,
            &[("command", "sh -c x"), ("execID", "1")],
        );
        assert_eq!(exec.action, "exec_create: sh -c x");
        assert!(!exec.actor.attributes.contains_key("command"));
        let health = message(
            Subject::Instance,
            Action::HealthChanged,
            &[("health", "healthy")],
        );
        assert_eq!(health.action, "health_status: healthy");
    }

    #[test]
    fn networks_say_who_joined_them() {
        let other = Id::from_bytes([9; 16]);
        let message = message(
            Subject::Network,
            Action::Connected,
            &[("container", &other.to_string())],
        );
        assert_eq!(message.actor.attributes["container"], docker_id(other));
        assert_eq!(message.actor.attributes["name"], "net");
        assert_eq!(message.status, None);
    }

    #[test]
    fn filters_let_pass_what_they_name() {
        let message = message(
            Subject::Instance,
            Action::Started,
            &[("image", "busybox:1"), ("name", "web")],
        );
        for (filter, passes) in [
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["070707"]}"#, true),
            (r#"{"container":["db"]}"#, false),
            (r#"{"image":["busybox"]}"#, true),
            (r#"{"type":["container"],"event":["start","die"]}"#, true),
            (r#"{"event":["stop"]}"#, false),
            (r#"{"label":["name=web"]}"#, true),
        ] {
            assert_eq!(
                message.passes(&Filters::parse(filter, &FILTERS).unwrap()),
                passes,
                "{filter}"
            );
        }
    }
}
