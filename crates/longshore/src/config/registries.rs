//! The flags and the file's table `registries`: how other registries are spoken to.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use image::registry::{Insecure, Proxies, Proxy, Settings};
use model::network::Cidr;
use serde::Deserialize;

use super::Options;

/// How registries are spoken to; what is left out is as dockerd comes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Registries {
    insecure: Vec<String>,
    mirrors: Vec<String>,
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Option<String>,
    certificates: Option<PathBuf>,
    downloads: Option<usize>,
    uploads: Option<usize>,
    attempts: Option<u32>,
}

impl Registries {
    pub(super) fn settings(self, options: &Options) -> Result<Settings> {
        let usual = Settings::default();
        let mut insecure = Insecure::default();
        for text in options.insecure_registries.iter().chain(&self.insecure) {
            match text.parse::<Cidr>() {
                Ok(network) => insecure.networks.push(network),
                Err(_) if text.contains('/') => bail!(
                    "--insecure-registry {text}: it is neither HOST[:PORT] nor an address range"
                ),
                Err(_) => insecure.hosts.push(text.clone()),
            }
        }
        let mut mirrors = options.registry_mirrors.clone();
        for text in &self.mirrors {
            mirrors.push(text.parse().context("registries.mirrors")?);
        }
        let proxy = |name: &str, flag: &Option<Proxy>, file: Option<&String>| match (flag, file) {
            (Some(flag), _) => Ok(Some(flag.clone())),
            (None, Some(text)) => text
                .parse()
                .map(Some)
                .with_context(|| format!("registries.{name}")),
            (None, None) => Ok(None),
        };
        let proxies = Proxies {
            http: proxy("http-proxy", &options.http_proxy, self.http_proxy.as_ref())?,
            https: proxy(
                "https-proxy",
                &options.https_proxy,
                self.https_proxy.as_ref(),
            )?,
            no: options
                .no_proxy
                .clone()
                .or(self.no_proxy)
                .unwrap_or_default(),
        };
        let at_once = |name: &str, number: Option<usize>, usual| match number {
            Some(0) => bail!("registries.{name} = 0: at least one must go at once"),
            number => Ok(number.unwrap_or(usual)),
        };
        Ok(Settings {
            insecure,
            mirrors,
            proxies,
            certificates: self.certificates.unwrap_or(usual.certificates),
            downloads: at_once("downloads", self.downloads, usual.downloads)?,
            uploads: at_once("uploads", self.uploads, usual.uploads)?,
            attempts: self.attempts.unwrap_or(usual.attempts),
            ..Settings::default()
        })
    }
}
