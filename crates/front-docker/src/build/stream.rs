//! The answer to a build: lines of JSON, in the words that dockerd's classic builder uses.

use actions::ActionError;
use actions::build::{FailedBuild, Line};
use bytes::Bytes;
use model::stream::Stream;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::image::translate::familiar;

/// Red, as dockerd's classic builder shows what commands write to their standard error.
const RED: &str = "\u{1b}[91m";
const PLAIN: &str = "\u{1b}[0m";

/// Tells a client how its build goes.
pub(crate) struct Told {
    lines: mpsc::Sender<Bytes>,
    quiet: bool,
    /// Whoever waits to hear whether the answer begins, or what to answer instead.
    began: Option<oneshot::Sender<Result<(), ActionError>>>,
    /// Beginnings of characters whose rest has not come yet, of each stream.
    cut: [Vec<u8>; 2],
}

impl Told {
    pub(crate) fn new(
        lines: mpsc::Sender<Bytes>,
        quiet: bool,
        began: oneshot::Sender<Result<(), ActionError>>,
    ) -> Self {
        Self {
            lines,
            quiet,
            began: Some(began),
            cut: [Vec::new(), Vec::new()],
        }
    }

    /// This protocol has words for a step's beginning and end: they are told as notes, too.
    pub(crate) async fn tell(&mut self, line: Line) {
        let words = match line {
            Line::Stage(id) if !self.quiet => {
                return self.send(&json!({ "aux": { "ID": id } })).await;
            }
            Line::Note(words) => words,
            Line::Output(stream, bytes) => {
                let cut = &mut self.cut[usize::from(stream == Stream::Stderr)];
                let text = whole_characters(cut, &bytes);
                match stream {
                    Stream::Stderr => format!("{RED}{text}{PLAIN}"),
                    Stream::Stdout => text,
                }
            }
            Line::Begun(_) | Line::Reused | Line::Ended | Line::Failed(_) | Line::Stage(_) => {
                return;
            }
        };
        if !self.quiet {
            self.send(&json!({ "stream": words })).await;
        }
    }

    pub(crate) async fn succeeded(mut self, id: &str, names: &[String]) {
        if self.quiet {
            self.send(&json!({ "stream": format!("{id}\n") })).await;
            return;
        }
        let short: String = id.trim_start_matches("sha256:").chars().take(12).collect();
        let words = format!("Successfully built {short}\n");
        self.send(&json!({ "stream": words })).await;
        for name in names {
            let words = format!("Successfully tagged {}\n", with_tag(familiar(name)));
            self.send(&json!({ "stream": words })).await;
        }
    }

    /// Where nothing was told yet the answer is the error itself.
    pub(crate) async fn failed(mut self, failure: FailedBuild) {
        let FailedBuild {
            error, exit_code, ..
        } = failure;
        match self.began.take() {
            Some(began) if exit_code.is_none() => drop(began.send(Err(error))),
            began => {
                self.began = began;
                self.send(&failed(&error.message, exit_code)).await;
            }
        }
    }

    async fn send(&mut self, line: &Value) {
        if let Some(began) = self.began.take() {
            drop(began.send(Ok(())));
        }
        if self
            .lines
            .send(Bytes::from(format!("{line}\r\n")))
            .await
            .is_err()
        {
            tracing::debug!("a client left its build");
        }
    }
}

/// A failure that comes as a line.
pub(crate) fn failed(message: &str, exit_code: Option<i32>) -> Value {
    let detail = match exit_code {
        Some(code) => json!({ "code": code, "message": message }),
        None => json!({ "message": message }),
    };
    json!({ "errorDetail": detail, "error": message })
}

fn with_tag(name: &str) -> String {
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    if name[path..].contains(':') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

/// The text of some bytes, with what was left of those before; a character that is cut waits.
fn whole_characters(cut: &mut Vec<u8>, bytes: &[u8]) -> String {
    cut.extend_from_slice(bytes);
    let whole = match std::str::from_utf8(cut) {
        Ok(_) => cut.len(),
        // Without a length the end is missing, not wrong.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => cut.len(),
    };
    let rest = cut.split_off(whole);
    let text = String::from_utf8_lossy(cut).into_owned();
    *cut = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_is_cut_waits_for_its_rest() {
        let mut cut = Vec::new();
        assert_eq!(whole_characters(&mut cut, b"a\xc3"), "a");
        assert_eq!(whole_characters(&mut cut, b"\xa4b\xff"), "\u{e4}b\u{fffd}");
        assert!(cut.is_empty());
    }
}
