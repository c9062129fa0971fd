//! Why something on the network cannot be as it was asked for: the rules that clients know by name.
//!
//! An [`ActionError`] carries the rule it broke, so that a front end can name it as its protocol
//! does; the words are for people. The modules of the network's nouns refuse by it.

use std::net::IpAddr;

use model::Id;
use model::firewall::Family;
use model::network::Cidr;
use model::subnet::AddressRange;

use crate::{ActionError, ErrorKind};

/// The rule that a request broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it, and name the fields")]
pub enum Refusal {
    #[error("Network {0} could not be found.")]
    NetworkNotFound(Id),
    #[error("Subnet {0} could not be found.")]
    SubnetNotFound(Id),
    #[error("Port {0} could not be found.")]
    PortNotFound(Id),
    #[error("Security group {0} does not exist")]
    FirewallNotFound(Id),
    #[error("Security group rule {0} does not exist")]
    RuleNotFound(Id),
    #[error("Router {0} could not be found")]
    RouterNotFound(Id),
    #[error("Floating IP {0} could not be found")]
    FloatingNotFound(Id),

    #[error(
        "Unable to complete operation on network {network}. There are one or more ports still in use on the network, id for these ports is {}.",
        in_words(ports)
    )]
    NetworkInUse { network: Id, ports: Vec<Id> },
    #[error("network {network} is external and in use by routers or floating addresses")]
    ExternalInUse { network: Id },
    #[error("network {network} is shared and used by other projects")]
    SharedInUse { network: Id },
    #[error("subnet {subnet} is in use: {reason}")]
    SubnetInUse { subnet: Id, reason: String },
    #[error("subnet {cidr} of network {network} overlaps with another subnet: {other}")]
    SubnetsOverlap {
        network: Id,
        cidr: Cidr,
        other: Cidr,
    },
    #[error("the allocation pool {0} is not a range of addresses of one family, lowest first")]
    PoolInvalid(AddressRange),
    #[error("the allocation pool {pool} spans beyond the subnet {cidr}")]
    PoolOutside { pool: AddressRange, cidr: Cidr },
    #[error("the allocation pools {pool} and {other} of subnet {cidr} overlap")]
    PoolsOverlap {
        pool: AddressRange,
        other: AddressRange,
        cidr: Cidr,
    },
    #[error("the gateway {gateway} lies in the allocation pool {pool}")]
    GatewayInPool { gateway: IpAddr, pool: AddressRange },
    #[error("the gateway {gateway} is in use by port {port}")]
    GatewayInUse { gateway: IpAddr, port: Id },

    #[error("port {port} of network {network} is in use by {device}")]
    PortInUse {
        port: Id,
        network: Id,
        device: String,
    },
    #[error("port {port} cannot be deleted by itself: it belongs to {owner} {device}")]
    PortOwned {
        port: Id,
        owner: String,
        device: String,
    },
    #[error("the hardware address {mac} is in use on network {network}")]
    MacInUse { network: Id, mac: String },
    #[error("the address {address} is in use on network {network}")]
    AddressInUse { network: Id, address: IpAddr },
    #[error("no more addresses are available on network {network}")]
    AddressesExhausted { network: Id },
    #[error("the address {0} is not one of any subnet of the network")]
    AddressOutside(IpAddr),
    #[error("the address {0} is not one that the subnet can give")]
    AddressOutsideSubnet(IpAddr),
    #[error(
        "the address {address} cannot be asked for on subnet {subnet}: hosts make their own there"
    )]
    AddressSelfMade { subnet: Id, address: IpAddr },
    #[error("port security is needed for {needs} on port {port}")]
    PortSecurityNeeded { port: Id, needs: &'static str },
    #[error("port {port} has security groups or allowed pairs; port security cannot be off")]
    PortSecurityInUse { port: Id },

    #[error("Default security group already exists.")]
    DefaultFirewallExists,
    #[error("Insufficient rights for removing default security group.")]
    DefaultFirewallRemoved,
    #[error("Updating default security group not allowed.")]
    DefaultFirewallRenamed,
    #[error("Security Group {firewall} in use.")]
    FirewallInUse { firewall: Id },
    #[error("Security group rule already exists. Rule id is {rule}.")]
    RuleExists { rule: Id },
    #[error(
        "Security group rule protocol {protocol} not supported. It must be a known name, or a number from 0 to 255."
    )]
    RuleProtocol { protocol: String },
    #[error("Must also specify protocol if port range is given.")]
    RulePortsWithoutProtocol,
    #[error("Ports cannot be specified for protocol {protocol}.")]
    RulePortsOfProtocol { protocol: String },
    #[error("For TCP/UDP protocols, port_range_min must be <= port_range_max")]
    RulePortRange,
    #[error("Invalid value for port {port}")]
    RulePort { port: u16 },
    #[error("Invalid value for ICMP {field} {value}. It must be 0 to 255.")]
    RuleIcmpValue { field: &'static str, value: u16 },
    #[error(
        "ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing."
    )]
    RuleIcmpCodeWithoutType { code: u16 },
    #[error("Conflicting value ethertype {family} for CIDR {cidr}")]
    RuleFamily { family: Family, cidr: Cidr },

    #[error("router {router} still has interfaces")]
    RouterInUse { router: Id },
    #[error("router {router} has no interface {port}")]
    RouterHasNoPort { router: Id, port: Id },
    #[error("router {router} has no interface on subnet {subnet}")]
    RouterHasNoSubnet { router: Id, subnet: Id },
    #[error(
        "the interface of router {router} on subnet {subnet} is needed by a floating address or a route"
    )]
    RouterInterfaceNeeded { router: Id, subnet: Id },
    #[error("the gateway of router {router} to network {network} is needed by a floating address")]
    RouterGatewayNeeded { router: Id, network: Id },
    #[error("route to {destination} by {next_hop}: {reason}")]
    RouteInvalid {
        destination: Cidr,
        next_hop: IpAddr,
        reason: &'static str,
    },

    #[error("network {0} is not an external network")]
    NotExternal(Id),
    #[error("no address is left on external network {0}")]
    ExternalExhausted(Id),
    #[error("external network {network} cannot be reached from subnet {subnet} of port {port}")]
    FloatingUnreachable { network: Id, subnet: Id, port: Id },
    #[error("the address {fixed} of port {port} has a floating address on network {network}")]
    FloatingTaken {
        network: Id,
        port: Id,
        fixed: IpAddr,
    },
}

impl Refusal {
    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NetworkNotFound(_)
            | Self::SubnetNotFound(_)
            | Self::PortNotFound(_)
            | Self::FirewallNotFound(_)
            | Self::RuleNotFound(_)
            | Self::RouterNotFound(_)
            | Self::FloatingNotFound(_)
            | Self::RouterHasNoPort { .. }
            | Self::RouterHasNoSubnet { .. }
            | Self::FloatingUnreachable { .. } => ErrorKind::NotFound,
            Self::NetworkInUse { .. }
            | Self::ExternalInUse { .. }
            | Self::SharedInUse { .. }
            | Self::SubnetInUse { .. }
            | Self::PoolsOverlap { .. }
            | Self::GatewayInPool { .. }
            | Self::GatewayInUse { .. }
            | Self::PortInUse { .. }
            | Self::PortOwned { .. }
            | Self::MacInUse { .. }
            | Self::AddressInUse { .. }
            | Self::AddressesExhausted { .. }
            | Self::PortSecurityInUse { .. }
            | Self::PortSecurityNeeded { .. }
            | Self::DefaultFirewallExists
            | Self::DefaultFirewallRemoved
            | Self::DefaultFirewallRenamed
            | Self::FirewallInUse { .. }
            | Self::RuleExists { .. }
            | Self::RouterInUse { .. }
            | Self::RouterInterfaceNeeded { .. }
            | Self::RouterGatewayNeeded { .. }
            | Self::FloatingTaken { .. } => ErrorKind::Conflict,
            Self::SubnetsOverlap { .. }
            | Self::PoolInvalid(_)
            | Self::PoolOutside { .. }
            | Self::AddressOutside(_)
            | Self::AddressOutsideSubnet(_)
            | Self::AddressSelfMade { .. }
            | Self::RuleProtocol { .. }
            | Self::RulePortsWithoutProtocol
            | Self::RulePortsOfProtocol { .. }
            | Self::RulePortRange
            | Self::RulePort { .. }
            | Self::RuleIcmpValue { .. }
            | Self::RuleIcmpCodeWithoutType { .. }
            | Self::RuleFamily { .. }
            | Self::RouteInvalid { .. }
            | Self::NotExternal(_)
            | Self::ExternalExhausted(_) => ErrorKind::Invalid,
        }
    }
}

impl From<Refusal> for ActionError {
    fn from(refusal: Refusal) -> Self {
        let mut error = Self::new(refusal.kind(), refusal.to_string());
        error.refusal = Some(Box::new(refusal));
        error
    }
}

fn in_words(ids: &[Id]) -> String {
    let words: Vec<String> = ids.iter().map(Id::to_string).collect();
    words.join(", ")
}
