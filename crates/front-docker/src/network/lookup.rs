//! Finding a network by identifier, name, or the beginning of an identifier, in this order.

use std::sync::Arc;

use actions::network;
use model::network::Network;

use crate::error::ApiError;
use crate::front::At;
use crate::id::{Parsed, parse};

/// The network of this name or identifier; `default` is the default one.
pub(crate) fn find(at: &At, term: &str) -> Result<Arc<Network>, ApiError> {
    let parsed = parse(term);
    if let Parsed::Whole(id) = parsed
        && let Ok(network) = network::get(&at.cloud, &at.caller, id)
    {
        return Ok(network);
    }
    if let Some(network) = network::by_name(&at.cloud, &at.caller, term) {
        return Ok(network);
    }
    if let Parsed::Prefix(digits) = parsed {
        let mut found = network::by_id_prefix(&at.cloud, &at.caller, digits);
        match (found.pop(), found.len()) {
            (Some(network), 0) => return Ok(network),
            (Some(_), others) => {
                return Err(ApiError::invalid(format!(
                    "network {term} is ambiguous ({} matches found based on ID prefix)",
                    others + 1
                )));
            }
            (None, _) => {}
        }
    }
    Err(ApiError::not_found(format!("network {term} not found")))
}
