//! A host with a data directory of its own and an image made of the machine's busybox, and a look
//! around afterwards whether anything was left.

use std::path::{Path, PathBuf};

use engine::host::{Host, HostConfig};
use tempfile::TempDir;

use crate::suite::Subject;

/// Names in the image's `/bin`.
const APPLETS: [&str; 34] = [
    "sh", "cat", "echo", "true", "false", "sleep", "ls", "id", "env", "printf", "rm", "mkdir",
    "touch", "seq", "kill", "ps", "stat", "mount", "head", "grep", "wc", "dd", "hostname", "ip",
    "nc", "wget", "tr", "test", "sync", "chmod", "chown", "tail", "sed", "find",
];

pub(crate) struct Rig {
    pub(crate) host: Host,
    pub(crate) data: TempDir,
    pub(crate) image: (String, String),
    images: image::Store,
    prefix: String,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let images = image::Store::open(&data.path().join("images")).unwrap();
        let loaded = images
            .load(std::io::Cursor::new(busybox_archive()), |_| {})
            .await
            .unwrap();
        let image = ("busybox:test".to_owned(), loaded[0].id.clone());
        let prefix = format!("t{}", hex::encode(rand::random::<[u8; 2]>()));
        let host = open(data.path(), &images, &prefix).await;
        Self {
            host,
            data,
            image,
            images,
            prefix,
        }
    }

    /// The daemon is gone and another one starts.
    pub(crate) async fn reopened(self) -> Self {
        let Self {
            host,
            data,
            image,
            images,
            prefix,
        } = self;
        drop(host);
        let host = open(data.path(), &images, &prefix).await;
        Self {
            host,
            data,
            image,
            images,
            prefix,
        }
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            engine: &self.host,
            image: self.image.clone(),
        }
    }

    /// Takes everything down and looks whether it is.
    pub(crate) async fn close(self) {
        let Self {
            host, data, prefix, ..
        } = self;
        let instances = data.path().join("instances");
        let left: Vec<_> = std::fs::read_dir(&instances)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        assert!(left.is_empty(), "instances left: {left:?}");
        let cgroup = cgroup_name(data.path());
        host.shut_down().await.unwrap();
        let keepers = keepers_left(data.path()).await;
        assert!(keepers.is_empty(), "keepers left: {keepers:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(data.path().to_str().unwrap()),
            "mounts left: {mounts}"
        );
        let links: Vec<_> = std::fs::read_dir("/sys/class/net")
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(
            !links
                .iter()
                .any(|link| link.to_string_lossy().starts_with(&prefix)),
            "interfaces left: {links:?}"
        );
        let cgroups = find_directories(Path::new("/sys/fs/cgroup"), &cgroup, 3);
        assert!(cgroups.is_empty(), "cgroups left: {cgroups:?}");
    }
}

/// Process ids of the keepers of a data directory.
pub(crate) fn keepers_of(data: &Path) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let keepers = processes.filter_map(|process| {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let is_keeper = String::from_utf8_lossy(&arguments).contains(data.to_str().unwrap());
        is_keeper.then(|| process.file_name().to_str()?.parse().ok())?
    });
    keepers.collect()
}

/// Those that are left; one that is about to end is waited for.
async fn keepers_left(data: &Path) -> Vec<i32> {
    for _ in 0..500 {
        if keepers_of(data).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    keepers_of(data)
}

/// The last part of the cgroup that everything of a data directory is in.
fn cgroup_name(data: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(data).unwrap();
    format!("{:x}-{:x}", metadata.dev(), metadata.ino())
}

fn find_directories(root: &Path, name: &str, depth: u32) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        if entry.file_name() == name {
            found.push(entry.path());
        } else if depth > 0 {
            found.extend(find_directories(&entry.path(), name, depth - 1));
        }
    }
    found
}

async fn open(data: &Path, images: &image::Store, prefix: &str) -> Host {
    let keeper = std::env::current_exe().unwrap();
    let keeper = keeper
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples/keeper");
    assert!(
        keeper.exists(),
        "{} is missing: cargo build -p engine --example keeper",
        keeper.display()
    );
    Host::open(HostConfig {
        data_dir: data.to_owned(),
        keeper_program: keeper,
        bridge_prefix: prefix.to_owned(),
        network_pool: 1,
        images: images.clone(),
    })
    .await
    .unwrap()
}

/// `docker save` of an image with busybox, users, and a directory that belongs to one of them.
fn busybox_archive() -> Vec<u8> {
    let layer = layer();
    let digest = |bytes: &[u8]| hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes));
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
    }))
    .unwrap();
    let config_name = format!("{}.json", digest(&config));
    let manifest = serde_json::to_vec(&serde_json::json!([
        {"Config": config_name, "RepoTags": ["busybox:test"], "Layers": ["layer.tar"]}
    ]))
    .unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("manifest.json", &manifest),
        (config_name.as_str(), &config),
        ("layer.tar", &layer),
    ] {
        append(&mut archive, name, bytes, 0o644, (0, 0));
    }
    archive.into_inner().unwrap()
}

fn layer() -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox").expect("Debian package busybox-static");
    let mut layer = tar::Builder::new(Vec::new());
    for (directory, mode, owner) in [
        ("bin", 0o755, 0),
        ("etc", 0o755, 0),
        ("root", 0o700, 0),
        ("tmp", 0o1777, 0),
        ("data", 0o750, 1000),
    ] {
        let mut header = header(0, mode, (owner, owner));
        header.set_entry_type(tar::EntryType::Directory);
        layer
            .append_data(&mut header, directory, std::io::empty())
            .unwrap();
    }
    append(&mut layer, "bin/busybox", &busybox, 0o755, (0, 0));
    for applet in APPLETS {
        let mut header = header(0, 0o777, (0, 0));
        header.set_entry_type(tar::EntryType::Symlink);
        layer
            .append_link(&mut header, format!("bin/{applet}"), "busybox")
            .unwrap();
    }
    append(
        &mut layer,
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/data:/bin/sh\n",
        0o644,
        (0, 0),
    );
    append(
        &mut layer,
        "etc/group",
        b"root:x:0:\nweb:x:1000:\naudio:x:29:web\n",
        0o644,
        (0, 0),
    );
    append(&mut layer, "etc/notexec", b"text", 0o644, (0, 0));
    append(
        &mut layer,
        "data/seed",
        b"from the image",
        0o640,
        (1000, 1000),
    );
    layer.into_inner().unwrap()
}

fn header(size: usize, mode: u32, owner: (u64, u64)) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_mtime(1_700_000_000);
    header
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    bytes: &[u8],
    mode: u32,
    owner: (u64, u64),
) {
    archive
        .append_data(&mut header(bytes.len(), mode, owner), name, bytes)
        .unwrap();
}
