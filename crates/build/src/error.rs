//! Why a build failed: what, in which line of which file, on which instruction.

use image::changes::ChangeError;
use image::changes::words::WordError;
use image::{CommitError, ContentError};
use model::instance::Failure;

use crate::context::ContextError;
use crate::copy::CopyError;
use crate::dockerfile::{Instruction, ParseError};
use crate::run::MountError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The files to build from.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The Dockerfile.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// No stage is called so.
    #[error("target stage {0:?} could not be found")]
    Target(String),
    /// It is for other machines.
    #[error("platform {wanted} is not supported: this node builds for {own}")]
    Platform {
        /// As asked for.
        wanted: String,
        /// What could be asked for.
        own: String,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH={0:?} is not a number of seconds since 1970")]
    Epoch(String),
    /// An instruction.
    #[error("{} ({file}:{line}: {instruction})", told(problem))]
    Step {
        /// The Dockerfile.
        file: String,
        /// Where the instruction begins, from 1.
        line: usize,
        /// As it is written.
        instruction: String,
        /// What went wrong.
        problem: Box<StepError>,
    },
    /// Nothing was made: `FROM scratch` alone.
    #[error("No image was generated. Is your Dockerfile empty?")]
    NoImage,
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl BuildError {
    /// The line of the Dockerfile that it is about, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Step { line, .. } => Some(*line),
            Self::Parse(error) => error.line(),
            _ => None,
        }
    }

    /// The exit status of the command that failed.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Step { problem, .. } => match **problem {
                StepError::Exit { code, .. } => Some(code),
                _ => None,
            },
            _ => None,
        }
    }
}

/// An error with all that led to it: the place comes after it, as dockerd's users know its words.
fn told(problem: &StepError) -> String {
    let mut text = problem.to_string();
    let mut cause = std::error::Error::source(problem);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What went wrong with an instruction.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Its words.
    #[error(transparent)]
    Words(#[from] WordError),
    /// Its arguments.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// An instruction that the image left.
    #[error(transparent)]
    Trigger(#[from] ParseError),
    /// A name is empty after variables were filled in.
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    /// The image that it begins with.
    #[error("{0}")]
    Base(Failure),
    /// It is for other machines.
    #[error("platform {wanted} is not supported: this node builds for {own}")]
    Platform {
        /// As asked for.
        wanted: String,
        /// What could be asked for.
        own: String,
    },
    /// The stage is there, but comes later, or is this one.
    #[error("invalid from flag value {0}: no such stage before this one")]
    Stage(String),
    /// `COPY` and `ADD`.
    #[error("{keyword} failed")]
    Copy {
        /// Which of the two.
        keyword: String,
        /// Why.
        source: CopyError,
    },
    /// `RUN --mount`.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// `RUN --network` or `--security` with something that is not done.
    #[error("--{flag}={value} is not supported: {remedy}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A command failed.
    #[error("The command '{command}' returned a non-zero code: {code}")]
    Exit {
        /// The program and its arguments.
        command: String,
        /// Its exit status.
        code: i32,
    },
    /// A command could not be run.
    #[error("{0}")]
    Run(Failure),
    /// The layers below cannot be looked at.
    #[error("look into {image}: {problem}")]
    Look {
        /// The image.
        image: String,
        /// Why not.
        problem: String,
    },
    /// The image of the step.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl StepError {
    /// The same, of this instruction.
    pub(crate) fn at(self, file: &str, instruction: &Instruction) -> BuildError {
        BuildError::Step {
            file: file.to_owned(),
            line: instruction.line,
            instruction: instruction.written.clone(),
            problem: Box::new(self),
        }
    }
}
