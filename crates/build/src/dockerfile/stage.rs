//! Stages: what is between one `FROM` and the next.

use super::{Instruction, LineProblem, ParseError, directive, line};

/// A whole file.
#[derive(Clone, Debug)]
pub(crate) struct Dockerfile {
    /// The escape sign.
    pub(crate) escape: char,
    /// `ARG`s before the first stage.
    pub(crate) arguments: Vec<Instruction>,
    /// At least one.
    pub(crate) stages: Vec<Stage>,
}

/// One stage.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// In lower case.
    pub(crate) name: Option<String>,
    /// The image or stage that it begins with, as written.
    pub(crate) base: String,
    /// Its `FROM`.
    pub(crate) from: Instruction,
    /// What follows.
    pub(crate) instructions: Vec<Instruction>,
}

/// Reads a Dockerfile.
pub(crate) fn parse(content: &[u8]) -> Result<Dockerfile, ParseError> {
    let text = std::str::from_utf8(content).map_err(|error| ParseError::NotText {
        line: 1 + content[..error.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = directive::escape(text)?;
    let mut file = Dockerfile {
        escape,
        arguments: Vec::new(),
        stages: Vec::new(),
    };
    for logical in line::logical(text, escape)? {
        let instruction = Instruction::read(logical, escape)?;
        let line = instruction.line;
        match (instruction.keyword.as_str(), file.stages.last_mut()) {
            ("FROM", _) => file.stages.push(
                Stage::begin(instruction).map_err(|problem| ParseError::Line { line, problem })?,
            ),
            (_, Some(stage)) => stage.instructions.push(instruction),
            ("ARG", None) => file.arguments.push(instruction),
            (_, None) => {
                return Err(ParseError::Line {
                    line,
                    problem: LineProblem::NoStage,
                });
            }
        }
    }
    if file.stages.is_empty() {
        return Err(ParseError::Empty);
    }
    Ok(file)
}

impl Stage {
    fn begin(from: Instruction) -> Result<Self, LineProblem> {
        let words: Vec<&str> = from.rest.split_whitespace().collect();
        let (base, name) = match words.as_slice() {
            [base] => (*base, None),
            [base, r#as, name] if r#as.eq_ignore_ascii_case("as") => {
                let name = name.to_ascii_lowercase();
                let is_name = name.starts_with(|sign: char| sign.is_ascii_lowercase())
                    && name.chars().all(|sign| {
                        sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.')
                    });
                if !is_name {
                    return Err(LineProblem::StageName(name));
                }
                (*base, Some(name))
            }
            _ => return Err(LineProblem::From),
        };
        Ok(Self {
            name,
            base: base.to_owned(),
            from,
            instructions: Vec::new(),
        })
    }
}

impl Dockerfile {
    /// The stage of this name before stage `before`; the nearest one.
    pub(crate) fn named(&self, name: &str, before: usize) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        self.stages[..before]
            .iter()
            .rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
    }

    /// The stage of this name or number before stage `before`.
    pub(crate) fn named_or_numbered(&self, name: &str, before: usize) -> Option<usize> {
        let numbered = || name.parse().ok().filter(|number| *number < before);
        self.named(name, before).or_else(numbered)
    }
}
