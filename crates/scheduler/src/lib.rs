//! Where things run: snapshot in, placement out.
//!
//! Pure: no store, no clock, no randomness; the same snapshot and request give the same answer.
//! A new rule is a file in [`filter`] (may it run there?) or [`score`] (how well does it fit?).
//! The placement controller keeps the [`Snapshot`] and calls [`place`].

pub mod filter;
pub mod request;
pub mod score;
pub mod snapshot;

use std::collections::BTreeMap;
use std::fmt;

use model::Id;

pub use filter::Refusal;
pub use request::{Neighbours, Request};
pub use score::Strategy;
pub use snapshot::{Candidate, Snapshot};

/// So many nodes that fit are compared; with more, the answer would be hardly better and slower.
/// The search goes on where the last one ended, so that every node has its turn.
const COMPARED: usize = 64;

/// No node fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaceable {
    /// Why each node does not.
    pub refusals: Vec<(Id, Refusal)>,
}

impl fmt::Display for Unplaceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.refusals.is_empty() {
            return f.write_str("there is no node");
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (_, refusal) in &self.refusals {
            *counts.entry(refusal.to_string()).or_default() += 1;
        }
        write!(f, "none of {} nodes fits: ", self.refusals.len())?;
        for (index, (refusal, count)) in counts.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{count} {refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Unplaceable {}

/// Chooses the node for a request.
///
/// # Errors
/// Says for each node why it does not fit.
pub fn place(
    snapshot: &Snapshot,
    request: &Request,
    strategy: Strategy,
) -> Result<Id, Unplaceable> {
    let mut best: Option<(f64, &Candidate)> = None;
    let mut compared = 0;
    for candidate in snapshot.in_turn() {
        if filter::check(request, candidate).is_err() {
            continue;
        }
        let score = strategy.score(request, candidate);
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, candidate));
        }
        compared += 1;
        if compared == COMPARED {
            break;
        }
    }
    // Reasons are put together only where they are needed: the common case must be fast.
    best.map(|(_, candidate)| candidate.id)
        .ok_or_else(|| Unplaceable {
            refusals: snapshot
                .in_turn()
                .filter_map(|candidate| {
                    Some((candidate.id, filter::check(request, candidate).err()?))
                })
                .collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Resources;

    fn node(number: u8) -> Candidate {
        Candidate {
            id: Id::from_bytes([number; 16]),
            ready: true,
            cordoned: false,
            zone: "nova".to_owned(),
            capacity: Resources {
                cpu_milli: 4_000,
                memory_bytes: 8 << 30,
                instances: 100,
            },
            reserved: Resources::default(),
            expected: Resources::default(),
        }
    }

    fn snapshot(nodes: impl IntoIterator<Item = Candidate>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for node in nodes {
            snapshot.set_node(node);
        }
        snapshot
    }

    #[test]
    fn without_nodes_nothing_fits() {
        let refused =
            place(&Snapshot::default(), &Request::default(), Strategy::Spread).unwrap_err();
        assert_eq!(refused.to_string(), "there is no node");
    }

    #[test]
    fn spreading_takes_turns() {
        let mut snapshot = snapshot([node(1), node(2), node(3)]);
        let request = Request {
            memory_limit_bytes: 1 << 30,
            ..Request::default()
        };
        let mut counts: BTreeMap<Id, u32> = BTreeMap::new();
        for instance in 0..30 {
            let chosen = place(&snapshot, &request, Strategy::Spread).unwrap();
            snapshot.assign(Id::from_bytes([100 + instance; 16]), chosen, &request);
            *counts.entry(chosen).or_default() += 1;
        }
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);
    }

    #[test]
    fn packing_fills_one_node_before_the_next() {
        let mut snapshot = snapshot([node(1), node(2)]);
        let request = Request {
            memory_reserved_bytes: 2 << 30,
            ..Request::default()
        };
        let mut chosen = Vec::new();
        for instance in 0..8 {
            let node = place(&snapshot, &request, Strategy::Pack).unwrap();
            snapshot.assign(Id::from_bytes([100 + instance; 16]), node, &request);
            chosen.push(node);
        }
        assert!(
            chosen[..4].iter().all(|node| *node == chosen[0]),
            "{chosen:?}"
        );
        assert!(
            chosen[4..]
                .iter()
                .all(|node| *node == chosen[4] && *node != chosen[0]),
            "{chosen:?}"
        );
        assert!(place(&snapshot, &request, Strategy::Pack).is_err());
    }

    #[test]
    fn a_refusal_counts_the_reasons() {
        let snapshot = snapshot([
            Candidate {
                cordoned: true,
                ..node(1)
            },
            Candidate {
                cordoned: true,
                ..node(2)
            },
            Candidate {
                ready: false,
                ..node(3)
            },
        ]);
        let refused = place(&snapshot, &Request::default(), Strategy::Spread).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "none of 3 nodes fits: 2 cordoned, 1 not ready"
        );
        assert_eq!(refused.refusals.len(), 3);
    }

    #[test]
    fn what_is_released_has_room_again() {
        let mut snapshot = snapshot([node(1)]);
        let request = Request {
            memory_reserved_bytes: 8 << 30,
            ..Request::default()
        };
        let instance = Id::from_bytes([9; 16]);
        snapshot.assign(instance, Id::from_bytes([1; 16]), &request);
        assert!(place(&snapshot, &request, Strategy::Spread).is_err());
        // Said twice, it counts once.
        snapshot.assign(instance, Id::from_bytes([1; 16]), &request);
        snapshot.release(instance);
        snapshot.release(instance);
        assert!(place(&snapshot, &request, Strategy::Spread).is_ok());
    }

    #[test]
    fn a_node_that_announces_itself_again_keeps_what_runs_there() {
        let mut snapshot = snapshot([node(1)]);
        let request = Request {
            memory_reserved_bytes: 8 << 30,
            ..Request::default()
        };
        snapshot.assign(Id::from_bytes([9; 16]), Id::from_bytes([1; 16]), &request);
        snapshot.set_node(node(1));
        assert!(place(&snapshot, &request, Strategy::Spread).is_err());
    }

    #[test]
    fn a_node_that_is_gone_is_not_chosen() {
        let mut snapshot = snapshot([node(1), node(2), node(3)]);
        snapshot.remove_node(Id::from_bytes([1; 16]));
        snapshot.remove_node(Id::from_bytes([3; 16]));
        assert_eq!(
            place(&snapshot, &Request::default(), Strategy::Spread).unwrap(),
            Id::from_bytes([2; 16])
        );
    }
}
