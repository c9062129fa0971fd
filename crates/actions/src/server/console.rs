//! The console of a server: what was written there, and a way in for whoever has a token.
//!
//! A token is sealed and says all of it, as those of users do: nothing is kept.

use jiff::{SignedDuration, Timestamp};
use model::Id;
use model::stream::LogOptions;

use super::task::{Doing, check};
use super::{State, get, steward};
use crate::identity::note;
use crate::nodes::{Input, Output};
use crate::policy::{Action, Target};
use crate::{ActionError, Caller, Cloud, ErrorKind, stream};

/// How long a token lets in.
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// What tokens of consoles are sealed as, so that they are good for nothing else.
const PURPOSE: &str = "console";

/// The last lines that a server wrote to its console; all of them without `lines`.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] before there is a console, and what the node
/// says.
pub async fn output(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    lines: Option<u64>,
) -> Result<String, ActionError> {
    let view = get(cloud, caller, id)?;
    caller.may(Action::ReadLog, &Target::project(view.server.meta.project))?;
    if view.instance.is_none() || view.state() == State::Building {
        return Err(ActionError::new(
            ErrorKind::Conflict,
            format!("Instance {id} is not ready"),
        ));
    }
    let options = LogOptions {
        stdout: true,
        stderr: true,
        tail: lines,
        ..LogOptions::default()
    };
    let acting = steward(&view.server, &caller.request_id);
    let mut batches = stream::logs(cloud, &acting, id, &options).await?;
    let mut text = Vec::new();
    while let Some(batch) = batches.recv().await {
        for line in batch? {
            text.extend_from_slice(&line.bytes);
        }
    }
    let text = String::from_utf8_lossy(&text);
    Ok(match lines {
        None => text.into_owned(),
        Some(lines) => last(&text, lines).to_owned(),
    })
}

/// The last of a text as Nova counts it: what stands after the last line's end, be it nothing, is a
/// line too.
fn last(text: &str, lines: u64) -> &str {
    let Some(before) = usize::try_from(lines)
        .ok()
        .and_then(|lines| lines.checked_sub(1))
    else {
        return "";
    };
    let ends = text.rmatch_indices('\n').nth(before);
    ends.map_or(text, |(at, _)| &text[at + 1..])
}

/// A token that opens a running server's console.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] where it does not run.
pub fn grant(cloud: &Cloud, caller: &Caller, id: Id) -> Result<String, ActionError> {
    let opening = Doing {
        action: Action::OpenConsole,
        name: "get_serial_console",
        task: None,
        states: &[State::Active, State::Paused, State::Resized],
    };
    check(cloud, caller, id, &opening)?;
    note::seal(cloud, PURPOSE, id, cloud.now() + TOKEN_LIFETIME)
}

/// The server that a token is for, and when it ends. `None` for a token that is none, or no more.
#[must_use]
pub fn granted(cloud: &Cloud, token: &str) -> Option<(Id, Timestamp)> {
    note::open(cloud, PURPOSE, token).filter(|(_, ends_at)| *ends_at > cloud.now())
}

/// The streams of the console that a token opens.
///
/// # Errors
/// [`ErrorKind::Unauthenticated`] for a token that is none, or no more, and what the node says.
pub async fn open(cloud: &Cloud, token: &str) -> Result<(Id, Output, Option<Input>), ActionError> {
    let (id, _) = granted(cloud, token).ok_or_else(|| {
        ActionError::new(
            ErrorKind::Unauthenticated,
            "The token has expired or is invalid.",
        )
    })?;
    let view = super::view(cloud, id).ok_or_else(|| super::missing(id))?;
    let acting = steward(&view.server, "");
    let (output, input) = stream::attach(cloud, &acting, id, true, true).await?;
    Ok((id, output, input))
}

#[cfg(test)]
mod tests {
    use super::last;

    #[test]
    fn the_end_of_the_last_line_begins_another_one() {
        let text = "one\ntwo\nthree\n";
        for (lines, expected) in [
            (0, ""),
            (1, ""),
            (2, "three\n"),
            (3, "two\nthree\n"),
            (9, text),
        ] {
            assert_eq!(last(text, lines), expected, "{lines}");
        }
        assert_eq!(last("one\n$ ", 1), "$ ");
    }
}
