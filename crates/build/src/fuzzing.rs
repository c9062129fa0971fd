//! Doors for the fuzz targets in `fuzz/`, into what no other crate calls. Built for them only.

use std::path::Path;

use image::changes::words::{self, Scope};
use image::changes::{Setting, apply_one};
use model::image::Defaults;

use crate::dockerfile::{self, ParseError};
use crate::pattern::{self, Ignore, PatternError};

/// Reads a Dockerfile, and applies those of its instructions that change a configuration.
///
/// # Errors
/// When it is none.
pub fn dockerfile(content: &[u8]) -> Result<(), ParseError> {
    let file = dockerfile::parse(content)?;
    for stage in &file.stages {
        let mut defaults = Defaults::default();
        for instruction in &stage.instructions {
            let setting = Setting {
                arguments: &[],
                escape: file.escape,
            };
            let (keyword, rest) = (&instruction.keyword, &instruction.rest);
            // A wrong one ends a build; here the next one is looked at all the same.
            let _answer = apply_one(keyword, rest, setting, &mut defaults);
            for heredoc in &instruction.heredocs {
                let scope = Scope {
                    variables: &defaults.env,
                    escape: file.escape,
                };
                let _answer = words::fill_in(&heredoc.text, &scope);
            }
        }
    }
    Ok(())
}

/// Asks rules, and a pattern by itself, about a path.
///
/// # Errors
/// When one of the rules is none.
pub fn ignore(rules: &str, path: &str) -> Result<bool, PatternError> {
    let _cleaned = Ignore::patterns(rules)?;
    let ignore = Ignore::parse(rules)?;
    if let Some(first) = rules.lines().next() {
        let _answer = pattern::matches_name(first, path);
    }
    Ok(ignore.leaves_out(Path::new(path)))
}
