//! Whether an instance may run on a node: a file a rule.

mod companions;
mod cordoned;
mod node;
mod ready;
mod room;
mod size;
mod zone;

use crate::{Candidate, Request};

/// Why an instance may not run on a node. Reads on from a count of nodes: "3 cordoned".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is bound to another node.
    #[error("not the one that has its data")]
    OtherNode,
    /// The node's agent does not answer.
    #[error("not ready")]
    NotReady,
    /// An operator keeps new instances away.
    #[error("cordoned")]
    Cordoned,
    /// It is to be in another zone.
    #[error("in another zone")]
    OtherZone,
    /// Not enough memory is left unreserved.
    #[error("without {wanted} bytes of memory to reserve ({free} are free)")]
    Memory {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes left.
        free: u64,
    },
    /// The kernel cannot number more processes.
    #[error("full: {0} instances run there")]
    Full(u64),
    /// As many of the group that it is to be apart from run there as may.
    #[error("with {0} of a group that is to be apart")]
    NotApart(u32),
    /// The group that it is to be with is elsewhere.
    #[error("without the group that it is to be with")]
    NotTogether,
    /// One instance may use more processors than there are.
    #[error("with {has} thousandths of a processor, less than its limit of {wanted}")]
    Processors {
        /// Thousandths of a processor asked for.
        wanted: u64,
        /// Thousandths of a processor that there are.
        has: u64,
    },
}

/// A rule.
type Filter = fn(&Request, &Candidate) -> Result<(), Refusal>;

/// All rules, those that refuse most first.
const FILTERS: [Filter; 7] = [
    node::check,
    ready::check,
    cordoned::check,
    zone::check,
    room::check,
    size::check,
    companions::check,
];

/// Whether every rule admits the node; the first refusal otherwise.
///
/// # Errors
/// The first refusal.
pub(crate) fn check(request: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    FILTERS
        .iter()
        .try_for_each(|filter| filter(request, candidate))
}

#[cfg(test)]
pub(crate) mod fixture {
    use model::Id;

    use crate::Candidate;
    use crate::snapshot::Resources;

    /// An empty node that admits everything.
    pub(crate) fn candidate() -> Candidate {
        Candidate {
            id: Id::from_bytes([1; 16]),
            ready: true,
            cordoned: false,
            zone: "nova".to_owned(),
            capacity: Resources {
                cpu_milli: 2_000,
                memory_bytes: 4 << 30,
                instances: 1_000,
            },
            reserved: Resources::default(),
            expected: Resources::default(),
        }
    }
}
