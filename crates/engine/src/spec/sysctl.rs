//! Kernel parameters that a container may set: those of namespaces that are its own.
//!
//! Source: moby and runc accept the same list (runc, `libcontainer/configs/validate/validator.go`);
//! anything else would change the node for everybody.

use std::collections::{BTreeMap, HashMap};

use model::instance::{NamespaceMode, NetworkMode};

/// Parameters of the namespace of System V inter-process communication.
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Why a kernel parameter cannot be set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SysctlError {
    #[error("sysctl {name:?} is not in a separate kernel namespace")]
    NotNamespaced { name: String },
    #[error("sysctl {name:?} not allowed in host network namespace")]
    HostNetwork { name: String },
    #[error("sysctl {name:?} is not allowed in the hosts ipc namespace")]
    HostIpc { name: String },
    #[error("sysctl {name:?} is not allowed, use the hostname option instead")]
    Hostname { name: String },
}

/// The parameters to set, the defaults of a network namespace of its own included.
pub(crate) fn settings(
    wanted: &BTreeMap<String, String>,
    network: NetworkMode,
    ipc: &NamespaceMode,
) -> Result<HashMap<String, String>, SysctlError> {
    let mut settings = HashMap::new();
    if matches!(network, NetworkMode::Attached | NetworkMode::None) {
        // Unprivileged ports and pings need no capability inside, as with dockerd.
        settings.insert(
            "net.ipv4.ping_group_range".to_owned(),
            "0 2147483647".to_owned(),
        );
        settings.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
    }
    for (written, value) in wanted {
        // Both separators are taken by sysctl(8); in names with slashes a dot is a literal one.
        let name = match written.find(['.', '/']) {
            Some(at) if written.as_bytes()[at] == b'/' => written
                .replace('.', "\0")
                .replace('/', ".")
                .replace('\0', "/"),
            _ => written.clone(),
        };
        check(&name, network, ipc)?;
        settings.insert(name, value.clone());
    }
    Ok(settings)
}

fn check(name: &str, network: NetworkMode, ipc: &NamespaceMode) -> Result<(), SysctlError> {
    let name = name.to_owned();
    if OF_IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
        return match ipc {
            NamespaceMode::Host => Err(SysctlError::HostIpc { name }),
            _ => Ok(()),
        };
    }
    if name.starts_with("net.") {
        return match network {
            NetworkMode::Host => Err(SysctlError::HostNetwork { name }),
            _ => Ok(()),
        };
    }
    match name.as_str() {
        "kernel.domainname" => Ok(()),
        "kernel.hostname" => Err(SysctlError::Hostname { name }),
        _ => Err(SysctlError::NotNamespaced { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(
        name: &str,
        network: NetworkMode,
        ipc: NamespaceMode,
    ) -> Result<HashMap<String, String>, SysctlError> {
        settings(
            &BTreeMap::from([(name.to_owned(), "1".to_owned())]),
            network,
            &ipc,
        )
    }

    #[test]
    fn only_parameters_of_own_namespaces_are_taken() {
        let own = NamespaceMode::Own;
        assert_eq!(
            set("net.core.somaxconn", NetworkMode::Attached, own.clone()).unwrap()["net.core.somaxconn"],
            "1"
        );
        assert_eq!(
            set("net/core/somaxconn", NetworkMode::None, own.clone()).unwrap()["net.core.somaxconn"],
            "1"
        );
        let refused = |name: &str, network, ipc| set(name, network, ipc).unwrap_err().to_string();
        assert_eq!(
            refused("vm.swappiness", NetworkMode::Attached, own.clone()),
            "sysctl \"vm.swappiness\" is not in a separate kernel namespace"
        );
        assert_eq!(
            refused("net.core.somaxconn", NetworkMode::Host, own),
            "sysctl \"net.core.somaxconn\" not allowed in host network namespace"
        );
        assert_eq!(
            refused("kernel.sem", NetworkMode::Attached, NamespaceMode::Host),
            "sysctl \"kernel.sem\" is not allowed in the hosts ipc namespace"
        );
    }

    #[test]
    fn the_nodes_network_gets_no_defaults() {
        assert!(
            settings(&BTreeMap::new(), NetworkMode::Host, &NamespaceMode::Own)
                .unwrap()
                .is_empty()
        );
    }
}
