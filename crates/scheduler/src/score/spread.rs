//! Prefers the node that will be the least loaded.

use crate::{Candidate, Request};

pub(super) fn score(request: &Request, candidate: &Candidate) -> f64 {
    1.0 / (1.0 + super::load(request, candidate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn the_fullest_of_what_a_node_has_counts() {
        let empty = candidate();
        let (mut busy, mut crowded) = (candidate(), candidate());
        busy.expected.cpu_milli = busy.capacity.cpu_milli / 2;
        crowded.expected.instances = crowded.capacity.instances / 4;
        let [empty, busy, crowded] =
            [empty, busy, crowded].map(|node| score(&Request::default(), &node));
        assert!(
            empty > crowded && crowded > busy,
            "{empty} {crowded} {busy}"
        );
    }
}
