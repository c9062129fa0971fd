//! Starts an instance whose run is due.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use model::instance::{
    Endpoint, Exit, Failure, FailureKind, Health, Instance, InstanceStatus, Phase, Run,
};
use model::network::Network;
use model::volume::Volume;
use store::runner::Next;

use super::{Reconciler, Records, Step, link, not_found, until};
use crate::ReconcileError;

/// How often a restart that waits for another's looks again.
const LINKS_ARE_ASKED: Duration = Duration::from_millis(100);

impl Reconciler {
    /// Starts an instance that does not run, if it should and its time has come.
    pub(super) async fn start_if_due(&self, records: &Records) -> Result<Step, ReconcileError> {
        let intent = &records.instance.value.spec.run;
        let run = records.wanted_run();
        // Each run is tried once.
        let is_due =
            intent.started && run > records.last_run() && records.placement.epoch == run.epoch;
        if !is_due || (run.attempt > 0 && intent.stopped_by_user) {
            return Ok(Step::Done(Next::Change));
        }
        // There may be room later; the placement will say so.
        let has_no_room = |reason: &Failure| reason.kind == FailureKind::NoCapacity;
        if records.placement.reason.as_ref().is_some_and(has_no_room) {
            return Ok(Step::Done(Next::Change));
        }
        let not_before = records
            .retry
            .as_ref()
            .filter(|_| run.attempt > 0)
            .and_then(|retry| retry.not_before);
        if let Some(wait) = not_before.and_then(until) {
            return Ok(Step::Done(Next::After(wait)));
        }
        if run.attempt > 0 && link::is_awaited(&self.parts.store, &records.instance.value) {
            return Ok(Step::Done(Next::After(LINKS_ARE_ASKED)));
        }
        // What is known of its health is the last run's.
        drop(self.parts.sightings.take_health(records.id));
        let started = self.start(records, run).await;
        let mut status = records.status_to_write();
        status.run = run;
        status.generation = records.instance.value.meta.generation;
        status.health = None;
        self.parts.boot_id.clone_into(&mut status.boot_id);
        match started {
            Ok(started) => {
                status.phase = Phase::Running;
                status.pid = started.pid;
                status.started_at = Some(started.at);
                status.exit = None;
                status.error = None;
                status.endpoints = started.endpoints;
                status.ports = started.ports;
                status.health = is_checked(&records.instance.value).then(Health::starting);
            }
            Err(failure) => fail(&mut status, failure),
        }
        self.write(records.id, status).await?;
        Ok(Step::Again)
    }

    async fn start(&self, records: &Records, run: Run) -> Result<engine::Started, Failure> {
        if let Some(reason) = &records.placement.reason {
            return Err(reason.clone());
        }
        let instance = &*records.instance.value;
        // Closed only with the reconciler itself.
        let _turn = self.starts.acquire().await;
        if records.last_run() == Run::default() {
            self.make(records.id, instance).await?;
        }
        let endpoints = &records.placement.endpoints;
        crate::port::prepare(&self.parts.store, &*self.parts.engine, endpoints).await?;
        let networks = self.networks(endpoints).await?;
        for name in instance.spec.volumes() {
            let volume = self
                .parts
                .store
                .by_name::<Volume>(instance.meta.project, name)
                .ok_or_else(|| {
                    not_found(format!(
                        "volume {name} not found; create it, or the container anew"
                    ))
                })?;
            self.parts.engine.ensure_volume(&volume.value).await?;
        }
        let linked = link::variables(&self.parts.store, instance)?;
        let instance = told_of_links(instance, linked);
        self.parts
            .engine
            .start(&instance, run, endpoints, &networks)
            .await
    }

    /// The networks that endpoints are on, made on this node.
    pub(super) async fn networks(&self, endpoints: &[Endpoint]) -> Result<Vec<Network>, Failure> {
        let mut networks = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let network = self
                .parts
                .store
                .get::<Network>(endpoint.network)
                .ok_or_else(|| {
                    not_found(format!("network {} not found", endpoint.network.simple()))
                })?;
            self.parts
                .ensured
                .ensure(&*self.parts.engine, &network.value)
                .await?;
            networks.push(Network::clone(&network.value));
        }
        Ok(networks)
    }
}

/// Whether the health of an instance is checked, as soon as it runs.
fn is_checked(instance: &Instance) -> bool {
    let container = instance.spec.containers.first();
    let check = container.and_then(|container| container.health_check.as_ref());
    check.is_some_and(|check| !check.args.is_empty())
}

/// The instance with these variables before its own, which win.
fn told_of_links(instance: &Instance, mut variables: Vec<String>) -> Cow<'_, Instance> {
    if variables.is_empty() {
        return Cow::Borrowed(instance);
    }
    let mut instance = instance.clone();
    if let Some(container) = instance.spec.containers.first_mut() {
        variables.append(&mut container.env);
        container.env = variables;
    }
    Cow::Owned(instance)
}

/// Notes that a start failed, with the exit code that dockerd gives it. One that never ran stays
/// as created.
fn fail(status: &mut InstanceStatus, failure: Failure) {
    let code = match failure.kind {
        FailureKind::CommandNotFound => 127,
        FailureKind::CommandNotExecutable => 126,
        FailureKind::Invalid
        | FailureKind::Conflict
        | FailureKind::NotFound
        | FailureKind::NoCapacity
        | FailureKind::Internal => 128,
    };
    if status.phase != Phase::Created {
        status.phase = Phase::Exited;
    }
    status.pid = 0;
    status.exit = Some(Exit {
        code,
        oom_killed: false,
        at: Timestamp::now(),
    });
    status.error = Some(failure);
    status.endpoints.clear();
    status.ports.clear();
}
