//! The networks that every installation has: Docker's three, and OpenStack's external one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::ProjectId;
use model::network::{Cidr, Driver, Network, NetworkSpec};

use super::range::{of_range, taken};
use super::{NewNetwork, by_name, planned};
use crate::{ActionError, Caller, Cloud, ErrorKind};

/// Name of the network that instances are on when they name none.
pub const DEFAULT_NAME: &str = "bridge";

/// Name of the external network.
pub const EXTERNAL_NAME: &str = "public";

/// Ranges that a user chose for the networks that every installation has; `None` takes a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct PredefinedRanges {
    /// Of the default network.
    pub default: Option<Cidr>,
    /// Of the external network.
    pub external: Option<Cidr>,
}

/// Makes the networks that every installation has, unless they exist. What the node makes of them
/// is not waited for: an installation without its default network can still be looked at.
///
/// # Errors
/// When the store fails or no range is free.
pub async fn ensure_predefined(cloud: &Cloud, ranges: PredefinedRanges) -> Result<(), ActionError> {
    let caller = Caller::operator(String::new());
    for (name, driver) in [
        (DEFAULT_NAME, Driver::Bridge),
        ("host", Driver::Host),
        ("none", Driver::None),
    ] {
        if by_name(cloud, &caller, name).is_some() {
            continue;
        }
        let subnets = ranges
            .default
            .filter(|_| driver == Driver::Bridge)
            .map(of_range);
        let spec = NetworkSpec {
            driver,
            dns: false,
            predefined: true,
            ..NetworkSpec::default()
        };
        let new = NewNetwork {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            spec,
            ipv4: true,
            ipv6: false,
            subnets: subnets.into_iter().collect(),
        };
        let network = planned(cloud, &caller, new)?;
        let mut transaction = cloud.store.transaction();
        transaction.insert(network.meta.id, network);
        cloud.commit_durably(transaction).await?;
    }
    if by_name(cloud, &caller, EXTERNAL_NAME).is_none() {
        let range = match ranges.external {
            Some(range) => range,
            None => free_external_range(cloud)?,
        };
        let spec = NetworkSpec {
            external: true,
            shared: true,
            port_security: true,
            predefined: true,
            ..NetworkSpec::default()
        };
        let new = NewNetwork {
            name: EXTERNAL_NAME.to_owned(),
            labels: BTreeMap::new(),
            spec,
            ipv4: true,
            ipv6: false,
            subnets: vec![of_range(range)],
        };
        let network = planned(cloud, &caller, new)?;
        let mut transaction = cloud.store.transaction();
        transaction.insert(network.meta.id, network);
        cloud.commit_durably(transaction).await?;
    }
    Ok(())
}

/// A range for the external network: the first that is free of 172.24.4.0/24, as in devstack, and
/// those after it, so that daemons side by side have one each.
fn free_external_range(cloud: &Cloud) -> Result<Cidr, ActionError> {
    let mut candidates =
        (4..=255).filter_map(|third| Cidr::new(IpAddr::from([172, 24, third, 0]), 24));
    let taken = taken(cloud, &[]);
    candidates
        .find(|cidr| !taken.iter().any(|taken| taken.overlaps(cidr)))
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::Conflict,
                "no range of 172.24.0.0/16 is free for the external network; name one",
            )
        })
}

/// The network that instances are on when they name none.
pub(crate) fn default(cloud: &Cloud) -> Result<Arc<Network>, ActionError> {
    cloud
        .store
        .by_name::<Network>(ProjectId::ADMIN, DEFAULT_NAME)
        .map(|found| found.value)
        .ok_or_else(|| {
            ActionError::new(
                ErrorKind::NotFound,
                format!("network {DEFAULT_NAME} not found"),
            )
        })
}
