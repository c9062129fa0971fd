//! Ports and firewalls on this node: what may pass is said before anything plugs in, and follows
//! the records while something is.

use std::collections::HashSet;
use std::sync::Arc;

use engine::{Engine, Guard, NetworkPart};
use model::firewall::{Firewall, Remote};
use model::instance::{Endpoint, Failure, FailureKind};
use model::port::{Allotment, Port};
use model::{Id, Kind};
use store::runner::Next;
use store::{Change, Part, Store};

use crate::ReconcileError;

/// Keeps guards and firewalls as the records say.
pub(crate) struct Reconciler {
    store: Store,
    engine: Arc<dyn Engine>,
}

impl Reconciler {
    pub(crate) fn new(store: Store, engine: Arc<dyn Engine>) -> Self {
        Self { store, engine }
    }
}

/// What may pass at a port; `None` where the port, or its addresses, do not exist.
fn guard(store: &Store, id: Id) -> Option<Guard> {
    let port = store.get::<Port>(id)?.value;
    let allotment = store.get::<Allotment>(id)?.value;
    let spec = &port.spec;
    Some(Guard {
        port: id,
        mac: spec.mac.clone(),
        addresses: allotment
            .addresses
            .iter()
            .map(|fixed| fixed.address)
            .collect(),
        pairs: spec.allowed_pairs.clone(),
        secure: spec.port_security,
        up: spec.admin_up,
        firewalls: spec.firewalls.clone(),
    })
}

/// Has the engine know everything that ports of endpoints rest on.
pub(crate) async fn prepare(
    store: &Store,
    engine: &dyn Engine,
    endpoints: &[Endpoint],
) -> Result<(), Failure> {
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.port) {
        let guard = guard(store, endpoint.id).ok_or_else(|| Failure {
            kind: FailureKind::NotFound,
            message: format!("port {} not found", endpoint.id),
        })?;
        say(store, engine, &guard).await?;
    }
    Ok(())
}

/// Tells the engine of a guard, and first of the firewalls it rests on.
async fn say(store: &Store, engine: &dyn Engine, guard: &Guard) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let mut waiting = guard.firewalls.clone();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(firewall) = store.get::<Firewall>(id) else {
            continue;
        };
        engine.set_firewall(&firewall.value).await?;
        if guard.firewalls.contains(&id) {
            let rules = firewall.value.spec.rules.iter();
            waiting.extend(rules.filter_map(|rule| match rule.remote {
                Remote::Firewall(id) => Some(id),
                Remote::Any | Remote::Prefix(_) => None,
            }));
        }
    }
    engine.set_guard(guard).await
}

/// Has the engine forget what the records do not have any more.
pub(crate) async fn sweep(store: &Store, engine: &dyn Engine) {
    for (part, id) in engine.network_parts().await {
        let is_known = match part {
            NetworkPart::Firewall => store.get::<Firewall>(id).is_some(),
            NetworkPart::Port => store.get::<Port>(id).is_some(),
            NetworkPart::Router => store.get::<model::router::Router>(id).is_some(),
        };
        if !is_known && let Err(error) = engine.forget(part, id).await {
            tracing::warn!(?part, %id, %error, "something is left of what was removed");
        }
    }
}

impl store::runner::Reconciler for Reconciler {
    type Error = ReconcileError;
    const NAME: &'static str = "port on the node";
    const CONCURRENCY: usize = 4;

    fn all(&self) -> Vec<Id> {
        // Those that something plugs into are said by its start, and were kept by the engine.
        let ports = self.store.list::<Port>().into_iter().map(|(id, _)| id);
        let firewalls = self.store.list::<Firewall>().into_iter().map(|(id, _)| id);
        ports.chain(firewalls).collect()
    }

    fn concerns(&self, change: &Change) -> Vec<Id> {
        match (change.kind, change.part) {
            (Kind::Port, _) | (Kind::Firewall, Part::Desired) => vec![change.id],
            _ => Vec::new(),
        }
    }

    async fn reconcile(&self, id: Id) -> Result<Next, ReconcileError> {
        let engine = &*self.engine;
        if let Some(firewall) = self.store.get::<Firewall>(id) {
            let set = engine.set_firewall(&firewall.value).await;
            set.map_err(ReconcileError::engine("change a firewall on this node"))?;
        } else if self.store.get::<Port>(id).is_some() {
            if let Some(guard) = guard(&self.store, id) {
                let said = say(&self.store, engine, &guard).await;
                said.map_err(ReconcileError::engine("guard a port on this node"))?;
            }
        } else {
            for part in [NetworkPart::Port, NetworkPart::Firewall] {
                let forgotten = engine.forget(part, id).await;
                forgotten.map_err(ReconcileError::engine("forget a port on this node"))?;
            }
        }
        Ok(Next::Change)
    }
}
