//! A root file system made from this machine's statically linked busybox.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tar::{Builder, EntryType, Header};

use crate::docker::Docker;

/// Where Debian's `busybox-static` puts it.
const BUSYBOX: &str = "/bin/busybox";

/// The tar archive of a small root file system: busybox with all its commands, users, `/tmp`.
///
/// # Errors
/// When busybox is not installed.
pub fn busybox_rootfs() -> Result<Vec<u8>> {
    let binary = std::fs::read(BUSYBOX).context("install busybox-static")?;
    let listed = Command::new(BUSYBOX)
        .arg("--list")
        .output()
        .context("list busybox's commands")?;
    ensure!(listed.status.success(), "busybox --list failed");
    let commands: BTreeSet<String> = String::from_utf8(listed.stdout)?
        .lines()
        .map(str::to_owned)
        .collect();

    let mut tar = Builder::new(Vec::new());
    for (path, mode) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("var", 0o755),
        ("var/opt", 0o755),
    ] {
        append(&mut tar, path, EntryType::Directory, mode, None, &[])?;
    }
    append(
        &mut tar,
        "bin/busybox",
        EntryType::Regular,
        0o755,
        None,
        &binary,
    )?;
    for command in commands.iter().filter(|command| *command != "busybox") {
        append(
            &mut tar,
            &format!("bin/{command}"),
            EntryType::Symlink,
            0o777,
            Some("busybox"),
            &[],
        )?;
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n\
                  postgres:x:70:70:postgres:/:/bin/sh\n\
                  app:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    let group =
        "root:x:0:\ndaemon:x:1:\nextra:x:777:app\npostgres:x:70:\napp:x:1000:\nnobody:x:65534:\n";
    append(
        &mut tar,
        "etc/passwd",
        EntryType::Regular,
        0o644,
        None,
        passwd.as_bytes(),
    )?;
    append(
        &mut tar,
        "etc/group",
        EntryType::Regular,
        0o644,
        None,
        group.as_bytes(),
    )?;
    Ok(tar.into_inner()?)
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    link: Option<&str>,
    data: &[u8],
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    header.set_mtime(1_700_000_000);
    match link {
        Some(target) => tar.append_link(&mut header, path, target)?,
        None => tar.append_data(&mut header, path, data)?,
    }
    Ok(())
}

/// Imports the busybox image as `busybox:latest`, as a user would. The shell is its command.
///
/// # Errors
/// When busybox is not installed.
pub fn import_busybox(docker: &Docker) -> Result<()> {
    import(docker, "busybox:latest", "[\"sh\"]")
}

/// Imports the busybox image under a name of its own, which starts with this command (a list in
/// JSON). Every name gets another image.
///
/// # Errors
/// When busybox is not installed.
pub fn import(docker: &Docker, name: &str, command: &str) -> Result<()> {
    let answer = docker.run_with_input(
        &[
            "import",
            "--change",
            &format!("CMD {command}"),
            "--change",
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "--message",
            name,
            "-",
            name,
        ],
        &busybox_rootfs()?,
    );
    ensure!(answer.code == 0, "import failed: {}", answer.stderr);
    Ok(())
}
