//! Shapes of network requests and answers, named as in Go.
//!
//! Spec: Docker Engine API 1.51, `NetworkCreate`, `NetworkInspect`, `EndpointSettings`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::container::wire::is_false;
use crate::json::Shape;

/// How a container is on a network: what was asked for, and what it got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub(crate) ipam_config: Option<EndpointIpam>,
    pub(crate) links: Option<Vec<String>>,
    pub(crate) aliases: Option<Vec<String>>,
    pub(crate) mac_address: String,
    pub(crate) driver_opts: Option<BTreeMap<String, String>>,
    pub(crate) gw_priority: i64,
    #[serde(rename = "NetworkID")]
    pub(crate) network_id: String,
    #[serde(rename = "EndpointID")]
    pub(crate) endpoint_id: String,
    pub(crate) gateway: String,
    #[serde(rename = "IPAddress")]
    pub(crate) ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub(crate) ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    pub(crate) ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub(crate) global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub(crate) global_ipv6_prefix_len: u8,
    #[serde(rename = "DNSNames")]
    pub(crate) dns_names: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointIpam {
    #[serde(rename = "IPv4Address", skip_serializing_if = "String::is_empty")]
    pub(crate) ipv4_address: String,
    #[serde(rename = "IPv6Address", skip_serializing_if = "String::is_empty")]
    pub(crate) ipv6_address: String,
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
    pub(crate) link_local_ips: Vec<String>,
}

/// A network to make.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) scope: String,
    #[serde(rename = "EnableIPv4")]
    pub(crate) enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    pub(crate) enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    pub(crate) ipam: Option<Ipam>,
    pub(crate) internal: bool,
    pub(crate) attachable: bool,
    pub(crate) ingress: bool,
    pub(crate) config_only: bool,
    pub(crate) config_from: Option<ConfigFrom>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Shape for Create {
    const NAME: &'static str = "CreateRequest";
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct ConfigFrom {
    pub(crate) network: String,
}

/// How addresses are given out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Ipam {
    pub(crate) driver: String,
    pub(crate) options: Option<BTreeMap<String, String>>,
    pub(crate) config: Option<Vec<IpamConfig>>,
}

/// One range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct IpamConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    pub(crate) ip_range: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) gateway: String,
    #[serde(
        rename = "AuxiliaryAddresses",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) auxiliary_addresses: BTreeMap<String, String>,
}

/// What create answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    pub(crate) id: String,
    pub(crate) warning: String,
}

/// A container to put on a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Connect {
    pub(crate) container: String,
    pub(crate) endpoint_config: Option<EndpointSettings>,
}

impl Shape for Connect {
    const NAME: &'static str = "ConnectOptions";
}

/// A container to take from a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Disconnect {
    pub(crate) container: String,
    pub(crate) force: bool,
}

impl Shape for Disconnect {
    const NAME: &'static str = "DisconnectOptions";
}

/// A network as inspect and list show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) created: String,
    pub(crate) scope: &'static str,
    pub(crate) driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    pub(crate) enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    pub(crate) enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub(crate) ipam: Ipam,
    pub(crate) internal: bool,
    pub(crate) attachable: bool,
    pub(crate) ingress: bool,
    pub(crate) config_from: ConfigFrom,
    pub(crate) config_only: bool,
    pub(crate) containers: BTreeMap<String, Member>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A container on a network.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Member {
    pub(crate) name: String,
    #[serde(rename = "EndpointID")]
    pub(crate) endpoint_id: String,
    pub(crate) mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub(crate) ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub(crate) ipv6_address: String,
}

/// The origin document of a network: what was asked for and the model does not carry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Origin {
    pub(crate) options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) attachable: bool,
    pub(crate) ipam_driver: String,
    pub(crate) ipam_options: Option<BTreeMap<String, String>>,
}

impl Origin {
    /// Under which name networks carry it.
    pub(crate) const KEY: &'static str = "docker";

    pub(crate) fn of(spec: &model::network::NetworkSpec) -> Self {
        let document = spec.origin.get(Self::KEY).cloned().unwrap_or(Value::Null);
        serde_json::from_value(document).unwrap_or_default()
    }
}
