//! Networks into the model and out of it. Pure.

use std::net::IpAddr;

use actions::instance::View;
use actions::network::{NewNetwork, NewSubnet};
use model::network::{Cidr, Driver, Network, NetworkSpec};
use serde_json::Value;

use super::wire::{self, ConfigFrom, Create, Ipam, IpamConfig, Member, Origin};
use crate::error::ApiError;
use crate::id::docker_id;
use crate::time::rfc3339;
use crate::version::Version;

const PREDEFINED: [&str; 4] = ["bridge", "host", "none", "default"];

/// Options of the bridge driver that say something of the model.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const INTER_INSTANCE: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
const MTU: &str = "com.docker.network.driver.mtu";

/// Checks a request and turns it into the model.
pub(crate) fn to_model(create: Create, version: Version) -> Result<NewNetwork, ApiError> {
    let Create {
        name,
        driver,
        ipam,
        labels,
        options,
        ..
    } = &create;
    if name.trim().is_empty() {
        return Err(ApiError::invalid("invalid name: name is empty"));
    }
    if PREDEFINED.contains(&name.as_str()) {
        return Err(ApiError::new(
            http::StatusCode::FORBIDDEN,
            format!("operation is not permitted on predefined {name} network "),
        ));
    }
    check_driver(driver)?;
    refuse_what_is_missing(&create, version)?;
    let ipam = ipam.clone().unwrap_or_default();
    if !matches!(ipam.driver.as_str(), "" | "default") {
        return Err(ApiError::not_found(format!(
            "could not resolve driver {:?} in registry",
            ipam.driver
        )));
    }
    let ipv6 = create.enable_ipv6.unwrap_or(false);
    let subnets = ipam
        .config
        .iter()
        .flatten()
        .filter(|config| **config != IpamConfig::default());
    let subnets = subnets.map(subnet).collect::<Result<Vec<_>, _>>()?;
    if subnets.iter().any(|subnet| subnet.cidr.address().is_ipv6()) && !ipv6 {
        return Err(ApiError::invalid(
            "invalid network config:\nIPv6 subnets are given, but IPv6 is not enabled (EnableIPv6)",
        ));
    }
    for is_v4 in [true, false] {
        if subnets
            .iter()
            .filter(|subnet| subnet.cidr.address().is_ipv4() == is_v4)
            .count()
            > 1
        {
            return Err(ApiError::invalid(
                "IPAM.Config: several subnets of one family are not supported",
            ));
        }
    }
    let mut spec = NetworkSpec {
        internal: create.internal,
        ..NetworkSpec::default()
    };
    for (option, value) in options {
        apply_option(&mut spec, option, value)?;
    }
    let origin = Origin {
        options: options.clone(),
        attachable: create.attachable,
        ipam_driver: if ipam.driver.is_empty() {
            "default".to_owned()
        } else {
            ipam.driver
        },
        ipam_options: ipam.options,
    };
    spec.origin.insert(
        Origin::KEY.to_owned(),
        serde_json::to_value(origin).unwrap_or(Value::Null),
    );
    Ok(NewNetwork {
        name: name.clone(),
        labels: labels.clone(),
        spec,
        ipv4: true,
        ipv6,
        subnets,
    })
}

fn check_driver(driver: &str) -> Result<(), ApiError> {
    match driver {
        "" | "bridge" => Ok(()),
        "host" | "null" => Err(ApiError::new(
            http::StatusCode::FORBIDDEN,
            format!("only one instance of {driver:?} network is allowed"),
        )),
        "overlay" => Err(ApiError::new(
            http::StatusCode::FORBIDDEN,
            crate::refused::NO_SWARM,
        )),
        "ipvlan" | "macvlan" => Err(ApiError::invalid(format!(
            "Driver: {driver:?} networks are not supported by this daemon"
        ))),
        driver => Err(ApiError::not_found(format!(
            "plugin {driver:?} not found: could not find plugin {driver} in v1 plugin registry"
        ))),
    }
}

fn refuse_what_is_missing(create: &Create, version: Version) -> Result<(), ApiError> {
    let what = if create.enable_ipv4 == Some(false) && version.has(48) {
        "EnableIPv4: networks without IPv4"
    } else if create.ingress {
        "Ingress: routing meshes"
    } else if create.config_only
        || create
            .config_from
            .as_ref()
            .is_some_and(|from| !from.network.is_empty())
    {
        "ConfigOnly, ConfigFrom: configuration networks"
    } else if !matches!(create.scope.as_str(), "" | "local") {
        "Scope: networks beyond this daemon"
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(format!(
        "{what} are not supported by this daemon"
    )))
}

fn apply_option(spec: &mut NetworkSpec, option: &str, value: &str) -> Result<(), ApiError> {
    let wrong = || ApiError::invalid(format!("Options: {option}={value} is not valid"));
    let boolean = || match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(wrong()),
    };
    match option {
        BRIDGE_NAME => spec.bridge_name = Some(value.to_owned()).filter(|name| !name.is_empty()),
        INTER_INSTANCE => spec.inter_instance = boolean()?,
        MASQUERADE => spec.masquerade = boolean()?,
        HOST_BINDING => spec.host_binding = Some(value.parse().map_err(|_| wrong())?),
        MTU => {
            spec.mtu = Some(
                value
                    .parse()
                    .ok()
                    .filter(|mtu| (68..=65_535).contains(mtu))
                    .ok_or_else(wrong)?,
            );
        }
        _ if option.starts_with("com.docker.network.") => {
            return Err(ApiError::invalid(format!(
                "Options: {option} is not supported by this daemon"
            )));
        }
        // Others are for drivers that are not here: kept and shown, as dockerd does.
        _ => {}
    }
    Ok(())
}

/// A range as a user gave it. Bits past its prefix are an error, as with dockerd.
fn subnet(config: &IpamConfig) -> Result<NewSubnet, ApiError> {
    let wrong = |words: String| ApiError::invalid(format!("invalid network config:\n{words}"));
    if config.subnet.is_empty() {
        return Err(wrong("IPAM.Config: a range without a subnet".to_owned()));
    }
    let cidr: Cidr = config.subnet.parse().map_err(|_| {
        wrong(format!(
            "invalid subnet {}: invalid CIDR block notation",
            config.subnet
        ))
    })?;
    let (written, _) = config.subnet.split_once('/').unwrap_or_default();
    if written.parse() != Ok(cidr.address()) {
        return Err(wrong(format!(
            "invalid subnet {}: it should be {cidr}",
            config.subnet
        )));
    }
    let address = |what: &str, text: &str| -> Result<IpAddr, ApiError> {
        text.parse()
            .map_err(|_| wrong(format!("invalid {what} {text}: invalid address")))
    };
    let pool = match config.ip_range.as_str() {
        "" => None,
        range => Some(range.parse().map_err(|_| {
            wrong(format!(
                "invalid ip-range {range}: invalid CIDR block notation"
            ))
        })?),
    };
    let gateway = match config.gateway.as_str() {
        "" => None,
        text => Some(address("gateway", text)?),
    };
    let reserved = config
        .auxiliary_addresses
        .iter()
        .map(|(name, text)| Ok((name.clone(), address("auxiliary address", text)?)))
        .collect::<Result<_, ApiError>>()?;
    Ok(NewSubnet {
        cidr,
        gateway,
        pool,
        reserved,
    })
}

/// A network with the containers that are on it and run.
pub(crate) fn from_model(network: &Network, members: &[View]) -> wire::Network {
    let spec = &network.spec;
    let origin = Origin::of(spec);
    let has = |is_v4: bool| {
        spec.subnets
            .iter()
            .any(|subnet| subnet.cidr.address().is_ipv4() == is_v4)
    };
    let config = spec.subnets.iter().map(|subnet| IpamConfig {
        subnet: subnet.cidr.to_string(),
        ip_range: subnet
            .pools
            .first()
            .filter(|_| subnet.pools.len() == 1)
            .and_then(|pool| pool.as_cidr())
            .map(|range| range.to_string())
            .unwrap_or_default(),
        gateway: subnet
            .gateway
            .map(|gateway| gateway.to_string())
            .unwrap_or_default(),
        auxiliary_addresses: subnet
            .reserved
            .iter()
            .map(|(name, ip)| (name.clone(), ip.to_string()))
            .collect(),
    });
    let containers = members.iter().filter_map(|view| {
        let endpoint = view
            .status
            .endpoints
            .iter()
            .find(|endpoint| endpoint.network == network.meta.id)?;
        let member = Member {
            name: view.instance.meta.name.clone(),
            endpoint_id: docker_id(endpoint.id),
            mac_address: endpoint.mac.clone(),
            ipv4_address: endpoint
                .ipv4
                .map(|(ip, prefix)| format!("{ip}/{prefix}"))
                .unwrap_or_default(),
            ipv6_address: endpoint
                .ipv6
                .map(|(ip, prefix)| format!("{ip}/{prefix}"))
                .unwrap_or_default(),
        };
        Some((docker_id(view.instance.meta.id), member))
    });
    wire::Network {
        name: network.meta.name.clone(),
        id: docker_id(network.meta.id),
        created: rfc3339(Some(network.meta.created_at)),
        scope: "local",
        driver: driver_word(spec.driver),
        enable_ipv4: has(true) || spec.driver != Driver::Bridge,
        enable_ipv6: has(false),
        ipam: Ipam {
            driver: if origin.ipam_driver.is_empty() {
                "default".to_owned()
            } else {
                origin.ipam_driver
            },
            options: origin.ipam_options,
            config: Some(config.collect()),
        },
        internal: spec.internal,
        attachable: origin.attachable,
        ingress: false,
        config_from: ConfigFrom::default(),
        config_only: false,
        containers: containers.collect(),
        options: origin.options,
        labels: network.meta.labels.clone(),
    }
}

/// The driver's name.
pub(crate) const fn driver_word(driver: Driver) -> &'static str {
    match driver {
        Driver::Bridge => "bridge",
        Driver::Host => "host",
        Driver::None => "null",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn create(ipam: IpamConfig) -> Create {
        Create {
            name: "n1".to_owned(),
            ipam: Some(Ipam {
                config: Some(vec![ipam]),
                ..Ipam::default()
            }),
            ..Create::default()
        }
    }

    #[test]
    fn ranges_are_read_with_all_their_parts() {
        let ipam = IpamConfig {
            subnet: "10.9.0.0/16".to_owned(),
            ip_range: "10.9.1.0/24".to_owned(),
            gateway: "10.9.0.254".to_owned(),
            auxiliary_addresses: BTreeMap::from([("router".to_owned(), "10.9.0.2".to_owned())]),
        };
        let new = to_model(create(ipam), Version::MAX).unwrap();
        assert_eq!(new.subnets[0].cidr.to_string(), "10.9.0.0/16");
        assert_eq!(new.subnets[0].gateway, Some("10.9.0.254".parse().unwrap()));
        assert_eq!(new.subnets[0].reserved.len(), 1);
        assert!(new.spec.dns);
    }

    #[test]
    fn options_of_the_bridge_reach_the_model_or_are_refused() {
        let with = |option: &str, value: &str| {
            let options = BTreeMap::from([(option.to_owned(), value.to_owned())]);
            to_model(
                Create {
                    name: "n1".to_owned(),
                    options,
                    ..Create::default()
                },
                Version::MAX,
            )
        };
        assert!(!with(INTER_INSTANCE, "false").unwrap().spec.inter_instance);
        assert_eq!(with(MTU, "1400").unwrap().spec.mtu, Some(1400));
        assert_eq!(
            with("com.docker.network.x", "1").unwrap_err().message,
            "Options: com.docker.network.x is not supported by this daemon"
        );
        assert!(with("x", "1").is_ok());
        assert!(with(MTU, "1").is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refusal = |create: Create| to_model(create, Version::MAX).unwrap_err();
        let named = |name: &str| Create {
            name: name.to_owned(),
            ..Create::default()
        };
        assert_eq!(
            refusal(named("host")).message,
            "operation is not permitted on predefined host network "
        );
        assert_eq!(refusal(named("")).message, "invalid name: name is empty");
        assert_eq!(
            refusal(Create {
                driver: "macvlan".to_owned(),
                ..named("n1")
            })
            .status,
            400
        );
        assert_eq!(
            refusal(Create {
                driver: "fancy".to_owned(),
                ..named("n1")
            })
            .status,
            404
        );
        let ipam = IpamConfig {
            subnet: "10.9.1.1/16".to_owned(),
            ..IpamConfig::default()
        };
        assert_eq!(
            refusal(create(ipam)).message,
            "invalid network config:\ninvalid subnet 10.9.1.1/16: it should be 10.9.0.0/16"
        );
        let spelled = IpamConfig {
            subnet: "FD00:0:0::/64".to_owned(),
            ..IpamConfig::default()
        };
        assert_eq!(subnet(&spelled).unwrap().cidr, "fd00::/64".parse().unwrap());
    }
}
