//! The nodes at one moment, and what is placed on them.

use std::collections::HashMap;

use model::Id;

use crate::Request;

/// Amounts of what a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Processor time, in thousandths of one processor.
    pub cpu_milli: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Instances. As a capacity: each needs a process, so no more than the kernel can number.
    pub instances: u64,
}

impl Resources {
    fn add(&mut self, other: &Self) {
        self.cpu_milli += other.cpu_milli;
        self.memory_bytes += other.memory_bytes;
        self.instances += other.instances;
    }

    fn subtract(&mut self, other: &Self) {
        self.cpu_milli -= other.cpu_milli;
        self.memory_bytes -= other.memory_bytes;
        self.instances -= other.instances;
    }
}

/// A node as a place to run.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The node.
    pub id: Id,
    /// Its agent answers.
    pub ready: bool,
    /// New instances are not placed there.
    pub cordoned: bool,
    /// The zone that it is in.
    pub zone: String,
    /// What it has.
    pub capacity: Resources,
    /// What is kept for the instances there. Kept up by the snapshot.
    pub reserved: Resources,
    /// What the instances there may use, by their limits. Kept up by the snapshot.
    pub expected: Resources,
}

/// The nodes at one moment, and what is placed on them. Changing one thing costs one look-up.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    candidates: Vec<Candidate>,
    positions: HashMap<Id, usize>,
    placed: HashMap<Id, (Id, Resources, Resources)>,
    cursor: usize,
}

impl Snapshot {
    /// Adds a node, or takes note of what it is now. What is placed there stays.
    pub fn set_node(&mut self, mut node: Candidate) {
        if let Some(&position) = self.positions.get(&node.id) {
            let known = &mut self.candidates[position];
            (node.reserved, node.expected) = (known.reserved, known.expected);
            *known = node;
        } else {
            (node.reserved, node.expected) = Default::default();
            for (on, reserved, expected) in self.placed.values() {
                if *on == node.id {
                    node.reserved.add(reserved);
                    node.expected.add(expected);
                }
            }
            self.positions.insert(node.id, self.candidates.len());
            self.candidates.push(node);
        }
    }

    /// Forgets a node.
    pub fn remove_node(&mut self, id: Id) {
        let Some(position) = self.positions.remove(&id) else {
            return;
        };
        self.candidates.swap_remove(position);
        if let Some(moved) = self.candidates.get(position) {
            self.positions.insert(moved.id, position);
        }
    }

    /// Takes note that an instance is placed on a node, instead of wherever it was.
    pub fn assign(&mut self, instance: Id, node: Id, request: &Request) {
        self.release(instance);
        let (reserved, expected) = (request.reserved(), request.expected());
        if let Some(&position) = self.positions.get(&node) {
            self.candidates[position].reserved.add(&reserved);
            self.candidates[position].expected.add(&expected);
            self.cursor = position + 1;
        }
        self.placed.insert(instance, (node, reserved, expected));
    }

    /// Takes note that an instance needs its node no more.
    pub fn release(&mut self, instance: Id) {
        let Some((node, reserved, expected)) = self.placed.remove(&instance) else {
            return;
        };
        if let Some(&position) = self.positions.get(&node) {
            self.candidates[position].reserved.subtract(&reserved);
            self.candidates[position].expected.subtract(&expected);
        }
    }

    /// Every node once, beginning after the one that was assigned to last.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &Candidate> {
        let (before, after) = self
            .candidates
            .split_at(self.cursor.min(self.candidates.len()));
        after.iter().chain(before)
    }
}
