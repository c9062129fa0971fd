//! Devices of the node that a container sees, and the list of those that it may use.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::container::Device;
use model::security::Security;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceType};

/// How deep directories of devices are searched.
const MAX_DEPTH: u32 = 16;

/// What a container may use unless it asks for more: null, zero, full, random, urandom, tty and
/// console; `fuse` is refused by name. Source: moby, `daemon/pkg/oci/defaults.go`.
const DEFAULT_RULES: [(bool, i64, i64); 7] = [
    (true, 1, 5),
    (true, 1, 3),
    (true, 1, 9),
    (true, 1, 8),
    (true, 5, 0),
    (true, 5, 1),
    (false, 10, 229),
];

/// Why a container cannot have the devices it asks for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    #[error(
        "error gathering device information while adding custom device {path:?}: no such file or directory"
    )]
    Missing { path: String },
    #[error("error gathering device information while adding custom device {path:?}")]
    Gather { path: String, source: io::Error },
    #[error(
        "error gathering device information while adding custom device {path:?}: not a device node"
    )]
    NotADevice { path: String },
    #[error("invalid device cgroup rule format: '{rule}'")]
    Rule { rule: String },
    #[error("invalid device mode: {permissions}")]
    Permissions { permissions: String },
}

/// Devices to make and rules about using them.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// Made in the container's `/dev`, beside the specification's defaults.
    pub(crate) nodes: Vec<LinuxDevice>,
    /// In order; later rules win.
    pub(crate) rules: Vec<LinuxDeviceCgroup>,
}

/// The devices of a container with these privileges.
pub(crate) fn visible(devices: &[Device], security: &Security) -> Result<Devices, DeviceError> {
    let mut visible = Devices::default();
    if security.privileged {
        visible.nodes = all_of_host();
        visible
            .rules
            .push(rule(true, LinuxDeviceType::A, None, None, "rwm"));
    } else {
        visible
            .rules
            .push(rule(false, LinuxDeviceType::A, None, None, "rwm"));
        for (allow, major, minor) in DEFAULT_RULES {
            visible.rules.push(rule(
                allow,
                LinuxDeviceType::C,
                Some(major),
                Some(minor),
                "rwm",
            ));
        }
    }
    for device in devices {
        if security.privileged && device.host_path == device.container_path {
            continue;
        }
        let nodes = gather(device)?;
        if !security.privileged {
            let access = access(&device.permissions)?;
            let rules = nodes.iter().map(|node| {
                rule(
                    true,
                    node.typ(),
                    Some(node.major()),
                    Some(node.minor()),
                    access,
                )
            });
            visible.rules.extend(rules);
        }
        visible.nodes.extend(nodes);
    }
    if !security.privileged {
        for text in &security.device_rules {
            visible.rules.push(parse_rule(text)?);
        }
    }
    Ok(visible)
}

fn access(permissions: &str) -> Result<&str, DeviceError> {
    let valid = permissions.len() <= 3 && permissions.chars().all(|letter| "rwm".contains(letter));
    match permissions {
        "" => Ok("rwm"),
        _ if valid => Ok(permissions),
        _ => Err(DeviceError::Permissions {
            permissions: permissions.to_owned(),
        }),
    }
}

fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow)
        .set_typ(Some(kind))
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    rule
}

/// `c 1:3 rwm`, with `*` for any number.
fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, DeviceError> {
    let malformed = || DeviceError::Rule {
        rule: text.to_owned(),
    };
    let mut words = text.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed());
    };
    let kind = match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(malformed()),
    };
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map(Some).map_err(|_too_long| malformed())
        }
        _ => Err(malformed()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(malformed)?;
    if access.is_empty() || access.len() > 3 || !access.chars().all(|letter| "rwm".contains(letter))
    {
        return Err(malformed());
    }
    Ok(rule(true, kind, number(major)?, number(minor)?, access))
}

/// The device at a path of the node, or every device in a directory there.
fn gather(device: &Device) -> Result<Vec<LinuxDevice>, DeviceError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DeviceError::Missing {
            path: device.host_path.clone(),
        },
        _ => DeviceError::Gather {
            path: device.host_path.clone(),
            source,
        },
    };
    let path = fs::canonicalize(&device.host_path).map_err(failed)?;
    let metadata = fs::metadata(&path).map_err(failed)?;
    let inside = Path::new(if device.container_path.is_empty() {
        &device.host_path
    } else {
        &device.container_path
    });
    if let Some(node) = node(&metadata, inside) {
        return Ok(vec![node]);
    }
    let mut found = Vec::new();
    if metadata.is_dir() {
        collect(&path, inside, &mut found, 0, &|_name| true);
    }
    if found.is_empty() {
        return Err(DeviceError::NotADevice {
            path: device.host_path.clone(),
        });
    }
    Ok(found)
}

fn all_of_host() -> Vec<LinuxDevice> {
    // What is mounted below /dev, and what every container gets of its own.
    const LEFT_OUT: [&str; 9] = [
        "pts",
        "shm",
        "fd",
        "mqueue",
        ".lxc",
        ".lxd-mounts",
        ".udev",
        "console",
        "ptmx",
    ];
    let mut found = Vec::new();
    collect(
        Path::new("/dev"),
        Path::new("/dev"),
        &mut found,
        0,
        &|name| !LEFT_OUT.contains(&name),
    );
    found
}

/// Adds every device below `directory`; what vanishes meanwhile or cannot be read is left out.
fn collect(
    directory: &Path,
    inside: &Path,
    found: &mut Vec<LinuxDevice>,
    depth: u32,
    wanted: &dyn Fn(&str) -> bool,
) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(wanted) {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        let inside: PathBuf = inside.join(&name);
        if metadata.is_dir() && depth < MAX_DEPTH {
            collect(&entry.path(), &inside, found, depth + 1, &|_name| true);
        } else if let Some(node) = node(&metadata, &inside) {
            found.push(node);
        }
    }
}

fn node(metadata: &fs::Metadata, inside: &Path) -> Option<LinuxDevice> {
    let kind = if metadata.file_type().is_block_device() {
        LinuxDeviceType::B
    } else if metadata.file_type().is_char_device() {
        LinuxDeviceType::C
    } else {
        return None;
    };
    LinuxDeviceBuilder::default()
        .path(inside)
        .typ(kind)
        .major(i64::from(rustix::fs::major(metadata.rdev())))
        .minor(i64::from(rustix::fs::minor(metadata.rdev())))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(path: &str) -> Device {
        Device {
            host_path: path.into(),
            container_path: "/dev/x".into(),
            permissions: "rw".into(),
        }
    }

    #[test]
    fn a_device_brings_its_numbers_and_a_rule() {
        let devices = visible(&[device("/dev/null")], &Security::default()).unwrap();
        let node = &devices.nodes[0];
        assert_eq!(
            (node.path().as_path(), node.major(), node.minor()),
            (Path::new("/dev/x"), 1, 3)
        );
        assert_eq!(devices.rules.last().unwrap().to_string(), "c 1:3 rw");
        assert!(!devices.rules[0].allow());
    }

    #[test]
    fn what_is_missing_or_no_device_is_refused_in_dockerds_words() {
        let words = |path: &str| {
            visible(&[device(path)], &Security::default())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            words("/dev/nosuch"),
            "error gathering device information while adding custom device \"/dev/nosuch\": no such file or directory"
        );
        assert!(words("/etc/passwd").ends_with("not a device node"));
    }

    #[test]
    fn rules_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_rule("b *:* m").unwrap().to_string(), "b *:* m");
        for text in [
            "",
            "c 1:3",
            "x 1:3 r",
            "c 1-3 r",
            "c 1:3 q",
            "c 1:3 rwmr",
            "c  1:3 r",
            "c -1:3 r",
        ] {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_privileged_may_use_everything() {
        let security = Security {
            privileged: true,
            ..Security::default()
        };
        let devices = visible(&[], &security).unwrap();
        assert_eq!(devices.rules.len(), 1);
        assert!(devices.rules[0].allow());
        assert!(
            devices
                .nodes
                .iter()
                .any(|node| node.path() == Path::new("/dev/null"))
        );
    }
}
