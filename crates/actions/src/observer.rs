//! Follows the store: wakes those who wait for an object, and tells events from what changed.
//!
//! One task per [`crate::Cloud`]. An event is told before anyone who waits for the same change is
//! woken, so that what a caller says afterwards comes after it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use model::event::{Action, Event, Subject};
use model::instance::{Instance, InstanceStatus, Phase};
use model::network::Network;
use model::volume::Volume;
use model::{Id, Kind};
use store::record::Part;
use tokio::sync::{Notify, broadcast};

use crate::nodes::News;

/// Events kept for those who ask for what has been.
const REMEMBERED_EVENTS: usize = 1024;

/// Wakes waiters and tells events.
pub(crate) struct Observer {
    waiters: Mutex<HashMap<Id, Weak<Waiter>>>,
    remembered: Mutex<VecDeque<Arc<Event>>>,
    live: broadcast::Sender<Arc<Event>>,
}

/// Someone who waits for changes of one object.
pub(crate) struct Waiter {
    changed: Notify,
    /// The newest status seen, which outlives the object itself.
    last: Mutex<Option<Arc<InstanceStatus>>>,
    /// The object is gone, and `last` was all there was to see of it.
    gone: AtomicBool,
}

impl Waiter {
    /// Asks `check` now and after each change, until it answers.
    pub(crate) async fn until<T>(&self, mut check: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(answer) = check() {
                return answer;
            }
            changed.await;
        }
    }

    /// The newest status seen since the wait began.
    pub(crate) fn last(&self) -> Option<Arc<InstanceStatus>> {
        lock(&self.last).clone()
    }

    /// Whether the object is gone, and [`Self::last`] was all there was to see of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

/// What a lock guards here is always whole, so a panic elsewhere does not spoil it.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the observer last saw of an instance, to tell what changed.
struct Seen {
    instance: Arc<Instance>,
    status: Option<Arc<InstanceStatus>>,
}

impl Observer {
    pub(crate) fn spawn(store: store::Store) -> Arc<Self> {
        let (live, _) = broadcast::channel(REMEMBERED_EVENTS);
        let observer = Arc::new(Self {
            waiters: Mutex::default(),
            remembered: Mutex::default(),
            live,
        });
        let mut watch = store.watch();
        let mut follower = Follower::new(&store);
        let weak = Arc::downgrade(&observer);
        // The task ends at the first change after the last clone of the cloud is gone.
        drop(tokio::spawn(async move {
            loop {
                let notice = watch.next().await;
                let Some(observer) = weak.upgrade() else {
                    return;
                };
                match notice {
                    store::Notice::Changed(change) => follower.follow(&observer, &change),
                    store::Notice::Resync => {
                        follower = Follower::new(&store);
                        observer.wake_all(&follower);
                    }
                }
            }
        }));
        observer
    }

    /// Tells of what nodes see, and of what is on no record.
    pub(crate) fn follow_news(
        self: &Arc<Self>,
        store: store::Store,
        mut news: broadcast::Receiver<News>,
    ) {
        let weak = Arc::downgrade(self);
        drop(tokio::spawn(async move {
            loop {
                let news = match news.recv().await {
                    Ok(news) => news,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                let Some(observer) = weak.upgrade() else {
                    return;
                };
                let (id, action, attributes) = match news {
                    News::Signal(id, number) => {
                        let signal = ("signal", number.to_string());
                        (id, Action::Killed, vec![signal])
                    }
                    News::ExecDied(id, exec, code) => {
                        let exit_code = ("exitCode", code.to_string());
                        (id, Action::ExecDied, vec![("execID", exec), exit_code])
                    }
                };
                let Some(instance) = store.get::<Instance>(id) else {
                    continue;
                };
                let mut event = instance_event(&instance.value, action);
                let attributes = attributes.into_iter();
                let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
                event.attributes.extend(attributes);
                observer.tell(event);
            }
        }));
    }

    /// Registers a wait for changes of `id`, which lasts until it is dropped.
    pub(crate) fn waiter(&self, id: Id) -> Arc<Waiter> {
        let mut waiters = lock(&self.waiters);
        if let Some(waiter) = waiters.get(&id).and_then(Weak::upgrade) {
            return waiter;
        }
        if waiters.len() > 64 {
            waiters.retain(|_, waiter| waiter.strong_count() > 0);
        }
        let waiter = Arc::new(Waiter {
            changed: Notify::new(),
            last: Mutex::new(None),
            gone: AtomicBool::new(false),
        });
        waiters.insert(id, Arc::downgrade(&waiter));
        waiter
    }

    pub(crate) fn tell(&self, event: Event) {
        let event = Arc::new(event);
        let mut remembered = lock(&self.remembered);
        if remembered.len() == REMEMBERED_EVENTS {
            remembered.pop_front();
        }
        remembered.push_back(event.clone());
        // Sent under the lock, so that a subscriber sees each event exactly once.
        let _listeners = self.live.send(event);
    }

    pub(crate) fn subscribe(&self) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
        let remembered = lock(&self.remembered);
        (remembered.iter().cloned().collect(), self.live.subscribe())
    }

    fn wake(&self, id: Id, status: Option<&Arc<InstanceStatus>>) {
        let waiter = lock(&self.waiters).get(&id).and_then(Weak::upgrade);
        if let Some(waiter) = waiter {
            if let Some(status) = status {
                *lock(&waiter.last) = Some(status.clone());
            }
            waiter.changed.notify_waiters();
        }
    }

    /// Notes that an object is gone, before those who wait for it are woken.
    fn note_gone(&self, id: Id) {
        if let Some(waiter) = lock(&self.waiters).get(&id).and_then(Weak::upgrade) {
            waiter.gone.store(true, Ordering::Release);
        }
    }

    fn wake_all(&self, follower: &Follower) {
        for (id, waiter) in lock(&self.waiters).iter() {
            let Some(waiter) = waiter.upgrade() else {
                continue;
            };
            if !follower.seen.contains_key(id) {
                waiter.gone.store(true, Ordering::Release);
            }
            waiter.changed.notify_waiters();
        }
    }
}

/// The state from which the observer tells what changed.
struct Follower {
    seen: HashMap<Id, Seen>,
}

impl Follower {
    fn new(store: &store::Store) -> Self {
        let seen = store
            .list::<Instance>()
            .into_iter()
            .map(|(id, instance)| {
                let status = store.get::<InstanceStatus>(id).map(|found| found.value);
                (
                    id,
                    Seen {
                        instance: instance.value,
                        status,
                    },
                )
            })
            .collect();
        Self { seen }
    }

    fn follow(&mut self, observer: &Observer, change: &store::Change) {
        match (change.kind, change.part) {
            (Kind::Instance, Part::Desired) => {
                self.instance_changed(observer, change);
                if change.deleted {
                    observer.note_gone(change.id);
                }
                observer.wake(change.id, None);
            }
            (Kind::Instance, Part::Observed) => {
                let status = change.value::<InstanceStatus>();
                if let Some(status) = &status {
                    self.status_changed(observer, change.id, status);
                }
                observer.wake(change.id, status.as_ref());
            }
            (Kind::Network, Part::Desired) => {
                if change.deleted
                    && let Some(network) = change.value::<Network>()
                {
                    observer.tell(network_event(&network, Action::Deleted));
                }
                observer.wake(change.id, None);
            }
            (Kind::Volume, Part::Desired) => {
                if change.deleted
                    && let Some(volume) = change.value::<Volume>()
                {
                    observer.tell(volume_event(&volume, Action::Deleted));
                }
                observer.wake(change.id, None);
            }
            // Of the other nouns nobody listens for more than that something changed.
            _ => observer.wake(change.id, None),
        }
    }

    fn instance_changed(&mut self, observer: &Observer, change: &store::Change) {
        let Some(instance) = change.value::<Instance>() else {
            return;
        };
        if change.deleted {
            self.seen.remove(&change.id);
            observer.tell(instance_event(&instance, Action::Deleted));
            return;
        }
        match self.seen.get_mut(&change.id) {
            Some(seen) => seen.instance = instance,
            None => {
                self.seen.insert(
                    change.id,
                    Seen {
                        instance,
                        status: None,
                    },
                );
            }
        }
    }

    fn status_changed(&mut self, observer: &Observer, id: Id, status: &Arc<InstanceStatus>) {
        let Some(seen) = self.seen.get_mut(&id) else {
            return;
        };
        let before = seen.status.replace(status.clone());
        for event in status_events(&seen.instance, before.as_deref(), status) {
            observer.tell(event);
        }
    }
}

/// What happened between two statuses of an instance, in order.
fn status_events(
    instance: &Instance,
    before: Option<&InstanceStatus>,
    after: &InstanceStatus,
) -> Vec<Event> {
    let mut events = Vec::new();
    let is_up = |status: &InstanceStatus| matches!(status.phase, Phase::Running | Phase::Paused);
    let same_run = before.is_some_and(|before| before.run == after.run);
    let was_up = before.is_some_and(is_up);
    let died = after.exit.is_some() && before.is_none_or(|before| before.exit != after.exit);

    let started = (is_up(after) || (died && !is_up(after) && after.started_at.is_some()))
        && !(was_up && same_run);
    if was_up && !same_run && died {
        push_died(&mut events, instance, after);
    }
    for endpoint in &after.endpoints {
        if before.is_none_or(|before| before.endpoints.iter().all(|known| known.id != endpoint.id))
        {
            events.push(endpoint_event(
                instance,
                endpoint.network,
                Action::Connected,
            ));
        }
    }
    if started {
        events.push(instance_event(instance, Action::Started));
    }
    if was_up && same_run || started {
        let was_paused = before.is_some_and(|before| before.phase == Phase::Paused) && same_run;
        match (was_paused, after.phase) {
            (false, Phase::Paused) => events.push(instance_event(instance, Action::Paused)),
            (true, Phase::Running) => events.push(instance_event(instance, Action::Unpaused)),
            _ => {}
        }
    }
    if died && !is_up(after) {
        push_died(&mut events, instance, after);
    }
    if let Some(before) = before {
        for endpoint in &before.endpoints {
            if after.endpoints.iter().all(|known| known.id != endpoint.id) {
                events.push(endpoint_event(
                    instance,
                    endpoint.network,
                    Action::Disconnected,
                ));
            }
        }
    }
    if let Some(health) = &after.health {
        let before = before
            .and_then(|before| before.health.as_ref())
            .map(|health| health.state);
        if before != Some(health.state)
            && !(before.is_none() && health.state == model::instance::HealthState::Starting)
        {
            let mut event = instance_event(instance, Action::HealthChanged);
            let state = match health.state {
                model::instance::HealthState::Starting => "starting",
                model::instance::HealthState::Healthy => "healthy",
                model::instance::HealthState::Unhealthy => "unhealthy",
            };
            event
                .attributes
                .insert("health".to_owned(), state.to_owned());
            events.push(event);
        }
    }
    events
}

fn push_died(events: &mut Vec<Event>, instance: &Instance, after: &InstanceStatus) {
    let Some(exit) = &after.exit else { return };
    if exit.oom_killed {
        events.push(instance_event(instance, Action::OutOfMemory));
    }
    let mut event = instance_event(instance, Action::Died);
    event.at = exit.at;
    event
        .attributes
        .insert("exitCode".to_owned(), exit.code.to_string());
    if let Some(started_at) = after.started_at {
        let seconds = exit.at.duration_since(started_at).as_secs().max(0);
        event
            .attributes
            .insert("execDuration".to_owned(), seconds.to_string());
    }
    events.push(event);
}

/// An event about an instance, with its labels, image and name.
pub(crate) fn instance_event(instance: &Instance, action: Action) -> Event {
    let mut attributes = instance.meta.labels.clone();
    if let Some(container) = instance.spec.containers.first() {
        attributes.insert("image".to_owned(), container.image.clone());
    }
    attributes.insert("name".to_owned(), instance.meta.name.clone());
    Event {
        at: Timestamp::now(),
        project: instance.meta.project,
        subject: Subject::Instance,
        id: instance.meta.id.to_string(),
        action,
        attributes,
    }
}

fn endpoint_event(instance: &Instance, network: Id, action: Action) -> Event {
    Event {
        at: Timestamp::now(),
        project: instance.meta.project,
        subject: Subject::Network,
        id: network.to_string(),
        action,
        attributes: BTreeMap::from([("container".to_owned(), instance.meta.id.to_string())]),
    }
}

/// An event about a network.
pub(crate) fn network_event(network: &Network, action: Action) -> Event {
    Event {
        at: Timestamp::now(),
        project: network.meta.project,
        subject: Subject::Network,
        id: network.meta.id.to_string(),
        action,
        attributes: BTreeMap::from([("name".to_owned(), network.meta.name.clone())]),
    }
}

/// An event about a volume.
pub(crate) fn volume_event(volume: &Volume, action: Action) -> Event {
    Event {
        at: Timestamp::now(),
        project: volume.meta.project,
        subject: Subject::Volume,
        id: volume.meta.name.clone(),
        action,
        attributes: BTreeMap::from([("driver".to_owned(), "local".to_owned())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::instance::{Exit, InstanceSpec, Run};
    use model::{Meta, ProjectId};

    fn instance() -> Instance {
        Instance {
            meta: Meta::new("web", ProjectId::ADMIN, Timestamp::UNIX_EPOCH),
            spec: InstanceSpec::default(),
        }
    }

    fn status(epoch: u64, phase: Phase, exit: Option<i32>) -> InstanceStatus {
        InstanceStatus {
            generation: 1,
            run: Run { epoch, attempt: 0 },
            phase,
            pid: 0,
            started_at: Some(Timestamp::UNIX_EPOCH),
            exit: exit.map(|code| Exit {
                code,
                oom_killed: false,
                at: Timestamp::UNIX_EPOCH,
            }),
            error: None,
            health: None,
            endpoints: Vec::new(),
            ports: Vec::new(),
            boot_id: String::new(),
        }
    }

    fn actions(before: Option<&InstanceStatus>, after: &InstanceStatus) -> Vec<Action> {
        status_events(&instance(), before, after)
            .into_iter()
            .map(|event| event.action)
            .collect()
    }

    #[test]
    fn a_run_is_told_as_a_start_and_a_death() {
        let created = InstanceStatus {
            started_at: None,
            ..status(0, Phase::Created, None)
        };
        let running = status(1, Phase::Running, None);
        let exited = status(1, Phase::Exited, Some(3));
        assert_eq!(actions(None, &created), []);
        assert_eq!(actions(Some(&created), &running), [Action::Started]);
        assert_eq!(actions(Some(&running), &exited), [Action::Died]);
        assert_eq!(actions(Some(&exited), &exited), []);
    }

    #[test]
    fn a_run_too_short_to_be_seen_running_is_told_whole() {
        let created = InstanceStatus {
            started_at: None,
            ..status(0, Phase::Created, None)
        };
        assert_eq!(
            actions(Some(&created), &status(1, Phase::Exited, Some(0))),
            [Action::Started, Action::Died]
        );
    }

    #[test]
    fn pausing_is_told_both_ways() {
        let running = status(1, Phase::Running, None);
        let paused = status(1, Phase::Paused, None);
        assert_eq!(actions(Some(&running), &paused), [Action::Paused]);
        assert_eq!(actions(Some(&paused), &running), [Action::Unpaused]);
    }
}
