//! Crates: who may use whom, lints, how many packages are locked and under which licences.

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata};

/// Which of our crates each may use, beside `rooted`, which knows nobody. The design's table.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("rooted", &[]),
    ("edge", &[]),
    ("git", &["rooted"]),
    ("scheduler", &["model"]),
    ("store", &["model"]),
    ("runtime", &["rooted"]),
    ("image", &["model", "rooted"]),
    ("build", &["model", "image", "runtime", "rooted", "git"]),
    ("engine", &["model", "image", "runtime", "rooted"]),
    ("actions", &["model", "store", "image", "build"]),
    ("controllers", &["model", "store", "scheduler"]),
    ("agent", &["model", "store", "engine", "image", "edge"]),
    ("local", &["model", "engine", "actions"]),
    ("front-docker", &["model", "actions", "edge"]),
    ("front-openstack", &["model", "actions", "edge"]),
    ("front-registry", &["model", "actions", "edge"]),
];
/// Crates that may use all others, and that nobody may use.
const TOP: &[&str] = &["longshore", "tests", "xtask"];
/// Beyond this a build on two cores hurts.
const MOST_PACKAGES: usize = 350;
/// Licences that may be linked into the binary.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

pub(super) fn check(metadata: &Metadata, wrong: &mut Vec<String>) -> Result<()> {
    check_edges(metadata, wrong);
    check_lints(metadata, wrong)?;
    if metadata.packages.len() > MOST_PACKAGES {
        wrong.push(format!(
            "{} packages are locked, more than {MOST_PACKAGES}",
            metadata.packages.len()
        ));
    }
    for package in &metadata.packages {
        let licence = package.license.as_deref().unwrap_or("none");
        if !is_allowed(licence) {
            wrong.push(format!(
                "{} {} has the licence {licence}",
                package.name, package.version
            ));
        }
    }
    Ok(())
}

fn check_edges(metadata: &Metadata, wrong: &mut Vec<String>) {
    let members = metadata.workspace_packages();
    let ours: Vec<&str> = members
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    for package in &members {
        let name = package.name.as_str();
        if TOP.contains(&name) {
            continue;
        }
        let Some((_, may_use)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!(
                "crate {name} has no row in the table of who may use whom"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let used = dependency.name.as_str();
            let is_for_tests = dependency.kind == DependencyKind::Development;
            if ours.contains(&used) && !may_use.contains(&used) && !is_for_tests {
                wrong.push(format!("crate {name} must not use {used}"));
            }
        }
    }
}

fn check_lints(metadata: &Metadata, wrong: &mut Vec<String>) -> Result<()> {
    for package in metadata.workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        if !manifest.contains("[lints]\nworkspace = true") {
            wrong.push(format!(
                "crate {} does not take over the workspace's lints",
                package.name
            ));
        }
    }
    Ok(())
}

/// Whether an SPDX expression of alternatives and conjunctions is covered by [`LICENCES`].
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" OR ").any(|choice| {
        choice
            .split(" AND ")
            .all(|part| LICENCES.contains(&part.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn licences_are_allowed_by_any_alternative() {
        assert!(is_allowed("MIT OR Apache-2.0"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("GPL-3.0-only OR MIT"));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_allowed("GPL-3.0-only"));
        assert!(!is_allowed("MIT AND GPL-2.0-only"));
        assert!(!is_allowed("none"));
    }
}
