//! What a build tells while it goes on, in the words that dockerd's users know.

use bytes::Bytes;
use model::stream::Stream;
use tokio::sync::mpsc;

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Words of the builder.
    Note(String),
    /// Output of a command.
    Output(Stream, Bytes),
}

/// Tells of one stage.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    lines: mpsc::Sender<Line>,
}

impl Teller {
    pub(crate) const fn new(lines: mpsc::Sender<Line>) -> Self {
        Self { lines }
    }

    pub(crate) async fn note(&self, words: impl Into<String>) {
        self.tell(Line::Note(words.into() + "\n")).await;
    }

    pub(crate) async fn tell(&self, line: Line) {
        // The build goes on when nobody listens.
        drop(self.lines.send(line).await);
    }

    /// ` ---> 0123456789ab`
    pub(crate) async fn image(&self, id: &str) {
        self.note(format!(" ---> {}", short(id))).await;
    }
}

/// Twelve digits of an id.
pub(crate) fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}
