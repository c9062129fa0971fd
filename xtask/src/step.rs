//! Runs a program as a step of a command, shows what is run, and stops at the first that fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a command, its output going where ours goes.
///
/// # Errors
/// When it cannot be executed or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or_default());
    let words = words.chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    show(&typed(&words));
    execute(command)
}

/// Runs a command that a person would type as these words.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_typed(words: &[&str], command: &mut Command) -> Result<()> {
    show(&typed(words));
    execute(command)
}

fn execute(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("execute {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// Words as a shell takes them.
fn typed(words: &[impl AsRef<str>]) -> String {
    let quoted = words.iter().map(AsRef::as_ref).map(|word| {
        if word.is_empty()
            || word.contains(|c: char| c.is_whitespace() || "\"'$;&|<>*?".contains(c))
        {
            format!("'{}'", word.replace('\'', r"'\''"))
        } else {
            word.to_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Shows what is done next.
#[expect(clippy::print_stderr, reason = "a person reads this")]
pub(crate) fn show(text: &str) {
    eprintln!("\x1b[1m+ {text}\x1b[0m");
}

/// `cargo` in the workspace, the same that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).current_dir(workspace());
    // What the cargo that runs us says of our package would pass for that of what is built now, and
    // build scripts that look at it would be run anew each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Builds the daemon's binary and answers its path.
///
/// # Errors
/// When it does not build.
pub(crate) fn build_binary(release: bool) -> Result<PathBuf> {
    // Tests share what the workspace's other tests are built of: without `--tests`, features that only
    // tests ask for would be left out, and half of it built once more. What is shown or measured is
    // built as users build it.
    let selection: &[&str] = if release {
        &["--package", "longshore", "--release"]
    } else {
        &["--workspace", "--bin", "longshore", "--tests"]
    };
    run(cargo(&["build", "--locked"]).args(selection))?;
    let folder = if release { "release" } else { "debug" };
    Ok(target_directory()?.join(folder).join("longshore"))
}

/// Where cargo puts what it builds.
///
/// # Errors
/// When cargo does not say.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(workspace())
        .no_deps()
        .exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}
