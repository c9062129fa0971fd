//! Processes that die, disks that are full, clients that go away.

use std::process::{Command, Stdio};
use std::time::Duration;

use image::{OpenError, Store};

use crate::samples::{Layer, Sample, Tar, docker_archive, stream};
use crate::{Fixture, open_again};

fn sample(number: usize) -> Sample {
    let layer = |which: usize| {
        let files = (0..40).fold(Tar::new(), |tar, file| {
            tar.file(&format!("d{which}/f{file}"), vec![b'x'; 2000])
        });
        Layer::gzip(files)
    };
    let tag = ["a:1", "b:1", "c:1"][number % 3];
    Sample::new(vec![layer(0), layer(number + 1), layer(number + 2)], &[tag])
}

/// Everything that the index names is there, and nothing else.
fn assert_consistent(fixture: &Fixture) {
    let mut layers = std::collections::BTreeSet::new();
    for image in fixture.store.list() {
        for (path, layer) in fixture
            .store
            .layers(&image.id)
            .unwrap()
            .iter()
            .zip(image.layers.iter().rev())
        {
            assert_eq!(
                walk(path),
                40 * 2000,
                "{layer} of {:?} is whole",
                image.tags
            );
            layers.insert(layer.strip_prefix("sha256:").unwrap().to_owned());
        }
    }
    assert_eq!(
        fixture.entries("layers"),
        layers.into_iter().collect::<Vec<_>>()
    );
}

fn walk(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                walk(&entry.path())
            } else {
                entry.metadata().unwrap().len()
            }
        })
        .sum()
}

#[tokio::test]
#[ignore = "the process that a_killed_process_leaves_a_consistent_store kills; its directory is the working directory"]
async fn victim() {
    let store = Store::open(&std::env::current_dir().unwrap().join("images")).unwrap();
    for number in 0.. {
        store
            .load(stream(docker_archive(&[sample(number % 7)])), |_| {})
            .await
            .unwrap();
        if number % 3 == 2 {
            let image = store.list().remove(0);
            store.remove(&image.id, true, false, &|_| None).unwrap();
        }
    }
}

#[tokio::test]
async fn a_killed_process_leaves_a_consistent_store() {
    let mut fixture = Fixture::new();
    let mut loaded = 0;
    for round in 0..25_u64 {
        let Fixture { dir, store } = fixture;
        drop(store);
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["crash::victim", "--exact", "--ignored"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Once something was loaded, however slow the machine is, any moment will do.
        while !dir.path().join("images/index.json").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(30 + round * 37 % 400)).await;
        victim.kill().unwrap();
        victim.wait().unwrap();
        let store = open_again(&dir.path().join("images")).unwrap();
        fixture = Fixture { dir, store };
        assert_consistent(&fixture);
        loaded += fixture.store.list().len();
    }
    assert!(loaded > 0, "the victim got something done");
    // What was left is swept while the store is open already.
    for _ in 0..500 {
        if fixture.entries("staging").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("leftovers: {:?}", fixture.entries("staging"));
}

#[tokio::test]
async fn a_store_is_open_once() {
    let fixture = Fixture::new();
    let again = Store::open(&fixture.dir.path().join("images"));
    assert!(matches!(again, Err(OpenError::Locked { .. })));
}

#[tokio::test]
async fn a_damaged_index_is_not_taken_for_an_empty_one() {
    let fixture = Fixture::new();
    fixture.load(docker_archive(&[sample(1)])).await.unwrap();
    let Fixture { dir, store } = fixture;
    drop(store);
    let images = dir.path().join("images");
    let index = std::fs::read(images.join("index.json")).unwrap();
    std::fs::write(images.join("index.json"), &index[..index.len() / 2]).unwrap();
    assert!(matches!(open_again(&images), Err(OpenError::Index { .. })));
    std::fs::write(
        images.join("index.json"),
        r#"{"version":9,"images":{},"tags":{},"layers":{}}"#,
    )
    .unwrap();
    assert!(matches!(
        open_again(&images),
        Err(OpenError::Version { version: 9, .. })
    ));
    std::fs::write(images.join("index.json"), index).unwrap();
    assert_eq!(
        open_again(&images).unwrap().list().len(),
        1,
        "nothing was swept"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let fixture = Fixture::new();
    let archive = docker_archive(&[sample(1)]);
    let (client, server) = tokio::io::duplex(1 << 16);
    let store = fixture.store.clone();
    let load = tokio::spawn(async move { store.load(server, |_| {}).await.map(drop) });
    let mut client = client;
    tokio::io::AsyncWriteExt::write_all(&mut client, &archive[..archive.len() / 2])
        .await
        .unwrap();
    load.abort();
    assert!(load.await.unwrap_err().is_cancelled());
    for _ in 0..500 {
        if fixture.entries("staging").is_empty() {
            return fixture.assert_empty();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("leftovers: {:?}", fixture.entries("staging"));
}

/// A file system of a few megabytes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        rustix::mount::mount(
            "tmpfs",
            dir.path(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            &*options,
        )
        .unwrap();
        Self(dir)
    }

    fn used_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.0.path()).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    /// Waits until this much is used: the child of a test beside this one keeps what is open here until
    /// its own program begins.
    async fn uses(&self, bytes: u64) {
        for _ in 0..500 {
            if self.used_bytes() == bytes {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.used_bytes(), bytes);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_its_space_given_back() {
    let disk = SmallDisk::new("4m");
    let store = Store::open(&disk.0.path().join("images")).unwrap();
    store
        .load(stream(docker_archive(&[sample(1)])), |_| {})
        .await
        .unwrap();
    let before = (store.list(), disk.used_bytes());
    // Too large once unpacked, then too large to be spooled.
    let zeros = Sample::new(
        vec![Layer::gzip(Tar::new().file("big", vec![0; 8 << 20]))],
        &["big:1"],
    );
    let plain = Sample::new(
        vec![Layer::plain(Tar::new().file("big", vec![0; 8 << 20]))],
        &["big:1"],
    );
    for sample in [zeros, plain] {
        let error = store
            .load(stream(docker_archive(&[sample])), |_| {})
            .await
            .unwrap_err();
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert_eq!(store.list(), before.0);
        disk.uses(before.1).await;
    }
    drop(store);
}
