//! Pools of addresses: what networks get that are made without a range. Pure.
//!
//! Source: moby, `default-address-pools` of `daemon.json`, and `daemon/libnetwork/ipamutils` for
//! those that dockerd has by itself.

use std::net::IpAddr;

use model::network::Cidr;

/// What dockerd has by itself: each a base, and the prefix of the ranges that it is cut into.
const DOCKERS: [([u8; 4], u8, u8); 6] = [
    ([172, 17, 0, 0], 16, 16),
    ([172, 18, 0, 0], 15, 16),
    ([172, 20, 0, 0], 14, 16),
    ([172, 24, 0, 0], 14, 16),
    ([172, 28, 0, 0], 14, 16),
    ([192, 168, 0, 0], 16, 20),
];

/// A range that is cut into ranges of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressPool {
    base: Cidr,
    /// The prefix of what it is cut into, in bits.
    size: u8,
}

/// Why something is no pool.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address pool {base} cannot be cut into ranges with a prefix of {size} bits; it takes {} to {most}",
    base.prefix()
)]
pub struct AddressPoolError {
    base: Cidr,
    size: u8,
    most: u8,
}

impl AddressPool {
    /// A pool of ranges with a prefix of `size` bits.
    ///
    /// # Errors
    /// When such a range is larger than the base, or has no room for a gateway and a container.
    pub fn new(base: Cidr, size: u8) -> Result<Self, AddressPoolError> {
        let most = if base.address().is_ipv4() { 30 } else { 126 };
        if (base.prefix()..=most).contains(&size) {
            Ok(Self { base, size })
        } else {
            Err(AddressPoolError { base, size, most })
        }
    }

    fn ranges(self) -> impl Iterator<Item = Cidr> {
        let bits = if self.base.address().is_ipv4() {
            32
        } else {
            128
        };
        let count = 1_u128 << (self.size - self.base.prefix()).min(127);
        (0..count).map_while(move |number| {
            let first = self.base.nth(number << (bits - self.size))?;
            Cidr::new(first, self.size)
        })
    }
}

/// The pools of an installation, in the order in which they are used.
#[derive(Clone, Debug)]
pub struct AddressPools(Vec<AddressPool>);

impl AddressPools {
    /// The ranges of a family, those of the first pool first; `None` where no pool is of it.
    pub(super) fn ranges(&self, is_v4: bool) -> Option<impl Iterator<Item = Cidr>> {
        let pools = self.0.iter().copied();
        let mut pools = pools
            .filter(move |pool| pool.base.address().is_ipv4() == is_v4)
            .peekable();
        pools.peek()?;
        Some(pools.flat_map(AddressPool::ranges))
    }
}

impl From<Vec<AddressPool>> for AddressPools {
    fn from(pools: Vec<AddressPool>) -> Self {
        Self(pools)
    }
}

impl Default for AddressPools {
    fn default() -> Self {
        let pool = |(address, prefix, size)| {
            let base = Cidr::new(IpAddr::from(address), prefix)?;
            AddressPool::new(base, size).ok()
        };
        Self(DOCKERS.into_iter().filter_map(pool).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(base: &str, size: u8) -> Result<AddressPool, AddressPoolError> {
        AddressPool::new(base.parse().unwrap(), size)
    }

    fn texts(pools: &AddressPools, is_v4: bool) -> Vec<String> {
        let ranges = pools.ranges(is_v4).into_iter().flatten();
        ranges.take(40).map(|range| range.to_string()).collect()
    }

    #[test]
    fn pools_are_cut_in_their_order() {
        let pools = AddressPools::from(vec![
            pool("10.9.0.0/30", 30).unwrap(),
            pool("10.8.0.0/16", 17).unwrap(),
            pool("fd00::/8", 127 - 1).unwrap(),
        ]);
        assert_eq!(
            texts(&pools, true),
            ["10.9.0.0/30", "10.8.0.0/17", "10.8.128.0/17"]
        );
        assert_eq!(texts(&pools, false)[..2], ["fd00::/126", "fd00::4/126"]);
    }

    #[test]
    fn by_itself_there_are_dockers() {
        let texts = texts(&AddressPools::default(), true);
        assert_eq!(texts.len(), 31);
        assert_eq!(
            (texts[0].as_str(), texts[14].as_str(), texts[30].as_str()),
            ("172.17.0.0/16", "172.31.0.0/16", "192.168.240.0/20")
        );
        assert!(AddressPools::default().ranges(false).is_none());
    }

    #[test]
    fn what_cannot_be_cut_is_no_pool() {
        for (base, size) in [("10.0.0.0/16", 15), ("10.0.0.0/16", 31), ("fd00::/8", 127)] {
            assert!(pool(base, size).is_err(), "{base} {size}");
        }
        let text = pool("10.0.0.0/16", 8).unwrap_err().to_string();
        assert!(text.ends_with("it takes 16 to 30"), "{text}");
    }
}
