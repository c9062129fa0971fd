//! Names and drivers of volumes. Pure.

use std::collections::BTreeMap;

use crate::error::ApiError;

/// A volume's name, unless it is empty.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || is_name(name) {
        return Ok(());
    }
    if name.len() == 1 {
        return Err(ApiError::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )));
    }
    Err(ApiError::invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

fn is_name(name: &str) -> bool {
    name.len() > 1
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Options of the driver `local` as mount(8) has them, and those that each one needs.
const OPTIONS: [(&str, &[&str]); 3] = [
    ("device", &["type"]),
    ("o", &["device", "type"]),
    ("type", &["device"]),
];

/// What a volume is made of, unless it is a directory of this daemon.
pub(crate) fn check_options(
    name: &str,
    options: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    for option in options.keys() {
        let Some((_, needed)) = OPTIONS.iter().find(|(known, _)| known == option) else {
            return Err(ApiError::invalid(format!(
                "create {name}: invalid option: {option:?}"
            )));
        };
        if let Some(missing) = needed.iter().find(|needed| !options.contains_key(**needed)) {
            return Err(ApiError::invalid(format!(
                "create {name}: missing required option: {missing:?}"
            )));
        }
    }
    Ok(())
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
