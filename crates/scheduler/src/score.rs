//! How well an instance fits a node: a file a rule, the highest score wins.

mod companions;
mod pack;
mod spread;

use crate::{Candidate, Request};

/// What makes one node better than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The least loaded: failures and noise reach few.
    #[default]
    Spread,
    /// The most loaded that has room: other nodes stay empty and can be switched off.
    Pack,
}

impl Strategy {
    /// How well the instance fits.
    pub(crate) fn score(self, request: &Request, candidate: &Candidate) -> f64 {
        let load = match self {
            Self::Spread => spread::score(request, candidate),
            Self::Pack => pack::score(request, candidate),
        };
        load + companions::score(request, candidate)
    }
}

/// How loaded a node would be with the instance: the fullest of what it has, from 0.
#[expect(clippy::cast_precision_loss, reason = "a score needs no 53 bits")]
fn load(request: &Request, candidate: &Candidate) -> f64 {
    let wanted = request.expected();
    let share = |expected: u64, wanted: u64, capacity: u64| {
        expected.saturating_add(wanted) as f64 / (capacity as f64).max(1.0)
    };
    let (expected, capacity) = (&candidate.expected, &candidate.capacity);
    share(expected.cpu_milli, wanted.cpu_milli, capacity.cpu_milli)
        .max(share(
            expected.memory_bytes,
            wanted.memory_bytes,
            capacity.memory_bytes,
        ))
        .max(share(
            expected.instances,
            wanted.instances,
            capacity.instances,
        ))
}
