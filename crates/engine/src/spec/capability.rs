//! Which capabilities a container gets: the default set, what is added and what is dropped.

use std::sync::{LazyLock, OnceLock};

use model::security::{CAPABILITIES, DEFAULT_CAPABILITIES, Security};
use oci_spec::runtime::{Capabilities, Capability};

/// Every capability of Linux, the kernel's numbering.
pub(crate) static ALL: LazyLock<Vec<Capability>> = LazyLock::new(|| known(&CAPABILITIES));

/// What a container has unless it asks otherwise.
static DEFAULT: LazyLock<Vec<Capability>> = LazyLock::new(|| known(&DEFAULT_CAPABILITIES));

fn known(names: &[&str]) -> Vec<Capability> {
    names.iter().filter_map(|name| parse(name)).collect()
}

/// A name that is no capability.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability: {name:?}")]
pub(crate) struct UnknownCapability {
    name: String,
}

/// What this process itself may hand on: its bounding set.
pub(crate) fn of_this_host() -> &'static Capabilities {
    static OF_THIS_HOST: OnceLock<Capabilities> = OnceLock::new();
    OF_THIS_HOST.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        let mask = mask
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(u64::MAX);
        ALL.iter()
            .copied()
            .enumerate()
            .filter(|(bit, _)| mask & (1 << bit) != 0)
            .map(|(_, capability)| capability)
            .collect()
    })
}

/// The kernel's name: `CAP_NET_ADMIN`.
pub(crate) fn name(capability: Capability) -> String {
    format!("CAP_{capability}")
}

/// The capabilities of a container with these privileges.
pub(crate) fn granted(security: &Security) -> Result<Capabilities, UnknownCapability> {
    let add = Named::parse(&security.capabilities_add)?;
    let drop = Named::parse(&security.capabilities_drop)?;
    if security.privileged {
        return Ok(ALL.iter().copied().collect());
    }
    // As dockerd has it: `ALL` on one side is refined by the names on the other, and a name that is
    // both dropped and added is there.
    let granted = if add.all {
        ALL.iter()
            .copied()
            .filter(|capability| !drop.names.contains(capability))
            .collect()
    } else if drop.all {
        add.names
    } else {
        let kept = DEFAULT
            .iter()
            .copied()
            .filter(|capability| !drop.names.contains(capability));
        kept.chain(add.names).collect()
    };
    Ok(granted)
}

/// Whether less than was asked for will do: whoever asks for everything gets all there is.
pub(crate) fn takes_what_there_is(security: &Security) -> bool {
    security.privileged || security.capabilities_add.iter().any(|name| is_all(name))
}

#[derive(Default)]
struct Named {
    all: bool,
    names: Capabilities,
}

impl Named {
    fn parse(names: &[String]) -> Result<Self, UnknownCapability> {
        let mut named = Self::default();
        for name in names {
            if is_all(name) {
                named.all = true;
                continue;
            }
            let capability = parse(name).ok_or_else(|| UnknownCapability { name: name.clone() })?;
            named.names.insert(capability);
        }
        Ok(named)
    }
}

/// A capability by its name, whatever the case and with or without `CAP_`.
fn parse(name: &str) -> Option<Capability> {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).parse().ok()
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn granted_for(add: &[&str], drop: &[&str]) -> Capabilities {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        granted(&Security {
            capabilities_add: texts(add),
            capabilities_drop: texts(drop),
            ..Security::default()
        })
        .unwrap()
    }

    #[test]
    fn the_default_set_is_refined_by_name() {
        let set = granted_for(&["CAP_NET_ADMIN", "sys_time"], &["MKNOD"]);
        assert_eq!(set.len(), 15);
        assert!(set.contains(&Capability::NetAdmin) && set.contains(&Capability::SysTime));
        assert!(!set.contains(&Capability::Mknod));
    }

    #[test]
    fn all_can_be_dropped_or_added_and_refined() {
        assert_eq!(
            granted_for(&["CHOWN"], &["ALL"]),
            HashSet::from([Capability::Chown])
        );
        assert_eq!(granted_for(&["ALL"], &["CHOWN"]).len(), 40);
        assert_eq!(granted_for(&[], &["ALL"]).len(), 0);
    }

    #[test]
    fn an_unknown_name_is_refused_with_its_name() {
        let security = Security {
            capabilities_add: vec!["CAP_FLY".into()],
            ..Security::default()
        };
        assert_eq!(
            granted(&security).unwrap_err().to_string(),
            "unknown capability: \"CAP_FLY\""
        );
    }
}
