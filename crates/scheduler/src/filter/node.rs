//! An instance with data on a node stays there.

use super::Refusal;
use crate::{Candidate, Request};

pub(super) fn check(request: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    match request.node {
        Some(node) if node != candidate.id => Err(Refusal::OtherNode),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use model::Id;

    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn only_the_node_it_is_bound_to() {
        let here = candidate();
        for (node, admitted) in [
            (None, true),
            (Some(here.id), true),
            (Some(Id::random()), false),
        ] {
            let request = Request {
                node,
                ..Request::default()
            };
            assert_eq!(check(&request, &here).is_ok(), admitted, "{node:?}");
        }
    }
}
