//! Identities as OpenStack writes them: 32 hexadecimal digits, and `default` for the first domain.
//!
//! Services that write theirs with dashes use [`model::Id`]'s own text.

use model::{Id, ProjectId};

/// How everybody knows the domain `Default`.
const DEFAULT_DOMAIN: &str = "default";

/// An identity as it is written.
pub(crate) fn show(id: Id) -> String {
    if id == ProjectId::DEFAULT_DOMAIN.0 {
        return DEFAULT_DOMAIN.to_owned();
    }
    id.simple()
}

/// What is written there. `None` where it can be nothing's identity.
pub(crate) fn parse(text: &str) -> Option<Id> {
    if text == DEFAULT_DOMAIN {
        return Some(ProjectId::DEFAULT_DOMAIN.0);
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_domain_is_called_default() {
        assert_eq!(show(ProjectId::DEFAULT_DOMAIN.0), "default");
        assert_eq!(parse("default"), Some(ProjectId::DEFAULT_DOMAIN.0));
        let id = Id::random();
        assert_eq!(parse(&show(id)), Some(id));
        assert_eq!(parse("nobody"), None);
    }
}
