//! A task that fills a registered image, and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::{Id, Meta};

/// A task. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ImageTask {
    /// Identity and ownership; it has no name.
    pub meta: Meta,
    /// The image that it fills.
    pub image: Id,
    /// The user who asked for it.
    pub user: Id,
    /// The request that asked for it, as in logs.
    pub request_id: String,
    /// What was asked for, in the front end's words. Read by that front end only.
    pub input: Value,
    /// How far it is.
    pub state: TaskState,
    /// Why it failed.
    #[serde(default)]
    pub message: String,
    /// When it may be forgotten, once it has ended.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// How far a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It goes on.
    Processing,
    /// It has filled the image.
    Success,
    /// It has not, and the image waits for data again.
    Failure,
}

impl TaskState {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}
