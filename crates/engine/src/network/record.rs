//! What is remembered of sandboxes and bridges, so that a new daemon takes them over.
//!
//! One small JSON file each under `run/`, replaced whole. They are not flushed: after a power cut
//! no namespace and no bridge is left to take over.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use model::Id;
use model::instance::{Dns, Endpoint, Instance, PublishedPort};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::annex::Seat;

use super::error::NetworkError;
use super::ports::Published;

/// A sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Whose it is.
    pub(super) instance: Id,
    /// File name of its namespace.
    pub(super) netns: String,
    /// What it is called, and calls others.
    pub(super) naming: Naming,
    /// Its interfaces, in the order they were added.
    pub(super) interfaces: Vec<Interface>,
    /// Ports asked for.
    pub(super) wanted: Vec<PublishedPort>,
    /// Ports of the node that lead inside.
    pub(super) published: Vec<Published>,
    /// Rules inside lead to a resolver.
    pub(super) has_resolver: bool,
    /// It may ask about itself, and rules inside lead to who answers.
    #[serde(default)]
    pub(super) asks: bool,
}

/// What of an instance's spec is about names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Naming {
    pub(super) name: String,
    pub(super) hostname: String,
    pub(super) domainname: String,
    pub(super) extra_hosts: Vec<(String, String)>,
    pub(super) dns: Dns,
}

impl Naming {
    pub(super) fn of(instance: &Instance) -> Self {
        let spec = &instance.spec;
        Self {
            name: instance.meta.name.clone(),
            hostname: spec.hostname.clone(),
            domainname: spec.domainname.clone(),
            extra_hosts: spec.extra_hosts.clone(),
            dns: spec.dns.clone(),
        }
    }
}

/// An interface of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Interface {
    /// Its network and addresses.
    pub(super) endpoint: Endpoint,
    /// Link-local addresses that it has, too.
    #[serde(default)]
    pub(super) link_local: Vec<IpAddr>,
    /// Its name inside.
    pub(super) name: String,
    /// Name of its other end, on the node.
    pub(super) outer: String,
    /// Index of its other end.
    pub(super) outer_index: u32,
    /// Where that is plugged in.
    #[serde(default)]
    pub(super) seat: Option<Seat>,
    /// Further names for the instance on this network.
    pub(super) aliases: Vec<String>,
    /// Names this instance has for others: theirs, and its own for them.
    pub(super) links: Vec<(String, String)>,
    /// Decides who has the default route.
    pub(super) gateway_priority: i64,
}

/// A directory of records.
#[derive(Debug)]
pub(super) struct Records {
    directory: PathBuf,
}

impl Records {
    /// Makes the directory.
    pub(super) fn open(directory: PathBuf) -> Result<Self, NetworkError> {
        fs::create_dir_all(&directory).map_err(|source| NetworkError::File {
            attempt: "make",
            path: directory.clone(),
            source,
        })?;
        Ok(Self { directory })
    }

    fn path(&self, id: Id) -> PathBuf {
        self.directory.join(format!("{}.json", id.simple()))
    }

    /// Writes a record in the place of an older one.
    pub(super) fn put(&self, id: Id, record: &impl Serialize) -> Result<(), NetworkError> {
        let path = self.path(id);
        let new = path.with_extension("new");
        let failed = |source: io::Error| NetworkError::File {
            attempt: "write",
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(failed)
    }

    /// Removes a record; none is fine.
    pub(super) fn remove(&self, id: Id) -> Result<(), NetworkError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(NetworkError::File {
                attempt: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Every record that can be read; what cannot is removed.
    pub(super) fn load<T: DeserializeOwned>(&self) -> Result<Vec<T>, NetworkError> {
        let failed = |source| NetworkError::File {
            attempt: "list",
            path: self.directory.clone(),
            source,
        };
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match read(&path) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "removing a record that cannot be read");
                    fs::remove_file(&path).map_err(|source| NetworkError::File {
                        attempt: "remove",
                        path,
                        source,
                    })?;
                }
            }
        }
        Ok(records)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a write was cut off",
        ));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}
