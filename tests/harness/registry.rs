//! A registry of the tests' own: Debian's `docker-registry` on loopback, and a count of the bytes
//! that it sends, which can be held.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// How long a registry may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Who may use a registry that wants to know: [`USER`] with [`PASSWORD`].
pub const USER: &str = "testuser";
/// The password of [`USER`].
pub const PASSWORD: &str = "opensesame";
/// The same, as the registry keeps it.
const PASSWORD_FILE: &str =
    "testuser:$2b$04$abcdefghijklmnopqrstuuFuhxWRTXIsURoluSTZ1N4tYaWGn9oOi\n";

/// A running registry. Dropping it ends it, with everything in it.
pub struct Registry {
    child: Child,
    address: SocketAddr,
    behind: SocketAddr,
    meter: Arc<Meter>,
    dir: TempDir,
}

impl Registry {
    /// One that everybody may use.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start() -> Result<Self> {
        Self::start_with("", |_| Ok(()))
    }

    /// One that only [`USER`] may use.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_with_password() -> Result<Self> {
        let auth = "auth: {htpasswd: {realm: tests, path: passwords}}\n";
        Self::start_with(auth, |dir| {
            Ok(std::fs::write(dir.join("passwords"), PASSWORD_FILE)?)
        })
    }

    fn start_with(more: &str, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        prepare(dir.path())?;
        let behind = free_address()?;
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: \"{behind}\"}}\n{more}",
            dir.path().join("data").display()
        );
        std::fs::write(dir.path().join("config.yml"), config)?;
        let child = Command::new("docker-registry")
            .args(["serve", "config.yml"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start docker-registry")?;
        let meter = Arc::new(Meter::default());
        let address = measure(behind, Arc::clone(&meter))?;
        let registry = Self {
            child,
            address,
            behind,
            meter,
            dir,
        };
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(behind).is_err() {
            if Instant::now() > deadline {
                bail!("docker-registry does not answer at {behind}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    /// Its name in references: `127.0.0.1:PORT`.
    #[must_use]
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// The same without the meter in between, which costs time.
    #[must_use]
    pub fn direct_name(&self) -> String {
        self.behind.to_string()
    }

    /// Puts a manifest as somebody would who wrote it by hand.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub fn put_manifest(&self, repository: &str, tag: &str, document: &Value) -> Result<()> {
        let text = document.to_string();
        let mut stream = TcpStream::connect(self.address)?;
        write!(
            stream,
            "PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            self.address,
            document["mediaType"].as_str().unwrap_or_default(),
            text.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        Ok(())
    }

    /// Turns a byte of a blob over, on the disk.
    ///
    /// # Errors
    /// When there is no such blob.
    pub fn spoil_blob(&self, digest: &str) -> Result<()> {
        let digits = digest.strip_prefix("sha256:").context("a digest")?;
        let blobs = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        let path = blobs.join(&digits[..2]).join(digits).join("data");
        let mut content = std::fs::read(&path)?;
        content[0] ^= 1;
        Ok(std::fs::write(path, content)?)
    }

    /// Bytes that it has sent so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.meter.state().sent
    }

    /// Sends no more once it has sent so many bytes.
    pub fn hold_after(&self, bytes: u64) {
        self.meter.state().limit = bytes;
    }

    /// Waits until it sends no more.
    pub fn wait_until_held(&self) {
        let state = self.meter.state();
        let held = self
            .meter
            .changed
            .wait_while(state, |state| state.sent < state.limit);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends again.
    pub fn let_go(&self) {
        self.hold_after(u64::MAX);
        self.meter.changed.notify_all();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.let_go();
        // It may have ended by itself.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// Counts what is sent, and holds it.
struct Meter {
    state: Mutex<Sent>,
    changed: Condvar,
}

struct Sent {
    sent: u64,
    limit: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            state: Mutex::new(Sent {
                sent: 0,
                limit: u64::MAX,
            }),
            changed: Condvar::new(),
        }
    }
}

impl Meter {
    fn state(&self) -> MutexGuard<'_, Sent> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits where no more is to be sent.
    fn pass(&self, bytes: u64) {
        let mut state = self.state();
        state.sent += bytes;
        self.changed.notify_all();
        let passed = self
            .changed
            .wait_while(state, |state| state.sent >= state.limit);
        drop(passed.unwrap_or_else(PoisonError::into_inner));
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Passes connections on through a meter. It goes with the process.
fn measure(behind: SocketAddr, meter: Arc<Meter>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(behind) else {
                continue;
            };
            let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
                continue;
            };
            let meter = Arc::clone(&meter);
            thread::spawn(move || copy(from_client, to_server, |_| {}));
            thread::spawn(move || copy(server, client, |bytes| meter.pass(bytes)));
        }
    });
    Ok(address)
}

/// Copies one direction to its end; a side that goes takes the other with it.
pub(crate) fn copy(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(u64)) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        passes(length as u64);
    }
    // Either may be gone.
    drop(to.shutdown(Shutdown::Write));
    drop(from.shutdown(Shutdown::Read));
}
