//! Stops a running instance.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::instance::{Failure, Instance, InstanceStatus, StopRequest};
use store::runner::Next;
use tokio::time::timeout;

use super::{Reconciler, Records, Step};
use crate::ReconcileError;
use crate::sightings::look_again;

/// The engine tells of an exit about when its stop answers; later than this it was missed.
const EXIT_IS_TOLD_WITHIN: Duration = Duration::from_secs(2);

impl Reconciler {
    /// Stops an instance. The exit is written down when it is seen.
    pub(super) async fn stop(
        &self,
        records: &Records,
        status: &InstanceStatus,
        how: StopRequest,
    ) -> Result<Step, ReconcileError> {
        let sightings = &*self.parts.sightings;
        if let Err(source) = self.stop_or_harder(records, how).await {
            let mut after = status.clone();
            after.error = Some(source.clone());
            if after != *status {
                self.write(records.id, after).await?;
            }
            return Err(ReconcileError::Engine {
                attempt: "stop an instance",
                source,
            });
        }
        if timeout(EXIT_IS_TOLD_WITHIN, sightings.exit_of(records.id))
            .await
            .is_err()
        {
            let asked = look_again(&*self.parts.engine, sightings).await;
            let exited = asked.map_err(ReconcileError::engine("ask how an instance ended"))?;
            if !exited.contains(&records.id) {
                return Ok(Step::Done(Next::After(EXIT_IS_TOLD_WITHIN)));
            }
        }
        Ok(Step::Again)
    }

    /// Stops an instance; while it takes its time, a user may ask again in another way.
    async fn stop_or_harder(&self, records: &Records, how: StopRequest) -> Result<(), Failure> {
        let instance = &*records.instance.value;
        let engine = &self.parts.engine;
        let stop = async |how: StopRequest| engine.stop(instance, &how).await;
        let mut changed = self.parts.store.watch_object(records.id);
        // An earlier request stays in force beside a newer one: whichever ends it first.
        let mut stops = FuturesUnordered::new();
        stops.push(stop(how.clone()));
        let mut asked = vec![how];
        loop {
            tokio::select! {
                Some(stopped) = stops.next() => return stopped,
                _ = changed.changed() => {
                    if let Some(newer) = self.newer_request(records, &asked) {
                        asked.push(newer.clone());
                        stops.push(stop(newer));
                    }
                }
            }
        }
    }

    /// A way to stop that was asked for and has not been tried.
    fn newer_request(&self, records: &Records, asked: &[StopRequest]) -> Option<StopRequest> {
        let instance = self.parts.store.get::<Instance>(records.id)?.value;
        let run = &instance.spec.run;
        let newer = run.stop.clone().filter(|_| !run.started)?;
        (!asked.contains(&newer)).then_some(newer)
    }
}
