//! The Dockerfile's language: from text to instructions and stages. Pure.
//!
//! What an instruction does is in the modules that carry it out. Source: Dockerfile reference,
//! "Format", "Parser directives", "Here-Documents".

mod directive;
mod flag;
mod heredoc;
mod line;
mod stage;

pub(crate) use flag::Flags;
pub(crate) use heredoc::Heredoc;
pub(crate) use stage::{Dockerfile, Stage, parse};

/// The sign that takes the meaning from the one after it, unless a directive says otherwise.
pub(crate) const ESCAPE: char = '\\';

/// Why a Dockerfile cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no instruction in it.
    #[error("file with no instructions")]
    Empty,
    /// It is not UTF-8.
    #[error("dockerfile parse error on line {line}: it is not UTF-8")]
    NotText {
        /// The first line that is not.
        line: usize,
    },
    /// A line breaks a rule.
    #[error("dockerfile parse error on line {line}: {problem}")]
    Line {
        /// Where the instruction begins, from 1.
        line: usize,
        /// What is wrong.
        problem: LineProblem,
    },
}

impl ParseError {
    /// The line that is wrong, from 1.
    pub(crate) const fn line(&self) -> Option<usize> {
        match self {
            Self::Empty => None,
            Self::NotText { line } | Self::Line { line, .. } => Some(*line),
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// No instruction is called so.
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    /// It needs something after it.
    #[error("{0} requires at least one argument")]
    NoArguments(String),
    /// `COPY` and `ADD` have sources and a destination.
    #[error("{0} requires at least two arguments, but only one was provided")]
    NoDestination(String),
    /// `FROM` has one image, and perhaps `AS` and a name.
    #[error("FROM requires either one or three arguments")]
    From,
    /// A stage is called something that no stage can be.
    #[error(
        "invalid name for build stage: {0:?}, name can't start with a number or contain symbols"
    )]
    StageName(String),
    /// Something comes before the first `FROM`.
    #[error("no build stage in current context")]
    NoStage,
    /// A flag that this instruction does not have.
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    /// A flag that is given twice and may not be.
    #[error("duplicate flag specified: --{0}")]
    DuplicateFlag(String),
    /// A flag without its value.
    #[error("missing a value on flag: --{0}")]
    FlagValue(String),
    /// A heredoc does not end.
    #[error("unterminated heredoc: {0} is missing")]
    Heredoc(String),
    /// `# escape=` names another sign.
    #[error("invalid escape token {0:?} does not match ` or \\")]
    Escape(String),
    /// A directive comes twice.
    #[error("only one {0} parser directive can be used")]
    DuplicateDirective(String),
    /// `SHELL` is a list in JSON.
    #[error("SHELL requires the arguments to be in JSON form")]
    Shell,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// In upper case.
    pub(crate) keyword: String,
    pub(crate) flags: Flags,
    /// What follows the flags, continuation lines joined.
    pub(crate) rest: String,
    pub(crate) heredocs: Vec<Heredoc>,
    /// As it was written, continuation lines joined; without the text of heredocs.
    pub(crate) written: String,
    /// Where it begins, from 1.
    pub(crate) line: usize,
}

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

impl Instruction {
    /// Reads one logical line.
    fn read(line: line::Logical, escape: char) -> Result<Self, ParseError> {
        let at = line.number;
        Self::of(line, escape).map_err(|problem| ParseError::Line { line: at, problem })
    }

    fn of(line: line::Logical, escape: char) -> Result<Self, LineProblem> {
        let text = line.text.trim();
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let keyword = keyword.to_ascii_uppercase();
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err(LineProblem::UnknownInstruction(keyword));
        }
        let (flags, rest) = Flags::read(&keyword, rest.trim(), escape)?;
        let may_be_bare = matches!(keyword.as_str(), "CMD" | "ENTRYPOINT");
        if rest.is_empty() && !may_be_bare {
            return Err(LineProblem::NoArguments(keyword));
        }
        let is_copy = matches!(keyword.as_str(), "COPY" | "ADD");
        if is_copy && words(&rest).len() < 2 {
            return Err(LineProblem::NoDestination(keyword));
        }
        if keyword == "SHELL" && json_list(&rest).is_none_or(|list| list.is_empty()) {
            return Err(LineProblem::Shell);
        }
        Ok(Self {
            written: text.to_owned(),
            rest: rest.to_owned(),
            keyword,
            flags,
            heredocs: line.heredocs,
            line: at_least_one(line.number),
        })
    }

    /// An instruction that an image of another build left for those on top of it.
    pub(crate) fn trigger(text: &str, line: usize) -> Result<Self, ParseError> {
        let logical = line::Logical {
            text: text.to_owned(),
            number: line,
            heredocs: Vec::new(),
        };
        Self::read(logical, ESCAPE)
    }
}

const fn at_least_one(line: usize) -> usize {
    if line == 0 { 1 } else { line }
}

/// A list of texts in JSON, if it is one.
pub(crate) fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// The sources and the destination of `COPY` and `ADD`: a list in JSON, or words; quotes stay.
pub(crate) fn words(text: &str) -> Vec<String> {
    json_list(text).unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
