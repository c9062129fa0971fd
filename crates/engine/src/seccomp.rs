//! Which system calls a container's processes may make: compiled filters, by profile and
//! capabilities. Compiling takes longer than starting, so each is compiled once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use model::security::Seccomp;
use oci_spec::runtime::Capabilities;
use runtime::seccomp::{SeccompError, default_filter, filter_of};

use crate::spec::capability;

/// Compiled filters that are kept; users can write any number of profiles.
const FILTERS_KEPT: usize = 64;

/// What a filter depends on: the profile and the capabilities that it looks at.
type Key = (Seccomp, Vec<String>);

/// Filters that were compiled before.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    known: Mutex<HashMap<Key, Vec<u8>>>,
}

impl Filters {
    /// The filter of a profile for a process with these capabilities; empty is none.
    pub(crate) fn get(
        &self,
        profile: &Seccomp,
        granted: &Capabilities,
    ) -> Result<Vec<u8>, SeccompError> {
        if *profile == Seccomp::Unconfined {
            return Ok(Vec::new());
        }
        let mut names: Vec<String> = granted.iter().copied().map(capability::name).collect();
        names.sort();
        let key = (profile.clone(), names);
        if let Some(filter) = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(filter.clone());
        }
        let filter = match profile {
            Seccomp::Profile(text) => filter_of(text, &key.1)?,
            Seccomp::Default | Seccomp::Unconfined => default_filter(&key.1)?,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FILTERS_KEPT {
            known.clear();
        }
        known.insert(key, filter.clone());
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_depends_on_profile_and_capabilities() {
        let filters = Filters::default();
        let none = Capabilities::new();
        let admin = Capabilities::from([oci_spec::runtime::Capability::SysAdmin]);
        let plain = filters.get(&Seccomp::Default, &none).unwrap();
        assert_eq!(filters.get(&Seccomp::Default, &none).unwrap(), plain);
        assert_ne!(filters.get(&Seccomp::Default, &admin).unwrap(), plain);
        assert_eq!(filters.get(&Seccomp::Unconfined, &none).unwrap(), b"");
        assert!(filters.get(&Seccomp::Profile("{".into()), &none).is_err());
    }
}
