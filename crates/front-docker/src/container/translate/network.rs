//! Network mode, endpoints, published ports, name look-up. Pure but for looking names up.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::instance::{Attachment, Dns, NetworkMode, Protocol, PublishedPort};
use model::network::{Driver, Network};

use super::{Surroundings, joined};
use crate::container::wire::{Config, HostConfig, NetworkingConfig};
use crate::error::ApiError;
use crate::network::wire::EndpointSettings;
use crate::version::Version;

/// The option of an endpoint that names the interface inside.
const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// The network that `default` means.
pub(crate) const DEFAULT: &str = "bridge";

/// Whether a mode names a network that a user made.
pub(crate) fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "" | "default" | "bridge" | "host" | "none") && joined(mode).is_none()
}

/// What a mode cannot go together with.
///
/// Source: moby, `runconfig/hostconfig.go`, `validateNetContainerMode`.
pub(crate) fn check(config: &Config, host: &HostConfig) -> Result<(), ApiError> {
    let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let words = if host.network_mode == "container" || joined(&host.network_mode).is_some() {
        let name = joined(&host.network_mode).unwrap_or_default();
        if name.is_empty() {
            "invalid network mode: invalid container format container:<name|id>"
        } else if !config.hostname.is_empty() {
            "conflicting options: hostname and the network mode"
        } else if has(&host.links) {
            "conflicting options: container type network can't be used with links. This would result in undefined behavior"
        } else if has(&host.dns) {
            "conflicting options: dns and the network mode"
        } else if has(&host.extra_hosts) {
            "conflicting options: custom host-to-IP mapping and the network mode"
        } else if !host.port_bindings.is_empty() || host.publish_all_ports {
            "conflicting options: port publishing and the container type network mode"
        } else if !config.exposed_ports.is_empty() {
            "conflicting options: port exposing and the container type network mode"
        } else {
            return Ok(());
        }
    } else if host.uts_mode == "host" && !config.hostname.is_empty() {
        "conflicting options: hostname and the UTS mode"
    } else if host.network_mode == "host" && has(&host.links) {
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior"
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(words))
}

/// Settles what older and newer versions say differently: `default`, and the container's own MAC.
pub(crate) fn settle(
    config: &mut Config,
    host: &mut HostConfig,
    networking: &mut NetworkingConfig,
    version: Version,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let endpoints = &mut networking.endpoints_config;
    if matches!(host.network_mode.as_str(), "" | "default") {
        DEFAULT.clone_into(&mut host.network_mode);
        if let Some(settings) = endpoints.remove("default") {
            endpoints.insert(DEFAULT.to_owned(), settings);
        }
    }
    let mode = host.network_mode.clone();
    if !version.has(44) && endpoints.len() > 1 {
        let names: Vec<_> = endpoints.keys().map(String::as_str).collect();
        return Err(ApiError::invalid(format!(
            "Container cannot be created with multiple network endpoints: {}",
            names.join(", ")
        )));
    }
    for settings in endpoints.values_mut().flatten() {
        if !version.has(48) {
            settings.gw_priority = 0;
        }
        if !version.has(44) {
            settings.mac_address.clear();
        }
    }
    if config.mac_address.is_empty() {
        return Ok(());
    }
    let has_own = mode == DEFAULT || is_user_defined(&mode);
    if !version.has(44) && !has_own {
        return Err(ApiError::invalid(
            "conflicting options: mac-address and the network mode",
        ));
    }
    if has_own {
        if version.has(44) && !endpoints.is_empty() && !endpoints.contains_key(&mode) {
            return Err(ApiError::invalid(
                "unable to migrate container-wide MAC address to a specific network: HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks",
            ));
        }
        let key = if version.has(44) {
            None
        } else {
            endpoints.keys().next().cloned()
        };
        let settings = endpoints
            .entry(key.unwrap_or(mode))
            .or_default()
            .get_or_insert_default();
        if settings.mac_address.is_empty() {
            settings.mac_address.clone_from(&config.mac_address);
        } else if settings.mac_address != config.mac_address {
            return Err(ApiError::invalid(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
            ));
        }
    }
    if version.has(44) {
        warnings.push("The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.".to_owned());
        config.mac_address.clear();
    }
    Ok(())
}

/// The mode and the networks, with the settings of each.
pub(crate) fn attachments(
    config: &Config,
    host: &HostConfig,
    networking: &NetworkingConfig,
    around: &dyn Surroundings,
) -> Result<(NetworkMode, Vec<Attachment>), ApiError> {
    if config.network_disabled {
        return Ok((NetworkMode::None, Vec::new()));
    }
    let mode = match host.network_mode.as_str() {
        "host" => NetworkMode::Host,
        "none" => NetworkMode::None,
        mode => match joined(mode) {
            Some(name) => NetworkMode::Instance(around.instance(name)?.meta.id),
            None => NetworkMode::Attached,
        },
    };
    let endpoints = &networking.endpoints_config;
    if mode != NetworkMode::Attached {
        let other = endpoints.keys().find(|name| **name != host.network_mode);
        return match other {
            None => Ok((mode, Vec::new())),
            Some(_) if mode == NetworkMode::None => Err(ApiError::invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            )),
            Some(_) => Err(ApiError::invalid(
                "container sharing network namespace with another container or host cannot be connected to any other network",
            )),
        };
    }
    let main = around.network(&host.network_mode)?;
    let mut attached = BTreeSet::from([main.meta.id]);
    let mut found = vec![(main, None)];
    for (name, settings) in endpoints {
        let network = around.network(name)?;
        if network.meta.id == found[0].0.meta.id {
            found[0].1 = settings.as_ref();
        } else if attached.insert(network.meta.id) {
            found.push((network, settings.as_ref()));
        } else {
            return Err(ApiError::invalid(format!("network {name} is given twice")));
        }
    }
    let mut attachments = Vec::new();
    for (network, settings) in found {
        let links = if network.meta.name == DEFAULT {
            host.links.as_deref()
        } else {
            None
        };
        attachments.push(attachment(
            &network,
            settings,
            links.unwrap_or_default(),
            around,
        )?);
    }
    // The first has the default route; the sort keeps the order of equals.
    attachments.sort_by_key(|attachment| std::cmp::Reverse(attachment.gateway_priority));
    Ok((mode, attachments))
}

/// How a container is on one network.
pub(crate) fn attachment(
    network: &Network,
    settings: Option<&EndpointSettings>,
    links: &[String],
    around: &dyn Surroundings,
) -> Result<Attachment, ApiError> {
    if matches!(network.spec.driver, Driver::Host | Driver::None) {
        return Err(ApiError::invalid(match network.spec.driver {
            Driver::Host => {
                "cannot connect container to host network - container must be created in host network mode"
            }
            Driver::None | Driver::Bridge => {
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            }
        }));
    }
    let default = EndpointSettings::default();
    let settings = settings.unwrap_or(&default);
    let wrong = |words: String| ApiError::invalid(format!("invalid endpoint settings:\n{words}"));
    let aliases = settings.aliases.clone().unwrap_or_default();
    if !aliases.is_empty() && network.spec.predefined {
        return Err(wrong(
            "network-scoped alias is supported only for containers in user defined networks"
                .to_owned(),
        ));
    }
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let ipv4 = match ipam.ipv4_address.as_str() {
        "" => None,
        text => Some(
            text.parse::<Ipv4Addr>()
                .map_err(|_| wrong(format!("invalid IPv4 address: {text}")))?,
        ),
    };
    let ipv6 = match ipam.ipv6_address.as_str() {
        "" => None,
        text => Some(
            text.parse::<Ipv6Addr>()
                .map_err(|_| wrong(format!("invalid IPv6 address: {text}")))?,
        ),
    };
    let link_local = ipam.link_local_ips.iter().map(|text| {
        let address = text.parse().ok();
        let address = address.filter(|address: &IpAddr| !address.is_unspecified());
        address.ok_or_else(|| wrong(format!("invalid link-local IP address: {text}")))
    });
    let link_local = link_local.collect::<Result<_, _>>()?;
    let options = settings.driver_opts.clone().unwrap_or_default();
    let interface = options
        .get(INTERFACE_NAME)
        .filter(|name| !name.is_empty())
        .cloned();
    if let Some(name) = interface.as_ref().filter(|name| !is_interface_name(name)) {
        return Err(wrong(format!("invalid interface name: {name:?}")));
    }
    // Further names are for drivers that are not here: kept and shown, as dockerd does.
    if let Some(name) = options
        .keys()
        .find(|name| name.starts_with("com.docker.network.") && *name != INTERFACE_NAME)
    {
        return Err(wrong(format!(
            "DriverOpts: {name:?} is not supported by this daemon"
        )));
    }
    let mac = match settings.mac_address.as_str() {
        "" => None,
        text if is_mac(text) => Some(text.to_lowercase()),
        text => return Err(ApiError::invalid(format!("invalid MAC address {text}"))),
    };
    let mut pairs = Vec::new();
    for link in settings.links.iter().flatten().chain(links) {
        let (name, alias) = link_parts(link);
        if name.is_empty() || alias.is_empty() || alias.contains(':') {
            return Err(ApiError::invalid(format!(
                "invalid format for links: {link}"
            )));
        }
        let name = if network.spec.predefined {
            let other = around.instance(name).map_err(|error| {
                error.while_trying(&format!("could not get container for {name}"))
            })?;
            other.meta.name.clone()
        } else {
            name.trim_start_matches('/').to_owned()
        };
        pairs.push((name, link_alias(link).to_owned()));
    }
    Ok(Attachment {
        aliases,
        links: pairs,
        ipv4,
        ipv6,
        mac,
        link_local,
        interface,
        gateway_priority: settings.gw_priority,
        driver_options: options,
        ..Attachment::new(network.meta.id)
    })
}

/// The other's name and the name for it, as `other:alias`; without an alias it is the other's.
fn link_parts(link: &str) -> (&str, &str) {
    link.split_once(':').unwrap_or((link, link))
}

/// The name that a link gives; clients write it as a path, too: `/web/db`.
fn link_alias(link: &str) -> &str {
    let (_, alias) = link_parts(link);
    alias.rsplit('/').next().unwrap_or(alias)
}

/// What the kernel takes (`dev_valid_name`), and has no settings of its own by (`all`, `default`).
fn is_interface_name(name: &str) -> bool {
    name.len() <= 15
        && !matches!(name, "." | ".." | "all" | "default" | "lo")
        && !name.contains(|letter: char| letter.is_whitespace() || matches!(letter, '/' | ':'))
}

fn is_mac(text: &str) -> bool {
    let mut count = 0;
    let all_hex = text.split([':', '-']).all(|part| {
        count += 1;
        part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    all_hex && count == 6
}

/// A container port such as `80/tcp`; without a protocol it is TCP.
pub(crate) fn port(text: &str) -> Result<(u16, Protocol), ApiError> {
    let invalid = |what| ApiError::invalid(format!("invalid port specification: {what:?}"));
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(invalid(text)),
    };
    let number = number
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| invalid(number))?;
    Ok((number, protocol))
}

/// A port of the node, or a range of them; empty is 0, any free one.
fn host_ports(text: &str) -> Result<(u16, u16), ApiError> {
    if text.is_empty() {
        return Ok((0, 0));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(ApiError::invalid(format!(
            "invalid port specification: {text:?}"
        ))),
    }
}

/// Ports to publish. Where the container has no network of its own there are none, with a warning.
pub(crate) fn published(
    config: &Config,
    host: &HostConfig,
    mode: NetworkMode,
    warnings: &mut Vec<String>,
) -> Result<Vec<PublishedPort>, ApiError> {
    let mut ports = Vec::new();
    for (text, bindings) in &host.port_bindings {
        let (container_port, protocol) = port(text)?;
        for binding in bindings.iter().flatten() {
            let (host_port, host_port_end) = host_ports(&binding.host_port)?;
            let host_ip = match binding.host_ip.as_str() {
                "" => None,
                ip => Some(ip.trim_matches(['[', ']']).parse::<IpAddr>().map_err(|_| {
                    ApiError::invalid(format!(
                        "invalid IP address in HostConfig.PortBindings: {ip:?}"
                    ))
                })?),
            };
            ports.push(PublishedPort {
                protocol,
                container_port,
                host_ip,
                host_port,
                host_port_end,
            });
        }
    }
    for text in config.exposed_ports.keys() {
        let (container_port, protocol) = port(text)?;
        let is_bound = ports
            .iter()
            .any(|bound| bound.container_port == container_port && bound.protocol == protocol);
        if host.publish_all_ports && !is_bound {
            ports.push(PublishedPort {
                protocol,
                container_port,
                host_ip: None,
                host_port: 0,
                host_port_end: 0,
            });
        }
    }
    if mode != NetworkMode::Attached {
        if mode == NetworkMode::Host && !host.port_bindings.is_empty() {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        ports.clear();
    }
    Ok(ports)
}

/// Name look-up inside.
pub(crate) fn dns(host: &HostConfig) -> Result<Dns, ApiError> {
    let servers = host.dns.clone().unwrap_or_default();
    if let Some(server) = servers
        .iter()
        .find(|server| server.parse::<IpAddr>().is_err())
    {
        return Err(ApiError::invalid(format!(
            "invalid IP address in HostConfig.Dns: {server:?}"
        )));
    }
    Ok(Dns {
        servers,
        search: host.dns_search.clone().unwrap_or_default(),
        options: host.dns_options.clone().unwrap_or_default(),
    })
}

/// Lines for `/etc/hosts`.
pub(crate) fn extra_hosts(host: &HostConfig) -> Result<Vec<(String, String)>, ApiError> {
    host.extra_hosts
        .iter()
        .flatten()
        .map(|text| {
            let (name, address) = text
                .split_once(':')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| ApiError::invalid(format!("bad format for add-host: {text:?}")))?;
            if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
                return Err(ApiError::invalid(format!(
                    "invalid IP address in add-host: {address:?}"
                )));
            }
            Ok((name.to_owned(), address.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::container::wire::{Nothing, PortBinding};

    fn bound(port: &str, ip: &str, host: &str) -> HostConfig {
        let binding = PortBinding {
            host_ip: ip.to_owned(),
            host_port: host.to_owned(),
        };
        HostConfig {
            port_bindings: BTreeMap::from([(port.to_owned(), Some(vec![binding]))]),
            ..HostConfig::default()
        }
    }

    fn publish(host: &HostConfig, exposed: &[&str]) -> Result<Vec<PublishedPort>, String> {
        let config = Config {
            exposed_ports: exposed
                .iter()
                .map(|port| ((*port).to_owned(), Nothing))
                .collect(),
            ..Config::default()
        };
        published(&config, host, NetworkMode::Attached, &mut Vec::new())
            .map_err(|error| error.message)
    }

    #[test]
    fn ports_are_published_singly_by_range_and_all() {
        let single = publish(&bound("80/tcp", "127.0.0.1", "8080"), &[]).unwrap();
        assert_eq!((single[0].host_port, single[0].host_port_end), (8080, 8080));
        assert_eq!(single[0].host_ip, Some(IpAddr::from([127, 0, 0, 1])));
        let range = publish(&bound("53/udp", "", "5000-5010"), &[]).unwrap();
        assert_eq!(
            (
                range[0].protocol,
                range[0].host_port,
                range[0].host_port_end
            ),
            (Protocol::Udp, 5000, 5010)
        );
        let all = HostConfig {
            publish_all_ports: true,
            ..bound("80", "", "1")
        };
        let all = publish(&all, &["80/tcp", "443/tcp"]).unwrap();
        assert_eq!(
            all.iter()
                .map(|port| (port.container_port, port.host_port))
                .collect::<Vec<_>>(),
            [(80, 1), (443, 0)]
        );
    }

    #[test]
    fn wrong_ports_are_refused() {
        for (port, host) in [
            ("0/tcp", ""),
            ("80/xyz", ""),
            ("x", ""),
            ("80", "70000"),
            ("80", "9-8"),
        ] {
            assert!(
                publish(&bound(port, "", host), &[])
                    .unwrap_err()
                    .contains("invalid port specification")
            );
        }
        assert!(publish(&bound("80", "localhost", ""), &[]).is_err());
    }

    #[test]
    fn a_joined_network_excludes_what_would_change_it() {
        let host = HostConfig {
            network_mode: "container:web".to_owned(),
            ..HostConfig::default()
        };
        let config = Config {
            hostname: "me".to_owned(),
            ..Config::default()
        };
        assert_eq!(
            check(&config, &host).unwrap_err().message,
            "conflicting options: hostname and the network mode"
        );
        let nameless = HostConfig {
            network_mode: "container:".to_owned(),
            ..HostConfig::default()
        };
        assert_eq!(
            check(&Config::default(), &nameless).unwrap_err().message,
            "invalid network mode: invalid container format container:<name|id>"
        );
    }

    #[test]
    fn extra_hosts_have_a_name_and_an_address() {
        let host = |text: &str| HostConfig {
            extra_hosts: Some(vec![text.to_owned()]),
            ..HostConfig::default()
        };
        assert_eq!(
            extra_hosts(&host("db:::1")).unwrap(),
            [("db".to_owned(), "::1".to_owned())]
        );
        assert!(extra_hosts(&host("gw:host-gateway")).is_ok());
        assert_eq!(
            extra_hosts(&host("db")).unwrap_err().message,
            "bad format for add-host: \"db\""
        );
        assert_eq!(
            extra_hosts(&host("db:x")).unwrap_err().message,
            "invalid IP address in add-host: \"x\""
        );
    }
}
