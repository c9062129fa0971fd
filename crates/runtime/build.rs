//! Compiles the small process 1 of containers (`src/sys/init/program.rs`) to a static program of a
//! few kilobytes, which the library carries as bytes.

use std::env::var_os;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/sys/init/program.rs";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    let Some((rustc, target, out)) = settings() else {
        println!("cargo::error=cargo did not say which compiler, target and directory to use");
        return;
    };
    let mut command = Command::new(rustc);
    command
        .args(["--edition=2024", "--crate-name=init", "--crate-type=bin"])
        .arg("--target")
        .arg(target);
    command.args([
        "-Cpanic=abort",
        "-Copt-level=s",
        "-Crelocation-model=static",
        "-Cstrip=symbols",
    ]);
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-Wl,--build-id=none",
        "-Wl,-z,noseparate-code",
    ] {
        command.arg(format!("-Clink-arg={argument}"));
    }
    command.arg("-o").arg(out.join("init")).arg(SOURCE);
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => println!("cargo::error=compiling {SOURCE} ended with {status}"),
        Err(error) => println!("cargo::error=compiling {SOURCE}: {error}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is how cargo speaks to a build script"
)]
fn settings() -> Option<(PathBuf, std::ffi::OsString, PathBuf)> {
    Some((
        var_os("RUSTC")?.into(),
        var_os("TARGET")?,
        var_os("OUT_DIR")?.into(),
    ))
}
