//! Compresses the older files of a log, beside the keeper, which goes on giving them higher numbers.
//!
//! A file gets its new name, `.1.gz` for `.1`, under the lock (flock(2)) of the directory; the keeper
//! rotates only when it finds that free. The header of a compressed file says which file it was, and
//! its time of modification is that one's, so that whoever reads the one knows the other.

use std::fs::{File, FileTimes, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use flate2::{Compression, GzBuilder};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::files::{self, Form, LogFile};
use crate::host::Inner;
use crate::run::Live;

/// Between two looks for files to compress.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl Inner {
    /// Compresses the older files of the run's log from now on, if that is wanted.
    pub(crate) fn pack_log(self: &Arc<Self>, live: &Arc<Live>) {
        if live.note.packs_log {
            let path = self.directories.instance(live.id).log();
            let _task = tokio::spawn(keep_packing(Arc::downgrade(self), Arc::clone(live), path));
        }
    }
}

async fn keep_packing(host: Weak<Inner>, live: Arc<Live>, path: PathBuf) {
    let mut is_over = false;
    while !is_over {
        is_over = tokio::time::timeout(LOOK_EVERY, live.exited())
            .await
            .is_ok();
        if host.strong_count() == 0 {
            return;
        }
        let log = path.clone();
        match tokio::task::spawn_blocking(move || pack(&log)).await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(log = %path.display(), %error, "cannot compress the older files of a log");
            }
            _ => {}
        }
    }
}

/// Compresses all older files of the log at `path` that are not yet.
fn pack(path: &Path) -> io::Result<()> {
    for number in 1..=files::oldest_number(path)? {
        if let Some(file) = LogFile::open(path, number, Form::Plain)? {
            pack_file(path, &file)?;
        }
    }
    Ok(())
}

fn pack_file(path: &Path, plain: &LogFile) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
    let packed = nameless(directory)?;
    let header = GzBuilder::new().extra(plain.identity.to_bytes());
    let mut encoder = header.write(BufWriter::new(&packed), Compression::default());
    io::copy(&mut &plain.file, &mut encoder)?;
    encoder.finish()?.flush()?;
    let metadata = plain.file.metadata()?;
    packed.set_permissions(Permissions::from_mode(metadata.permissions().mode()))?;
    packed.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
    // The plain one was written long ago, and goes when this one has its name.
    packed.sync_data()?;

    let lock = File::open(directory)?;
    lock.lock()?;
    for number in 1..=files::oldest_number(path)? {
        let found = LogFile::open(path, number, Form::Plain)?;
        if found.is_some_and(|found| found.identity == plain.identity) {
            let name = files::numbered(path, number, Form::Packed);
            match std::fs::remove_file(&name) {
                // Of one that was killed before it removed the plain one.
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let unnamed = format!("/proc/self/fd/{}", packed.as_raw_fd());
            rustix::fs::linkat(CWD, unnamed, CWD, &name, AtFlags::SYMLINK_FOLLOW)?;
            return std::fs::remove_file(files::numbered(path, number, Form::Plain));
        }
    }
    // So many were written meanwhile that it is not kept any more.
    Ok(())
}

/// A file in `directory` that goes with its last descriptor.
pub(super) fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::files::tests::log;

    fn names(path: &Path) -> Vec<String> {
        let entries = path.parent().unwrap().read_dir().unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn texts(path: &Path) -> Vec<String> {
        let mut files = files::open_all(path, None).unwrap();
        let texts = files.iter_mut().map(|file| {
            let file = file.readable(path).unwrap();
            io::read_to_string(file).unwrap()
        });
        texts.collect()
    }

    #[test]
    fn older_files_are_compressed_and_read_as_before() {
        let old = "old\n".repeat(1000);
        let (_dir, path) = log(&["now", "before", &old]);
        let modified = |name: PathBuf| name.metadata().unwrap().modified().unwrap();
        let before = modified(files::numbered(&path, 2, Form::Plain));
        pack(&path).unwrap();
        pack(&path).unwrap();
        assert_eq!(
            names(&path),
            ["x-json.log", "x-json.log.1.gz", "x-json.log.2.gz"]
        );
        assert_eq!(texts(&path), [&old, "before", "now"]);
        let packed = files::numbered(&path, 2, Form::Packed);
        assert!(packed.metadata().unwrap().len() < 100);
        assert_eq!(modified(packed), before);
    }

    #[test]
    fn one_that_was_killed_half_way_is_read_once_and_done_again() {
        let (_dir, path) = log(&["now", "before"]);
        let plain = files::numbered(&path, 1, Form::Plain);
        let aside = path.with_file_name("aside");
        std::fs::hard_link(&plain, &aside).unwrap();
        pack(&path).unwrap();
        std::fs::rename(&aside, &plain).unwrap();
        assert_eq!(texts(&path), ["before", "now"]);
        pack(&path).unwrap();
        assert_eq!(names(&path), ["x-json.log", "x-json.log.1.gz"]);
        assert_eq!(texts(&path), ["before", "now"]);
    }

    #[test]
    fn whoever_reads_a_file_knows_it_when_it_is_compressed() {
        let (_dir, path) = log(&["now", "before", "old"]);
        let mut files = files::open_all(&path, None).unwrap();
        pack(&path).unwrap();
        let current = files.pop().unwrap();
        assert!(files::open_all(&path, Some(&current)).unwrap().is_empty());
        let before = files.pop().unwrap();
        assert_eq!(files::open_all(&path, Some(&before)).unwrap().len(), 1);
    }
}
