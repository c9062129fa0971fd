//! `RUN`: what is executed, with what mounted.
//!
//! Source: Dockerfile reference, "RUN", "RUN --mount", "RUN --network", "RUN --security".

mod mount;

use crate::StepError;
use crate::dockerfile::{Instruction, json_list};
use crate::runner::Network;

pub(crate) use mount::MountError;
pub(crate) use mount::{Given, Kind, Sharing, Spec, mounts, origins};

/// The shell of commands that are no list, unless `SHELL` says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What a `RUN` executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// These arguments, the program first.
    Args(Vec<String>),
    /// A file with this content, which names its interpreter.
    Script { name: String, text: String },
}

impl Program {
    pub(crate) fn of(instruction: &Instruction, shell: &[String]) -> Self {
        let in_shell = |text: String| {
            let own = shell.iter().cloned();
            let default = SHELL.iter().map(|word| (*word).to_owned());
            let mut args: Vec<String> = if shell.is_empty() {
                default.collect()
            } else {
                own.collect()
            };
            args.push(text);
            Self::Args(args)
        };
        match instruction.heredocs.as_slice() {
            [] => match json_list(&instruction.rest) {
                Some(args) if !args.is_empty() => Self::Args(args),
                _ => in_shell(instruction.rest.clone()),
            },
            // Alone it is the command; the shell needs no quoting then.
            [only] if only.word == instruction.rest.trim() => {
                if only.text.starts_with("#!") {
                    return Self::Script {
                        name: only.name.clone(),
                        text: only.text.clone(),
                    };
                }
                in_shell(only.text.clone())
            }
            heredocs => {
                let mut text = instruction.rest.clone();
                for heredoc in heredocs {
                    text.push('\n');
                    text.push_str(&heredoc.text);
                    text.push_str(&heredoc.name);
                }
                in_shell(text)
            }
        }
    }

    /// For histories and messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Args(args) => args.join(" "),
            Self::Script { name, text } => format!("<<{name} {text}"),
        }
    }
}

/// Whose network a command has.
pub(crate) fn network(instruction: &Instruction) -> Result<Option<Network>, StepError> {
    if let Some(value) = instruction
        .flags
        .get("security")
        .filter(|value| *value != "sandbox")
    {
        return Err(StepError::Flag {
            flag: "security",
            value: value.to_owned(),
            remedy: "commands of a build run as ordinary containers",
        });
    }
    match instruction.flags.get("network") {
        None | Some("default") => Ok(None),
        Some("none") => Ok(Some(Network::None)),
        Some("host") => Ok(Some(Network::Host)),
        Some(value) => Err(StepError::Flag {
            flag: "network",
            value: value.to_owned(),
            remedy: "use default, none or host",
        }),
    }
}
