//! An operator may keep new instances from a node; those that have data there may start again.

use super::Refusal;
use crate::{Candidate, Request};

pub(super) fn check(request: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    if candidate.cordoned && request.node != Some(candidate.id) {
        Err(Refusal::Cordoned)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn new_instances_stay_away_and_old_ones_may_start() {
        let closed = Candidate {
            cordoned: true,
            ..candidate()
        };
        assert_eq!(check(&Request::default(), &closed), Err(Refusal::Cordoned));
        let old = Request {
            node: Some(closed.id),
            ..Request::default()
        };
        assert_eq!(check(&old, &closed), Ok(()));
        assert_eq!(check(&Request::default(), &candidate()), Ok(()));
    }
}
