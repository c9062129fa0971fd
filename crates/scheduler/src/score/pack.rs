//! Prefers the node that will be the most loaded without being overloaded.

use crate::{Candidate, Request};

pub(super) fn score(request: &Request, candidate: &Candidate) -> f64 {
    let load = super::load(request, candidate);
    if load <= 1.0 { load } else { -load }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixture::candidate;

    #[test]
    fn a_fuller_node_is_better_until_it_is_overloaded() {
        let (empty, mut half, mut over) = (candidate(), candidate(), candidate());
        half.expected.memory_bytes = half.capacity.memory_bytes / 2;
        over.expected.memory_bytes = over.capacity.memory_bytes * 2;
        let [empty, half, over] = [empty, half, over].map(|node| score(&Request::default(), &node));
        assert!(half > empty && empty > over, "{half} {empty} {over}");
    }
}
