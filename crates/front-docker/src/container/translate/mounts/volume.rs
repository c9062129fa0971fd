//! Names and drivers of volumes. Pure.

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

/// Volumes are directories of this daemon; there are no plugins.
pub(crate) fn check_driver(driver: &str) -> Result<(), ApiError> {
    if matches!(driver, "" | "local") {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "error looking up volume plugin {driver}: plugin {driver:?} not found"
    )))
}
