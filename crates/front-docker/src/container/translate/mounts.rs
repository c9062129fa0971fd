//! Binds, mounts, tmpfs, volumes and volumes of other containers, as the model's mounts.
//!
//! Source: moby, `volume/mounts/linux_parser.go` and `daemon/volumes.go`.

use std::collections::{BTreeMap, BTreeSet};

use model::container::{Mount, MountSource, Propagation};

use super::Surroundings;
use crate::container::wire::{self, Config, HostConfig};
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
    let tmpfs: BTreeSet<_> = host
        .tmpfs
        .iter()
        .flatten()
        .map(|(target, _)| clean(target))
        .collect();
    let mut add = |mount: Mount, mounts: &mut BTreeMap<String, Mount>| {
        if !own.insert(mount.target.clone()) || tmpfs.contains(&mount.target) {
            return Err(ApiError::invalid(format!(
                "Duplicate mount point: {}",
                mount.target
            )));
        }
        mounts.insert(mount.target.clone(), mount);
        Ok(())
    };
    for text in host.binds.iter().flatten() {
        add(bind(text, &host.volume_driver, version)?, &mut mounts)?;
    }
    for mount in host.mounts.iter().flatten() {
        let (mount, volume) = long_form(mount, version, around)?;
        add(mount, &mut mounts)?;
        wanted.extend(volume);
    }
    for (target, options) in host.tmpfs.iter().flatten() {
        check_target(target).map_err(ApiError::invalid)?;
        let mount = tmpfs_mount(clean(target), options)?;
        mounts.insert(mount.target.clone(), mount);
    }
    for target in config.volumes.iter().flat_map(BTreeMap::keys) {
        let target = clean(target);
        check_target(&target).map_err(ApiError::invalid)?;
        check_driver(&host.volume_driver)?;
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

/// The mode of a short form: what stands behind the second colon.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mode {
    read_only: bool,
    propagation: Option<Propagation>,
    no_copy: Option<bool>,
}

/// Reads a mode such as `ro,z,rslave`; each kind of word may come once.
fn mode(text: &str) -> Option<Mode> {
    let mut mode = Mode::default();
    if text.is_empty() {
        return Some(mode);
    }
    let (mut access, mut label, mut consistency) = (0, 0, 0);
    for word in text.split(',') {
        match word {
            "ro" | "rw" => {
                access += 1;
                mode.read_only = word == "ro";
            }
            // Relabelling needs SELinux, which is not here: nothing to do.
            "z" | "Z" => label += 1,
            "consistent" | "cached" | "delegated" => consistency += 1,
            "nocopy" if mode.no_copy.is_none() => mode.no_copy = Some(true),
            "copy" if mode.no_copy.is_none() => mode.no_copy = Some(false),
            other => match propagation(other) {
                Some(propagation) if mode.propagation.is_none() => {
                    mode.propagation = Some(propagation);
                }
                Some(_) | None => return None,
            },
        }
    }
    (access <= 1 && label <= 1 && consistency <= 1).then_some(mode)
}

fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" => Propagation::Private,
        "rprivate" => Propagation::Rprivate,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::Rshared,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::Rslave,
        _ => return None,
    })
}

/// A mount in the short form: `source:target[:mode]`, or `target` alone.
fn bind(text: &str, driver: &str, version: Version) -> Result<Mount, ApiError> {
    let invalid = || ApiError::invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<_> = text.splitn(4, ':').collect();
    let (source, target, mode_text) = match parts.as_slice() {
        [target] if !target.is_empty() => ("", *target, ""),
        // A target with a mode, without a source, is nothing.
        [source, target] if !source.is_empty() && mode(target).is_none() => (*source, *target, ""),
        [source, target, mode] if !source.is_empty() => (*source, *target, *mode),
        _ => return Err(invalid()),
    };
    let mode =
        mode(mode_text).ok_or_else(|| ApiError::invalid(format!("invalid mode: {mode_text}")))?;
    let kind = if source.starts_with('/') {
        "bind"
    } else {
        "volume"
    };
    let wrong = |words: &str| {
        ApiError::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type {kind:?}: {words}"
        ))
    };
    if target.is_empty() {
        return Err(wrong("field Target must not be empty"));
    }
    check_target(target).map_err(|words| wrong(&words))?;
    let source = if kind == "bind" {
        if mode.no_copy.is_some() {
            return Err(wrong("field VolumeOptions must not be specified"));
        }
        MountSource::Bind {
            path: clean(source),
            propagation: mode.propagation.unwrap_or_default(),
            create: true,
            non_recursive: false,
            read_only_non_recursive: !version.has(44),
        }
    } else {
        if mode.propagation.is_some() {
            return Err(wrong("field BindOptions must not be specified"));
        }
        if source.is_empty() && mode.read_only {
            return Err(wrong(
                "must not set ReadOnly mode when using anonymous volumes",
            ));
        }
        check_driver(driver)?;
        check_volume_name(source)?;
        MountSource::Volume {
            name: source.to_owned(),
            anonymous: source.is_empty(),
            no_copy: mode.no_copy.unwrap_or(false),
            subpath: String::new(),
        }
    };
    Ok(Mount {
        target: clean(target),
        source,
        read_only: mode.read_only,
    })
}

/// A mount in the long form, and the volume it describes beyond a name.
fn long_form(
    mount: &wire::Mount,
    version: Version,
    around: &dyn Surroundings,
) -> Result<(Mount, Option<WantedVolume>), ApiError> {
    let kind = mount.kind.as_str();
    let wrong =
        |words: &str| ApiError::invalid(format!("invalid mount config for type {kind:?}: {words}"));
    if mount.target.is_empty() {
        return Err(wrong("field Target must not be empty"));
    }
    check_target(&mount.target).map_err(|words| wrong(&words))?;
    let refuse_options = |is_set: bool, name: &str, own: &str| {
        if is_set && kind != own {
            if version.has(42) {
                return Err(ApiError::invalid(format!(
                    "{name} must not be specified on mount type {kind:?}"
                )));
            }
            // Older versions ignored these, but for those of another kind on binds and volumes.
            if name == "BindOptions" {
                return Err(wrong("field BindOptions must not be specified"));
            }
        }
        Ok(())
    };
    refuse_options(mount.volume_options.is_some(), "VolumeOptions", "volume")?;
    refuse_options(mount.bind_options.is_some(), "BindOptions", "bind")?;
    refuse_options(mount.tmpfs_options.is_some(), "TmpfsOptions", "tmpfs")?;
    if mount.image_options.is_some() && kind != "image" {
        return Err(wrong("field ImageOptions must not be specified"));
    }
    let mut volume = None;
    let source = match kind {
        "bind" => bind_source(mount, version, around)?,
        "volume" => {
            let options = mount.volume_options.clone().unwrap_or_default();
            if !options.subpath.is_empty() {
                if !version.has(45) {
                    return Err(ApiError::invalid(
                        "VolumeOptions.Subpath needs API v1.45 or newer",
                    ));
                }
                if mount.source.is_empty() {
                    return Err(wrong("must not set Subpath when using anonymous volumes"));
                }
                if options.subpath.starts_with('/')
                    || options.subpath.split('/').any(|part| part == "..")
                {
                    return Err(wrong("subpath must be a relative path within the volume"));
                }
            }
            if mount.read_only && mount.source.is_empty() {
                return Err(wrong(
                    "must not set ReadOnly mode when using anonymous volumes",
                ));
            }
            check_volume_name(&mount.source)?;
            let driver = options.driver_config.unwrap_or_default();
            check_driver(&driver.name)?;
            if !options.labels.is_empty() || !driver.options.is_empty() {
                if mount.source.is_empty() {
                    return Err(wrong(
                        "labels and driver options need a named volume (field Source)",
                    ));
                }
                volume = Some(WantedVolume {
                    name: mount.source.clone(),
                    labels: options.labels,
                    options: driver.options,
                });
            }
            MountSource::Volume {
                name: mount.source.clone(),
                anonymous: mount.source.is_empty(),
                no_copy: options.no_copy,
                subpath: options.subpath,
            }
        }
        "tmpfs" => {
            if !mount.source.is_empty() {
                return Err(wrong("field Source must not be specified"));
            }
            let options = mount.tmpfs_options.clone().unwrap_or_default();
            MountSource::Tmpfs {
                size_bytes: u64::try_from(options.size_bytes)
                    .ok()
                    .filter(|size| *size > 0),
                mode: Some(options.mode).filter(|mode| *mode != 0),
                options: tmpfs_options(&options.options).map_err(|words| wrong(&words))?,
            }
        }
        "image" => return Err(wrong("image mounts are not supported by this daemon")),
        "cluster" => return Err(wrong("cluster volumes are not supported by this daemon")),
        _ => return Err(wrong("mount type unknown")),
    };
    Ok((
        Mount {
            target: clean(&mount.target),
            source,
            read_only: mount.read_only,
        },
        volume,
    ))
}

fn bind_source(
    mount: &wire::Mount,
    version: Version,
    around: &dyn Surroundings,
) -> Result<MountSource, ApiError> {
    let wrong =
        |words: &str| ApiError::invalid(format!("invalid mount config for type \"bind\": {words}"));
    let options = mount.bind_options.clone().unwrap_or_default();
    if mount.source.is_empty() {
        return Err(wrong("field Source must not be empty"));
    }
    let propagation = match options.propagation.as_str() {
        "" => Propagation::default(),
        word => {
            propagation(word).ok_or_else(|| wrong(&format!("invalid propagation mode: {word}")))?
        }
    };
    if !mount.source.starts_with('/') {
        return Err(wrong(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.source
        )));
    }
    // Before version 1.42 there was no such option.
    let create = options.create_mountpoint && version.has(42);
    let path = clean(&mount.source);
    if !create && !around.node_has_path(&path) {
        return Err(wrong(&format!(
            "bind source path does not exist: {}",
            mount.source
        )));
    }
    if options.read_only_force_recursive {
        if !version.has(44) {
            return Err(ApiError::invalid(
                "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
            ));
        }
        if !mount.read_only {
            return Err(wrong("ReadOnlyForceRecursive requires ReadOnly"));
        }
        if options.read_only_non_recursive {
            return Err(wrong(
                "ReadOnlyForceRecursive and ReadOnlyNonRecursive conflict",
            ));
        }
    }
    Ok(MountSource::Bind {
        path,
        propagation,
        create,
        // Before version 1.40 there was no such option.
        non_recursive: options.non_recursive && version.has(40),
        // Before version 1.44 no read-only mount was recursive.
        read_only_non_recursive: options.read_only_non_recursive || !version.has(44),
    })
}

/// Flags that every tmpfs gets unless its options say the opposite.
const TMPFS_FLAGS: [(&str, &str); 3] = [("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];

/// Options of a tmpfs in the long form: `exec` and `noexec` only.
fn tmpfs_options(options: &[Vec<String>]) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for option in options {
        match option.as_slice() {
            [word] if matches!(word.as_str(), "exec" | "noexec") => words.push(word.clone()),
            [] | [_, _, _, ..] => return Err("invalid option array length".to_owned()),
            [word, ..] => return Err(format!("invalid option: {word}")),
        }
    }
    Ok(with_flags(words))
}

fn with_flags(mut words: Vec<String>) -> Vec<String> {
    for (flag, opposite) in TMPFS_FLAGS {
        if !words.iter().any(|word| word == flag || word == opposite) {
            words.push(flag.to_owned());
        }
    }
    words
}

/// A tmpfs in the short form, with options as `mount` takes them.
fn tmpfs_mount(target: String, options: &str) -> Result<Mount, ApiError> {
    let (mut size_bytes, mut mode, mut read_only, mut words) = (None, None, false, Vec::new());
    for word in options.split(',').filter(|word| !word.is_empty()) {
        let invalid = || ApiError::invalid(format!("invalid tmpfs option [{word:?}]"));
        match word.split_once('=') {
            Some(("size", size)) => match tmpfs_size(size) {
                Some(bytes) => size_bytes = Some(bytes),
                // A share of the memory: the kernel knows what that is.
                None if size
                    .strip_suffix('%')
                    .is_some_and(|share| share.parse::<u8>().is_ok()) =>
                {
                    words.push(word.to_owned());
                }
                None => return Err(invalid()),
            },
            Some(("mode", bits)) => {
                mode = Some(u32::from_str_radix(bits, 8).map_err(|_| invalid())?);
            }
            Some(("uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol", _)) => {
                words.push(word.to_owned());
            }
            Some(_) => return Err(invalid()),
            None => match word {
                "ro" => read_only = true,
                "rw" => read_only = false,
                "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "sync" | "async"
                | "dirsync" | "mand" | "nomand" | "atime" | "noatime" | "diratime"
                | "nodiratime" | "relatime" | "norelatime" | "strictatime" | "nostrictatime" => {
                    words.push(word.to_owned());
                }
                _ => return Err(invalid()),
            },
        }
    }
    let source = MountSource::Tmpfs {
        size_bytes,
        mode,
        options: with_flags(words),
    };
    Ok(Mount {
        target,
        source,
        read_only,
    })
}

/// Bytes, as the kernel reads a tmpfs size: `64m`.
fn tmpfs_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The binds and volumes of another container: `name[:ro|rw]`.
fn volumes_from(text: &str, around: &dyn Surroundings) -> Result<Vec<Mount>, ApiError> {
    if text.is_empty() {
        return Err(ApiError::invalid(
            "volumes-from specification cannot be an empty string",
        ));
    }
    let (name, mode_text) = text.split_once(':').unwrap_or((text, ""));
    let read_only = match mode(mode_text) {
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
    if clean(target) == "/" {
        return Err("invalid specification: destination can't be '/'".to_owned());
    }
    if !target.starts_with('/') {
        return Err(format!(
            "invalid mount path: '{target}' mount path must be absolute"
        ));
    }
    Ok(())
}

/// A volume's name, unless it is empty.
pub(crate) fn check_volume_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || is_volume_name(name) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

fn is_volume_name(name: &str) -> bool {
    name.len() > 1
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Volumes are directories of this daemon; there are no plugins.
pub(crate) fn check_driver(driver: &str) -> Result<(), ApiError> {
    if matches!(driver, "" | "local") {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "error looking up volume plugin {driver}: plugin {driver:?} not found"
    )))
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

    const NOW: Version = Version::MAX;

    fn refusal(text: &str) -> String {
        bind(text, "", NOW).unwrap_err().message
    }

    #[test]
    fn short_forms_are_read_as_dockerd_reads_them() {
        let mount = bind("/srv/./data/:/data:ro,z,rslave", "", NOW).unwrap();
        assert_eq!((mount.target.as_str(), mount.read_only), ("/data", true));
        assert_eq!(
            mount.source,
            MountSource::Bind {
                path: "/srv/data".to_owned(),
                propagation: Propagation::Rslave,
                create: true,
                non_recursive: false,
                read_only_non_recursive: false,
            }
        );
        let mount = bind("cache:/var/cache:nocopy", "", NOW).unwrap();
        assert!(
            matches!(mount.source, MountSource::Volume { name, no_copy: true, .. } if name == "cache")
        );
    }

    #[test]
    fn short_forms_that_make_no_sense_are_refused_in_dockerds_words() {
        for (text, words) in [
            ("", "invalid volume specification: ''"),
            ("/foo:rw", "invalid volume specification: '/foo:rw'"),
            ("/a:/b:/c:/d", "invalid volume specification: '/a:/b:/c:/d'"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("/a:/b:fancy", "invalid mode: fancy"),
            (
                "/a:/",
                "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
            ),
            (
                "/a:b",
                "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
            ),
            (
                "/a:/b:nocopy",
                "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \"bind\": field VolumeOptions must not be specified",
            ),
            (
                "v1:/b:rslave",
                "invalid volume specification: 'v1:/b:rslave': invalid mount config for type \"volume\": field BindOptions must not be specified",
            ),
            (
                "a/b:/b",
                "create a/b: \"a/b\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
            ),
        ] {
            assert_eq!(refusal(text), words);
        }
    }

    #[test]
    fn a_tmpfs_gets_safe_flags_unless_told_otherwise() {
        let mount = tmpfs_mount("/t".to_owned(), "size=64m,mode=1777,exec").unwrap();
        assert_eq!(
            mount.source,
            MountSource::Tmpfs {
                size_bytes: Some(64 << 20),
                mode: Some(0o1777),
                options: vec!["exec".to_owned(), "nosuid".to_owned(), "nodev".to_owned()],
            }
        );
        assert!(tmpfs_mount("/t".to_owned(), "fly").is_err());
        assert!(tmpfs_mount("/t".to_owned(), "size=99999999999g").is_err());
    }

    #[test]
    fn paths_are_cleaned() {
        assert_eq!(clean("/a//b/./../c/"), "/a/c");
        assert_eq!(clean("/../.."), "/");
    }
}
