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
/// Only the operator reads a file with a secret in it.
pub(crate) const PRIVATE: u32 = 0o600;
/// What clients are given.
pub(crate) const PUBLIC: u32 = 0o644;
/// How lines of a file begin.
struct Lines {
    /// The one with the address.
    url: &'static str,
    /// The one with the file of the authority that vouches for the address, where one does...
    authority: &'static str,
    /// ...and the one that it comes before.
    region: &'static str,
}

const OPENRC: Lines = Lines {
    url: "export OS_AUTH_URL=",
    authority: "export OS_CACERT=",
    region: "export OS_REGION_NAME=",
};
const CLOUDS: Lines = Lines {
    url: "      auth_url: ",
    authority: "    cacert: ",
    region: "    region_name: ",
};

/// Makes what is missing, and writes `openrc` and `clouds.yaml` at first start. Later the files keep
/// what they say, but for the address.
pub(crate) async fn ensure(cloud: &Cloud, config: &Config, services: &[OwnService]) -> Result<()> {
    let url = format!("{}/identity/v3", config.url);
    let authority = config.authority_file();
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
        write(&openrc, &openrc_text(&url, &password.0), PRIVATE)?;
        write(&clouds, &clouds_text(&url, &password.0), PRIVATE)?;
    }
    readdress(
        &openrc,
        &OPENRC,
        &quoted(&url),
        authority.as_deref().map(quoted),
    )?;
    readdress(&clouds, &CLOUDS, &url, authority)
}

fn openrc_text(url: &str, password: &str) -> String {
    let password = quoted(password);
    let url = quoted(url);
    format!(
        "{}{url}\n\
         export OS_IDENTITY_API_VERSION=3\n\
         export OS_USERNAME=admin\n\
         export OS_PASSWORD={password}\n\
         export OS_USER_DOMAIN_NAME=Default\n\
         export OS_PROJECT_NAME=admin\n\
         export OS_PROJECT_DOMAIN_NAME=Default\n\
         {}{REGION}\n",
        OPENRC.url, OPENRC.region
    )
}

fn clouds_text(url: &str, password: &str) -> String {
    // A JSON string is a YAML string.
    let password = serde_json::Value::from(password);
    format!(
        "clouds:\n  longshore:\n    auth:\n{}{url}\n      \
         username: admin\n      \
         password: {password}\n      \
         user_domain_name: Default\n      \
         project_name: admin\n      \
         project_domain_name: Default\n\
         {}{REGION}\n    \
         identity_api_version: 3\n",
        CLOUDS.url, CLOUDS.region
    )
}

/// A text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Puts another address into a file, and the authority behind it; a file that the operator removed
/// stays so.
fn readdress(path: &Path, lines: &Lines, url: &str, authority: Option<String>) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(());
    };
    let mut changed = String::with_capacity(text.len());
    for old in text.lines() {
        if old.starts_with(lines.authority) {
            continue;
        }
        if old.starts_with(lines.region)
            && let Some(authority) = &authority
        {
            changed.extend([lines.authority, authority, "\n"]);
        }
        if old.starts_with(lines.url) {
            changed.extend([lines.url, url, "\n"]);
        } else {
            changed.extend([old, "\n"]);
        }
    }
    if changed == text {
        return Ok(());
    }
    write(path, &changed, PRIVATE)
}

/// Replaces a file at once, so that no reader sees half of it.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.set_permissions(Permissions::from_mode(mode))?;
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
    fn another_address_and_its_authority_change_their_lines_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clouds.yaml");
        let text = |port: u16| clouds_text(&format!("http://127.0.0.1:{port}"), "it's \"secret\"");
        write(&path, &text(1), PRIVATE).unwrap();
        readdress(
            &path,
            &CLOUDS,
            "http://127.0.0.1:2",
            Some("/ca.pem".to_owned()),
        )
        .unwrap();
        let read = || std::fs::read_to_string(&path).unwrap();
        let vouched = text(2).replace("    region_name", "    cacert: /ca.pem\n    region_name");
        assert_eq!(read(), vouched);
        readdress(&path, &CLOUDS, "http://127.0.0.1:3", None).unwrap();
        assert_eq!(read(), text(3));
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE);
    }

    #[test]
    fn a_password_is_one_word_of_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
