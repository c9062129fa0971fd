//! `cargo xtask fuzz`: gives each target of `fuzz/` so many inputs that libFuzzer makes up, one target after
//! the other. It needs a nightly toolchain and `cargo-fuzz`; docs/fuzzing.md says what was found.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::step;

/// What to fuzz, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// The targets; none is all of them.
    targets: Vec<String>,
    /// Inputs that each target is given.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
}

/// Fuzzes.
///
/// # Errors
/// At the first target that fails; the input is in `fuzz/artifacts` then.
pub(crate) fn run(options: &Options) -> Result<()> {
    let targets = if options.targets.is_empty() {
        all()?
    } else {
        options.targets.clone()
    };
    step::run(&mut cargo_fuzz(&["build", "--sanitizer", "none"]))?;
    for target in &targets {
        let corpus = step::workspace().join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&corpus).with_context(|| format!("make {}", corpus.display()))?;
        let seeds = step::workspace().join("fuzz/seeds").join(target);
        let mut fuzz = cargo_fuzz(&["run", "--sanitizer", "none", target]);
        fuzz.args([&corpus, &seeds]).args([
            "--",
            &format!("-runs={}", options.runs),
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]);
        step::run(&mut fuzz)?;
    }
    Ok(())
}

fn all() -> Result<Vec<String>> {
    let listed = cargo_fuzz(&["list"])
        .output()
        .context("execute cargo fuzz")?;
    ensure!(
        listed.status.success(),
        "cargo fuzz list failed: install it with `cargo install cargo-fuzz`"
    );
    Ok(String::from_utf8(listed.stdout)?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// By the toolchain that has what it needs, whichever runs us.
fn cargo_fuzz(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["+nightly", "fuzz"])
        .args(args)
        .current_dir(step::workspace())
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}
