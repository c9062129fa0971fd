//! What is told of files that were added, changed and deleted.

use super::*;
use crate::root::{Layers, of_layers};
use std::os::fd::AsRawFd as _;

/// Layers on disk, and what a container would see of them.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "top/etc",
            "bottom/etc/deep/er",
            "bottom/gone",
            "bottom/replaced",
            "upper",
            "work",
        ] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for file in [
            "top/etc/conf",
            "bottom/etc/old",
            "bottom/etc/deep/er/file",
            "bottom/gone/x",
            "bottom/replaced/inner",
            "bottom/file",
        ] {
            std::fs::write(dir.path().join(file), "from the image").unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Does something inside the merged root.
    fn inside(&self, work: impl Fn(&Path) -> std::io::Result<()>) {
        let layers = Layers {
            lower: vec![self.path("top"), self.path("bottom")],
            writable: Some((self.path("upper"), self.path("work"))),
        };
        let root = of_layers(&layers).unwrap();
        work(Path::new(&format!(
            "/proc/self/fd/{}",
            root.as_fd().as_raw_fd()
        )))
        .unwrap();
    }

    fn changes(&self) -> Vec<(String, char)> {
        let changes = list(
            &self.path("upper"),
            &[self.path("top"), self.path("bottom")],
        )
        .unwrap();
        let sign = |kind| match kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        changes
            .into_iter()
            .map(|change| (change.path, sign(change.kind)))
            .collect()
    }
}

fn expected(changes: &[(&str, char)]) -> Vec<(String, char)> {
    changes
        .iter()
        .map(|(path, sign)| ((*path).to_owned(), *sign))
        .collect()
}

#[test]
fn an_untouched_root_has_no_changes() {
    let scene = Scene::new();
    scene.inside(|root| std::fs::read(root.join("etc/conf")).map(drop));
    assert_eq!(scene.changes(), []);
    assert_eq!(size_bytes(&scene.path("upper")).unwrap(), 0);
}

#[test]
fn what_is_written_and_removed_is_listed_with_the_directories_it_changed() {
    let scene = Scene::new();
    scene.inside(|root| {
        std::fs::write(root.join("etc/conf"), "new")?;
        std::fs::write(root.join("etc/deep/er/added"), "12345")?;
        std::fs::create_dir_all(root.join("new/dir"))?;
        std::fs::remove_dir_all(root.join("gone"))?;
        std::fs::write(root.join("short-lived"), "")?;
        std::fs::remove_file(root.join("short-lived"))
    });
    let changes = [
        ("/etc/conf", 'C'),
        ("/etc/deep/er", 'C'),
        ("/etc/deep/er/added", 'A'),
        ("/gone", 'D'),
        ("/new", 'A'),
        ("/new/dir", 'A'),
    ];
    assert_eq!(scene.changes(), expected(&changes));
    assert_eq!(size_bytes(&scene.path("upper")).unwrap(), 8);
}

#[test]
fn a_directory_made_again_shows_what_it_lost() {
    let scene = Scene::new();
    scene.inside(|root| {
        std::fs::remove_dir_all(root.join("replaced"))?;
        std::fs::create_dir(root.join("replaced"))?;
        std::fs::write(root.join("replaced/other"), "x")?;
        std::fs::remove_file(root.join("file"))?;
        std::fs::create_dir(root.join("file"))?;
        std::fs::write(root.join("file/below"), "x")
    });
    let changes = [
        ("/file", 'C'),
        ("/file/below", 'A'),
        ("/replaced", 'C'),
        ("/replaced/inner", 'D'),
        ("/replaced/other", 'A'),
    ];
    assert_eq!(scene.changes(), expected(&changes));
}

#[test]
fn a_file_with_two_names_is_counted_once() {
    let scene = Scene::new();
    scene.inside(|root| {
        std::fs::write(root.join("one"), "12345")?;
        std::fs::hard_link(root.join("one"), root.join("two"))
    });
    assert_eq!(size_bytes(&scene.path("upper")).unwrap(), 5);
    assert!(list(Path::new("/nonexistent"), &[]).is_err());
}
