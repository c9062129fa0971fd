//! A container of a tenant, hostile from the inside: it is root there, and nobody here.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use engine::Engine as _;
use jiff::Timestamp;
use model::id_range::IDS;
use model::instance::{Instance, StopRequest};
use model::security::UserNamespace;
use model::stream::{ExecSpec, ExtractOptions};
use model::volume::{Volume, VolumeSource, VolumeSpec};
use model::{Id, Meta, ProjectId};
use tokio::io::AsyncReadExt as _;

use super::rig::Rig;
use super::{RUN, volume};

/// The first id of one tenant's range; the next tenant's begins [`IDS`] later.
const FIRST: u32 = 0x4000_0000;

/// Makes an instance as `actions` has a tenant's.
fn tenant(number: u32, mut instance: Instance) -> Instance {
    instance.meta.project = ProjectId(Id::from_bytes([u8::try_from(number).unwrap() + 1; 16]));
    instance.meta.name = format!("tenant-{number}");
    let security = &mut instance.spec.containers[0].security;
    security.user_namespace = UserNamespace::Range {
        first: FIRST + number * IDS,
        count: IDS,
    };
    security.no_new_privileges = true;
    instance
}

impl Rig {
    async fn running(&self, instance: &Instance) -> u32 {
        self.host.create(instance).await.unwrap();
        self.host.start(instance, RUN, &[], &[]).await.unwrap().pid
    }

    /// What a shell in it prints, both streams.
    async fn inside(&self, instance: &Instance, user: &str, script: &str) -> String {
        let spec = ExecSpec {
            args: ["sh", "-c", script].map(str::to_owned).into(),
            user: user.to_owned(),
            stdout: true,
            stderr: true,
            ..ExecSpec::default()
        };
        let exec = self
            .host
            .exec_create(instance.meta.id, &spec)
            .await
            .unwrap();
        let (mut output, _) = self.host.exec_start(&exec, false, None).await.unwrap();
        let mut text = Vec::new();
        while let Some((_, bytes)) = output.recv().await {
            text.extend(bytes);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn end(&self, instance: &Instance) {
        let now = StopRequest {
            timeout_secs: Some(0),
            ..StopRequest::default()
        };
        self.host.stop(instance, &now).await.unwrap();
        self.host.remove(instance.meta.id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_files_and_processes_are_of_its_range_on_the_node_and_its_own_inside() {
    let rig = Rig::new().await;
    let mut instance = tenant(0, rig.shell("sleep 1000"));
    instance.spec.containers[0].mounts = vec![volume("/data", "kept")];
    let pid = rig.running(&instance).await;
    let made = "touch /data/kept /written /dev/shm/fast; chown 1000:1000 /written";
    assert_eq!(rig.inside(&instance, "", made).await, "");
    // The kernel's checks on the node are made with these ids.
    let seen = |path: &str| {
        let metadata = std::fs::metadata(PathBuf::from(format!("/proc/{pid}/root")).join(path));
        metadata.unwrap().uid()
    };
    assert_eq!(
        std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(),
        FIRST
    );
    assert_eq!(seen("data/kept"), FIRST);
    assert_eq!(seen("dev/shm/fast"), FIRST);
    assert_eq!(seen("written"), FIRST + 1000);
    assert_eq!(seen("bin/busybox"), FIRST);
    let own = "stat -c %u:%g /data/kept /written /data/seed /bin/busybox /etc/hosts /root";
    assert_eq!(
        rig.inside(&instance, "", own).await,
        "0:0\n1000:1000\n1000:1000\n0:0\n0:0\n0:0\n"
    );

    // Archives have the container's ids, in both directions.
    let (_, mut archive) = rig
        .host
        .read_archive(instance.meta.id, "/written")
        .await
        .unwrap();
    let mut bytes = Vec::new();
    archive.read_to_end(&mut bytes).await.unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.header().uid().unwrap(), 1000);
    rig.host
        .write_archive(
            instance.meta.id,
            "/data",
            Box::new(std::io::Cursor::new(bytes.clone())),
            ExtractOptions::default(),
        )
        .await
        .unwrap();
    assert_eq!(seen("data/written"), FIRST + 1000);

    // As have the layers that images are made of.
    let mut layer = Vec::new();
    let mut packed = rig.host.layer(instance.meta.id, false).await.unwrap();
    packed.read_to_end(&mut layer).await.unwrap();
    let mut layer = tar::Archive::new(layer.as_slice());
    let owners: Vec<u64> = layer
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().unwrap().ends_with("written"))
        .map(|entry| entry.header().uid().unwrap())
        .collect();
    assert_eq!(owners, [1000]);
    rig.end(&instance).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_on_a_volume_is_its_own_and_stays() {
    let rig = Rig::new().await;
    let mut instance = tenant(0, rig.shell("sleep 1000"));
    let container = &mut instance.spec.containers[0];
    let content = std::mem::take(&mut container.image_id);
    container.mounts = vec![volume("/", "root"), volume("/data", "kept")];
    let disk = Volume {
        meta: Meta::new("root", instance.meta.project, Timestamp::UNIX_EPOCH),
        spec: VolumeSpec {
            size_gib: Some(1),
            source: Some(VolumeSource::Image {
                image: Id::random(),
                content,
            }),
            ..VolumeSpec::default()
        },
    };
    rig.host.ensure_volume(&disk).await.unwrap();
    let pid = rig.running(&instance).await;
    let made = "touch /written /data/kept; chown 1000:1000 /written; grep -c ' / ext4 ' /proc/mounts; stat -c %u /written /bin/busybox /etc/hosts";
    assert_eq!(rig.inside(&instance, "", made).await, "1\n1000\n0\n0\n");
    let seen = std::fs::metadata(format!("/proc/{pid}/root/written")).unwrap();
    assert_eq!(seen.uid(), FIRST + 1000);
    // All of the root, without what is mounted in it, is what an image is made of.
    let mut layer = Vec::new();
    let mut packed = rig.host.layer(instance.meta.id, true).await.unwrap();
    packed.read_to_end(&mut layer).await.unwrap();
    let mut layer = tar::Archive::new(layer.as_slice());
    let entries = layer.entries().unwrap().map(|entry| entry.unwrap());
    let packed: Vec<(PathBuf, u64)> = entries
        .map(|entry| {
            let header = entry.header();
            (entry.path().unwrap().into_owned(), header.uid().unwrap())
        })
        .collect();
    let uid = |path: &str| packed.iter().find(|(at, _)| at.ends_with(path));
    assert_eq!(uid("written").unwrap().1, 1000);
    assert!(uid("bin/busybox").is_some() && uid("data/kept").is_none());
    assert_eq!(rig.host.changes(instance.meta.id).await.unwrap(), []);
    // Looked into without a process, and by the next one with the same volume.
    let now = StopRequest {
        timeout_secs: Some(0),
        ..StopRequest::default()
    };
    rig.host.stop(&instance, &now).await.unwrap();
    let stat = rig.host.stat_path(instance.meta.id, "/written").await;
    assert_eq!(stat.unwrap().name, "written");
    rig.host.remove(instance.meta.id).await.unwrap();
    instance.meta.id = Id::random();
    rig.running(&instance).await;
    let kept = rig.inside(&instance, "", "stat -c %u /written").await;
    assert_eq!(kept, "1000\n");
    rig.end(&instance).await;
    rig.host.remove_volume(&disk).await.unwrap();
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_nodes_is_neither_seen_nor_changed() {
    let rig = Rig::new().await;
    let instance = tenant(0, rig.shell("sleep 1000"));
    let pid = rig.running(&instance).await;
    let keepers = super::rig::keepers_of(rig.data.path());
    let attempts = [
        "busybox mknod /tmp/disk b 254 0",
        "busybox mknod /tmp/memory c 1 1",
        "busybox mknod /dev/disk b 254 0",
        "echo 1 > /proc/sys/kernel/panic",
        "echo core > /proc/sys/kernel/core_pattern",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /sys/kernel/mm/ksm/run",
        "mkdir /sys/fs/cgroup/pids/mine /sys/fs/cgroup/mine",
        "echo a > /sys/fs/cgroup/devices/devices.allow",
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /sys",
        "mount -t proc none /tmp",
        "busybox unshare -r true",
        "busybox chroot /proc/1/root busybox mknod /disk b 254 0",
        "busybox insmod /bin/busybox",
        "busybox swapon /bin/busybox",
        "busybox renice -n -5 1",
        "hostname -F /bin/false",
        "ip link add name mine type dummy",
        "ip addr add 10.0.0.1/24 dev lo",
        "kill -0 KEEPER",
        "ls DATA",
        "cat /proc/1/root/DATA/keeper.sock",
    ];
    for attempt in attempts {
        let attempt = attempt
            .replace("KEEPER", &keepers[0].to_string())
            .replace("DATA", rig.data.path().to_str().unwrap());
        let said = rig
            .inside(&instance, "", &format!("{attempt} && echo it was done"))
            .await;
        assert!(!said.contains("it was done"), "{attempt}: {said}");
        assert!(!said.is_empty(), "{attempt} was refused by nobody");
    }
    // What is read of the kernel's memory is nothing.
    let kcore = "cat /proc/kcore /proc/keys /proc/timer_list 2> /dev/null | wc -c; ls /sys/firmware | wc -l";
    assert_eq!(rig.inside(&instance, "", kcore).await, "0\n0\n");
    // Its processes, and no other.
    let processes = "ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline | tr '\\0' ' '";
    let said = rig.inside(&instance, "", processes).await;
    assert!(
        said.ends_with("sh -c sleep 1000 ") || said.ends_with("sleep 1000 "),
        "{said}"
    );
    let devices =
        "find /dev -type b; find /dev -type c | grep -v pts/ | sed 's/.*\\///' | tr '\\n' ' '";
    let mut seen = rig.inside(&instance, "", devices).await;
    for harmless in [
        "null", "zero", "full", "random", "urandom", "tty", "console",
    ] {
        seen = seen.replacen(&format!("{harmless} "), "", 1);
    }
    assert_eq!(seen.replace("urandom ", "").trim(), "");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{status}");
    }
    rig.end(&instance).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setuid_program_gives_nothing() {
    let rig = Rig::new().await;
    let mut instance = tenant(0, rig.shell("sleep 1000"));
    instance.spec.containers[0].mounts = vec![volume("/data", "kept")];
    rig.running(&instance).await;
    let made = "cp /bin/busybox /tmp/id; chmod 4755 /tmp/id; stat -c %a:%u /tmp/id";
    assert_eq!(rig.inside(&instance, "", made).await, "4755:0\n");
    assert_eq!(rig.inside(&instance, "web", "/tmp/id -u").await, "1000\n");
    // On the node nobody but root gets at such a file.
    let is_closed = |path: PathBuf| std::fs::metadata(path).unwrap().mode() & 0o007 == 0;
    let data = rig.data.path();
    assert!(is_closed(data.join("instances")));
    let project = instance.meta.project.to_string();
    assert!(is_closed(data.join("volumes").join(project)));
    rig.end(&instance).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_tenant_is_somebody_else() {
    let rig = Rig::new().await;
    let (one, other) = (
        tenant(0, rig.shell("sleep 1000")),
        tenant(1, rig.shell("sleep 1000")),
    );
    let volumes = |instance: &Instance| {
        let mut instance = instance.clone();
        instance.spec.containers[0].mounts = vec![volume("/data", "same-name")];
        instance
    };
    let (one, other) = (volumes(&one), volumes(&other));
    let (first, second) = (rig.running(&one).await, rig.running(&other).await);
    assert_eq!(rig.inside(&one, "", "echo mine > /data/secret").await, "");
    assert_eq!(rig.inside(&other, "", "ls -A /data").await, "seed\n");
    let uid = |pid: u32| std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    assert_eq!((uid(first), uid(second)), (FIRST, FIRST + IDS));
    // Its processes are not there, by whatever number.
    let found = format!("kill -0 {first} && echo found; ls /proc/{first}/root && echo found");
    assert!(!rig.inside(&other, "", &found).await.contains("found"));
    // And were one to get at the other's processes, it would be nobody to them.
    let attempt = std::process::Command::new("nsenter")
        .args(["-t", &second.to_string(), "-U", "--preserve-credentials"])
        .args(["-S", "0", "-G", "0", "kill", "-0", &first.to_string()])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&attempt.stderr);
    assert!(words.contains("not permitted"), "{attempt:?}");
    rig.end(&one).await;
    rig.end(&other).await;
    rig.close().await;
}
