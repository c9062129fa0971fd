//! Documents: every path of this repository that they name exists.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Folders whose paths are checked where a document names them in backquotes.
const FOLDERS: &[&str] = &["crates/", "docs/", "fuzz/", "spec/", "tests/", "xtask/"];

pub(super) fn check(workspace: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for document in documents(workspace)? {
        let name = document
            .strip_prefix(workspace)
            .unwrap_or(&document)
            .display()
            .to_string();
        for path in paths_named(&std::fs::read_to_string(&document)?) {
            if !workspace.join(&path).exists() {
                wrong.push(format!("{name} names {path}, which does not exist"));
            }
        }
    }
    Ok(())
}

/// What stands in backquotes and is a path of this repository.
fn paths_named(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| FOLDERS.iter().any(|folder| quoted.starts_with(folder)))
        .filter(|quoted| !quoted.contains(['*', '<', '{', ' ', '\n']))
        .map(|quoted| quoted.split(':').next().unwrap_or(quoted).to_owned())
        .collect()
}

fn documents(workspace: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![workspace.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        found.push(workspace.join(name));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::paths_named;

    #[test]
    fn paths_are_found_in_backquotes() {
        let text = "See `crates/model/src/meta.rs:12`, `cargo test` and `crates/*/src`.";
        assert_eq!(paths_named(text), ["crates/model/src/meta.rs"]);
    }
}
