//! What was once done to engines like this one, tried again as it was done: by a hostile container or with a
//! hostile image, through the unmodified client. `docs/security.md` says which rule is tried where.

mod build;
mod copy;
mod entry;
mod image;
mod mounts;
mod privileges;
mod sight;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};
use tests::daemon::Daemon;
use tests::docker::{Answer, Docker};
use tests::image::busybox_rootfs;

/// A directory of the host with a file in it, which no container may read or touch.
struct Outside {
    dir: PathBuf,
}

const SECRET: &str = "of the host";

impl Outside {
    /// A new one; `name` is the test's alone.
    fn new(daemon: &Daemon, name: &str) -> Self {
        let dir = daemon.scratch().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("secret"), SECRET).unwrap();
        Self { dir }
    }

    fn path(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    /// The same from deep in a container.
    fn climbing(&self) -> String {
        format!(
            "{}{}",
            "../".repeat(12),
            self.path().trim_start_matches('/')
        )
    }

    /// It is as it was made.
    #[track_caller]
    fn check(&self) {
        let found = fs::read_dir(&self.dir).unwrap();
        let names: Vec<_> = found.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"], "something is made on the host");
        let secret = self.dir.join("secret");
        assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
        let facts = fs::symlink_metadata(&secret).unwrap();
        let facts = (facts.nlink(), facts.mode() & 0o7777, facts.uid());
        assert_eq!(facts, (1, 0o644, 0));
    }

    /// Nothing of it is in what a command printed.
    #[track_caller]
    fn check_unseen(&self, answer: &Answer) {
        let is_told = answer.stdout.contains(SECRET) || answer.stderr.contains(SECRET);
        assert!(!is_told, "a file of the host is shown: {answer:?}");
        self.check();
    }
}

/// What an image has in the place of a file or directory of busybox's.
enum Instead<'a> {
    Link(&'a str),
    Pipe,
    Script(&'a str),
}

/// The archive of the busybox image with some things in other things' places.
fn archive(entries: &[(&str, Instead<'_>)]) -> Vec<u8> {
    let mut archive = busybox_rootfs().unwrap();
    // Without the end of the archive.
    archive.truncate(archive.len() - 1024);
    let mut archive = Builder::new(archive);
    for (path, instead) in entries {
        let mut header = Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(0);
        match instead {
            Instead::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_path(path).unwrap();
                header.set_link_name_literal(target).unwrap();
                header.set_cksum();
                archive.append(&header, std::io::empty()).unwrap();
            }
            Instead::Pipe => {
                header.set_entry_type(EntryType::Fifo);
                archive
                    .append_data(&mut header, path, std::io::empty())
                    .unwrap();
            }
            Instead::Script(text) => {
                header.set_size(text.len() as u64);
                archive
                    .append_data(&mut header, path, text.as_bytes())
                    .unwrap();
            }
        }
    }
    archive.into_inner().unwrap()
}

/// Imports it.
fn import(docker: &Docker, name: &str, entries: &[(&str, Instead<'_>)], changes: &[&str]) {
    let mut args = vec!["import"];
    for change in changes {
        args.extend(["--change", change]);
    }
    let path = "ENV PATH=/bin";
    args.extend(["--change", path, "-", name]);
    docker.run_with_input(&args, &archive(entries)).ok();
}

/// Starts a container that goes on with a script until it is removed. It gets half a processor, so that
/// one that swaps without end leaves some for those that it is to disturb.
fn start(docker: &Docker, name: &str, flags: &[&str], image: &str, script: &str) {
    let all = [
        &["run", "-d", "--cpus", "0.5", "--name", name],
        flags,
        &[image, "sh", "-c", script],
    ]
    .concat();
    docker.run(&all).ok();
}

/// Waits until a file is in a container.
fn wait_for(docker: &Docker, container: &str, path: &Path) {
    let path = path.to_str().unwrap();
    docker.wait_until(path, |docker| {
        docker.run(&["exec", container, "test", "-e", path]).code == 0
    });
}
