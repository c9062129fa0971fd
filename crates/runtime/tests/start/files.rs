//! What a container finds in its file system: masks, mounts, and how mounts travel.

use std::path::Path;

use runtime::launch::Rootfs;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount as attach, mount_change, unmount,
};
use serde_json::json;

use super::{Case, bind, change, check, join_outputs, mount, said};
use crate::keeper::{exit_of, until};
use crate::scene::{Scene, key};

#[tokio::test]
async fn paths_are_masked_and_read_only() {
    check([
        Case {
            name: "masked-file",
            spec: json!({ "linux": { "maskedPaths": ["/proc/interrupts", "/proc/nosuch"] } }),
            script: "wc -c < /proc/interrupts; stat -c %t:%T /proc/interrupts",
            says: "0\n1:3\n",
        },
        Case {
            name: "masked-directory",
            spec: json!({ "linux": { "maskedPaths": ["/proc/irq", "/proc/bus", "/etc"] } }),
            script: "ls /proc/irq /proc/bus /etc; touch /etc/x",
            says: "/etc:\n\n/proc/bus:\n\n/proc/irq:\ntouch: /etc/x: Read-only file system\n",
        },
        Case {
            name: "read-only",
            spec: json!({ "linux": { "readonlyPaths": ["/proc/sys", "/proc/irq"] } }),
            script: "echo x > /proc/sys/kernel/domainname; echo 1 > /proc/irq/default_smp_affinity; cat /proc/sys/kernel/ostype",
            says: "/bin/sh: can't create /proc/sys/kernel/domainname: Read-only file system\n\
                   /bin/sh: can't create /proc/irq/default_smp_affinity: Read-only file system\nLinux\n",
        },
        // Not even root takes a mask off.
        Case {
            name: "unmount",
            spec: json!({ "linux": { "maskedPaths": ["/proc/interrupts"] } }),
            script: "umount /proc/interrupts",
            says: "umount: can't unmount /proc/interrupts: Operation not permitted\n",
        },
    ])
    .await;
}

#[tokio::test]
async fn file_systems_have_their_options() {
    check([
        Case {
            name: "tmpfs",
            spec: json!({ "mounts+": [mount("/new/scratch", "tmpfs", &["size=64k", "mode=1770", "noexec"])] }),
            script: "stat -c %a /new/scratch; df -k /new/scratch | tail -n 1 | awk '{ print $2 }'; \
                     echo '#!/bin/sh' > /new/scratch/run; cp /bin/sh /new/scratch; chmod +x /new/scratch/run; /new/scratch/run",
            says: "1770\n64\ncp: write error: No space left on device\n/bin/sh: /new/scratch/run: Permission denied\n",
        },
        Case {
            name: "read-only-root",
            spec: json!({
                "root": { "path": "", "readonly": true },
                "mounts+": [mount("/tmp", "tmpfs", &["mode=1777"])],
            }),
            script: "touch /x; touch /tmp/x && ls /tmp",
            says: "touch: /x: Read-only file system\nx\n",
        },
        Case {
            name: "copied-up",
            spec: json!({ "mounts+": [mount("/bin", "tmpfs", &["tmpcopyup", "ro"])] }),
            script: "cd /bin; readlink sh; stat -f -c %T .; touch x",
            says: "busybox\ntmpfs\ntouch: x: Read-only file system\n",
        },
        Case {
            name: "devices-directory",
            spec: json!({}),
            script: "cd /dev; ls -d *; readlink fd; readlink ptmx; stat -c '%t:%T %a' null full",
            says: "fd\nfull\nnull\nptmx\npts\nrandom\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\
                   /proc/self/fd\npts/ptmx\n1:3 666\n1:7 666\n",
        },
    ])
    .await;
}

#[tokio::test]
async fn an_overlay_is_written_to_its_upper_layer_only() {
    let scene = Scene::new().await;
    let mut launch = scene.launch(
        "box",
        "echo new > /etc/new; rm /bin/vi; ls /bin/vi; umount /",
    );
    let (upper, work) = (scene.path("upper"), scene.path("work"));
    for path in [&upper, &work] {
        std::fs::create_dir(path).unwrap();
    }
    launch.rootfs = Rootfs::Overlay {
        lower: vec![scene.path("rootfs")],
        upper: upper.clone(),
        work,
    };
    assert_eq!(
        said(&scene, &mut launch).await,
        "ls: /bin/vi: No such file or directory\numount: can't unmount /: Operation not permitted\n"
    );
    assert_eq!(
        std::fs::read_to_string(upper.join("etc/new")).unwrap(),
        "new\n"
    );
    assert!(scene.path("rootfs/bin/vi").is_symlink() && !scene.path("rootfs/etc/new").exists());
}

#[tokio::test]
async fn bind_mounts_are_as_writable_as_they_say() {
    let scene = Scene::new().await;
    let source = scene.path("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "of the host\n").unwrap();
    let mut launch = scene.launch(
        "box",
        "cat /one /all/file; echo x > /one; echo x > /all/file; echo changed > /free/file; cat /one",
    );
    let mounts = json!({ "mounts+": [
        bind(&source.join("file"), "/one", &["ro"]),
        bind(&source, "/all", &["rro"]),
        bind(&source, "/free", &[]),
    ] });
    change(&mut launch, mounts);
    assert_eq!(
        said(&scene, &mut launch).await,
        "of the host\nof the host\n\
         /bin/sh: can't create /one: Read-only file system\n\
         /bin/sh: can't create /all/file: Read-only file system\nchanged\n"
    );
}

/// A mount on the host whose changes reach its copies.
struct Shared<'path>(&'path Path);

impl<'path> Shared<'path> {
    fn new(at: &'path Path) -> Self {
        std::fs::create_dir(at).unwrap();
        attach("tmpfs", at, "tmpfs", MountFlags::empty(), None).unwrap();
        let shared = Self(at);
        mount_change(at, MountPropagationFlags::SHARED).unwrap();
        for name in ["after", "within"] {
            std::fs::create_dir(at.join(name)).unwrap();
        }
        shared
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        unmount(self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn mounts_travel_as_far_as_the_propagation_says() {
    let scene = Scene::new().await;
    let source = scene.path("source");
    let shared = Shared::new(&source);
    for (propagation, sees_the_hosts, is_seen) in [
        ("rprivate", false, false),
        ("rslave", true, false),
        ("rshared", true, true),
    ] {
        let script = "echo up; read line; ls /all/after; mount -t tmpfs x /all/within && echo mounted; read line";
        let mut launch = scene.launch(propagation, script);
        let administer = ["CAP_SYS_ADMIN"];
        let capabilities =
            json!({ "bounding": administer, "permitted": administer, "effective": administer });
        change(
            &mut launch,
            json!({
                "process": { "capabilities": capabilities },
                "mounts+": [bind(&source, "/all", &[propagation])],
            }),
        );
        join_outputs(&mut launch);
        launch.stdio.stdin = true;
        let key = key(propagation);
        let mut events = scene.client.events();
        let attached = scene.client.attach(&key, true, false).await.unwrap();
        scene.client.start(&launch, None).await.unwrap();
        let said = async |text: &str| until(async || scene.log_text(propagation) == text).await;
        said("up\n").await;
        let after = source.join("after");
        attach("tmpfs", &after, "tmpfs", MountFlags::empty(), None).unwrap();
        std::fs::create_dir(after.join("seen")).unwrap();
        rustix::io::write(attached.stdin.unwrap(), b"go on\n").unwrap();
        let seen = if sees_the_hosts { "seen\n" } else { "" };
        said(&format!("up\n{seen}mounted\n")).await;
        let within = source.join("within");
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(
            table.contains(within.to_str().unwrap()),
            is_seen,
            "{propagation}"
        );
        scene.client.close_stdin(&key).await.unwrap();
        exit_of(&mut events, &key).await;
        unmount(&after, UnmountFlags::empty()).unwrap();
        if is_seen {
            unmount(&within, UnmountFlags::empty()).unwrap();
        }
    }
    drop(shared);
}
