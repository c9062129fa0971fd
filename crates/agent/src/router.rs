//! Routers on this node: legs, ways and translation as the records say.
//!
//! Writes the [`RouterStatus`]: which legs and floating addresses work now.

use std::net::IpAddr;
use std::sync::Arc;

use engine::{Engine, LegPlan, NetworkPart, RouterPlan};
use model::instance::Failure;
use model::network::Network;
use model::port::{Allotment, Port, owner};
use model::router::{FloatingAddress, Router, RouterStatus};
use model::{Id, Kind};
use store::runner::Next;
use store::{Change, Part, Store};

use crate::{ReconcileError, seen};

/// Makes routers and removes them.
pub(crate) struct Reconciler {
    store: Store,
    engine: Arc<dyn Engine>,
    node: Id,
}

impl Reconciler {
    pub(crate) fn new(store: Store, engine: Arc<dyn Engine>, node: Id) -> Self {
        Self {
            store,
            engine,
            node,
        }
    }

    /// A router's place on a network; `None` while it has no addresses.
    fn leg(&self, id: Id) -> Option<LegPlan> {
        let port = self.store.get::<Port>(id)?.value;
        let allotment = self.store.get::<Allotment>(id)?.value;
        let network = self.store.get::<Network>(port.spec.network)?.value;
        let addresses = allotment.addresses.iter().filter_map(|fixed| {
            let subnet = network.spec.subnet(fixed.subnet)?;
            Some((fixed.address, subnet.cidr.prefix()))
        });
        Some(LegPlan {
            port: id,
            mac: port.spec.mac.clone(),
            addresses: addresses.collect(),
            network: Network::clone(&network),
        })
    }

    /// The floating addresses that a router carries: which, from where, and whereto.
    fn floating(&self, router: Id) -> Vec<(Id, IpAddr, IpAddr)> {
        let all = self.store.list::<FloatingAddress>().into_iter();
        all.filter_map(|(id, found)| {
            let spec = &found.value.spec;
            let target = spec.target.filter(|target| target.router == router)?;
            let held = self.store.get::<Allotment>(spec.port)?;
            let outside = held.value.addresses.first()?.address;
            Some((id, outside, target.address))
        })
        .collect()
    }

    fn plan(&self, router: &Router, floating: &[(Id, IpAddr, IpAddr)]) -> RouterPlan {
        let spec = &router.spec;
        let gateway = spec.gateway;
        let ports = spec.interfaces.iter().copied();
        let ports = ports.chain(gateway.map(|gateway| gateway.port));
        RouterPlan {
            id: router.meta.id,
            up: spec.admin_up,
            legs: ports.filter_map(|port| self.leg(port)).collect(),
            gateway: gateway.map(|gateway| gateway.port),
            snat: gateway.is_some_and(|gateway| gateway.snat),
            routes: spec.routes.clone(),
            floating: floating
                .iter()
                .map(|(_, outside, inside)| (*outside, *inside))
                .collect(),
        }
    }

    /// Routers that a change of something else than themselves concerns.
    fn around(&self, concerns: impl Fn(&Router) -> bool) -> Vec<Id> {
        let routers = self.store.list::<Router>().into_iter();
        routers
            .filter(|(_, found)| concerns(&found.value))
            .map(|(id, _)| id)
            .collect()
    }
}

impl store::runner::Reconciler for Reconciler {
    type Error = ReconcileError;
    const NAME: &'static str = "router on the node";
    const CONCURRENCY: usize = 2;

    fn all(&self) -> Vec<Id> {
        self.around(|_| true)
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        match (change.kind, change.part) {
            (Kind::Router, Part::Desired) => vec![change.id],
            (Kind::Port, _) => {
                let port = self.store.get::<Port>(change.id).map(|found| found.value);
                let is_routers = |port: &Arc<Port>| {
                    [owner::ROUTER_INTERFACE, owner::ROUTER_GATEWAY]
                        .contains(&port.spec.device_owner.as_str())
                };
                port.filter(is_routers)
                    .and_then(|port| port.spec.device_id.parse().ok())
                    .into_iter()
                    .collect()
            }
            (Kind::FloatingAddress, Part::Desired) => {
                // The router that it led by before is one of them, too.
                let network = change.value::<FloatingAddress>();
                let network = network.map(|floating| floating.spec.network);
                self.around(|router| {
                    let gateway = router.spec.gateway;
                    gateway.map(|gateway| gateway.network) == network
                })
            }
            (Kind::Network, Part::Desired) if !change.deleted => self.around(|router| {
                let spec = &router.spec;
                let ports = spec.interfaces.iter().copied();
                let mut ports = ports.chain(spec.gateway.map(|gateway| gateway.port));
                ports.any(|port| {
                    let port = self.store.get::<Port>(port);
                    port.is_some_and(|port| port.value.spec.network == change.id)
                })
            }),
            _ => Vec::new(),
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, ReconcileError> {
        let Some(found) = self.store.get::<Router>(id) else {
            let forgotten = self.engine.forget(NetworkPart::Router, id).await;
            forgotten.map_err(ReconcileError::engine("remove a router from this node"))?;
            let mut batch = self.store.transaction();
            batch.delete::<RouterStatus>(id, None);
            self.store.commit(batch).await?;
            return Ok(Next::Change);
        };
        let router = &*found.value;
        let floating = self.floating(id);
        let plan = self.plan(router, &floating);
        let made = self.engine.set_router(&plan).await;
        let failure: Option<Failure> = made.clone().err();
        let is_made = failure.is_none();
        let status = RouterStatus {
            generation: router.meta.generation,
            node: self.node,
            // Those of one that is switched off are there, too, and lead nowhere.
            ports: plan
                .legs
                .iter()
                .filter(|_| is_made)
                .map(|leg| leg.port)
                .collect(),
            floating: floating
                .iter()
                .filter(|_| is_made && plan.up && plan.gateway.is_some())
                .map(|(id, ..)| *id)
                .collect(),
            error: failure,
        };
        seen::note(&self.store, id, status).await?;
        made.map_err(ReconcileError::engine("make a router on this node"))?;
        Ok(Next::Change)
    }
}
