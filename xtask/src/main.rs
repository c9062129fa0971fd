//! The project's own commands: `cargo xtask demo | test | bench | fuzz | tidy`.
//!
//! Each is a file here; what they have in common is in `step.rs` (running a program and showing
//! it) and `install.rs` (what they need of the machine).

mod bench;
mod debian;
mod demo;
mod fuzz;
mod install;
mod kernel;
mod step;
mod suite;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what is needed, builds, starts a cloud in a scratch directory and shows the main job.
    Demo,
    /// Installs what is needed and runs every test.
    Test(test::Options),
    /// Measures side by side with dockerd and prints a table.
    Bench(bench::Options),
    /// Gives the fuzz targets inputs that are made up.
    Fuzz(fuzz::Options),
    /// Checks what the compiler does not: who may use whom, headers, names and sizes of files.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo => demo::run(),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Tidy => tidy::run(),
    }
}
