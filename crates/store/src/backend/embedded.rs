//! A backend in one SQLite file beside the daemon, for a control plane of one.
//!
//! Why SQLite, and what each promise costs: `docs/decisions/0005-embedded-store.md`. A thread of
//! its own holds the only connection, so that a slow disk never stalls the async workers. A
//! commit is in the page cache when it is answered (`synchronous=NORMAL` in WAL mode flushes only
//! at checkpoints); [`Flusher`] brings it to the disk for those who wait.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use model::Id;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

use super::durable::{Durable, Flusher};
use super::{Backend, OpenError};
use crate::record::Decoder;
use crate::transaction::{Batch, CommitError, Key, Write};
use crate::view::View;
use crate::{Committed, Revision};

/// The newest format of the file that this version reads and writes (`PRAGMA user_version`).
const FORMAT: i64 = 1;
/// How long another process's lock is waited for: one that is being killed is gone by then.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// After so long without a commit, what nobody waited for is flushed, too.
const IDLE: Duration = Duration::from_secs(1);
/// The log is folded into the file when idle after this many commits...
const COMMITS_WORTH_A_CHECKPOINT: u32 = 256;
/// ...and, idle or not, when it has this many pages of 4 KiB.
const LOG_PAGES_LIMIT: u32 = 8192;

/// The writer thread's handle.
pub(crate) struct Embedded {
    requests: Option<mpsc::Sender<Request>>,
    flusher: Arc<Flusher>,
    threads: Vec<JoinHandle<()>>,
}

struct Request {
    batch: Batch,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// The store is closing.
#[derive(Debug, thiserror::Error)]
#[error("the store's writer has ended")]
struct WriterEnded;

impl Embedded {
    /// Opens or makes the store in `directory` and reads everything into `view`.
    pub(crate) async fn open(directory: &Path, view: Arc<View>) -> Result<Self, OpenError> {
        let database = directory.join("records.sqlite");
        let log = directory.join("records.sqlite-wal");
        let cannot_start = {
            let log = log.clone();
            move |source| OpenError::Log { path: log, source }
        };
        let flusher = Flusher::new();
        let (requests, inbox) = mpsc::channel();
        let (opened, is_open) = oneshot::channel();
        let writer = {
            let (directory, flusher) = (directory.to_owned(), Arc::clone(&flusher));
            spawn("store-write", move || {
                match Writer::open(&directory, &database, &log, view, flusher) {
                    Ok((mut writer, log)) => {
                        if opened.send(Ok(log)).is_ok() {
                            writer.run(&inbox);
                        }
                    }
                    // The opener has gone away; there is nobody to tell.
                    Err(error) => drop(opened.send(Err(error))),
                }
            })
            .map_err(cannot_start.clone())?
        };
        let log = match is_open.await {
            Ok(result) => result?,
            Err(_) => return Err(cannot_start(io::Error::other(WriterEnded))),
        };
        let flush = {
            let flusher = Arc::clone(&flusher);
            spawn("store-flush", move || flusher.run(&log)).map_err(cannot_start)?
        };
        Ok(Self {
            requests: Some(requests),
            flusher,
            threads: vec![writer, flush],
        })
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(512 * 1024)
        .spawn(run)
}

#[async_trait]
impl Backend for Embedded {
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let ended = || CommitError::Backend(Box::new(WriterEnded));
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        requests
            .send(Request { batch, answer })
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

impl Drop for Embedded {
    /// Ends the threads, so that whoever opens the store next finds its lock free.
    fn drop(&mut self) {
        drop(self.requests.take());
        self.flusher.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            drop(thread.join());
        }
    }
}

/// What the writer thread has.
struct Writer {
    connection: Connection,
    view: Arc<View>,
    flusher: Arc<Flusher>,
    /// Commits since the last checkpoint.
    unfolded: u32,
    /// Something may be in the page cache only.
    unflushed: bool,
}

impl Writer {
    fn open(
        directory: &Path,
        database: &Path,
        log: &Path,
        view: Arc<View>,
        flusher: Arc<Flusher>,
    ) -> Result<(Self, File), OpenError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| OpenError::Directory {
                path: directory.to_owned(),
                source,
            })?;
        let connection = connect(database).map_err(|source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse {
                path: directory.to_owned(),
            },
            _ => OpenError::Database {
                path: database.to_owned(),
                source,
            },
        })?;
        prepare(&connection, directory, database)?;
        load(&connection, database, &view)?;

        let prepare_log = |source| OpenError::Log {
            path: log.to_owned(),
            source,
        };
        let file = File::open(log).map_err(prepare_log)?;
        // The names of new files are to survive a power cut as well.
        for directory in [Some(directory), directory.parent()].into_iter().flatten() {
            if !directory.as_os_str().is_empty() {
                File::open(directory)
                    .and_then(|opened| opened.sync_all())
                    .map_err(prepare_log)?;
            }
        }
        flusher.written(view.revision().0);
        Ok((
            Self {
                connection,
                view,
                flusher,
                unfolded: 0,
                unflushed: true,
            },
            file,
        ))
    }

    /// Serves commits one by one until the store is closed.
    fn run(&mut self, inbox: &mpsc::Receiver<Request>) {
        loop {
            let request = if self.unflushed {
                match inbox.recv_timeout(IDLE) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        self.tidy_up();
                        continue;
                    }
                    received => received.ok(),
                }
            } else {
                inbox.recv().ok()
            };
            let Some(Request { batch, answer }) = request else {
                return;
            };
            // The caller may have gone away; the commit stands all the same.
            drop(answer.send(self.commit(batch)));
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<Committed, CommitError> {
        self.view.check(&batch)?;
        let revision = Revision(self.view.revision().0 + 1);
        self.unflushed = true;
        write(&mut self.connection, revision, &batch.writes).map_err(|error| {
            tracing::error!(%error, "the store cannot be written");
            match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => CommitError::Full(Box::new(error)),
                _ => CommitError::Backend(Box::new(error)),
            }
        })?;
        self.unfolded += 1;
        self.flusher.written(revision.0);
        self.view.apply(revision, batch.writes);
        let durable = Durable::once_flushed(revision.0, Arc::clone(&self.flusher));
        Ok(Committed { revision, durable })
    }

    /// Uses a quiet moment.
    fn tidy_up(&mut self) {
        self.unflushed = false;
        self.flusher.ask_for(self.view.revision().0);
        if self.unfolded >= COMMITS_WORTH_A_CHECKPOINT {
            self.unfolded = 0;
            let folded =
                self.connection
                    .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if let Err(error) = folded {
                tracing::warn!(%error, "the store's log could not be folded into its file; it will be tried again");
            }
        }
    }
}

fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    // Exclusive before the log is first touched: then there is no shared memory, no lock call at
    // each commit, and a second process is kept out for as long as this one lives.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_LIMIT)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
    Ok(connection)
}

/// Makes the tables of a new file; refuses a newer one.
fn prepare(connection: &Connection, directory: &Path, database: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database {
        path: database.to_owned(),
        source,
    };
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(failed)?;
    if found > FORMAT {
        return Err(OpenError::Newer {
            path: directory.to_owned(),
            found,
            known: FORMAT,
        });
    }
    // With a row id of its own a record of up to a page stays in one page when it is written again.
    connection
        .execute_batch(
            "BEGIN;
             CREATE TABLE IF NOT EXISTS records (
                 row INTEGER PRIMARY KEY,
                 kind TEXT NOT NULL, id BLOB NOT NULL, part TEXT NOT NULL,
                 revision INTEGER NOT NULL, value TEXT NOT NULL,
                 UNIQUE (kind, id, part)
             ) STRICT;
             CREATE TABLE IF NOT EXISTS last (revision INTEGER NOT NULL) STRICT;
             INSERT INTO last SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM last);
             PRAGMA user_version = 1;
             COMMIT;",
        )
        .map_err(failed)
}

/// Reads everything into the view.
fn load(connection: &Connection, database: &Path, view: &View) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database {
        path: database.to_owned(),
        source,
    };
    let mut statement = connection
        .prepare("SELECT kind, id, part, revision, value FROM records")
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (kind, id, part, revision, json) = row
            .get::<_, String>(0)
            .and_then(|kind| {
                Ok((
                    kind,
                    row.get::<_, [u8; 16]>(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })
            .map_err(failed)?;
        let revision = Revision(i64::cast_unsigned(revision));
        restore(
            view,
            database,
            (&kind, Id::from_bytes(id), &part),
            revision,
            json,
        )?;
    }
    let last: i64 = connection
        .query_row("SELECT revision FROM last", [], |row| row.get(0))
        .map_err(failed)?;
    view.restore_revision(Revision(last.cast_unsigned()));
    Ok(())
}

fn restore(
    view: &View,
    database: &Path,
    (kind, id, part): (&str, Id, &String),
    revision: Revision,
    json: String,
) -> Result<(), OpenError> {
    let path = || -> PathBuf { database.to_owned() };
    let decoder = Decoder::find(kind, part).ok_or_else(|| OpenError::UnknownKind {
        path: path(),
        kind: format!("{kind}/{part}"),
    })?;
    let value = (decoder.decode)(json).map_err(|source| OpenError::Record {
        path: path(),
        kind: format!("{kind}/{part}"),
        id,
        source,
    })?;
    view.restore(
        Key {
            kind: decoder.kind,
            part: decoder.part,
            id,
        },
        revision,
        value,
    );
    Ok(())
}

/// One SQLite transaction; it is rolled back whole when anything in it fails.
fn write(
    connection: &mut Connection,
    revision: Revision,
    writes: &[Write],
) -> rusqlite::Result<()> {
    let revision = revision.0.cast_signed();
    let transaction = connection.transaction()?;
    for Write { key, value, .. } in writes {
        let (kind, id, part) = (key.kind.as_str(), key.id.as_bytes(), key.part.as_str());
        match value {
            Some(value) => transaction
                .prepare_cached(
                    "INSERT INTO records (kind, id, part, revision, value) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (kind, id, part)
                     DO UPDATE SET revision = excluded.revision, value = excluded.value",
                )?
                .execute((kind, id, part, revision, &value.json))?,
            None => transaction
                .prepare_cached("DELETE FROM records WHERE kind = ?1 AND id = ?2 AND part = ?3")?
                .execute((kind, id, part))?,
        };
    }
    transaction
        .prepare_cached("UPDATE last SET revision = ?1")?
        .execute([revision])?;
    transaction.commit()
}
