//! What the daemon is told: flags first, then the environment, then the configuration file.

mod pools;
mod registries;
mod registry;
mod url;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use actions::downloads::Places;
use actions::identity;
use actions::network::AddressPools;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use image::registry::{Mirror, Proxy};
use model::network::Cidr;
use serde::Deserialize;

use self::pools::Pool;
use self::registries::Registries;
use self::registry::Registry;
pub(crate) use self::url::Url;
use self::url::own_address;
use crate::authority;

/// Where everything is kept unless told otherwise.
const DEFAULT_DATA_DIR: &str = "/var/lib/longshore";
/// Where HTTP is served unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7070";
/// What names on the host begin with unless told otherwise.
const DEFAULT_BRIDGE_PREFIX: &str = "ls";
/// Network namespaces held ready unless told otherwise.
const DEFAULT_NETWORK_POOL: usize = 16;
/// A bridge is called by the prefix and eight digits, and the kernel takes 15 characters.
const LONGEST_BRIDGE_PREFIX: usize = 6;

/// Where everything is kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataDir {
    /// Where everything is kept [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR", env = "LONGSHORE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl DataDir {
    /// The directory, absolute.
    pub(crate) fn path(&self) -> PathBuf {
        absolute(
            self.data_dir
                .as_deref()
                .unwrap_or(Path::new(DEFAULT_DATA_DIR)),
        )
    }
}

/// Flags of `longshore up`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    data_dir: DataDir,
    /// Where HTTP is served [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDR:PORT", env = "LONGSHORE_LISTEN")]
    listen: Option<SocketAddr>,
    /// What clients call this machine, in addresses that they are told and in its certificate
    /// [default: the address that HTTP is served on]
    #[arg(long, value_name = "HOST", env = "LONGSHORE_PUBLIC_HOST")]
    public_host: Option<String>,
    /// A certificate, in PEM with those between it and its authority, to serve HTTPS with [default:
    /// one of an authority that is made, except on loopback, where plain HTTP is served]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Where the Docker API is served over TLS, to clients that show a certificate [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT", env = "LONGSHORE_DOCKER_LISTEN")]
    docker_listen: Option<SocketAddr>,
    /// The authority, in PEM, whose clients may use the Docker API there [default: the one that is
    /// made, which admits the operator]
    #[arg(long, value_name = "FILE", requires = "docker_listen")]
    docker_client_authority: Option<PathBuf>,
    /// A file with these settings, in TOML; flags win
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG")]
    config: Option<PathBuf>,
    /// Where records are kept: `embedded` [default: embedded]
    #[arg(long, value_name = "STORE", env = "LONGSHORE_STORE")]
    store: Option<String>,
    /// What bridges, interfaces and firewall tables on this machine are called by [default: ls]
    #[arg(long, value_name = "NAME", env = "LONGSHORE_BRIDGE_PREFIX")]
    bridge_prefix: Option<String>,
    /// Address range of the default network [default: the first free one of 172.17.0.0/16 and up]
    #[arg(long, value_name = "CIDR", env = "LONGSHORE_DEFAULT_NETWORK")]
    default_network: Option<Cidr>,
    /// Address range of the external network [default: the first free one of 172.24.4.0/24 and up]
    #[arg(long, value_name = "CIDR", env = "LONGSHORE_EXTERNAL_NETWORK")]
    external_network: Option<Cidr>,
    /// Addresses of networks that are made without a range: one that is cut into ranges with a prefix
    /// of SIZE bits; may be given several times [default: dockerd's, which are enough for 31 networks]
    #[arg(long = "default-address-pool", value_name = "base=CIDR,size=SIZE")]
    default_address_pools: Vec<Pool>,
    /// A registry that may be without TLS or have any certificate, as those on loopback: a host with
    /// or without a port, or a range of addresses; may be given several times
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]|CIDR")]
    insecure_registries: Vec<String>,
    /// A copy of Docker Hub that is asked first, http:// or https://; may be given several times
    #[arg(long = "registry-mirror", value_name = "URL")]
    registry_mirrors: Vec<Mirror>,
    /// The proxy by which registries without TLS are reached: http://[USER:PASSWORD@]HOST[:PORT]
    #[arg(long, value_name = "URL", env = "HTTP_PROXY", hide_env_values = true)]
    http_proxy: Option<Proxy>,
    /// The same, for registries with TLS
    #[arg(long, value_name = "URL", env = "HTTPS_PROXY", hide_env_values = true)]
    https_proxy: Option<Proxy>,
    /// Registries that are reached without a proxy: names, domains, addresses and ranges, with commas
    /// in between
    #[arg(long, value_name = "HOSTS", env = "NO_PROXY")]
    no_proxy: Option<String>,
    /// The password that the user `admin` gets at first start [default: a random one]
    #[arg(
        long = "admin-password",
        value_name = "PASSWORD",
        env = "LONGSHORE_ADMIN_PASSWORD",
        hide = true,
        hide_env_values = true
    )]
    admin_password: Option<Secret>,
}

/// A secret that stays out of logs.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// The configuration file. Keys are the flags' names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    public_host: Option<String>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    docker_listen: Option<SocketAddr>,
    docker_client_authority: Option<PathBuf>,
    store: Option<String>,
    bridge_prefix: Option<String>,
    default_network: Option<Cidr>,
    external_network: Option<Cidr>,
    default_address_pools: Vec<Pool>,
    network_pool: Option<usize>,
    identity: Identity,
    images: Images,
    registry: Registry,
    registries: Registries,
}

/// From where images may be imported; what is left out is as Glance comes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Images {
    import_hosts: Vec<String>,
    import_never_hosts: Vec<String>,
    import_ports: Option<Vec<u16>>,
}

impl Images {
    fn places(self) -> Places {
        let usual = Places::default();
        Places {
            allowed_hosts: self.import_hosts,
            disallowed_hosts: self.import_never_hosts,
            allowed_ports: self.import_ports.unwrap_or(usual.allowed_ports),
        }
    }
}

/// The rules on tokens and passwords, as `actions` has them; what is left out is as Keystone comes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Identity {
    token_seconds: Option<i64>,
    lockout_failures: Option<u32>,
    lockout_seconds: Option<i64>,
    password_expires_days: Option<i64>,
    password_minimum_days: Option<i64>,
    password_unique_count: Option<usize>,
    change_password_upon_first_use: bool,
}

impl Identity {
    fn settings(&self) -> identity::Settings {
        let usual = identity::Settings::default();
        identity::Settings {
            token_seconds: self.token_seconds.unwrap_or(usual.token_seconds),
            lockout_failures: self.lockout_failures,
            lockout_seconds: self.lockout_seconds.unwrap_or(usual.lockout_seconds),
            password_expires_days: self.password_expires_days,
            password_minimum_days: self
                .password_minimum_days
                .unwrap_or(usual.password_minimum_days),
            password_unique_count: self
                .password_unique_count
                .unwrap_or(usual.password_unique_count),
            change_password_upon_first_use: self.change_password_upon_first_use,
        }
    }
}

/// Everything the daemon is told.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where everything is kept; absolute.
    pub(crate) data_dir: PathBuf,
    /// Where HTTP is served.
    pub(crate) listen: SocketAddr,
    /// How clients reach it: scheme, host and port.
    pub(crate) url: Url,
    /// The operator's certificate and its key, where there is one.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// Where the Docker API is served beside its socket.
    pub(crate) docker: Option<DockerDoor>,
    /// What names on the host begin with.
    pub(crate) bridge_prefix: String,
    /// Address range of the default network; `None` takes a free one.
    pub(crate) default_network: Option<Cidr>,
    /// Address range of the external network; `None` takes a free one.
    pub(crate) external_network: Option<Cidr>,
    /// What networks get that are made without a range.
    pub(crate) address_pools: AddressPools,
    /// Network namespaces held ready.
    pub(crate) network_pool: usize,
    /// The password that the user `admin` gets at first start; `None` is a random one.
    pub(crate) admin_password: Option<Secret>,
    /// The rules on tokens and passwords.
    pub(crate) identity: identity::Settings,
    /// From where images may be imported.
    pub(crate) image_places: Places,
    /// The rules of the registry.
    pub(crate) registry: actions::registry::Settings,
    /// How registries are spoken to.
    pub(crate) registries: image::registry::Settings,
}

impl Options {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// When the file cannot be read or a setting is wrong; the message says which.
    pub(crate) fn resolve(&self) -> Result<Config> {
        let file = self
            .config
            .as_deref()
            .map(File::read)
            .transpose()?
            .unwrap_or_default();
        let store = self
            .store
            .clone()
            .or(file.store)
            .unwrap_or_else(|| "embedded".to_owned());
        if store.starts_with("etcd://") {
            bail!(
                "--store {store}: etcd is not supported yet; leave the flag out to use the embedded store"
            );
        }
        ensure!(
            store == "embedded",
            "--store {store}: there is no such store; the embedded one is called `embedded`"
        );
        let data_dir = self.data_dir.data_dir.clone().or(file.data_dir);
        let listen = match self.listen.or(file.listen) {
            Some(listen) => listen,
            None => DEFAULT_LISTEN.parse().context("the default address")?,
        };
        let tls_certificate = self.tls_certificate.clone().or(file.tls_certificate);
        let certificate = match (tls_certificate, self.tls_key.clone().or(file.tls_key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => bail!("tls-certificate is nothing without tls-key"),
            (None, Some(_)) => bail!("tls-key is nothing without tls-certificate"),
        };
        let docker_authority = self.docker_client_authority.clone();
        let config = Config {
            data_dir: absolute(data_dir.as_deref().unwrap_or(Path::new(DEFAULT_DATA_DIR))),
            listen,
            url: Url {
                is_tls: !listen.ip().is_loopback() || certificate.is_some(),
                host: match self.public_host.clone().or(file.public_host) {
                    Some(host) => host,
                    None => own_address(listen.ip())?.to_string(),
                },
                port: listen.port(),
            },
            certificate,
            docker: self
                .docker_listen
                .or(file.docker_listen)
                .map(|listen| DockerDoor {
                    listen,
                    client_authority: docker_authority.or(file.docker_client_authority),
                }),
            bridge_prefix: self
                .bridge_prefix
                .clone()
                .or(file.bridge_prefix)
                .unwrap_or_else(|| DEFAULT_BRIDGE_PREFIX.to_owned()),
            default_network: self.default_network.or(file.default_network),
            external_network: self.external_network.or(file.external_network),
            address_pools: pools::of(&self.default_address_pools, &file.default_address_pools),
            network_pool: file.network_pool.unwrap_or(DEFAULT_NETWORK_POOL),
            admin_password: self.admin_password.clone(),
            identity: file.identity.settings(),
            image_places: file.images.places(),
            registry: file.registry.settings()?,
            registries: file.registries.settings(self)?,
        };
        config.check()?;
        Ok(config)
    }
}

/// Where the Docker API is served over TLS.
#[derive(Clone, Debug)]
pub(crate) struct DockerDoor {
    /// The address.
    pub(crate) listen: SocketAddr,
    /// Whose clients are let in; `None` is the authority that is made.
    pub(crate) client_authority: Option<PathBuf>,
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("understand {}", path.display()))
    }
}

impl Config {
    /// The file with the authority that vouches for [`Config::url`], where that is the one that is
    /// made: clients know those that operators bring.
    pub(crate) fn authority_file(&self) -> Option<String> {
        (self.url.is_tls && self.certificate.is_none())
            .then(|| self.data_dir.join(authority::FILE).display().to_string())
    }

    fn check(&self) -> Result<()> {
        let prefix = &self.bridge_prefix;
        let is_name = !prefix.is_empty()
            && prefix.len() <= LONGEST_BRIDGE_PREFIX
            && prefix.starts_with(|c: char| c.is_ascii_lowercase())
            && prefix
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ensure!(
            is_name,
            "--bridge-prefix {prefix:?}: use one to {LONGEST_BRIDGE_PREFIX} lower-case letters and digits, a letter first"
        );
        let host = &self.url.host;
        ensure!(
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c)),
            "--public-host {host:?}: it is neither a name nor an address"
        );
        Ok(())
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Up {
        #[command(flatten)]
        options: Options,
    }

    fn resolve(args: &[&str]) -> Result<Config> {
        Up::parse_from([&["up"], args].concat()).options.resolve()
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = resolve(&[]).unwrap();
        assert_eq!(config.data_dir, Path::new("/var/lib/longshore"));
        assert_eq!(config.listen.to_string(), "127.0.0.1:7070");
    }

    #[test]
    fn plain_http_is_for_loopback() {
        let url = |args: &[&str]| resolve(args).unwrap().url.to_string();
        assert_eq!(url(&["--listen", "127.0.0.1:1"]), "http://127.0.0.1:1");
        assert_eq!(url(&["--listen", "192.0.2.1:1"]), "https://192.0.2.1:1");
        let named = ["--listen", "[::]:1", "--public-host", "cloud.example"];
        assert_eq!(url(&named), "https://cloud.example:1");
        let brought = [
            "--listen",
            "[::1]:1",
            "--tls-certificate",
            "c",
            "--tls-key",
            "k",
        ];
        assert_eq!(url(&brought), "https://[::1]:1");
    }

    #[test]
    fn flags_win_over_the_file_and_unknown_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("longshore.toml");
        std::fs::write(&path, "listen = '127.0.0.1:1'\nbridge-prefix = 'fromfile'").unwrap();
        let file = path.to_str().unwrap();
        let error = resolve(&["--config", file]).unwrap_err();
        assert!(
            error.to_string().contains("--bridge-prefix \"fromfile\""),
            "{error:#}"
        );
        let config = resolve(&["--config", file, "--bridge-prefix", "mine"]).unwrap();
        assert_eq!(
            (config.listen.port(), config.bridge_prefix.as_str()),
            (1, "mine")
        );
        std::fs::write(&path, "listne = '127.0.0.1:1'").unwrap();
        let error = resolve(&["--config", file]).unwrap_err();
        assert!(format!("{error:#}").contains("listne"), "{error:#}");
    }

    #[test]
    fn pools_of_addresses_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("longshore.toml");
        let file = "[[default-address-pools]]\nbase = '10.9.0.0/16'\nsize = 24\n";
        std::fs::write(&path, file).unwrap();
        let file = path.to_str().unwrap();
        let pools = |args: &[&str]| format!("{:?}", resolve(args).unwrap().address_pools);
        let from_file = pools(&["--config", file]);
        let flag = ["--default-address-pool", "base=10.9.0.0/16,size=24"];
        assert_eq!(from_file, pools(&flag));
        assert_ne!(from_file, pools(&[]));
        assert_eq!(from_file, pools(&["--config", file, flag[0], flag[1]]));
    }

    #[test]
    fn registries_without_tls_are_named() {
        let registries = resolve(&[
            "--insecure-registry",
            "a:5000",
            "--insecure-registry",
            "10.0.0.0/8",
        ])
        .unwrap()
        .registries;
        for (authority, expected) in [("a:5000", true), ("10.1.1.1:1", true), ("b", false)] {
            assert_eq!(
                registries.insecure.includes(authority),
                expected,
                "{authority}"
            );
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        for (args, words) in [
            (["--public-host", "a b"], "--public-host"),
            (["--store", "etcd://127.0.0.1:2379"], "etcd"),
            (["--store", "paper"], "no such store"),
            (["--bridge-prefix", "Ls"], "--bridge-prefix"),
            (["--insecure-registry", "a/b"], "--insecure-registry"),
        ] {
            let error = resolve(&args).unwrap_err();
            assert!(error.to_string().contains(words), "{error:#}");
        }
    }
}
