//! All records in memory: what reads see, and what a single writer checks its batches against.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use model::{Id, Kind, ProjectId};
use tokio::sync::{broadcast, watch};

use crate::record::{Part, Record};
use crate::transaction::{Batch, CommitError, Expected, Key, Value, Write};
use crate::watch::Change;
use crate::{Revision, Versioned};

/// Changes kept for slow watchers before they have to look at everything again.
const BACKLOG: usize = 2048;

/// All records, who watches them, and in which commit they were written.
pub(crate) struct View {
    state: RwLock<State>,
    pub(crate) changes: broadcast::Sender<Change>,
    objects: Mutex<HashMap<Id, watch::Sender<Revision>>>,
}

#[derive(Default)]
struct State {
    revision: Revision,
    /// The newest commit that touched each kind.
    touched: HashMap<Kind, Revision>,
    records: HashMap<(Kind, Part), BTreeMap<Id, Entry>>,
    names: HashMap<Kind, HashMap<ProjectId, HashMap<String, Id>>>,
}

struct Entry {
    revision: Revision,
    record: Arc<dyn std::any::Any + Send + Sync>,
    name: Option<(ProjectId, String)>,
}

impl Entry {
    fn versioned<R: Record>(&self) -> Option<Versioned<R>> {
        let value = Arc::clone(&self.record).downcast::<R>().ok()?;
        Some(Versioned {
            revision: self.revision,
            value,
        })
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            state: RwLock::default(),
            changes: broadcast::Sender::new(BACKLOG),
            objects: Mutex::default(),
        }
    }
}

impl View {
    pub(crate) fn get<R: Record>(&self, id: Id) -> Option<Versioned<R>> {
        self.read().entry(Key::of::<R>(id))?.versioned()
    }

    pub(crate) fn list<R: Record>(&self) -> Vec<(Id, Versioned<R>)> {
        let state = self.read();
        let Some(records) = state.records.get(&(R::KIND, R::PART)) else {
            return Vec::new();
        };
        records
            .iter()
            .filter_map(|(id, entry)| Some((*id, entry.versioned()?)))
            .collect()
    }

    pub(crate) fn by_name<R: Record>(
        &self,
        project: ProjectId,
        name: &str,
    ) -> Option<Versioned<R>> {
        let state = self.read();
        let id = state.holder(R::KIND, project, name)?;
        state.entry(Key::of::<R>(id))?.versioned()
    }

    pub(crate) fn named<R: Record>(&self, project: ProjectId) -> Vec<Versioned<R>> {
        let state = self.read();
        let names = state.names.get(&R::KIND);
        let mut found: Vec<(&String, Id)> = names
            .and_then(|names| names.get(&project))
            .into_iter()
            .flatten()
            .map(|(name, id)| (name, *id))
            .collect();
        found.sort_unstable();
        found
            .into_iter()
            .filter_map(|(_, id)| state.entry(Key::of::<R>(id))?.versioned())
            .collect()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.read().revision
    }

    pub(crate) fn touched(&self, kinds: &[Kind]) -> Revision {
        let state = self.read();
        kinds
            .iter()
            .filter_map(|kind| state.touched.get(kind).copied())
            .max()
            .unwrap_or_default()
    }

    /// Whether every precondition of a batch holds. Valid until the next [`Self::apply`], so only
    /// the one that applies batches may rely on it.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        let state = self.read();
        for (key, revision) in &batch.requirements {
            state.check_presence(*key, Expected::At(*revision))?;
        }
        let writes = &batch.writes;
        for write in writes {
            state.check_presence(write.key, write.expected)?;
            if let Some(Value {
                name: Some((project, name)),
                ..
            }) = &write.value
                && let Some(holder) = state.holder(write.key.kind, *project, name)
                && holder != write.key.id
                && !writes
                    .iter()
                    .any(|other| other.gives_up_name(write.key.kind, holder, name))
            {
                return Err(CommitError::NameTaken {
                    kind: write.key.kind,
                    name: name.clone(),
                    holder,
                });
            }
        }
        twice_in_one_batch(writes)
    }

    /// Makes a batch visible and tells the watchers. Batches come in the order of their revisions.
    pub(crate) fn apply(&self, revision: Revision, writes: Vec<Write>) {
        let mut changes = Vec::with_capacity(writes.len());
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.revision = revision;
            // Names given up first, so that a batch may hand one on.
            for write in &writes {
                state.forget_name(write.key);
            }
            for Write { key, value, .. } in writes {
                let deleted = value.is_none();
                let written = value.as_ref().map(|value| Arc::clone(&value.record));
                let before = state.set(key, revision, value);
                let record = written.or(before);
                changes.push(Change {
                    kind: key.kind,
                    part: key.part,
                    id: key.id,
                    revision,
                    deleted,
                    record,
                });
            }
        }
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            // An error says only that nobody watches.
            let id = change.id;
            drop(self.changes.send(change));
            if let Some(object) = objects.get(&id) {
                object.send_replace(revision);
            }
        }
    }

    /// Puts a record there that was written before this process began.
    pub(crate) fn restore(&self, key: Key, revision: Revision, value: Value) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.set(key, revision, Some(value));
    }

    /// Sets the number of the last commit that was made before this process began.
    pub(crate) fn restore_revision(&self, revision: Revision) {
        self.state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .revision = revision;
    }

    pub(crate) fn subscribe(&self, id: Id) -> watch::Receiver<Revision> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects
            .entry(id)
            .or_insert_with(|| watch::Sender::new(Revision::default()))
            .subscribe()
    }

    /// Forgets the channel of an object that nobody watches any more.
    pub(crate) fn unsubscribe(&self, id: Id) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if objects
            .get(&id)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            objects.remove(&id);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A writer does not panic between two changes that belong together.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn entry(&self, key: Key) -> Option<&Entry> {
        self.records.get(&(key.kind, key.part))?.get(&key.id)
    }

    fn holder(&self, kind: Kind, project: ProjectId, name: &str) -> Option<Id> {
        self.names.get(&kind)?.get(&project)?.get(name).copied()
    }

    fn check_presence(&self, key: Key, expected: Expected) -> Result<(), CommitError> {
        let Key { kind, part, id } = key;
        match (expected, self.entry(key).map(|entry| entry.revision)) {
            (Expected::Anything, _) | (Expected::Absent, None) => Ok(()),
            (Expected::Absent, Some(_)) => Err(CommitError::Exists { kind, part, id }),
            (Expected::At(_), None) => Err(CommitError::NotFound { kind, part, id }),
            (Expected::At(expected), Some(found)) if expected == found => Ok(()),
            (Expected::At(expected), Some(found)) => Err(CommitError::Conflict {
                kind,
                part,
                id,
                expected,
                found,
            }),
        }
    }

    fn forget_name(&mut self, key: Key) {
        let Some((project, name)) = self
            .records
            .get_mut(&(key.kind, key.part))
            .and_then(|records| records.get_mut(&key.id))
            .and_then(|entry| entry.name.take())
        else {
            return;
        };
        if let Some(names) = self
            .names
            .get_mut(&key.kind)
            .and_then(|names| names.get_mut(&project))
        {
            names.remove(&name);
        }
    }

    /// Sets or deletes a record; answers the one before.
    fn set(
        &mut self,
        key: Key,
        revision: Revision,
        value: Option<Value>,
    ) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        let touched = self.touched.entry(key.kind).or_default();
        *touched = revision.max(*touched);
        let records = self.records.entry((key.kind, key.part)).or_default();
        let Some(Value { record, name, .. }) = value else {
            return records.remove(&key.id).map(|entry| entry.record);
        };
        if let Some((project, name)) = &name {
            let names = self
                .names
                .entry(key.kind)
                .or_default()
                .entry(*project)
                .or_default();
            names.insert(name.clone(), key.id);
        }
        records
            .insert(
                key.id,
                Entry {
                    revision,
                    record,
                    name,
                },
            )
            .map(|entry| entry.record)
    }
}

impl Write {
    /// Whether this write takes `name` from `holder`.
    fn gives_up_name(&self, kind: Kind, holder: Id, name: &str) -> bool {
        self.key.kind == kind
            && self.key.part == Part::Desired
            && self.key.id == holder
            && self
                .value
                .as_ref()
                .is_none_or(|value| value.name.as_ref().is_none_or(|(_, kept)| kept != name))
    }
}

/// Refuses a batch that gives one name to two objects.
fn twice_in_one_batch(writes: &[Write]) -> Result<(), CommitError> {
    let mut seen: HashMap<(Kind, &(ProjectId, String)), Id> = HashMap::new();
    for write in writes {
        let Some(name) = write.value.as_ref().and_then(|value| value.name.as_ref()) else {
            continue;
        };
        if let Some(holder) = seen.insert((write.key.kind, name), write.key.id)
            && holder != write.key.id
        {
            return Err(CommitError::NameTaken {
                kind: write.key.kind,
                name: name.1.clone(),
                holder,
            });
        }
    }
    Ok(())
}
