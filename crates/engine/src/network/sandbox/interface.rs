//! What an interface of a sandbox is to be: its name inside, and what was asked for with its network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::instance::{Attachment, Endpoint, Instance};

use super::super::error::NetworkError;
use super::super::record::Interface;

/// The interfaces of a new sandbox, in the order of its endpoints.
pub(super) fn all(
    instance: &Instance,
    endpoints: &[Endpoint],
) -> Result<Vec<Interface>, NetworkError> {
    let wanted = endpoints
        .iter()
        .map(|endpoint| (endpoint, attachment(instance, endpoint)));
    let wanted: Vec<_> = wanted.collect();
    let asked: Vec<_> = wanted
        .iter()
        .map(|(_, attachment)| asked(*attachment))
        .collect();
    let names = names(&asked, BTreeSet::new())?;
    let named = wanted.into_iter().zip(names);
    Ok(named
        .map(|((endpoint, attachment), name)| interface(endpoint, attachment, name))
        .collect())
}

/// One more beside those that a sandbox has.
pub(super) fn further(
    instance: &Instance,
    endpoint: &Endpoint,
    others: &[Interface],
) -> Result<Interface, NetworkError> {
    let attachment = attachment(instance, endpoint);
    let taken = others.iter().map(|other| other.name.clone()).collect();
    let name = names(&[asked(attachment)], taken)?.remove(0);
    Ok(interface(endpoint, attachment, name))
}

/// What an endpoint was made for.
pub(super) fn attachment<'a>(
    instance: &'a Instance,
    endpoint: &Endpoint,
) -> Option<&'a Attachment> {
    instance.spec.attachments.iter().find(|attachment| {
        if endpoint.port {
            attachment.port == Some(endpoint.id)
        } else {
            attachment.network == endpoint.network && attachment.port.is_none()
        }
    })
}

pub(in crate::network) fn addresses(endpoint: &Endpoint) -> Vec<IpAddr> {
    endpoint.addresses().map(|(address, _)| address).collect()
}

fn asked(attachment: Option<&Attachment>) -> Option<&str> {
    attachment?.interface.as_deref()
}

/// Names as they were asked for, the others the first free of `eth0`, `eth1`...
fn names(
    wanted: &[Option<&str>],
    mut taken: BTreeSet<String>,
) -> Result<Vec<String>, NetworkError> {
    for name in wanted.iter().flatten() {
        if !taken.insert((*name).to_owned()) {
            return Err(NetworkError::InterfaceTaken {
                name: (*name).to_owned(),
            });
        }
    }
    let mut numbered = (0_u32..).map(|number| format!("eth{number}"));
    let mut free = || numbered.find(|name| !taken.contains(name));
    let names = wanted.iter().map(|name| match name {
        Some(name) => (*name).to_owned(),
        None => free().unwrap_or_default(),
    });
    Ok(names.collect())
}

fn interface(endpoint: &Endpoint, attachment: Option<&Attachment>, name: String) -> Interface {
    let attachment = attachment.cloned();
    let Attachment {
        aliases,
        links,
        link_local,
        gateway_priority,
        ..
    } = attachment.unwrap_or_else(|| Attachment::new(endpoint.network));
    Interface {
        endpoint: endpoint.clone(),
        link_local,
        name,
        outer: String::new(),
        outer_index: 0,
        seat: None,
        aliases,
        links,
        gateway_priority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_asked_for_leave_the_others_what_is_free() {
        let all = |wanted: &[Option<&str>]| names(wanted, BTreeSet::new()).unwrap();
        assert_eq!(all(&[None, None]), ["eth0", "eth1"]);
        assert_eq!(all(&[None, Some("eth0"), None]), ["eth1", "eth0", "eth2"]);
        let taken = BTreeSet::from(["eth0".to_owned()]);
        assert_eq!(names(&[None], taken.clone()).unwrap(), ["eth1"]);
        let refused = names(&[Some("eth0")], taken).unwrap_err();
        assert!(matches!(refused, NetworkError::InterfaceTaken { .. }));
        assert!(names(&[Some("a"), Some("a")], BTreeSet::new()).is_err());
    }
}
