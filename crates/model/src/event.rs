//! Something that happened to an object, told once to whoever listens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::ProjectId;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Whose object it happened to.
    pub project: ProjectId,
    /// What kind of object it happened to.
    pub subject: Subject,
    /// The object's identity: an [`crate::Id`], an image's digest or name, a volume's name.
    pub id: String,
    /// What happened.
    pub action: Action,
    /// Further facts: name, image, labels, exit code.
    pub attributes: BTreeMap<String, String>,
}

/// The kind of object an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the noun of the same name")]
pub enum Subject {
    Instance,
    Image,
    Network,
    Volume,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name says what happened")]
pub enum Action {
    Attached,
    Connected,
    Copied,
    Committed,
    Created,
    Deleted,
    Detached,
    Died,
    Disconnected,
    ExecCreated,
    ExecDetached,
    ExecDied,
    ExecStarted,
    Exported,
    HealthChanged,
    Imported,
    Killed,
    Loaded,
    Mounted,
    OutOfMemory,
    Paused,
    Pulled,
    Pushed,
    Renamed,
    Resized,
    Restarted,
    Saved,
    Started,
    Stopped,
    Tagged,
    Topped,
    Unmounted,
    Unpaused,
    Untagged,
    Updated,
    ArchivePathRead,
    ArchiveExtracted,
}
