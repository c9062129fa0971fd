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
    /// A step begins, under this heading: `[stage 2/5] RUN make`.
    Begun(String),
    /// It was taken from an earlier build.
    Reused,
    /// It is done.
    Ended,
    /// It failed, for this reason.
    Failed(String),
    /// Its stage is done, with this image.
    Stage(String),
}

/// A line of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The step's number among those of all stages, from 1; 0 for what is no step's.
    pub step: usize,
    /// What is told of it.
    pub line: Line,
}

/// Tells of one stage.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    events: mpsc::Sender<Event>,
    step: usize,
}

impl Teller {
    pub(crate) const fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, step: 0 }
    }

    /// What comes is this step's.
    pub(crate) const fn turn_to(&mut self, step: usize) {
        self.step = step;
    }

    pub(crate) async fn note(&self, words: impl Into<String>) {
        self.tell(Line::Note(words.into() + "\n")).await;
    }

    pub(crate) async fn tell(&self, line: Line) {
        let step = self.step;
        // The build goes on when nobody listens.
        drop(self.events.send(Event { step, line }).await);
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
