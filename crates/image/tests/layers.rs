//! What is unpacked from a layer: every kind of entry, as overlayfs wants it.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::Fixture;
use crate::samples::{Layer, Sample, Tar, docker_archive, header};

/// Loads an image of this one layer and answers its directory.
async fn unpacked(tar: Tar) -> (Fixture, PathBuf) {
    let fixture = Fixture::new();
    let sample = Sample::new(vec![Layer::gzip(tar)], &["x:1"]);
    fixture
        .load(docker_archive(std::slice::from_ref(&sample)))
        .await
        .unwrap();
    let layer = fixture.store.layers(&sample.id()).unwrap().remove(0);
    (fixture, layer)
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

#[tokio::test]
async fn owners_modes_times_and_kinds_are_kept() {
    let mut file = header(tar::EntryType::Regular, "bin/tool", "", 0o4751, 4);
    file.set_uid(1000);
    file.set_gid(1001);
    file.set_mtime(123);
    file.set_cksum();
    let mut device = header(tar::EntryType::Char, "dev/zero", "", 0o666, 0);
    device.set_device_major(1).unwrap();
    device.set_device_minor(5).unwrap();
    device.set_cksum();
    let long = format!("long/{}", "n".repeat(200));
    let tar = Tar::new()
        .entry(tar::EntryType::Directory, "./", "", 0o711, b"")
        .entry(tar::EntryType::Directory, "bin/", "", 0o1777, b"")
        .raw(&file, b"tool")
        .symlink("bin/link", "tool")
        .hard_link("bin/hard", "/bin/tool")
        .raw(&device, b"")
        .entry(tar::EntryType::Fifo, "run/fifo", "", 0o600, b"")
        .file(&long, "long");
    let (_fixture, layer) = unpacked(tar).await;
    let tool = std::fs::metadata(layer.join("bin/tool")).unwrap();
    assert_eq!(
        (tool.uid(), tool.gid(), tool.mode() & 0o7777, tool.mtime()),
        (1000, 1001, 0o4751, 123)
    );
    assert_eq!(tool.nlink(), 2);
    assert_eq!(
        std::fs::metadata(layer.join("bin/hard")).unwrap().ino(),
        tool.ino()
    );
    assert_eq!(std::fs::metadata(&layer).unwrap().mode() & 0o7777, 0o711);
    let bin = std::fs::metadata(layer.join("bin")).unwrap();
    assert_eq!(
        (bin.mode() & 0o7777, bin.mtime()),
        (0o1777, 1_000_000_000),
        "set after what is in it"
    );
    assert_eq!(
        std::fs::read_link(layer.join("bin/link")).unwrap(),
        Path::new("tool")
    );
    assert_eq!(
        std::fs::symlink_metadata(layer.join("bin/link"))
            .unwrap()
            .mtime(),
        1_000_000_000
    );
    let zero = std::fs::metadata(layer.join("dev/zero")).unwrap();
    assert!(zero.file_type().is_char_device());
    assert_eq!(
        (zero.rdev(), zero.mode() & 0o777),
        (rustix::fs::makedev(1, 5), 0o666)
    );
    assert!(
        std::fs::metadata(layer.join("run/fifo"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert_eq!(
        std::fs::metadata(layer.join("run")).unwrap().mode() & 0o777,
        0o755,
        "not listed"
    );
    assert_eq!(std::fs::read(layer.join(long)).unwrap(), b"long");
}

#[tokio::test]
async fn whiteouts_become_those_of_overlayfs() {
    let tar = Tar::new()
        .dir("etc/")
        .file("etc/.wh.gone", "")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/kept", "x")
        .file(".wh..wh.plnk", "")
        .file(".wh.both", "")
        .file("both/inside", "x")
        .dir("late/")
        .file(".wh.late", "")
        .file("stays", "x")
        .file(".wh.stays", "");
    let (_fixture, layer) = unpacked(tar).await;
    let gone = std::fs::metadata(layer.join("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(!layer.join("etc/.wh.gone").exists() && !layer.join(".wh..wh.plnk").exists());
    for opaque in ["opaque", "late"] {
        assert_eq!(
            xattr(&layer.join(opaque), "trusted.overlay.opaque").as_deref(),
            Some(&b"y"[..]),
            "{opaque}"
        );
    }
    assert!(!layer.join("opaque/.wh..wh..opq").exists() && layer.join("opaque/kept").exists());
    assert_eq!(
        std::fs::read(layer.join("stays")).unwrap(),
        b"x",
        "of this very layer"
    );
    assert_eq!(std::fs::read(layer.join("both/inside")).unwrap(), b"x");
}

#[tokio::test]
async fn attributes_and_extended_headers_are_kept() {
    let mut value = vec![1, 0, 0, 2];
    value.extend([0; 16]);
    let tar = Tar::new()
        .pax(&[
            ("path", "größe".as_bytes()),
            ("mtime", b"12.5"),
            ("uid", b"70000"),
            ("SCHILY.xattr.user.note", b"with\0zero"),
            ("SCHILY.xattr.security.capability", &value),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ])
        .file("short", "content")
        .pax(&[("SCHILY.xattr.trusted.note", b"link")])
        .symlink("link", "short");
    let (_fixture, layer) = unpacked(tar).await;
    let path = layer.join("größe");
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!(
        (file.mtime(), file.mtime_nsec(), file.uid()),
        (12, 500_000_000, 70_000)
    );
    assert_eq!(
        xattr(&path, "user.note").as_deref(),
        Some(&b"with\0zero"[..])
    );
    assert_eq!(xattr(&path, "security.capability"), Some(value));
    assert_eq!(xattr(&path, "trusted.overlay.redirect"), None);
    assert_eq!(
        xattr(&layer.join("link"), "trusted.note").as_deref(),
        Some(&b"link"[..])
    );
}

#[tokio::test]
async fn sparse_files_of_every_format_keep_their_holes() {
    const SIZE: u64 = 64 << 20;
    let offset = SIZE - 4;
    let map = format!("0,3,{offset},4");
    let (size, at) = (SIZE.to_string(), offset.to_string());
    let stored = b"abctail";
    let mut in_content = format!("2\n0\n3\n{offset}\n4\n").into_bytes();
    in_content.resize(512, 0);
    in_content.extend_from_slice(stored);
    let mut old = header(tar::EntryType::GNUSparse, "old", "", 0o644, stored.len());
    let gnu = old.as_gnu_mut().unwrap();
    gnu.sparse[0].offset = *b"00000000000\0";
    gnu.sparse[0].numbytes = *b"00000000003\0";
    gnu.sparse[1]
        .offset
        .copy_from_slice(format!("{offset:011o}\0").as_bytes());
    gnu.sparse[1].numbytes = *b"00000000004\0";
    gnu.realsize
        .copy_from_slice(format!("{SIZE:011o}\0").as_bytes());
    old.set_cksum();
    let tar = Tar::new()
        .raw(&old, stored)
        .pax(&[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"0"),
            ("GNU.sparse.numbytes", b"3"),
            ("GNU.sparse.offset", at.as_bytes()),
            ("GNU.sparse.numbytes", b"4"),
        ])
        .file("pax00", stored)
        .pax(&[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.name", b"pax01"),
            ("GNU.sparse.map", map.as_bytes()),
        ])
        .file("x", stored)
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"pax10"),
            ("GNU.sparse.realsize", size.as_bytes()),
        ])
        .file("x", &in_content);
    let (_fixture, layer) = unpacked(tar).await;
    for name in ["old", "pax00", "pax01", "pax10"] {
        let metadata = std::fs::metadata(layer.join(name)).unwrap();
        assert_eq!(metadata.len(), SIZE, "{name}");
        assert!(metadata.blocks() * 512 < 1 << 20, "{name} has holes");
        let content = std::fs::read(layer.join(name)).unwrap();
        assert_eq!(
            (&content[..3], &content[content.len() - 4..]),
            (&b"abc"[..], &b"tail"[..]),
            "{name}"
        );
        assert!(
            content[3..content.len() - 4].iter().all(|byte| *byte == 0),
            "{name}"
        );
    }
    assert!(!layer.join("x").exists());
}

#[tokio::test]
async fn later_entries_replace_earlier_ones_of_any_kind() {
    let kinds = |tar: Tar, kind: usize, name: &str| match kind {
        0 => tar.file(name, "file"),
        1 => tar.dir(name),
        2 => tar.symlink(name, "target"),
        _ => tar.entry(tar::EntryType::Fifo, name, "", 0o600, b""),
    };
    let mut tar = Tar::new();
    let mut expected = BTreeMap::new();
    for first in 0..4 {
        for second in 0..4 {
            let name = format!("{first}{second}");
            tar = kinds(tar, first, &name);
            if first == 1 {
                tar = tar.file(&format!("{name}/inside"), "x");
            }
            tar = kinds(tar, second, &name);
            expected.insert(name, second);
        }
    }
    let (_fixture, layer) = unpacked(tar).await;
    for (name, kind) in expected {
        let found = std::fs::symlink_metadata(layer.join(&name))
            .unwrap()
            .file_type();
        let found = [
            found.is_file(),
            found.is_dir(),
            found.is_symlink(),
            found.is_fifo(),
        ];
        assert!(found[kind], "{name}: {found:?}");
    }
    assert!(
        layer.join("11/inside").exists(),
        "a directory over a directory keeps what is in it"
    );
}
