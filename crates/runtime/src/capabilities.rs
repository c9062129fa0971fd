//! Capabilities of a process (capabilities(7)): which it may ever have, and which it has.

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// Why capabilities could not be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CapabilityError {
    /// The host's own root does not have them.
    #[error("process.capabilities: this host itself lacks {0}")]
    Unavailable(String),
    /// The kernel refused.
    #[error("{attempt}")]
    Refused {
        attempt: &'static str,
        source: Errno,
    },
}

/// The five sets of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sets {
    bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

impl Sets {
    /// Those asked for. What the host itself lacks is left out with `clamp`, else refused.
    ///
    /// The inheritable set is what the specification says, and only the OCI command line's callers
    /// ever say anything: a set that is not empty raises the privileges of programs with file
    /// capabilities (CVE-2022-24769).
    pub(crate) fn asked(
        wanted: Option<&LinuxCapabilities>,
        clamp: bool,
    ) -> Result<Self, CapabilityError> {
        let none = Self {
            bounding: CapabilitySet::empty(),
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
            ambient: CapabilitySet::empty(),
        };
        let Some(wanted) = wanted else {
            return Ok(none);
        };
        let host = capabilities(None)
            .map_err(|source| CapabilityError::Refused {
                attempt: "read own capabilities",
                source,
            })?
            .permitted;
        let asked = Self {
            bounding: set(wanted.bounding().as_ref()),
            effective: set(wanted.effective().as_ref()),
            permitted: set(wanted.permitted().as_ref()),
            inheritable: set(wanted.inheritable().as_ref()),
            ambient: set(wanted.ambient().as_ref()),
        };
        let missing = asked.union() - host;
        if !missing.is_empty() && !clamp {
            return Err(CapabilityError::Unavailable(names(missing)));
        }
        Ok(Self {
            bounding: asked.bounding & host,
            effective: asked.effective & host,
            permitted: asked.permitted & host,
            inheritable: asked.inheritable & host,
            ambient: asked.ambient & host,
        })
    }

    fn union(self) -> CapabilitySet {
        self.bounding | self.effective | self.permitted | self.inheritable | self.ambient
    }

    /// A set that may gain no privilege has the capability to administer the system.
    pub(crate) fn bound(self) -> Result<(), CapabilityError> {
        let failed = |source| CapabilityError::Refused {
            attempt: "drop from the bounding set",
            source,
        };
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if self.bounding.contains(one) {
                continue;
            }
            match remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // Past the last one that this kernel knows.
                Err(Errno::INVAL) => break,
                // Without the privilege to drop any, what is not there is as good as dropped.
                Err(errno) => match capability_is_in_bounding_set(one) {
                    Ok(false) => {}
                    Ok(true) | Err(_) => return Err(failed(errno)),
                },
            }
        }
        Ok(())
    }

    /// Gives this process the sets. [`Sets::bound`] goes first, while it still may.
    pub(crate) fn apply(self) -> Result<(), CapabilityError> {
        let sets = CapabilitySets {
            effective: self.effective,
            permitted: self.permitted,
            inheritable: self.inheritable,
        };
        set_capabilities(None, sets).map_err(|source| CapabilityError::Refused {
            attempt: "set capabilities",
            source,
        })?;
        let failed = |source| CapabilityError::Refused {
            attempt: "set ambient capabilities",
            source,
        };
        clear_ambient_capability_set().map_err(failed)?;
        for one in self.ambient {
            configure_capability_in_ambient_set(one, true).map_err(failed)?;
        }
        Ok(())
    }
}

fn set(names: Option<&Capabilities>) -> CapabilitySet {
    names
        .into_iter()
        .flatten()
        .map(|name| CapabilitySet::from_bits_retain(1 << number(*name)))
        .collect()
}

fn names(set: CapabilitySet) -> String {
    let all = ALL
        .iter()
        .filter(|(_, number)| set.bits() & (1 << number) != 0);
    all.map(|(capability, _)| format!("CAP_{capability}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn number(capability: Capability) -> u32 {
    ALL.iter()
        .find(|(other, _)| *other == capability)
        .map_or(u32::MAX, |(_, number)| *number)
}

/// Numbers of `linux/capability.h`.
const ALL: [(Capability, u32); 41] = [
    (Capability::Chown, 0),
    (Capability::DacOverride, 1),
    (Capability::DacReadSearch, 2),
    (Capability::Fowner, 3),
    (Capability::Fsetid, 4),
    (Capability::Kill, 5),
    (Capability::Setgid, 6),
    (Capability::Setuid, 7),
    (Capability::Setpcap, 8),
    (Capability::LinuxImmutable, 9),
    (Capability::NetBindService, 10),
    (Capability::NetBroadcast, 11),
    (Capability::NetAdmin, 12),
    (Capability::NetRaw, 13),
    (Capability::IpcLock, 14),
    (Capability::IpcOwner, 15),
    (Capability::SysModule, 16),
    (Capability::SysRawio, 17),
    (Capability::SysChroot, 18),
    (Capability::SysPtrace, 19),
    (Capability::SysPacct, 20),
    (Capability::SysAdmin, 21),
    (Capability::SysBoot, 22),
    (Capability::SysNice, 23),
    (Capability::SysResource, 24),
    (Capability::SysTime, 25),
    (Capability::SysTtyConfig, 26),
    (Capability::Mknod, 27),
    (Capability::Lease, 28),
    (Capability::AuditWrite, 29),
    (Capability::AuditControl, 30),
    (Capability::Setfcap, 31),
    (Capability::MacOverride, 32),
    (Capability::MacAdmin, 33),
    (Capability::Syslog, 34),
    (Capability::WakeAlarm, 35),
    (Capability::BlockSuspend, 36),
    (Capability::AuditRead, 37),
    (Capability::Perfmon, 38),
    (Capability::Bpf, 39),
    (Capability::CheckpointRestore, 40),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_lacks_is_refused_by_name_or_left_out() {
        let wanted: LinuxCapabilities = serde_json::from_value(serde_json::json!({
            "bounding": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"],
            "inheritable": [], "ambient": []
        }))
        .unwrap();
        let sets = Sets::asked(Some(&wanted), true).unwrap();
        assert!(CapabilitySet::CHOWN.contains(sets.bounding));
        assert_eq!(
            names(CapabilitySet::SYS_RESOURCE | CapabilitySet::CHOWN),
            "CAP_CHOWN, CAP_SYS_RESOURCE"
        );
    }
}
