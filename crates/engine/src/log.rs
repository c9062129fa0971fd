//! Reads the logs that the keeper writes: Docker's `json-file`, rotated files included, which are
//! compressed where that is wanted.
//!
//! [`Logs::read`] answers what is there and, where it is asked to, follows what comes. Memory is
//! bounded: a batch is read when the last one was taken. The keeper writes the files; the host
//! calls this and says when a run has ended.

mod files;
mod packing;
mod reader;
mod record;
mod watches;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use model::instance::Failure;
use model::stream::{LogLine, LogOptions};
use tokio::sync::mpsc;

use self::reader::{Batch, End, Reader};
use self::watches::Watches;
use crate::failure::internal;

/// Lines on their way, in batches.
pub(crate) type Lines = mpsc::Receiver<Result<Vec<LogLine>, Failure>>;

/// The logs of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    watches: Watches,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read log {}", path.display())]
struct ReadLogError {
    path: PathBuf,
    source: io::Error,
}

impl Logs {
    /// Reads the log whose current file is at `path`; a missing file is an empty log.
    ///
    /// `ended` resolves when the run has ended and all of its output is written; a log that is
    /// followed ends then. The tail counts records of both streams, as with Docker.
    pub(crate) fn read(
        &self,
        path: &Path,
        options: &LogOptions,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> Lines {
        // One batch waits while the next one is read.
        let (sender, lines) = mpsc::channel(1);
        let (watches, path, options) = (self.watches.clone(), path.to_owned(), options.clone());
        let _task = tokio::spawn(async move {
            if let Err(source) = follow(&watches, &path, &options, ended, &sender).await {
                let failure = internal(&ReadLogError { path, source });
                // Whoever asked may have gone.
                drop(sender.send(Err(failure)).await);
            }
        });
        lines
    }
}

async fn follow(
    watches: &Watches,
    path: &Path,
    options: &LogOptions,
    ended: impl Future<Output = ()>,
    sender: &mpsc::Sender<Result<Vec<LogLine>, Failure>>,
) -> io::Result<()> {
    let mut ended = pin!(ended);
    let directory = path.parent().filter(|_| options.follow);
    let mut watch = directory.map(|directory| watches.watch(directory));
    let (log, wanted) = (path.to_owned(), options.clone());
    let mut reader = blocking(move || Reader::open(log, wanted)).await?;
    let mut is_over = false;
    loop {
        if let Some(watch) = &mut watch {
            watch.mark_seen();
        }
        loop {
            let Batch { lines, end } = {
                let mut taken = reader;
                let (back, batch) = blocking(move || {
                    let batch = taken.batch()?;
                    Ok((taken, batch))
                })
                .await?;
                reader = back;
                batch
            };
            if !lines.is_empty() && sender.send(Ok(lines)).await.is_err() {
                return Ok(());
            }
            match end {
                End::More => {}
                End::Written => break,
                End::Wanted => return Ok(()),
            }
        }
        let Some(watch) = watch.as_mut().filter(|_| !is_over) else {
            return Ok(());
        };
        reader.rest();
        tokio::select! {
            () = watch.changed() => {}
            // What was written last is still to be read.
            () = &mut ended => is_over = true,
            () = past(options.until) => is_over = true,
            () = sender.closed() => return Ok(()),
        }
    }
}

/// Waits until this time is past.
async fn past(time: Option<Timestamp>) {
    let Some(time) = time else {
        return std::future::pending().await;
    };
    let left = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(left).await;
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write as _;
    use tokio::sync::oneshot;

    fn append(path: &Path, text: &str) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        let time = Timestamp::now();
        writeln!(
            file,
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}"
        )
        .unwrap();
    }

    async fn next(lines: &mut Lines) -> Option<String> {
        let batch = tokio::time::timeout(Duration::from_secs(60), lines.recv())
            .await
            .unwrap()?;
        Some(
            batch
                .unwrap()
                .into_iter()
                .map(|line| String::from_utf8(line.bytes).unwrap())
                .collect(),
        )
    }

    fn options(follow: bool) -> LogOptions {
        LogOptions {
            stdout: true,
            stderr: true,
            follow,
            ..LogOptions::default()
        }
    }

    #[tokio::test]
    async fn a_followed_log_goes_on_across_a_rotation_until_the_run_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        append(&path, "one");
        let (end, ended) = oneshot::channel();
        let mut lines = Logs::default().read(&path, &options(true), async { _ = ended.await });
        assert_eq!(next(&mut lines).await.unwrap(), "one\n");
        append(&path, "two");
        assert_eq!(next(&mut lines).await.unwrap(), "two\n");
        std::fs::rename(&path, dir.path().join("x-json.log.1")).unwrap();
        append(&path, "three");
        assert_eq!(next(&mut lines).await.unwrap(), "three\n");
        append(&path, "last");
        end.send(()).unwrap();
        assert_eq!(next(&mut lines).await.unwrap(), "last\n");
        assert_eq!(next(&mut lines).await, None);
    }

    #[tokio::test]
    async fn a_log_that_is_made_later_is_followed_and_a_time_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        let wanted = LogOptions {
            until: Some(Timestamp::now() + Duration::from_millis(300)),
            ..options(true)
        };
        let mut lines = Logs::default().read(&path, &wanted, std::future::pending());
        append(&path, "one");
        assert_eq!(next(&mut lines).await.unwrap(), "one\n");
        assert_eq!(next(&mut lines).await, None);
        assert_eq!(
            next(&mut Logs::default().read(&path, &options(false), std::future::pending()))
                .await
                .unwrap(),
            "one\n"
        );
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = Logs::default().read(dir.path(), &options(false), std::future::pending());
        let failure = lines.recv().await.unwrap().unwrap_err();
        assert_eq!(
            failure.message,
            format!(
                "read log {}: Is a directory (os error 21)",
                dir.path().display()
            )
        );
    }
}
