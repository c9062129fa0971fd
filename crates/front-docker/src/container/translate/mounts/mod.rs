//! Binds, mounts, tmpfs, volumes and volumes of other containers, as the model's mounts.
//!
//! Source: moby, `volume/mounts/linux_parser.go` and `daemon/volumes.go`.

mod long_form;
mod short_form;
mod tmpfs;
pub(crate) mod volume;

use std::collections::{BTreeMap, BTreeSet};

use model::container::{Mount, MountSource};

use self::short_form::Mode;
use super::Surroundings;
use crate::container::wire::{Config, HostConfig};
use crate::error::ApiError;
use crate::version::Version;

/// A volume that must exist, with labels or options, before the container is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedVolume {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) options: BTreeMap<String, String>,
}

/// Every mount of a container, and the volumes to make first.
pub(crate) fn to_model(
    config: &Config,
    host: &HostConfig,
    version: Version,
    around: &dyn Surroundings,
) -> Result<(Vec<Mount>, Vec<WantedVolume>), ApiError> {
    // By target: volumes of others give way to what the request names itself.
    let mut mounts = BTreeMap::new();
    for text in host.volumes_from.iter().flatten() {
        for mount in volumes_from(text, around)? {
            mounts.insert(mount.target.clone(), mount);
        }
    }
    let mut own = BTreeSet::new();
    let mut wanted = Vec::new();
    let in_memory: BTreeSet<_> = host
        .tmpfs
        .iter()
        .flatten()
        .map(|(target, _)| clean(target))
        .collect();
    let mut add = |mount: Mount, mounts: &mut BTreeMap<String, Mount>| {
        if !own.insert(mount.target.clone()) || in_memory.contains(&mount.target) {
            return Err(ApiError::invalid(format!(
                "Duplicate mount point: {}",
                mount.target
            )));
        }
        mounts.insert(mount.target.clone(), mount);
        Ok(())
    };
    for text in host.binds.iter().flatten() {
        add(
            short_form::bind(text, &host.volume_driver, version)?,
            &mut mounts,
        )?;
    }
    for mount in host.mounts.iter().flatten() {
        let (mount, volume) = long_form::mount(mount, version, around)?;
        add(mount, &mut mounts)?;
        wanted.extend(volume);
    }
    for (target, options) in host.tmpfs.iter().flatten() {
        check_target(target).map_err(ApiError::invalid)?;
        let mount = tmpfs::mount(clean(target), options)?;
        mounts.insert(mount.target.clone(), mount);
    }
    for target in config.volumes.iter().flat_map(BTreeMap::keys) {
        let target = clean(target);
        check_target(&target).map_err(ApiError::invalid)?;
        volume::check_driver(&host.volume_driver)?;
        mounts.entry(target.clone()).or_insert_with(|| Mount {
            target,
            source: MountSource::Volume {
                name: String::new(),
                anonymous: true,
                no_copy: false,
                subpath: String::new(),
            },
            read_only: false,
        });
    }
    Ok((mounts.into_values().collect(), wanted))
}

/// The binds and volumes of another container: `name[:ro|rw]`.
fn volumes_from(text: &str, around: &dyn Surroundings) -> Result<Vec<Mount>, ApiError> {
    if text.is_empty() {
        return Err(ApiError::invalid(
            "volumes-from specification cannot be an empty string",
        ));
    }
    let (name, mode_text) = text.split_once(':').unwrap_or((text, ""));
    let read_only = match short_form::mode(mode_text) {
        Some(Mode {
            read_only,
            propagation: None,
            no_copy: None,
        }) => read_only,
        Some(_) | None => return Err(ApiError::invalid(format!("invalid mode: {mode_text}"))),
    };
    let other = around.instance(name)?;
    let mounts = other
        .spec
        .containers
        .iter()
        .flat_map(|container| &container.mounts);
    Ok(mounts
        .filter(|mount| !matches!(mount.source, MountSource::Tmpfs { .. }))
        .map(|mount| {
            let mut mount = mount.clone();
            mount.read_only |= read_only;
            if let MountSource::Volume { anonymous, .. } = &mut mount.source {
                // It goes with the container that it was made for, not with this one.
                *anonymous = false;
            }
            mount
        })
        .collect())
}

fn check_target(target: &str) -> Result<(), String> {
    if !target.starts_with('/') {
        return Err(format!(
            "invalid mount path: '{target}' mount path must be absolute"
        ));
    }
    if clean(target) == "/" {
        return Err("invalid specification: destination can't be '/'".to_owned());
    }
    Ok(())
}

/// An absolute path without `.`, `..`, double or trailing slashes, as Go's `path.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        assert_eq!(clean("/a//b/./../c/"), "/a/c");
        assert_eq!(clean("/../.."), "/");
    }
}
