//! Source files: each has a header, says by its name what is in it, and is not too long.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Names that explain nothing.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "types", "manager", "base",
];
/// Lines in the longest file that may be.
const MOST_LINES: usize = 1000;
/// Longer files, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

pub(super) fn check(workspace: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for path in rust_files(workspace)? {
        let name = path
            .strip_prefix(workspace)
            .unwrap_or(&path)
            .display()
            .to_string();
        let text = std::fs::read_to_string(&path)?;
        if !has_header(&text) {
            wrong.push(format!(
                "{name} does not begin with a `//!` header that says what it is for"
            ));
        }
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let folder = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) || EMPTY_NAMES.contains(&folder) {
            wrong.push(format!("{name}: the name explains nothing"));
        }
        let lines = text.lines().count();
        let is_excused = LONG_FILES
            .iter()
            .any(|(known, reason)| *known == name && !reason.is_empty());
        if lines > MOST_LINES && !is_excused {
            wrong.push(format!("{name} has {lines} lines: split it by noun"));
        }
    }
    Ok(())
}

/// Whether the first thing in a file, after attributes, is its documentation.
fn has_header(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!"))
        .is_some_and(|line| line.starts_with("//!"))
}

/// The Rust files of the workspace, without what was built.
pub(super) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(rust_files(&path)?);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
