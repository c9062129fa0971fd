//! Changes a running instance: frozen or not, its interfaces, its limits.

use model::instance::{Failure, Instance, InstanceStatus, NetworkMode, Phase};
use model::network::{Driver, Network};
use store::runner::Next;

use super::{Reconciler, Records, Step, not_found};
use crate::ReconcileError;

impl Reconciler {
    /// Makes a running instance what its records say, and takes note of how far that went. What
    /// fails is not tried again by itself: the status says why, and the user decides.
    pub(super) async fn change(
        &self,
        records: &Records,
        status: &InstanceStatus,
    ) -> Result<Step, ReconcileError> {
        let instance = &*records.instance.value;
        let is_new = instance.meta.generation > status.generation;
        let mut after = status.clone();
        let mut failure = self.pause(instance, &mut after).await.err();
        failure = self.reconnect(records, &mut after).await.err().or(failure);
        let refusal = records
            .placement
            .reason
            .as_ref()
            .filter(|_| records.placement.generation >= instance.meta.generation);
        if is_new && refusal.is_none() && !self.is_placed(records) {
            // Its addresses are still to come; the change is complete only then.
            if after != *status {
                self.write(records.id, after).await?;
            }
            return Ok(Step::Done(Next::Change));
        }
        if is_new {
            failure = failure.or_else(|| refusal.cloned());
            failure = self.parts.engine.update(instance).await.err().or(failure);
            after.generation = instance.meta.generation;
            after.error = None;
        }
        if failure.is_some() {
            after.error = failure;
        }
        if after != *status {
            self.write(records.id, after).await?;
        }
        Ok(Step::Done(Next::Change))
    }

    async fn pause(&self, instance: &Instance, status: &mut InstanceStatus) -> Result<(), Failure> {
        let wanted = if instance.spec.run.paused {
            Phase::Paused
        } else {
            Phase::Running
        };
        if status.phase != wanted {
            self.parts
                .engine
                .set_paused(instance.meta.id, wanted == Phase::Paused)
                .await?;
            status.phase = wanted;
        }
        Ok(())
    }

    /// Takes interfaces away and adds them until they are those of the placement.
    async fn reconnect(
        &self,
        records: &Records,
        status: &mut InstanceStatus,
    ) -> Result<(), Failure> {
        let wanted = &records.placement.endpoints;
        let superfluous: Vec<_> = status
            .endpoints
            .iter()
            .filter(|has| !wanted.contains(has))
            .cloned()
            .collect();
        for endpoint in superfluous {
            self.parts
                .engine
                .disconnect(records.id, endpoint.id)
                .await?;
            status.endpoints.retain(|has| has.id != endpoint.id);
        }
        for endpoint in wanted {
            if status.endpoints.iter().any(|has| has.id == endpoint.id) {
                continue;
            }
            let only = std::slice::from_ref(endpoint);
            crate::port::prepare(&self.parts.store, &*self.parts.engine, only).await?;
            let networks = self.networks(only).await?;
            let network = networks.first().ok_or_else(|| {
                not_found(format!("network {} not found", endpoint.network.simple()))
            })?;
            self.parts
                .engine
                .connect(&records.instance.value, endpoint, network)
                .await?;
            status.endpoints.push(endpoint.clone());
        }
        Ok(())
    }

    /// Whether the placement has an endpoint for each attachment, and no other.
    fn is_placed(&self, records: &Records) -> bool {
        let spec = &records.instance.value.spec;
        let endpoints = &records.placement.endpoints;
        if spec.network != NetworkMode::Attached {
            return endpoints.is_empty();
        }
        let mut wanted: Vec<_> = spec
            .attachments
            .iter()
            .map(|attachment| attachment.network)
            .filter(|id| {
                let network = self.parts.store.get::<Network>(*id);
                network.is_none_or(|network| network.value.spec.driver == Driver::Bridge)
            })
            .collect();
        let mut has: Vec<_> = endpoints.iter().map(|endpoint| endpoint.network).collect();
        wanted.sort_unstable();
        has.sort_unstable();
        wanted == has
    }
}
