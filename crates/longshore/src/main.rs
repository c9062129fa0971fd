//! The one binary: the cloud in the foreground, what ends it, and what looks at it.
//!
//! Flags, environment and the configuration file are read here and nowhere else. Each subcommand
//! is a file; [`up`] wires the crates together.

mod authority;
mod config;
mod doctor;
mod down;
mod downloads;
mod listeners;
mod lock;
mod logging;
mod metadata;
mod metrics;
mod operator;
mod status;
mod tunnel;
mod up;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A container cloud in one program.
#[derive(Parser)]
#[command(name = "longshore", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the cloud in the foreground; containers outlive it.
    Up(config::Options),
    /// Stop the daemon, its containers and its keeper, and leave nothing of them on this machine.
    Down(config::DataDir),
    /// Show what runs.
    Status(config::DataDir),
    /// Check whether this machine can run containers, and say how to mend what it lacks.
    Doctor,
    /// Run containers by the OCI runtime command line, for containerd, dockerd or podman.
    Oci(runtime::oci::Command),
    /// Print a script that completes this command line in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Keep containers; run by the daemon.
    #[command(hide = true)]
    Keeper {
        /// Where the keeper's socket and lock are.
        #[arg(long, required_unless_present = "resume")]
        dir: Option<PathBuf>,
        /// Take over from a keeper that made way: the descriptor of what it left.
        #[arg(long)]
        resume: Option<i32>,
    },
    /// Connect standard input and output with a server; run by git, which the daemon runs.
    #[command(hide = true)]
    Tunnel {
        /// The proxy to go by.
        #[arg(long, env = git::PROXY_VARIABLE, hide_env_values = true)]
        proxy: String,
        /// The server's name or address.
        host: String,
        /// Its port.
        port: u16,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Down(options) => down::run(&options.path()),
        Command::Status(options) => status::run(&options.path()),
        Command::Doctor => return doctor::run(),
        Command::Oci(command) => return command.run(),
        Command::Keeper { dir, resume } => keep(dir.as_deref(), resume),
        Command::Tunnel { proxy, host, port } => tunnel::run(&proxy, &host, port),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "longshore",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is where a person looks")]
            {
                eprintln!("longshore: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Is the keeper until it is told to end.
fn keep(dir: Option<&Path>, resume: Option<i32>) -> anyhow::Result<()> {
    logging::start();
    match (resume, dir) {
        (Some(state), _) => runtime::keeper::resume(state)?,
        (None, Some(dir)) => runtime::keeper::serve(dir)?,
        (None, None) => anyhow::bail!("--dir is missing"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
