//! Logs of the simulated engine, kept whole in memory.

use std::sync::Arc;
use std::time::Duration;

use model::Id;
use model::instance::Failure;
use model::stream::{LogLine, LogOptions, Stream};
use tokio::sync::{mpsc, watch};

use super::World;

/// Reads a log, and follows it where `options` say so. `grew` changes with it and when a run ends.
pub(super) fn read(
    world: &Arc<World>,
    id: Id,
    options: LogOptions,
    mut grew: watch::Receiver<u64>,
) -> mpsc::Receiver<Result<Vec<LogLine>, Failure>> {
    let (sender, receiver) = mpsc::channel(1);
    let world = Arc::clone(world);
    let _task = tokio::spawn(async move {
        let mut read = None;
        loop {
            grew.borrow_and_update();
            let Some((lines, next, runs)) = world.lines(id, &options, read) else {
                return;
            };
            let is_late = options.until.is_some_and(|until| world.now() > until);
            if !lines.is_empty() && sender.send(Ok(lines)).await.is_err() {
                return;
            }
            read = Some(next);
            if !options.follow || !runs || is_late {
                return;
            }
            tokio::select! {
                changed = grew.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
                () = world.until(options.until) => {}
            }
        }
    });
    receiver
}

impl World {
    async fn until(&self, time: Option<jiff::Timestamp>) {
        match time {
            None => std::future::pending().await,
            Some(time) => {
                let left = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
                tokio::time::sleep(left + Duration::from_millis(1)).await;
            }
        }
    }

    /// Lines wanted from number `from` on (from the tail, where there is none), the number of the
    /// next one, and whether more may come.
    fn lines(
        &self,
        id: Id,
        options: &LogOptions,
        from: Option<usize>,
    ) -> Option<(Vec<LogLine>, usize, bool)> {
        let state = self.state();
        let body = state.instances.get(&id)?;
        let wanted = |line: &&LogLine| {
            let stream = match line.stream {
                Stream::Stdout => options.stdout,
                Stream::Stderr => options.stderr,
            };
            let at = line.at;
            stream
                && options.since.is_none_or(|since| at >= since)
                && options.until.is_none_or(|until| at <= until)
        };
        // The tail counts the lines of both streams, as Docker's does.
        let tail = options.tail.and_then(|tail| usize::try_from(tail).ok());
        let from =
            from.unwrap_or_else(|| body.log.len().saturating_sub(tail.unwrap_or(usize::MAX)));
        let lines = body.log.iter().skip(from).filter(wanted).cloned().collect();
        Some((lines, body.log.len(), body.running().is_some()))
    }
}
