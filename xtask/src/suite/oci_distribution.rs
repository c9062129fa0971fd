//! The conformance tests of the OCI Distribution Specification, against our registry.
//!
//! They are a Go program in the specification's repository, which is told everything by its environment.

use std::path::Path;
use std::process::Command;

use ::tests::daemon::Daemon;
use anyhow::{Context, Result, ensure};

use crate::step;

/// The commit whose tests are run: the specification has not released them yet.
const COMMIT: &str = "967efdc079b91785ad18c77cc4f8991a47feefbf";
const HOME: &str = "https://github.com/opencontainers/distribution-spec";
/// What is tested beside the usual. Manifests whose content is missing stay out: they are refused.
const FEATURES: [&str; 4] = [
    "OCI_API_BLOBS_UPLOAD_CANCEL",
    "OCI_API_BLOBS_DIGEST_HEADER",
    "OCI_API_MANIFESTS_DIGEST_HEADER",
    "OCI_API_MANIFESTS_TAG_PARAM",
];
/// What must be zero in the suite's own count.
const NONE_OF: [&str; 4] = ["Disabled", "Skip", "FAIL", "Error"];

/// Runs the suite and shows its count.
///
/// # Errors
/// When it cannot be fetched, built or run, or a check does not pass.
pub(crate) fn oci_distribution(daemon: &Daemon, source: Option<&str>) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (tree, program) = (scratch.path().join("tree"), scratch.path().join("suite"));
    step::run(
        Command::new("git")
            .args(["clone", "--quiet", source.unwrap_or(HOME)])
            .arg(&tree),
    )?;
    step::run(
        Command::new("git")
            .arg("-C")
            .arg(&tree)
            .args(["checkout", "--quiet", COMMIT]),
    )?;
    step::run(
        Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(tree.join("conformance")),
    )?;
    let report = run(daemon, &program, scratch.path())?;
    for line in counts(&report) {
        step::show(line);
    }
    for name in NONE_OF {
        let count = count(&report, name).with_context(|| format!("the report has no {name}"))?;
        ensure!(count == 0, "{name}: {count}\n{}", not_passed(&report));
    }
    Ok(())
}

fn run(daemon: &Daemon, program: &Path, scratch: &Path) -> Result<String> {
    let (user, password) = daemon.registry()?.credentials();
    let mut suite = Command::new(program);
    suite
        .env("OCI_REGISTRY", daemon.listen())
        .env("OCI_TLS", "disabled")
        .env("OCI_USERNAME", user)
        .env("OCI_PASSWORD", password)
        .env("OCI_REPO1", "admin/conformance/one")
        .env("OCI_REPO2", "admin/conformance/two")
        .env("OCI_RESULTS_DIR", scratch.join("results"))
        .envs(FEATURES.map(|feature| (feature, "true")));
    let output = suite.output().context("run the conformance tests")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines of the suite's count: a name, dots, and a number.
fn counts(report: &str) -> impl Iterator<Item = &str> {
    report.lines().filter(|line| {
        line.split_once("...").is_some_and(|(_, rest)| {
            let count = rest.trim_start_matches(['.', ':']).trim();
            count.parse::<u32>().is_ok()
        })
    })
}

fn count(report: &str, name: &str) -> Option<u32> {
    let line = counts(report).find(|line| line.trim_start().starts_with(name))?;
    line.rsplit([' ', ':']).next()?.parse().ok()
}

/// The checks that did not pass.
fn not_passed(report: &str) -> String {
    let lines = report
        .lines()
        .take_while(|line| !line.starts_with("OCI Conformance Result"))
        .filter(|line| {
            [": Skip", ": Fail", ": FAIL", ": Error"]
                .iter()
                .any(|end| line.ends_with(end))
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_as_the_suite_writes_it() {
        let report = "  a/mount: Skip\n  Pass..........................:        854\n  \
                      Skip..........................:          2\n  Ping..........................:       Pass\n";
        assert_eq!(count(report, "Skip"), Some(2));
        assert_eq!(count(report, "Pass"), Some(854));
        assert_eq!(count(report, "FAIL"), None);
        assert_eq!(not_passed(report), "  a/mount: Skip");
    }
}
