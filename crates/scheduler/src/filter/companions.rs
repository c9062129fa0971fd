//! The instances of a group are together on one node, or apart on several; soft rules refuse nothing.

use model::server_group::GroupPolicy;

use super::Refusal;
use crate::{Candidate, Request};

pub(super) fn check(request: &Request, candidate: &Candidate) -> Result<(), Refusal> {
    let Some(others) = &request.companions else {
        return Ok(());
    };
    let here = others.on(candidate.id);
    match others.rule.policy {
        GroupPolicy::AntiAffinity if here >= others.rule.most_per_node => {
            Err(Refusal::NotApart(here))
        }
        GroupPolicy::Affinity if here == 0 && !others.per_node.is_empty() => {
            Err(Refusal::NotTogether)
        }
        _ => Ok(()),
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
    fn the_first_of_a_group_goes_anywhere_and_the_next_by_its_rule() {
        let (here, elsewhere) = (candidate(), Id::from_bytes([2; 16]));
        let verdict = |policy, most_per_node, per_node: &[(Id, u32)]| {
            let request = Request {
                companions: Some(Neighbours {
                    rule: Companions {
                        group: Id::from_bytes([9; 16]),
                        policy,
                        most_per_node,
                    },
                    per_node: per_node.iter().copied().collect(),
                }),
                ..Request::default()
            };
            check(&request, &here)
        };
        let (apart, together) = (GroupPolicy::AntiAffinity, GroupPolicy::Affinity);
        assert_eq!(verdict(apart, 1, &[]), Ok(()));
        assert_eq!(verdict(apart, 1, &[(elsewhere, 1)]), Ok(()));
        assert_eq!(
            verdict(apart, 1, &[(here.id, 1)]),
            Err(Refusal::NotApart(1))
        );
        assert_eq!(verdict(apart, 2, &[(here.id, 1)]), Ok(()));
        assert_eq!(verdict(together, 1, &[]), Ok(()));
        assert_eq!(verdict(together, 1, &[(here.id, 3)]), Ok(()));
        assert_eq!(
            verdict(together, 1, &[(elsewhere, 1)]),
            Err(Refusal::NotTogether)
        );
        assert_eq!(
            verdict(GroupPolicy::SoftAffinity, 1, &[(elsewhere, 1)]),
            Ok(())
        );
        assert_eq!(
            verdict(GroupPolicy::SoftAntiAffinity, 1, &[(here.id, 5)]),
            Ok(())
        );
    }
}
