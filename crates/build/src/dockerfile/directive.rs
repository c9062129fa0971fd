//! Parser directives: `# name=value` before anything else.
//!
//! `escape` changes how lines are read. `syntax` names a program that reads the language and
//! `check` rules for a linter: both are read over, for the language here is built in.

use std::collections::BTreeSet;

use super::{ESCAPE, LineProblem, ParseError};

/// The escape sign that the directives choose.
pub(super) fn escape(text: &str) -> Result<char, ParseError> {
    let mut escape = ESCAPE;
    let mut seen = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let Some((name, value)) = directive(line) else {
            break;
        };
        let failed = |problem| ParseError::Line {
            line: number + 1,
            problem,
        };
        if !seen.insert(name.clone()) {
            return Err(failed(LineProblem::DuplicateDirective(name)));
        }
        if name == "escape" {
            escape = match value {
                "\\" => '\\',
                "`" => '`',
                other => return Err(failed(LineProblem::Escape(other.to_owned()))),
            };
        }
    }
    Ok(escape)
}

/// Name and value of a directive that is known; anything else is a comment, or no comment at all.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    matches!(name.as_str(), "syntax" | "escape" | "check").then(|| (name, value.trim()))
}
