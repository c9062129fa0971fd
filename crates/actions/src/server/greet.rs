//! The first start of an image without cloud-init: lets its user in, and runs the user's script.
//!
//! With cloud-init in the image nothing is done, for it does this itself. What fails here is logged
//! and breaks nothing, as there: the server runs.

use std::io::{self, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use model::Id;
use model::server::Server;
use model::stream::{ExecSpec, ExtractOptions};
use tokio::io::AsyncReadExt as _;

use super::task::change_record;
use crate::nodes::Archive;
use crate::{ActionError, Caller, Cloud, ErrorKind, exec, stream};

/// Where packages put cloud-init.
const CLOUD_INIT: [&str; 2] = ["/usr/bin/cloud-init", "/usr/local/bin/cloud-init"];
/// Root's keys, in the root directory.
const KEYS: &str = "root/.ssh/authorized_keys";
/// The user's script, in the root directory.
const SCRIPT: &str = "var/lib/longshore/user-data";
/// Runs the script that is its first argument once, however often this is run, by nothing but the
/// shell's own commands; what the script writes is in the server's console.
const RUN_ONCE: &str = r#"set -C; : >"$0.started" && exec "$0" </dev/null >/dev/console 2>&1"#;
/// Bytes of the longest file of keys that is added to.
const LONGEST_KEYS: u64 = 1 << 20;

/// Does for a server that has just started what its image cannot.
pub(super) async fn greet(cloud: &Cloud, caller: &Caller, server: &Server) {
    let id = server.meta.id;
    if let Err(error) = try_to_greet(cloud, caller, server).await {
        tracing::warn!(
            server = %id,
            error = &error as &dyn std::error::Error,
            "a server was not told its keys, or its user data did not run"
        );
    }
}

/// As [`greet`], for one that was made anew since it last started.
pub(super) async fn if_due(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    let found = cloud.store.get::<Server>(id);
    let Some(due) = found.filter(|found| found.value.greeting_is_due) else {
        return Ok(());
    };
    greet(cloud, caller, &due.value).await;
    change_record(cloud, id, |server| {
        server.greeting_is_due = false;
        Ok(())
    })
    .await
    .map(drop)
}

async fn try_to_greet(cloud: &Cloud, caller: &Caller, server: &Server) -> Result<(), ActionError> {
    let (id, spec) = (server.meta.id, &server.spec);
    let script = spec.user_data.as_deref().and_then(script);
    if spec.key.is_none() && script.is_none() {
        return Ok(());
    }
    for path in CLOUD_INIT {
        if is_there(cloud, caller, server, path).await? {
            return Ok(());
        }
    }
    if let Some(key) = &spec.key {
        let mut keys = known_keys(cloud, caller, server).await?;
        if !keys.is_empty() && !keys.ends_with(b"\n") {
            keys.push(b'\n');
        }
        keys.extend(key.public_key.trim_end().bytes());
        keys.push(b'\n');
        put(cloud, caller, server, KEYS, 0o600, &keys).await?;
    }
    let Some(script) = script else {
        return Ok(());
    };
    put(cloud, caller, server, SCRIPT, 0o700, &script).await?;
    let run = ExecSpec {
        args: ["/bin/sh", "-c", RUN_ONCE, &format!("/{SCRIPT}")]
            .map(str::to_owned)
            .into(),
        user: "0:0".to_owned(),
        ..ExecSpec::default()
    };
    let run = exec::create(cloud, caller, id, run).await?;
    exec::start(cloud, caller, &run, true, None).await.map(drop)
}

/// User data that is a script.
fn script(user_data: &str) -> Option<Vec<u8>> {
    let bare: String = user_data.split_whitespace().collect();
    let bytes = STANDARD.decode(bare).ok()?;
    bytes.starts_with(b"#!").then_some(bytes)
}

async fn is_there(
    cloud: &Cloud,
    caller: &Caller,
    server: &Server,
    path: &str,
) -> Result<bool, ActionError> {
    match stream::stat_path(cloud, caller, server.meta.id, path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What root's file of keys holds, from the image.
async fn known_keys(
    cloud: &Cloud,
    caller: &Caller,
    server: &Server,
) -> Result<Vec<u8>, ActionError> {
    let path = format!("/{KEYS}");
    let found = match stream::read_archive(cloud, caller, server.meta.id, &path).await {
        Ok((_, found)) => found,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let read = found.take(LONGEST_KEYS).read_to_end(&mut bytes).await;
    read.and_then(|_| first_file(&bytes)).map_err(|error| {
        ActionError::new(ErrorKind::Internal, "root's keys cannot be read").caused_by(error)
    })
}

/// What the first file of an archive holds.
fn first_file(archive: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if let Some(entry) = tar::Archive::new(archive).entries()?.next() {
        entry?.read_to_end(&mut content)?;
    }
    Ok(content)
}

/// An archive of one file of root's, with the directory that it is in, which only root enters.
fn archive(path: &str, mode: u32, content: &[u8], at: Timestamp) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(u64::try_from(at.as_second()).unwrap_or_default());
        header.set_cksum();
        archive.append_data(&mut header, path, content)
    };
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let written = add(directory, tar::EntryType::Directory, 0o700, &[])
        .and_then(|()| add(path, tar::EntryType::Regular, mode, content))
        .and_then(|()| archive.into_inner());
    written.unwrap_or_default()
}

/// Writes a file of root's.
async fn put(
    cloud: &Cloud,
    caller: &Caller,
    server: &Server,
    path: &str,
    mode: u32,
    content: &[u8],
) -> Result<(), ActionError> {
    let archive = archive(path, mode, content, cloud.now());
    let archive: Archive = Box::new(io::Cursor::new(archive));
    let options = ExtractOptions::default();
    stream::write_archive(cloud, caller, server.meta.id, "/", archive, options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_are_run() {
        assert_eq!(
            script("IyEvYmluL3No\nCg==").as_deref(),
            Some(&b"#!/bin/sh\n"[..])
        );
        assert_eq!(script("I2Nsb3VkLWNvbmZpZwo="), None);
        assert_eq!(script("?"), None);
    }

    #[test]
    fn a_file_comes_out_of_an_archive_as_it_went_in() {
        let bytes = archive(KEYS, 0o600, b"ssh-ed25519 AAAA\n", Timestamp::UNIX_EPOCH);
        let mut read = tar::Archive::new(bytes.as_slice());
        let modes: Vec<(String, u32)> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                (path, entry.header().mode().unwrap())
            })
            .collect();
        let wanted = [("root/.ssh".to_owned(), 0o700), (KEYS.to_owned(), 0o600)];
        assert_eq!(modes, wanted);
        assert_eq!(first_file(&[0; 1024]).unwrap(), b"");
    }
}
