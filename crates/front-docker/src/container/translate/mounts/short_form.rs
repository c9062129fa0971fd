//! Mounts in the short form: `source:target[:mode]`. Pure.
//!
//! Source: moby, `volume/mounts/linux_parser.go`.

use model::container::{Mount, MountSource, Propagation};

use super::volume::{check_driver, check_name};
use super::{check_target, clean};
use crate::error::ApiError;
use crate::version::Version;

/// The mode of a short form: what stands behind the second colon.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) read_only: bool,
    pub(super) propagation: Option<Propagation>,
    pub(super) no_copy: Option<bool>,
}

/// Reads a mode such as `ro,z,rslave`; each kind of word may come once.
pub(super) fn mode(text: &str) -> Option<Mode> {
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

pub(super) fn propagation(word: &str) -> Option<Propagation> {
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
pub(super) fn bind(text: &str, driver: &str, version: Version) -> Result<Mount, ApiError> {
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
        check_name(source)?;
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
}
