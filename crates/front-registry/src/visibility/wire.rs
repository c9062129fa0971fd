//! `{"visibility": "public"}` or `{"visibility": "private"}`.

use serde::{Deserialize, Serialize};

/// The document.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) visibility: Visibility,
}

/// Who may pull.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Visibility {
    /// Everybody.
    Public,
    /// The project's readers.
    Private,
}

impl From<bool> for Visibility {
    fn from(public: bool) -> Self {
        if public { Self::Public } else { Self::Private }
    }
}
