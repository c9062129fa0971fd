//! One instance may not use more processors than a node has.

use super::Refusal;
use crate::{Candidate, Request};

pub(super) fn check(request: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    let (wanted, has) = (request.cpu_limit_milli, candidate.capacity.cpu_milli);
    if wanted > has {
        Err(Refusal::Processors { wanted, has })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn the_limit_of_one_counts_not_the_sum_of_all() {
        let mut node = candidate();
        node.capacity.cpu_milli = 2_000;
        node.expected.cpu_milli = 1_900;
        for (wanted, admitted) in [(0, true), (2_000, true), (2_001, false)] {
            let request = Request {
                cpu_limit_milli: wanted,
                ..Request::default()
            };
            assert_eq!(check(&request, &node).is_ok(), admitted, "{wanted}");
        }
    }
}
