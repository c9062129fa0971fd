//! How data comes from other machines' servers: for imports by address, and for builds.
//!
//! The binary implements this over HTTP and with git; the callers are
//! [`crate::registered_image::import`] and [`crate::build`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ::build::{Commit, Repository};
use async_trait::async_trait;
use model::network::{Cidr, Network};

use crate::error::invalid;
use crate::nodes::Archive;
use crate::{ActionError, Cloud};

/// Whether an address is in one of the cloud's own networks.
pub type IsInside = dyn Fn(IpAddr) -> bool + Send + Sync;

/// What is wanted of a repository of git, and for whom.
#[derive(Clone, Debug)]
pub struct Visit<'a> {
    /// Where it is, and what of it.
    pub repository: &'a Repository,
    /// A directory for what git needs and gets; of this visit only.
    pub room: &'a Path,
    /// What the repository's server is told of who asks: a header `Authorization`.
    pub authorization: Option<String>,
    /// The socket of an agent for SSH.
    pub agent: Option<PathBuf>,
}

/// What comes from other servers.
#[async_trait]
pub trait Downloads: Send + Sync + 'static {
    /// Refuses an address that may not be asked, before anything is asked.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`].
    fn check(&self, uri: &str) -> Result<(), ActionError>;

    /// The file at an address. `is_inside` says of an address whether it is in one of the cloud's own
    /// networks.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] where it may not be asked, and why it does not come.
    async fn get(&self, uri: &str, is_inside: &IsInside) -> Result<Archive, ActionError>;

    /// The commit that the address of a repository means now. `is_inside` is as above, and of every
    /// server that is led to.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] where it may not be asked or has no such commit, and why it cannot
    /// be had.
    async fn commit(&self, visit: &Visit<'_>, is_inside: &IsInside) -> Result<Commit, ActionError>;

    /// The files of a commit; answers their directory in the room.
    ///
    /// # Errors
    /// As above.
    async fn check_out(
        &self,
        visit: &Visit<'_>,
        commit: &Commit,
        is_inside: &IsInside,
    ) -> Result<PathBuf, ActionError>;
}

/// What says of an address whether it is in one of the cloud's own networks: the node reaches containers
/// there that the caller may not.
pub(crate) fn inside(cloud: &Cloud) -> impl Fn(IpAddr) -> bool + Send + Sync + 'static {
    let networks = cloud.store.list::<Network>();
    let ranges: Vec<Cidr> = networks
        .iter()
        .flat_map(|(_, found)| &found.value.spec.subnets)
        .map(|subnet| subnet.cidr)
        .collect();
    move |address| ranges.iter().any(|range| range.contains(address))
}

/// Nothing comes from anywhere.
pub(crate) struct NoDownloads;

#[async_trait]
impl Downloads for NoDownloads {
    fn check(&self, uri: &str) -> Result<(), ActionError> {
        Err(refused(uri))
    }

    async fn get(&self, uri: &str, _: &IsInside) -> Result<Archive, ActionError> {
        Err(refused(uri))
    }

    async fn commit(&self, visit: &Visit<'_>, _: &IsInside) -> Result<Commit, ActionError> {
        Err(refused(&visit.repository.shown()))
    }

    async fn check_out(
        &self,
        visit: &Visit<'_>,
        _: &Commit,
        _: &IsInside,
    ) -> Result<PathBuf, ActionError> {
        Err(refused(&visit.repository.shown()))
    }
}

/// That an address may not be asked, in Glance's words.
#[must_use]
pub fn refused(uri: &str) -> ActionError {
    invalid(format!(
        "URI for web-download does not pass filtering: {uri}"
    ))
}

/// From where data may come.
///
/// Source: glance, the options of `import_filtering_opts`; that nothing of this machine, on its links
/// and in the cloud's networks is asked unless its host is named, is ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// The only hosts, by name or address; empty is every host that is not disallowed.
    pub allowed_hosts: Vec<String>,
    /// Hosts that are not asked.
    pub disallowed_hosts: Vec<String>,
    /// The only ports; empty is every port.
    pub allowed_ports: Vec<u16>,
}

/// The ports that are asked where the operator names none.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// Those of SSH and of git's own protocol, over which repositories come besides.
const PORTS_OF_GIT: [u16; 2] = [22, 9418];

impl Default for Places {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            disallowed_hosts: Vec::new(),
            allowed_ports: USUAL_PORTS.to_vec(),
        }
    }
}

impl Places {
    /// From where repositories may come: with the usual ports, also over git's other protocols.
    #[must_use]
    pub fn of_repositories(mut self) -> Self {
        if self.allowed_ports == USUAL_PORTS {
            self.allowed_ports.extend(PORTS_OF_GIT);
        }
        self
    }

    /// Whether a host, by what it is called in the address, is asked at all.
    #[must_use]
    pub fn allow(&self, host: &str, port: u16) -> bool {
        let names = |hosts: &[String]| hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let has_host = if self.allowed_hosts.is_empty() {
            !names(&self.disallowed_hosts)
        } else {
            names(&self.allowed_hosts)
        };
        has_host && (self.allowed_ports.is_empty() || self.allowed_ports.contains(&port))
    }

    /// Whether a host is asked at this address of it, which is one of the node's or of the cloud's
    /// networks where it `is_ours`.
    #[must_use]
    pub fn allow_at(&self, host: &str, port: u16, address: IpAddr, is_ours: bool) -> bool {
        let is_named = !self.allowed_hosts.is_empty();
        let is_other = || {
            is_elsewhere(address)
                && !is_ours
                && !self.disallowed_hosts.contains(&address.to_string())
        };
        self.allow(host, port) && (is_named || is_other())
    }
}

/// Whether an address is another machine's, beyond this one's links.
fn is_elsewhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_here = v4.octets()[0] == 0 || v4.is_loopback() || v4.is_link_local();
            !is_here && !v4.is_multicast() && !v4.is_broadcast()
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_elsewhere(IpAddr::V4(v4)),
            None => {
                let is_here = v6.is_unspecified() || v6.is_loopback() || v6.is_unicast_link_local();
                !is_here && !v6.is_multicast()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(places: &Places, host: &str, port: u16, address: &str) -> bool {
        places.allow_at(host, port, address.parse().unwrap(), false)
    }

    #[test]
    fn this_machine_and_its_links_are_not_asked() {
        let places = Places::default();
        assert!(asks(&places, "example.org", 80, "192.0.2.1"));
        assert!(!asks(&places, "example.org", 8080, "192.0.2.1"));
        for address in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "fe80::1",
        ] {
            assert!(!asks(&places, "example.org", 80, address), "{address}");
        }
        let ours = "192.0.2.1".parse().unwrap();
        assert!(!places.allow_at("example.org", 80, ours, true));
    }

    #[test]
    fn repositories_have_ports_of_their_own_where_the_operator_names_none() {
        let places = Places::default().of_repositories();
        for port in [22, 80, 443, 9418] {
            assert!(asks(&places, "example.org", port, "192.0.2.1"), "{port}");
        }
        let named = Places {
            allowed_ports: vec![443],
            ..Places::default()
        };
        assert!(!asks(
            &named.of_repositories(),
            "example.org",
            22,
            "192.0.2.1"
        ));
    }

    #[test]
    fn the_operator_says_which_hosts_are_asked() {
        let places = Places {
            allowed_hosts: vec!["mirror".to_owned()],
            disallowed_hosts: vec!["mirror".to_owned()],
            allowed_ports: Vec::new(),
        };
        assert!(asks(&places, "Mirror", 8080, "127.0.0.1"));
        assert!(!asks(&places, "example.org", 80, "192.0.2.1"));
        let places = Places {
            disallowed_hosts: vec!["bad".to_owned(), "192.0.2.9".to_owned()],
            ..Places::default()
        };
        assert!(!asks(&places, "bad", 80, "192.0.2.1"));
        assert!(!asks(&places, "example.org", 80, "192.0.2.9"));
        assert!(asks(&places, "example.org", 80, "192.0.2.1"));
    }
}
