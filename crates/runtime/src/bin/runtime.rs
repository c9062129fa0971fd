//! The keeper without the cloud: the subcommands of the binary that need this crate only.
//!
//! Tests and benches of this crate run it, because they must not depend on the binary's crate.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Containers of one host, without the cloud.
#[derive(Parser)]
#[expect(clippy::large_enum_variant, reason = "made once")]
enum Arguments {
    /// Keep containers.
    Keeper {
        /// Where the keeper's socket and lock are.
        #[arg(long)]
        dir: PathBuf,
        /// Take over from a keeper that made way: the descriptor of what it left.
        #[arg(long)]
        resume: Option<i32>,
    },
    /// The OCI runtime command line.
    Oci(runtime::oci::Command),
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    match Arguments::parse() {
        Arguments::Keeper { dir, resume: None } => runtime::keeper::serve(&dir)?,
        Arguments::Keeper {
            resume: Some(state),
            ..
        } => runtime::keeper::resume(state)?,
        Arguments::Oci(command) => return Ok(command.run()),
    }
    Ok(ExitCode::SUCCESS)
}
