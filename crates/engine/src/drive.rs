//! The configuration drive: a directory in which an instance finds what it is told about itself,
//! without asking anybody.
//!
//! It is written anew before each start and mounted read-only where cloud-init looks for the files of
//! such a drive (cloud-init, "Config drive", the seed directory); a container has no block devices to
//! label. What is on it is not known here: whoever takes the [`Asked`] says it.
//! [`crate::start`] calls this.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::Id;
use tokio::sync::{mpsc, oneshot};

/// Where it is mounted.
pub(crate) const TARGET: &str = "/var/lib/cloud/seed/config_drive";
/// Only root inside reads it: user data may hold secrets.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o400;
/// The most instances that wait for what is on their drives.
const WAITING: usize = 256;

/// A file of a drive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Where it is on the drive: a relative path without `..`.
    pub path: PathBuf,
    /// What it holds.
    pub content: Vec<u8>,
}

/// An instance whose drive is to be written.
#[derive(Debug)]
pub struct Asked {
    /// Whose it is.
    pub instance: Id,
    /// Takes the files; without an answer the instance does not start.
    pub answer: oneshot::Sender<Vec<File>>,
}

/// Why a drive could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    #[error("nobody says what is on the configuration drive of instance {instance}")]
    Unanswered { instance: Id },
    #[error("{path} cannot be on a configuration drive: it leads out of it")]
    Path { path: PathBuf },
    #[error("{attempt} {path} for a configuration drive")]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Where drives are asked for.
#[derive(Debug)]
pub(crate) struct Drives {
    asked: mpsc::Sender<Asked>,
    questions: Mutex<Option<mpsc::Receiver<Asked>>>,
}

impl Default for Drives {
    fn default() -> Self {
        let (asked, questions) = mpsc::channel(WAITING);
        Self {
            asked,
            questions: Mutex::new(Some(questions)),
        }
    }
}

impl Drives {
    /// For whoever can answer; `None` the second time.
    pub(crate) fn questions(&self) -> Option<mpsc::Receiver<Asked>> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Writes the drive of an instance that does not run to `directory`, in the place of an older one.
    pub(crate) async fn make(&self, instance: Id, directory: &Path) -> Result<(), DriveError> {
        let unanswered = || DriveError::Unanswered { instance };
        let (answer, files) = oneshot::channel();
        let asked = Asked { instance, answer };
        self.asked.send(asked).await.map_err(|_| unanswered())?;
        let files = files.await.map_err(|_| unanswered())?;
        write(directory, &files)
    }
}

fn write(directory: &Path, files: &[File]) -> Result<(), DriveError> {
    let failed = |attempt, path: &Path| {
        let path = path.to_owned();
        move |source| DriveError::File {
            attempt,
            path,
            source,
        }
    };
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(failed("remove the old", directory))?,
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIRECTORY_MODE);
    builder
        .create(directory)
        .map_err(failed("make", directory))?;
    for file in files {
        if rooted::normalized(&file.path) != file.path || file.path.is_absolute() {
            return Err(DriveError::Path {
                path: file.path.clone(),
            });
        }
        let path = directory.join(&file.path);
        if let Some(parent) = path.parent() {
            builder.create(parent).map_err(failed("make", parent))?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        let written = options
            .open(&path)
            .and_then(|mut open| io::Write::write_all(&mut open, &file.content));
        written.map_err(failed("write", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_holds_what_is_said_and_nothing_older() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("drive");
        let file = |path: &str, content: &[u8]| File {
            path: path.into(),
            content: content.to_vec(),
        };
        write(&directory, &[file("a/old", b"1")]).unwrap();
        write(&directory, &[file("a/b/new", b"2")]).unwrap();
        assert_eq!(fs::read(directory.join("a/b/new")).unwrap(), b"2");
        assert!(!directory.join("a/old").exists());
        for out in ["../x", "/etc/x", "a/../../x"] {
            assert!(write(&directory, &[file(out, b"")]).is_err(), "{out}");
        }
    }

    #[tokio::test]
    async fn without_an_answer_there_is_no_drive() {
        let drives = Drives::default();
        drop(drives.questions().unwrap());
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("drive");
        let made = drives.make(Id::random(), &path);
        assert!(matches!(made.await, Err(DriveError::Unanswered { .. })));
    }
}
