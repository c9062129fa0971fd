//! A user may choose the zone that an instance is placed in.

use super::Refusal;
use crate::{Candidate, Request};

pub(super) fn check(request: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    let is_bound = request.node == Some(candidate.id);
    match &request.zone {
        Some(zone) if *zone != candidate.zone && !is_bound => Err(Refusal::OtherZone),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn only_nodes_of_the_zone_unless_it_is_bound_to_one() {
        let here = candidate();
        let wanted = |zone: &str| Request {
            zone: Some(zone.to_owned()),
            ..Request::default()
        };
        assert_eq!(check(&Request::default(), &here), Ok(()));
        assert_eq!(check(&wanted(&here.zone), &here), Ok(()));
        assert_eq!(check(&wanted("attic"), &here), Err(Refusal::OtherZone));
        let bound = Request {
            node: Some(here.id),
            ..wanted("attic")
        };
        assert_eq!(check(&bound, &here), Ok(()));
    }
}
