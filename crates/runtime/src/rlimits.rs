//! Resource limits: of a container's process (`process.rlimits`), and our own.

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that this process can have at most: more would only make programs slow that close
/// them all.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Why a limit could not be set.
#[derive(Debug, thiserror::Error)]
#[error("set process.rlimits {name} to soft {soft}, hard {hard}")]
pub(crate) struct RlimitError {
    name: PosixRlimitType,
    soft: u64,
    hard: u64,
    source: Errno,
}

/// Lets this process have as many descriptors as it may. Children inherit the limit unless theirs
/// is set.
pub fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MAX_DESCRIPTORS).min(MAX_DESCRIPTORS);
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of descriptors");
    }
}

/// Sets this process's limits.
///
/// With `clamp`, a hard limit above the one that this process has, and may not raise
/// (`CAP_SYS_RESOURCE`), becomes that one.
pub(crate) fn set(limits: &[PosixRlimit], clamp: bool) -> Result<(), RlimitError> {
    for limit in limits {
        let resource = resource(limit.typ());
        let failed = |source| RlimitError {
            name: limit.typ(),
            soft: limit.soft(),
            hard: limit.hard(),
            source,
        };
        match setrlimit(resource, wanted(limit.soft(), limit.hard())) {
            Err(Errno::PERM) if clamp => {
                let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
                setrlimit(
                    resource,
                    wanted(limit.soft().min(most), limit.hard().min(most)),
                )
                .map_err(failed)?;
            }
            answer => answer.map_err(failed)?,
        }
    }
    Ok(())
}

fn wanted(soft: u64, hard: u64) -> Rlimit {
    let limited = |limit| (limit != u64::MAX).then_some(limit);
    Rlimit {
        current: limited(soft),
        maximum: limited(hard),
    }
}

const fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
