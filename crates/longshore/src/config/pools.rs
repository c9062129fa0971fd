//! The flag `--default-address-pool` and the file's tables `default-address-pools`: what addresses
//! networks get, in dockerd's words.

use std::str::FromStr;

use actions::network::{AddressPool, AddressPools};
use anyhow::{Context as _, bail};
use model::network::Cidr;
use serde::Deserialize;

/// A pool, as it is written.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Table")]
pub(super) struct Pool(AddressPool);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    base: Cidr,
    size: u8,
}

/// The pools of the flags or, where there are none, of the file.
pub(super) fn of(flags: &[Pool], file: &[Pool]) -> AddressPools {
    let named = if flags.is_empty() { file } else { flags };
    if named.is_empty() {
        return AddressPools::default();
    }
    let pools: Vec<AddressPool> = named.iter().map(|pool| pool.0).collect();
    pools.into()
}

impl TryFrom<Table> for Pool {
    type Error = actions::network::AddressPoolError;

    fn try_from(Table { base, size }: Table) -> Result<Self, Self::Error> {
        AddressPool::new(base, size).map(Self)
    }
}

impl FromStr for Pool {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut base, mut size) = (None, None);
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("base", value)) => base = Some(value.parse()?),
                Some(("size", value)) => size = Some(value.parse().context("size")?),
                Some(_) | None => bail!("{field:?}: a pool is written base=CIDR,size=SIZE"),
            }
        }
        let (Some(base), Some(size)) = (base, size) else {
            bail!("a pool has a base and a size: base=CIDR,size=SIZE");
        };
        Ok(Self::try_from(Table { base, size })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pool_is_refused() {
        for (text, words) in [
            ("base=10.0.0.0/8", "a base and a size"),
            ("10.0.0.0/8", "base=CIDR,size=SIZE"),
            ("base=10.0.0.0/8,size=4", "8 to 30"),
            ("base=10.0.0.0,size=16", "not an address range"),
        ] {
            let error = text.parse::<Pool>().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
