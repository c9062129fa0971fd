//! Prefers the nodes with more, or fewer, of a group that is softly kept together, or apart. Outweighs
//! how loaded a node is, which counts less than one companion.

use model::server_group::GroupPolicy;

use crate::{Candidate, Request};

pub(super) fn score(request: &Request, candidate: &Candidate) -> f64 {
    let Some(others) = &request.companions else {
        return 0.0;
    };
    let here = f64::from(others.on(candidate.id));
    match others.rule.policy {
        GroupPolicy::SoftAffinity => here,
        GroupPolicy::SoftAntiAffinity => -here,
        GroupPolicy::Affinity | GroupPolicy::AntiAffinity => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use model::Id;
    use model::instance::Companions;

    use super::*;
    use crate::Neighbours;
    use crate::filter::fixture::candidate;

    #[test]
    fn soft_rules_prefer() {
        let here = candidate();
        let of = |policy| {
            let request = Request {
                companions: Some(Neighbours {
                    rule: Companions {
                        group: Id::from_bytes([9; 16]),
                        policy,
                        most_per_node: 1,
                    },
                    per_node: [(here.id, 2)].into(),
                }),
                ..Request::default()
            };
            score(&request, &here)
        };
        assert!(of(GroupPolicy::SoftAffinity) > of(GroupPolicy::Affinity));
        assert!(of(GroupPolicy::SoftAntiAffinity) < of(GroupPolicy::AntiAffinity));
    }
}
