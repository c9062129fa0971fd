//! The file's table `registry`: the rules of our own registry, and the registries behind it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actions::registry::{Settings, upstream};
use anyhow::{Context, Result, bail, ensure};
use image::registry::Credentials;
use serde::Deserialize;

/// The rules of the registry, as `actions` has them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Registry {
    token_seconds: Option<i64>,
    upload_idle_seconds: Option<i64>,
    grace_seconds: Option<i64>,
    untagged_seconds: Option<i64>,
    collect_every_seconds: Option<u64>,
    upstreams: Vec<Upstream>,
}

/// A registry behind ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Upstream {
    prefix: String,
    registry: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    #[serde(default)]
    mirror: bool,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    fresh_seconds: u64,
    most_bytes: Option<u64>,
    unused_seconds: Option<i64>,
}

impl Upstream {
    fn read(&self) -> Result<upstream::Upstream> {
        let which = || format!("registry.upstreams: prefix = {:?}", self.prefix);
        let credentials = match (&self.user, &self.password_file) {
            (None, None) => None,
            (Some(user), Some(path)) => {
                let password = std::fs::read_to_string(path)
                    .with_context(|| format!("{}: read {}", which(), path.display()))?;
                Some(Credentials::Password {
                    user: user.clone(),
                    password: password.trim_end_matches(['\r', '\n']).to_owned(),
                })
            }
            (Some(_), None) | (None, Some(_)) => {
                bail!("{}: user and password-file go together", which())
            }
        };
        Ok(upstream::Upstream {
            prefix: self.prefix.parse().with_context(which)?,
            registry: self.registry.parse().with_context(which)?,
            credentials,
            is_mirror: self.mirror,
            is_public: self.public,
            fresh_for: Duration::from_secs(self.fresh_seconds),
            limits: upstream::Limits {
                most_bytes: self.most_bytes,
                unused_seconds: self.unused_seconds,
            },
        })
    }
}

impl Registry {
    pub(super) fn settings(&self) -> Result<Settings> {
        let usual = Settings::default();
        let mut upstreams: Vec<Arc<upstream::Upstream>> = Vec::new();
        for upstream in &self.upstreams {
            let read = upstream.read()?;
            ensure!(
                upstreams.iter().all(|other| other.prefix != read.prefix),
                "registry.upstreams: prefix = {:?} is there twice",
                upstream.prefix
            );
            upstreams.push(Arc::new(read));
        }
        Ok(Settings {
            token_seconds: self.token_seconds.unwrap_or(usual.token_seconds),
            upload_idle_seconds: self
                .upload_idle_seconds
                .unwrap_or(usual.upload_idle_seconds),
            grace_seconds: self.grace_seconds.unwrap_or(usual.grace_seconds),
            untagged_seconds: self.untagged_seconds,
            collect_every_seconds: self
                .collect_every_seconds
                .unwrap_or(usual.collect_every_seconds),
            upstreams,
        })
    }
}
