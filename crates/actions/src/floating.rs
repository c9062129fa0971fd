//! Floating addresses: of an external network, leading to a port's address or nowhere.
//!
//! The address itself is held by a port on the external network that belongs to the installation.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::port::{Allotment, FixedAddress, Port, owner};
use model::quota::Resource;
use model::router::{FloatingAddress, FloatingSpec, FloatingTarget, Router, RouterStatus};
use model::{Id, Meta};

use crate::error::invalid;
use crate::policy::{self, Target};
use crate::port::NewAddress;
use crate::refusal::Refusal;
use crate::{
    ActionError, Caller, Cloud, ErrorKind, durable, is_seen, network, port, quota, router,
};

/// A floating address as it is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for.
    pub floating: Arc<FloatingAddress>,
    /// The address; `None` in the moment of its removal.
    pub address: Option<IpAddr>,
    /// Packets reach its target now.
    pub active: bool,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct NewFloating {
    /// The external network.
    pub network: Id,
    /// The subnet it is to be of.
    pub subnet: Option<Id>,
    /// The address it is to be.
    pub address: Option<IpAddr>,
    /// Where it leads.
    pub target: Option<NewTarget>,
    /// For people.
    pub description: String,
    /// For selection.
    pub tags: BTreeSet<String>,
}

/// Where a floating address is to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTarget {
    /// The port.
    pub port: Id,
    /// Which of its addresses; `None` is its only one of IPv4.
    pub address: Option<IpAddr>,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a floating address")]
pub struct FloatingChange {
    pub target: Option<Option<NewTarget>>,
    pub description: Option<String>,
    pub tags: Option<BTreeSet<String>>,
}

/// Takes an address of an external network.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the network is not external, [`ErrorKind::Conflict`]
/// where the address or the target's is taken, [`ErrorKind::NotFound`] where no router leads
/// to the target.
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewFloating) -> Result<View, ActionError> {
    caller.may(
        policy::Action::CreateFloating,
        &Target::project(caller.project()),
    )?;
    let network = network::get(cloud, caller, new.network)
        .map_err(|_| Refusal::NetworkNotFound(new.network))?;
    if !network.spec.external {
        return Err(Refusal::NotExternal(new.network).into());
    }
    let target = match new.target {
        Some(target) => Some(resolved(cloud, caller, new.network, target)?),
        None => None,
    };
    let mut meta = Meta::new(String::new(), caller.project(), cloud.now());
    meta.id = Id::random();
    let wanted: Vec<NewAddress> = [NewAddress {
        subnet: new.subnet,
        address: new.address,
    }]
    .into_iter()
    .filter(|wanted| *wanted != NewAddress::default())
    .collect();
    let id = meta.id;
    let made = router::make_external_port(cloud, new.network, owner::FLOATING, id, &wanted).await?;
    let floating = FloatingAddress {
        meta,
        spec: FloatingSpec {
            network: new.network,
            port: made.port.meta.id,
            target,
            description: new.description,
            tags: new.tags,
        },
    };
    let inserted = loop {
        let mut transaction = cloud.store.transaction();
        transaction.insert(id, floating.clone());
        let claimed = claim(cloud, &mut transaction, id, new.network, target).and_then(|()| {
            let wanted = [(Resource::FloatingAddresses, 1)];
            quota::claim(cloud, &mut transaction, caller.project(), &wanted)
        });
        if let Err(error) = claimed {
            break Err(error);
        }
        match cloud.store.commit(transaction).await {
            Ok(committed) => break durable(committed.durable).await,
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) if quota::is_contended(&error) => {}
            Err(error) => break Err(error.into()),
        }
    };
    if let Err(error) = inserted {
        let mut transaction = cloud.store.transaction();
        port::remove_in(cloud, &mut transaction, made.port.meta.id);
        cloud.commit_durably(transaction).await?;
        return Err(error);
    }
    get(cloud, caller, id)
}

/// Takes an address of the external network of this name or identity; of the oldest one where none
/// is named. It leads nowhere yet.
///
/// # Errors
/// As [`create`]; [`ErrorKind::NotFound`] without such a network,
/// [`ErrorKind::Conflict`] where several are called so.
pub async fn create_from(
    cloud: &Cloud,
    caller: &Caller,
    called: Option<&str>,
) -> Result<View, ActionError> {
    caller.may(
        policy::Action::CreateFloating,
        &Target::project(caller.project()),
    )?;
    let mut external = network::list_all(cloud, caller);
    external.retain(|network| {
        let is_it = |name: &str| {
            name == network.meta.name || name.parse().is_ok_and(|id: Id| id == network.meta.id)
        };
        network.spec.external && called.is_none_or(is_it)
    });
    if let (Some(name), 2..) = (called, external.len()) {
        let message = format!("Multiple floating IP pools matches found for name '{name}'");
        return Err(ActionError::new(ErrorKind::Conflict, message));
    }
    let network = external.first().map(|network| network.meta.id);
    let network = network
        .ok_or_else(|| ActionError::new(ErrorKind::NotFound, "Floating IP pool not found."))?;
    let new = NewFloating {
        network,
        subnet: None,
        address: None,
        target: None,
        description: String::new(),
        tags: BTreeSet::new(),
    };
    create(cloud, caller, new).await
}

/// Checks that nobody else's floating address of the network leads to a target, and has the batch
/// refused where the target's port or router change meanwhile.
///
/// Every claim writes both anew, so that of two at once, or of one and a removal, one is refused.
fn claim(
    cloud: &Cloud,
    transaction: &mut store::Transaction,
    id: Id,
    network: Id,
    target: Option<FloatingTarget>,
) -> Result<(), ActionError> {
    let Some(target) = target else {
        return Ok(());
    };
    let port = cloud.store.get::<Port>(target.port);
    let port = port.ok_or(Refusal::PortNotFound(target.port))?;
    let all = cloud.store.list::<FloatingAddress>();
    let is_taken = all.iter().any(|(other, found)| {
        let known = found.value.spec.target;
        *other != id
            && found.value.spec.network == network
            && known
                .is_some_and(|known| known.port == target.port && known.address == target.address)
    });
    if is_taken {
        return Err(Refusal::FloatingTaken {
            network,
            port: target.port,
            fixed: target.address,
        }
        .into());
    }
    let router = cloud.store.get::<Router>(target.router);
    let router = router.ok_or(Refusal::RouterNotFound(target.router))?;
    transaction
        .update(target.port, port.revision, Port::clone(&port.value))
        .update(target.router, router.revision, Router::clone(&router.value));
    Ok(())
}

/// Finds the address and the router of a target.
fn resolved(
    cloud: &Cloud,
    caller: &Caller,
    network: Id,
    target: NewTarget,
) -> Result<FloatingTarget, ActionError> {
    let view = port::get(cloud, caller, target.port)?;
    let v4: Vec<&FixedAddress> = view
        .addresses
        .iter()
        .filter(|fixed| fixed.address.is_ipv4())
        .collect();
    let fixed = match (target.address, v4.as_slice()) {
        (Some(wanted), all) => all
            .iter()
            .find(|fixed| fixed.address == wanted)
            .ok_or_else(|| {
                invalid(format!(
                    "Port {} does not have fixed ip {wanted}",
                    target.port
                ))
            })?,
        (None, [only]) => only,
        (None, []) => {
            return Err(invalid(format!(
                "Cannot add floating IP to port {} that has no fixed IPv4 addresses",
                target.port
            )));
        }
        (None, _) => {
            return Err(invalid(format!(
                "Port {} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP",
                target.port
            )));
        }
    };
    let router =
        router::between(cloud, fixed.subnet, network).ok_or(Refusal::FloatingUnreachable {
            network,
            subnet: fixed.subnet,
            port: target.port,
        })?;
    Ok(FloatingTarget {
        port: target.port,
        address: fixed.address,
        router: router.meta.id,
    })
}

/// The floating addresses that a caller may see.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<View> {
    let all = cloud.store.list::<FloatingAddress>().into_iter();
    all.map(|(_, found)| found.value)
        .filter(|floating| is_seen(caller, floating.meta.project))
        .map(|floating| view(cloud, floating))
        .collect()
}

/// One floating address.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    cloud
        .store
        .get::<FloatingAddress>(id)
        .map(|found| found.value)
        .filter(|floating| is_seen(caller, floating.meta.project))
        .map(|floating| view(cloud, floating))
        .ok_or_else(|| Refusal::FloatingNotFound(id).into())
}

fn view(cloud: &Cloud, floating: Arc<FloatingAddress>) -> View {
    let id = floating.meta.id;
    let status = floating
        .spec
        .target
        .and_then(|target| cloud.store.get::<RouterStatus>(target.router));
    View {
        address: port::addresses(cloud, floating.spec.port)
            .first()
            .map(|fixed| fixed.address),
        active: status.is_some_and(|status| status.value.floating.contains(&id)),
        floating,
    }
}

/// Has a floating address lead elsewhere, or nowhere; at once.
///
/// # Errors
/// As [`create`].
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: FloatingChange,
) -> Result<View, ActionError> {
    caller.may(
        policy::Action::UpdateFloating,
        &Target::project(caller.project()),
    )?;
    loop {
        get(cloud, caller, id)?;
        let found = cloud
            .store
            .get::<FloatingAddress>(id)
            .ok_or(Refusal::FloatingNotFound(id))?;
        let mut floating = FloatingAddress::clone(&found.value);
        let mut transaction = cloud.store.transaction();
        if let Some(target) = change.target {
            let network = floating.spec.network;
            floating.spec.target = match target {
                Some(target) => Some(resolved(cloud, caller, network, target)?),
                None => None,
            };
            claim(cloud, &mut transaction, id, network, floating.spec.target)?;
        }
        if let Some(description) = &change.description {
            floating.spec.description.clone_from(description);
        }
        if let Some(tags) = &change.tags {
            floating.spec.tags.clone_from(tags);
        }
        floating.meta.generation += 1;
        floating.meta.updated_at = Some(cloud.now());
        transaction.update(id, found.revision, floating);
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return get(cloud, caller, id);
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives a floating address back.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeleteFloating,
        &Target::project(caller.project()),
    )?;
    let view = get(cloud, caller, id)?;
    let port = view.floating.spec.port;
    let mut transaction = cloud.store.transaction();
    transaction
        .delete::<FloatingAddress>(id, None)
        .delete::<Port>(port, None)
        .delete::<Allotment>(port, None);
    cloud.commit_durably(transaction).await
}
