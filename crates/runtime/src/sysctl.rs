//! Kernel parameters of a container (`linux.sysctl`): only those that belong to its namespaces.

use std::path::PathBuf;

use crate::namespaces::Namespaces;
use crate::procfs::{Proc, ProcError};

/// Why a kernel parameter could not be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SysctlError {
    /// It would change the host.
    #[error("sysctl {0:?} is not of a namespace that this container has of its own")]
    NotNamespaced(String),
    /// The kernel refused.
    #[error("set sysctl {name:?} to {value:?}")]
    Refused {
        name: String,
        value: String,
        source: ProcError,
    },
}

/// Parameters of the IPC namespace (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// Refuses parameters that are the host's.
pub(crate) fn check<'name>(
    names: impl IntoIterator<Item = &'name String>,
    namespaces: &Namespaces,
) -> Result<(), SysctlError> {
    for name in names {
        let path = path(name);
        let path = path.to_str().unwrap_or_default();
        let allowed = if path.split('/').any(|part| part.is_empty() || part == "..") {
            false
        } else if path.starts_with("net/") {
            namespaces.own_network()
        } else if path.starts_with("fs/mqueue/") || IPC.contains(&path) {
            namespaces.own_ipc()
        } else {
            path == "kernel/domainname" && namespaces.own_uts()
        };
        if !allowed {
            return Err(SysctlError::NotNamespaced(name.clone()));
        }
    }
    Ok(())
}

/// Whether a parameter belongs to a network namespace.
pub(crate) fn is_networks(name: &str) -> bool {
    path(name).starts_with("net")
}

/// Sets a parameter in the namespaces that this process is in.
pub(crate) fn set(proc: &Proc, name: &str, value: &str) -> Result<(), SysctlError> {
    proc.write(&PathBuf::from("sys").join(path(name)), value)
        .map_err(|source| SysctlError::Refused {
            name: name.to_owned(),
            value: value.to_owned(),
            source,
        })
}

/// A name's path: the separator that comes first, `.` or `/`, separates; the other stands for the
/// first one in a part (sysctl.d(5)), as in `net/ipv4/conf/eth0.1/forwarding`.
fn path(name: &str) -> PathBuf {
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let slash_first = name
        .find(['.', '/'])
        .is_some_and(|at| name.as_bytes().get(at) == Some(&b'/'));
    if slash_first {
        PathBuf::from(name)
    } else {
        name.chars().map(swap).collect::<String>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_with_either_separator_are_read() {
        assert_eq!(
            path("net.ipv4.ip_forward"),
            Path::new("net/ipv4/ip_forward")
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.1/forwarding"),
            Path::new("net/ipv4/conf/eth0.1/forwarding")
        );
        assert_eq!(
            path("net.ipv4.conf.eth0/1.forwarding"),
            Path::new("net/ipv4/conf/eth0.1/forwarding")
        );
    }
}
