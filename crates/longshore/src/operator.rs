//! The operator's way in: what every installation has from its first start, and the files from which
//! OpenStack's clients read where it is and the password of `admin`.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use actions::Cloud;
use actions::identity::first_start::{self, OwnService, REGION};
use anyhow::{Context, Result};
use rand::distr::{Alphanumeric, SampleString as _};

use crate::config::{Config, Secret};

/// Characters of a password that nobody chose.
const PASSWORD_LENGTH: usize = 32;
/// Only the operator reads the files: the password is in them.
const MODE: u32 = 0o600;
/// What the line with the address begins with, in each of the files.
const OPENRC_URL: &str = "export OS_AUTH_URL=";
const CLOUDS_URL: &str = "      auth_url: ";

/// Makes what is missing, and writes `openrc` and `clouds.yaml` at first start. Later the files keep
/// what they say, but for the address.
pub(crate) async fn ensure(cloud: &Cloud, config: &Config, services: &[OwnService]) -> Result<()> {
    let url = format!("http://{}/identity/v3", config.listen);
    let openrc = config.data_dir.join("openrc");
    let clouds = config.data_dir.join("clouds.yaml");
    let password = config
        .admin_password
        .clone()
        .unwrap_or_else(|| Secret(Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH)));
    let is_first = first_start::ensure(cloud, services, &password.0)
        .await
        .context("make the domain, user and roles of the first start")?;
    if is_first {
        write(&openrc, &openrc_text(&url, &password.0))?;
        return write(&clouds, &clouds_text(&url, &password.0));
    }
    readdress(
        &openrc,
        &format!("{OPENRC_URL}{}", quoted(&url)),
        OPENRC_URL,
    )?;
    readdress(&clouds, &format!("{CLOUDS_URL}{url}"), CLOUDS_URL)
}

fn openrc_text(url: &str, password: &str) -> String {
    let password = quoted(password);
    let url = quoted(url);
    format!(
        "{OPENRC_URL}{url}\n\
         export OS_IDENTITY_API_VERSION=3\n\
         export OS_USERNAME=admin\n\
         export OS_PASSWORD={password}\n\
         export OS_USER_DOMAIN_NAME=Default\n\
         export OS_PROJECT_NAME=admin\n\
         export OS_PROJECT_DOMAIN_NAME=Default\n\
         export OS_REGION_NAME={REGION}\n"
    )
}

fn clouds_text(url: &str, password: &str) -> String {
    // A JSON string is a YAML string.
    let password = serde_json::Value::from(password);
    format!(
        "clouds:\n  longshore:\n    auth:\n{CLOUDS_URL}{url}\n      \
         username: admin\n      \
         password: {password}\n      \
         user_domain_name: Default\n      \
         project_name: admin\n      \
         project_domain_name: Default\n    \
         region_name: {REGION}\n    \
         identity_api_version: 3\n"
    )
}

/// A text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Puts another address into a file; one that the operator removed stays so.
fn readdress(path: &Path, line: &str, beginning: &str) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(());
    };
    let mut changed = String::with_capacity(text.len());
    for old in text.lines() {
        changed.push_str(if old.starts_with(beginning) {
            line
        } else {
            old
        });
        changed.push('\n');
    }
    if changed == text {
        return Ok(());
    }
    write(path, &changed)
}

/// Replaces a file at once, so that no reader sees half of it.
fn write(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_changes_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clouds.yaml");
        let old = clouds_text("http://127.0.0.1:1/identity/v3", "it's \"secret\"");
        write(&path, &old).unwrap();
        let url = "http://127.0.0.1:2/identity/v3";
        readdress(&path, &format!("{CLOUDS_URL}{url}"), CLOUDS_URL).unwrap();
        let new = std::fs::read_to_string(&path).unwrap();
        assert_eq!(new, clouds_text(url, "it's \"secret\""));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_password_is_one_word_of_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
