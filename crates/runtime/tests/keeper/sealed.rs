//! The attack of CVE-2019-5736: a process of a container that executes the keeper's own program
//! must not give anyone a way to write to it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use oci_spec::runtime::Process;
use runtime::keeper::{ProcessKey, ensure};

use super::{exit_of, read_all_later, until};
use crate::scene::{Scene, install, install_script, program};

/// Makes a process execute the program that is about to execute it, which goes on for ever.
fn become_keeper(process: &mut Process, directory: &str) {
    let args = ["/proc/self/exe", "keeper", "--dir", directory];
    process.set_args(Some(args.map(str::to_owned).to_vec()));
}

/// Puts into a root file system what a program loads at its start.
fn copy_libraries(program: &Path, rootfs: &Path) {
    let listed = Command::new("ldd").arg(program).output().unwrap().stdout;
    for path in String::from_utf8(listed).unwrap().split_whitespace() {
        if let Some(inside) = path.strip_prefix('/') {
            let inside = rootfs.join(inside);
            std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
            std::fs::copy(path, inside).unwrap();
        }
    }
}

/// What a process executes, once that is this program.
async fn executed_by(pid: u32, program: &Path) -> File {
    let exe = format!("/proc/{pid}/exe");
    let inode = std::fs::metadata(program).unwrap().ino();
    until(async || std::fs::metadata(&exe).is_ok_and(|file| file.ino() == inode)).await;
    File::open(exe).unwrap()
}

/// Why a file cannot be written to by someone who has it open already.
fn refusal(file: &File, options: &mut OpenOptions) -> ErrorKind {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    options.write(true).open(path).unwrap_err().kind()
}

#[tokio::test]
async fn a_container_cannot_write_to_the_keepers_program() {
    let scene = Scene::with_program_of_its_own().await;
    let (old, new) = (scene.path("longshore"), scene.path("newer"));
    install(&old, &new);
    copy_libraries(&old, &scene.path("rootfs"));
    let client = &scene.client;
    let mut events = client.events();
    let mut open = Vec::new();
    for (id, program) in [("before", &old), ("after", &new)] {
        let mut launch = scene.launch(id, "");
        become_keeper(launch.spec.process_mut().as_mut().unwrap(), "/dev/one");
        let spawned = client.start(&launch, None).await.unwrap();
        open.push(executed_by(spawned.pid, program).await);
        let mut exec = scene.exec(id, "two", "");
        become_keeper(&mut exec.process, "/dev/two");
        let spawned = client.exec(&exec).await.unwrap();
        open.push(executed_by(spawned.pid, program).await);

        let attack = ProcessKey::exec(id, "attack");
        let attached = client.attach(&attack, false, true).await.unwrap();
        let script = "for exe in /proc/[0-9]*/exe; do : > $exe; done";
        client
            .exec(&scene.exec(id, "attack", script))
            .await
            .unwrap();
        exit_of(&mut events, &attack).await;
        let said = read_all_later(attached.output.unwrap()).await[1].clone();
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.contains("/proc/1/exe: Read-only file system"),
            "{said}"
        );
        client.upgrade(&new).await.unwrap();
    }
    client.shutdown().await.unwrap();
    until(async || client.is_lost()).await;
    for file in &open {
        let busy = || refusal(file, &mut OpenOptions::new()) == ErrorKind::ExecutableFileBusy;
        until(async || !busy()).await;
        for options in [&mut OpenOptions::new(), OpenOptions::new().truncate(true)] {
            assert_eq!(refusal(file, options), ErrorKind::ReadOnlyFilesystem);
        }
    }
    let bytes = std::fs::read(program()).unwrap();
    for path in [old, new] {
        assert!(
            std::fs::read(&path).unwrap() == bytes,
            "{} is as it was",
            path.display()
        );
    }
}

#[tokio::test]
async fn where_nothing_can_be_mounted_the_keeper_is_a_copy_in_memory() {
    let scene = Scene::with_program_of_its_own().await;
    let hello = scene.client.hello();
    let proc = |pid: u32, file: &str| Path::new("/proc").join(pid.to_string()).join(file);
    let name = std::fs::read_to_string(proc(hello.pid, "comm")).unwrap();
    assert_eq!(name, "longshore\n");

    let (script, dir) = (scene.path("powerless"), scene.path("other"));
    let text = format!(
        "#!/bin/sh\nexec setpriv --bounding-set -sys_admin {} \"$@\"\n",
        scene.path("longshore").display()
    );
    install_script(&script, &text);
    let client = ensure(&script, &dir).await.unwrap();
    let pid = client.hello().pid;
    let exe = std::fs::read_link(proc(pid, "exe")).unwrap();
    assert!(
        exe.to_str().unwrap().starts_with("/memfd:"),
        "{}",
        exe.display()
    );
    let name = std::fs::read_to_string(proc(pid, "comm")).unwrap();
    assert_eq!(name, "longshore\n");
    assert_eq!(client.hello().build, hello.build);
    let file = File::open(proc(pid, "exe")).unwrap();
    client.shutdown().await.unwrap();
    until(async || client.is_lost()).await;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = async || OpenOptions::new().write(true).open(&path).is_ok();
    until(opened).await;
    let error = std::fs::write(&path, "other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}
