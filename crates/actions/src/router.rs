//! Routers: makes, changes, lists and removes them. Their legs on subnets are in [`interface`],
//! their way out by an external network in [`gateway`], further routes in [`route`].

use std::collections::BTreeSet;
use std::sync::Arc;

use model::port::{Allotment, FixedAddress, Port};
use model::quota::Resource;
use model::router::{Router, RouterSpec, RouterStatus};
use model::subnet::Route;
use model::{Id, Meta};
use store::{Transaction, Versioned};

use crate::policy::{self, Target};
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, durable, is_seen, port, quota};

mod gateway;
mod interface;
mod route;

pub use gateway::NewGateway;
pub(crate) use gateway::make_external_port;
pub use interface::{Interface, Leg, add_interface, remove_interface};

use gateway::{lead_out, refuse_gateway_needed};
use interface::subnets_of;
use route::check_routes;

/// A router as it is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was asked for.
    pub router: Arc<Router>,
    /// What its node saw; `None` before any did.
    pub status: Option<Arc<RouterStatus>>,
    /// The addresses of its way out.
    pub gateway_addresses: Vec<FixedAddress>,
}

/// What to make.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of a router")]
pub struct NewRouter {
    pub name: String,
    pub description: String,
    pub admin_up: bool,
    pub gateway: Option<NewGateway>,
    pub tags: BTreeSet<String>,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a router")]
pub struct RouterChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub admin_up: Option<bool>,
    pub gateway: Option<Option<NewGateway>>,
    pub routes: Option<Vec<Route>>,
    pub tags: Option<BTreeSet<String>>,
}

/// Makes a router.
///
/// # Errors
/// As [`update`].
pub async fn create(cloud: &Cloud, caller: &Caller, new: NewRouter) -> Result<View, ActionError> {
    caller.may(
        policy::Action::CreateRouter,
        &Target::project(caller.project()),
    )?;
    let router = Router {
        meta: Meta::new(new.name, caller.project(), cloud.now()),
        spec: RouterSpec {
            description: new.description,
            admin_up: new.admin_up,
            interfaces: Vec::new(),
            gateway: None,
            routes: Vec::new(),
            tags: new.tags,
        },
    };
    let id = router.meta.id;
    let wanted = [(Resource::Routers, 1)];
    let committed = quota::commit(cloud, router.meta.project, &wanted, |transaction| {
        transaction.insert(id, router.clone());
    });
    durable(committed.await?.durable).await?;
    if let Some(gateway) = new.gateway {
        let led_out = lead_out(cloud, caller, id, Some(gateway)).await;
        if let Err(error) = led_out {
            let mut transaction = cloud.store.transaction();
            transaction.delete::<Router>(id, None);
            cloud.commit_durably(transaction).await?;
            return Err(error);
        }
    }
    get(cloud, caller, id)
}

/// The routers that a caller may see.
#[must_use]
pub fn list(cloud: &Cloud, caller: &Caller) -> Vec<View> {
    let routers = cloud.store.list::<Router>().into_iter();
    routers
        .map(|(_, found)| found.value)
        .filter(|router| is_seen(caller, router.meta.project))
        .map(|router| view(cloud, router))
        .collect()
}

/// One router.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<View, ActionError> {
    record(cloud, caller, id).map(|found| view(cloud, found.value))
}

fn record(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Versioned<Router>, ActionError> {
    cloud
        .store
        .get::<Router>(id)
        .filter(|found| is_seen(caller, found.value.meta.project))
        .ok_or_else(|| Refusal::RouterNotFound(id).into())
}

fn view(cloud: &Cloud, router: Arc<Router>) -> View {
    let gateway = router.spec.gateway;
    View {
        status: cloud
            .store
            .get::<RouterStatus>(router.meta.id)
            .map(|found| found.value),
        gateway_addresses: gateway
            .map(|gateway| port::addresses(cloud, gateway.port))
            .unwrap_or_default(),
        router,
    }
}

/// Changes a router.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] without the network, [`crate::ErrorKind::Invalid`] for one that
/// is not external or a route that leads nowhere, [`crate::ErrorKind::Conflict`] for a way out that
/// a floating address needs.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: RouterChange,
) -> Result<View, ActionError> {
    caller.may(
        policy::Action::UpdateRouter,
        &Target::project(caller.project()),
    )?;
    record(cloud, caller, id)?;
    if let Some(gateway) = change.gateway.clone() {
        lead_out(cloud, caller, id, gateway).await?;
    }
    change_record(cloud, caller, id, |router, _| {
        if let Some(routes) = &change.routes {
            check_routes(cloud, router, routes)?;
            router.spec.routes.clone_from(routes);
        }
        if let Some(name) = &change.name {
            router.meta.name.clone_from(name);
        }
        if let Some(description) = &change.description {
            router.spec.description.clone_from(description);
        }
        if let Some(admin_up) = change.admin_up {
            router.spec.admin_up = admin_up;
        }
        if let Some(tags) = &change.tags {
            router.spec.tags.clone_from(tags);
        }
        Ok(())
    })
    .await?;
    get(cloud, caller, id)
}

/// Changes a router's record, and what `change` adds to the batch, again where somebody else
/// changed it meanwhile.
async fn change_record(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&mut Router, &mut Transaction) -> Result<(), ActionError>,
) -> Result<Arc<Router>, ActionError> {
    loop {
        let found = record(cloud, caller, id)?;
        let mut router = Router::clone(&found.value);
        let mut transaction = cloud.store.transaction();
        change(&mut router, &mut transaction)?;
        router.meta.generation += 1;
        router.meta.updated_at = Some(cloud.now());
        transaction.update(id, found.revision, router.clone());
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(Arc::new(router));
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a router without legs, and its way out.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] where it has legs, or a floating address needs it.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeleteRouter,
        &Target::project(caller.project()),
    )?;
    loop {
        let found = record(cloud, caller, id)?;
        if !found.value.spec.interfaces.is_empty() {
            return Err(Refusal::RouterInUse { router: id }.into());
        }
        let mut transaction = cloud.store.transaction();
        if let Some(gateway) = &found.value.spec.gateway {
            refuse_gateway_needed(cloud, id, gateway)?;
            transaction
                .delete::<Port>(gateway.port, None)
                .delete::<Allotment>(gateway.port, None);
        }
        // The status goes with the router's last node.
        transaction.delete::<Router>(id, Some(found.revision));
        match cloud.store.commit(transaction).await {
            Ok(committed) => return durable(committed.durable).await,
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The router that carries packets between a subnet and an external network.
pub(crate) fn between(cloud: &Cloud, subnet: Id, external: Id) -> Option<Arc<Router>> {
    let mut routers = cloud.store.list::<Router>().into_iter();
    routers
        .find(|(_, found)| {
            let router = &found.value;
            router
                .spec
                .gateway
                .is_some_and(|gateway| gateway.network == external)
                && subnets_of(cloud, router).iter().any(|leg| leg.id == subnet)
        })
        .map(|(_, found)| found.value)
}
