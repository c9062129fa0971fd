//! Hardware addresses of ports: checked ones of users, and free ones.

use model::Id;
use model::port::Port;

use crate::error::invalid;
use crate::{ActionError, Cloud};

/// A hardware address in lower case, with colons.
pub(super) fn checked_mac(text: &str) -> Result<String, ActionError> {
    let wrong = || invalid(format!("'{text}' is not a valid MAC address"));
    let bytes: Vec<u8> = text
        .split([':', '-'])
        .map(|part| {
            u8::from_str_radix(part, 16)
                .ok()
                .filter(|_| part.len() == 2)
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    // A group's address, or none at all, is nobody's.
    if bytes.len() != 6 || bytes[0] & 1 == 1 || bytes.iter().all(|byte| *byte == 0) {
        return Err(wrong());
    }
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(parts.join(":"))
}

pub(super) fn has_mac(cloud: &Cloud, network: Id, mac: &str, except: Option<Id>) -> bool {
    cloud.store.list::<Port>().iter().any(|(id, found)| {
        let spec = &found.value.spec;
        Some(*id) != except && spec.network == network && spec.mac == mac
    })
}

/// A hardware address with OpenStack's prefix that no port of the network has.
pub(crate) fn free_mac(cloud: &Cloud, network: Id) -> String {
    loop {
        let [a, b, c, ..] = *Id::random().as_bytes();
        let mac = format!("fa:16:3e:{a:02x}:{b:02x}:{c:02x}");
        if !has_mac(cloud, network, &mac, None) {
            return mac;
        }
    }
}
