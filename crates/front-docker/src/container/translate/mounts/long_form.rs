//! Mounts in the long form: type, source and target as fields. Pure.
//!
//! Source: moby, `volume/mounts/linux_parser.go` and `validate.go`.

use model::container::{Mount, MountSource, Propagation};

use super::short_form::propagation;
use super::tmpfs;
use super::volume::{check_driver, check_name, check_options};
use super::{Surroundings, WantedVolume, check_target, clean};
use crate::container::wire;
use crate::error::ApiError;
use crate::version::Version;

/// A mount in the long form, and the volume it describes beyond a name.
pub(super) fn mount(
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
            }
            if mount.read_only && mount.source.is_empty() {
                return Err(wrong(
                    "must not set ReadOnly mode when using anonymous volumes",
                ));
            }
            check_name(&mount.source)?;
            let driver = options.driver_config.unwrap_or_default();
            check_driver(&driver.name)?;
            if !options.labels.is_empty() || !driver.options.is_empty() {
                if mount.source.is_empty() {
                    return Err(wrong(
                        "labels and driver options need a named volume (field Source)",
                    ));
                }
                check_options(&mount.source, &driver.options)?;
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
                subpath: subpath(&options.subpath).map_err(wrong)?,
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
                options: tmpfs::options(&options.options).map_err(|words| wrong(&words))?,
            }
        }
        "image" => {
            if !version.has(48) {
                return Err(ApiError::invalid(
                    "Mount type \"Image\" needs API v1.48 or newer",
                ));
            }
            if mount.source.is_empty() {
                return Err(wrong("field Source must not be empty"));
            }
            let options = mount.image_options.clone().unwrap_or_default();
            MountSource::Image {
                name: mount.source.clone(),
                id: String::new(),
                subpath: subpath(&options.subpath).map_err(wrong)?,
            }
        }
        "cluster" => return Err(wrong("cluster volumes are not supported by this daemon")),
        _ => return Err(wrong("mount type unknown")),
    };
    Ok((
        Mount {
            target: clean(&mount.target),
            source,
            // An image can be read only, whatever is asked for.
            read_only: mount.read_only || kind == "image",
        },
        volume,
    ))
}

/// A path inside a volume or an image.
fn subpath(path: &str) -> Result<String, &'static str> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err("subpath must be a relative path within the volume");
    }
    Ok(path.to_owned())
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
