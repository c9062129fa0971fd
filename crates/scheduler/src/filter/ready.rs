//! Nothing is placed where no agent answers.

use super::Refusal;
use crate::{Candidate, Request};

pub(super) fn check(_: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    if candidate.ready {
        Ok(())
    } else {
        Err(Refusal::NotReady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn the_agent_must_answer() {
        assert_eq!(check(&Request::default(), &candidate()), Ok(()));
        let silent = Candidate {
            ready: false,
            ..candidate()
        };
        assert_eq!(check(&Request::default(), &silent), Err(Refusal::NotReady));
    }
}
