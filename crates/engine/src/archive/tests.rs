//! Archives read and written as `docker cp` does, in scratch directories.

use super::*;
use std::io::{Cursor, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};

use tokio::io::AsyncReadExt as _;

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for path in ["root/etc", "root/data/inner", "root/tmp", "root/ro/sub"] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        std::fs::write(dir.path().join("root/etc/conf"), "hello").unwrap();
        std::fs::set_permissions(
            dir.path().join("root/etc/conf"),
            std::fs::Permissions::from_mode(0o4750),
        )
        .unwrap();
        symlink("../etc/conf", dir.path().join("root/data/link")).unwrap();
        symlink("/data", dir.path().join("root/data-link")).unwrap();
        symlink("/no/../such", dir.path().join("root/broken")).unwrap();
        symlink("loop", dir.path().join("root/loop")).unwrap();
        Self { dir }
    }

    fn view(&self) -> View {
        let mount = |target: &str, is_read_only| MountPoint {
            target: PathBuf::from(target),
            is_read_only,
        };
        View {
            root: Root::open(&self.dir.path().join("root")).unwrap(),
            first_id: 0,
            mounts: vec![mount("/ro", true), mount("/ro/sub", false)],
            is_read_only: false,
            name: "box".to_owned(),
            user: "somebody:7".to_owned(),
        }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("root").join(inside)
    }

    async fn stat(&self, path: &str) -> Result<PathStat, String> {
        stat(self.view(), path)
            .await
            .map_err(|failure| failure.message)
    }

    async fn names(&self, path: &str) -> Vec<String> {
        let (_, mut archive) = read(self.view(), path).await.unwrap();
        let mut bytes = Vec::new();
        archive.read_to_end(&mut bytes).await.unwrap();
        names(&bytes)
    }

    async fn write(&self, path: &str, archive: Vec<u8>) -> Result<(), Failure> {
        write(
            self.view(),
            path,
            Box::new(Cursor::new(archive)),
            ExtractOptions::default(),
        )
        .await
    }
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect()
}

fn archive(name: &str, content: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    archive
        .append_data(&mut header, name, content.as_bytes())
        .unwrap();
    archive.into_inner().unwrap()
}

#[tokio::test]
async fn a_path_is_looked_at_as_from_inside() {
    let scene = Scene::new();
    let file = scene.stat("/data-link/../etc/conf").await.unwrap();
    assert_eq!(
        (file.name.as_str(), file.size_bytes, file.mode),
        ("conf", 5, 0o104_750)
    );
    let link = scene.stat("data-link/link").await.unwrap();
    assert_eq!(
        (
            link.name.as_str(),
            link.mode & 0o170_000,
            link.link_target.as_str()
        ),
        ("link", 0o120_000, "/etc/conf")
    );
    assert_eq!(scene.stat("/broken").await.unwrap().link_target, "/such");
    assert_eq!(
        scene.stat("/data-link/").await.unwrap().mode & 0o170_000,
        0o040_000
    );
    assert_eq!(scene.stat("/").await.unwrap().name, "/");
    assert_eq!(scene.stat("/data-link/.").await.unwrap().name, ".");
}

#[tokio::test]
async fn what_is_not_there_is_told_in_dockers_words() {
    let scene = Scene::new();
    for path in ["/no/such", "/broken/x", "/../../../nowhere"] {
        assert_eq!(
            scene.stat(path).await.unwrap_err(),
            format!("Could not find the file {path} in container box")
        );
        assert_eq!(
            read(scene.view(), path).await.map(drop).unwrap_err().kind,
            FailureKind::NotFound
        );
        assert_eq!(
            scene.write(path, archive("x", "")).await.unwrap_err().kind,
            FailureKind::NotFound
        );
    }
    assert_eq!(
        scene.stat("/etc/conf/").await.unwrap_err(),
        "lstat /etc/conf/: not a directory"
    );
    assert_eq!(
        scene.stat("/loop/x").await.unwrap_err(),
        "follow /loop: Too many levels of symbolic links (os error 40)"
    );
}

#[tokio::test]
async fn names_begin_with_the_last_part_of_the_path() {
    let scene = Scene::new();
    assert_eq!(
        scene.names("/data").await,
        ["data/", "data/inner/", "data/link"]
    );
    assert_eq!(scene.names("/data/.").await, ["./", "./inner/", "./link"]);
    assert_eq!(
        scene.names("/data-link/").await,
        ["data-link/", "data-link/inner/", "data-link/link"]
    );
    assert_eq!(scene.names("/data-link").await, ["data-link"]);
    assert_eq!(scene.names("/etc/conf").await, ["conf"]);
    let all = scene.names("/").await;
    assert_eq!(all[..2], ["/", "/broken"]);
    let root = Root::open(&scene.path("")).unwrap();
    let mut bytes = Vec::new();
    export(root, 0, ())
        .unwrap()
        .read_to_end(&mut bytes)
        .await
        .unwrap();
    assert_eq!(names(&bytes)[..3], ["broken", "data/", "data/inner/"]);
}

#[tokio::test]
async fn what_comes_out_goes_in_again_unchanged() {
    let scene = Scene::new();
    let long = "n".repeat(200);
    std::fs::write(scene.path("data").join(&long), "x".repeat(70_000)).unwrap();
    std::fs::hard_link(
        scene.path("data").join(&long),
        scene.path("data/inner/hard"),
    )
    .unwrap();
    symlink("t".repeat(300), scene.path("data/long-link")).unwrap();
    std::os::unix::fs::chown(scene.path("data/inner"), Some(3_000_000), Some(70_000)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(scene.path("data/socket")).unwrap());
    let (_, packed) = read(scene.view(), "/data").await.unwrap();
    write(scene.view(), "/tmp", packed, ExtractOptions::default())
        .await
        .unwrap();
    let (old, new) = (scene.path("data"), scene.path("tmp/data"));
    for name in ["inner", "inner/hard", "link", "long-link", &long] {
        let (old, new) = (
            old.join(name).symlink_metadata().unwrap(),
            new.join(name).symlink_metadata().unwrap(),
        );
        let facts = |of: &std::fs::Metadata| {
            (
                of.mode(),
                of.uid(),
                of.gid(),
                of.mtime(),
                of.nlink(),
                of.size(),
            )
        };
        assert_eq!(facts(&old), facts(&new), "{name}");
    }
    assert_eq!(
        new.join("long-link").read_link().unwrap().as_os_str().len(),
        300
    );
    assert_eq!(
        new.join(&long).metadata().unwrap().ino(),
        new.join("inner/hard").metadata().unwrap().ino()
    );
    assert!(!new.join("socket").exists());
}

#[tokio::test]
async fn sparse_and_special_files_are_archived() {
    let scene = Scene::new();
    let file = std::fs::File::create(scene.path("data/sparse")).unwrap();
    file.set_len(3_000_001).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.path("data/fifo"),
        fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let (_, mut packed) = read(scene.view(), "/data").await.unwrap();
    let mut bytes = Vec::new();
    packed.read_to_end(&mut bytes).await.unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut kinds = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        kinds.push((
            entry.path().unwrap().display().to_string(),
            entry.header().entry_type(),
            content.len(),
        ));
    }
    assert!(kinds.contains(&("data/sparse".to_owned(), tar::EntryType::Regular, 3_000_001)));
    assert!(kinds.contains(&("data/fifo".to_owned(), tar::EntryType::Fifo, 0)));
}

#[tokio::test]
async fn what_is_read_only_is_not_written() {
    let scene = Scene::new();
    assert_eq!(
        scene
            .write("/ro", archive("x", ""))
            .await
            .unwrap_err()
            .message,
        "mounted volume is marked read-only"
    );
    scene.write("/ro/sub", archive("x", "y")).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(scene.path("ro/sub/x")).unwrap(),
        "y"
    );
    let refused = write(
        View {
            is_read_only: true,
            ..scene.view()
        },
        "/tmp",
        Box::new(Cursor::new(archive("x", ""))),
        ExtractOptions::default(),
    );
    assert_eq!(
        refused.await.unwrap_err().message,
        "container rootfs is marked read-only"
    );
    assert_eq!(
        scene
            .write("/etc/conf", archive("x", ""))
            .await
            .unwrap_err()
            .message,
        "extraction point is not a directory"
    );
    scene
        .write("/data-link", archive("x", "through a link"))
        .await
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(scene.path("data/x")).unwrap(),
        "through a link"
    );
}

#[tokio::test]
async fn owners_are_the_archives_or_the_containers() {
    let scene = Scene::new();
    std::fs::write(
        scene.path("etc/passwd"),
        "somebody:x:1234:1234::/:/bin/sh\n",
    )
    .unwrap();
    let owner = |name: &str| {
        let metadata = scene.path("tmp").join(name).metadata().unwrap();
        (metadata.uid(), metadata.gid())
    };
    scene.write("/tmp", archive("plain", "")).await.unwrap();
    assert_eq!(owner("plain"), (0, 0));
    let options = ExtractOptions {
        copy_owners: true,
        ..ExtractOptions::default()
    };
    write(
        scene.view(),
        "/tmp",
        Box::new(Cursor::new(archive("owned", ""))),
        options,
    )
    .await
    .unwrap();
    assert_eq!(owner("owned"), (1234, 7));
    let unknown = View {
        user: "nobody".to_owned(),
        ..scene.view()
    };
    let refused = write(unknown, "/tmp", Box::new(Cursor::new(Vec::new())), options)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Invalid, "{refused}");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_thread_and_no_half_file() {
    let scene = Scene::new();
    std::fs::File::create(scene.path("data/large"))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let (_, mut packed) = read(scene.view(), "/data/large").await.unwrap();
    let mut some = [0; 512];
    packed.read_exact(&mut some).await.unwrap();
    drop(packed);

    let (mut client, server) = tokio::io::duplex(1024);
    let upload = tokio::spawn(write(
        scene.view(),
        "/tmp",
        Box::new(server),
        ExtractOptions::default(),
    ));
    let whole = archive("half", &"x".repeat(100_000));
    tokio::io::AsyncWriteExt::write_all(&mut client, &whole[..50_000])
        .await
        .unwrap();
    drop(client);
    assert_eq!(
        upload.await.unwrap().unwrap_err().message,
        "unexpected end of the archive"
    );
    assert_eq!(std::fs::read_dir(scene.path("tmp")).unwrap().count(), 0);
}
