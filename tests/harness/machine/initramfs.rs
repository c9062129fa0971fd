//! The first file system of a test machine: our binary, the real client, what both need, and the
//! kernel's modules, in the archive format that kernels unpack.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::image::busybox_rootfs;

/// The machine's first program.
const INIT: &str = include_str!("init.sh");
/// Programs that it takes over from this machine.
const PROGRAMS: [&str; 3] = ["docker", "nft", "ps"];
/// Where modules come from; the rest of a kernel's are drivers that such a machine has no use for.
const MODULES: [&str; 8] = [
    "arch",
    "crypto",
    "drivers/block",
    "drivers/net/veth.ko",
    "drivers/virtio",
    "fs/overlayfs",
    "lib",
    "net",
];

/// The kernel of an unpacked package.
pub(super) fn kernel(package: &Path) -> Result<PathBuf> {
    only(&package.join("boot"), "vmlinuz-")
}

/// Writes the archive to `target`.
pub(super) fn build(package: &Path, binary: &Path, target: &Path) -> Result<()> {
    let stage = tempfile::tempdir()?;
    let root = stage.path();
    for directory in ["bin", "usr/bin", "etc"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("install busybox-static")?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::write(root.join("busybox.tar"), busybox_rootfs()?)?;
    for program in PROGRAMS {
        let found = output(Command::new("which").arg(program))?;
        add_program(root, Path::new(found.trim()), &format!("usr/bin/{program}"))?;
    }
    add_program(root, binary, "usr/bin/longshore")?;
    add_modules(root, package)?;
    let archive = Command::new("sh")
        .args(["-c", "find . | cpio --quiet -o -H newc"])
        .current_dir(root)
        .stdout(File::create(target)?)
        .stderr(Stdio::inherit())
        .status()?;
    ensure!(archive.success(), "cpio failed");
    Ok(())
}

/// A program without what is for debuggers, and the libraries that it loads.
fn add_program(root: &Path, program: &Path, target: &str) -> Result<()> {
    run(Command::new("strip")
        .args(["--strip-debug", "-o"])
        .arg(root.join(target))
        .arg(program))?;
    // It fails for a program that loads none.
    let listed = Command::new("ldd").arg(program).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for library in listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let target = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap_or(root))?;
        fs::copy(library, &target).with_context(|| format!("copy {library}"))?;
    }
    Ok(())
}

fn add_modules(root: &Path, package: &Path) -> Result<()> {
    let from = only(&package.join("lib/modules"), "")?;
    let version = from.file_name().context("a version")?;
    let to = root.join("lib/modules").join(version);
    fs::create_dir_all(&to)?;
    for name in [
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ] {
        fs::copy(from.join(name), to.join(name))?;
    }
    for part in MODULES {
        let (from, to) = (from.join("kernel").join(part), to.join("kernel").join(part));
        let folder = to.parent().unwrap_or(root);
        fs::create_dir_all(folder)?;
        run(Command::new("cp").arg("-a").arg(from).arg(folder))?;
    }
    run(Command::new("depmod").arg("-b").arg(root).arg(version))?;
    // Where it looks for programs and libraries of a distribution with a merged /usr.
    symlink("/usr/bin", root.join("usr/sbin"))?;
    Ok(())
}

/// The only entry of a directory whose name begins so.
fn only(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut found = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?
            .to_str()?
            .starts_with(prefix)
            .then_some(path)
    });
    let path = found.next();
    path.with_context(|| format!("no {prefix}* in {}", directory.display()))
}

fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("execute {command:?}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
