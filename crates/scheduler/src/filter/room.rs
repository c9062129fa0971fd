//! A node keeps no more memory, and runs no more instances, than it has room for.

use super::Refusal;
use crate::{Candidate, Request};

pub(super) fn check(request: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    let free = candidate
        .capacity
        .memory_bytes
        .saturating_sub(candidate.reserved.memory_bytes);
    let wanted = request.memory_reserved_bytes;
    if wanted > free {
        return Err(Refusal::Memory { wanted, free });
    }
    if candidate.reserved.instances >= candidate.capacity.instances {
        return Err(Refusal::Full(candidate.reserved.instances));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn reserved_memory_must_fit_beside_what_is_reserved() {
        let mut node = candidate();
        node.capacity.memory_bytes = 1_000;
        for (reserved, wanted, admitted) in [
            (0, 1_000, true),
            (0, 1_001, false),
            (400, 600, true),
            (400, 601, false),
            (1_200, 0, true),
            (1_200, 1, false),
        ] {
            node.reserved.memory_bytes = reserved;
            let request = Request {
                memory_reserved_bytes: wanted,
                ..Request::default()
            };
            assert_eq!(
                check(&request, &node).is_ok(),
                admitted,
                "{wanted} beside {reserved}"
            );
        }
    }

    #[test]
    fn limits_may_add_up_to_more_than_there_is() {
        let request = Request {
            memory_limit_bytes: u64::MAX,
            ..Request::default()
        };
        assert_eq!(check(&request, &candidate()), Ok(()));
    }

    #[test]
    fn a_full_node_is_full() {
        let mut node = candidate();
        node.reserved.instances = node.capacity.instances;
        assert_eq!(
            check(&Request::default(), &node),
            Err(Refusal::Full(node.capacity.instances))
        );
    }
}
