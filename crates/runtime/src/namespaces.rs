//! The namespaces of a container: new ones, the host's, and those of others, joined by descriptor.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::procfs::Proc;
use crate::sys;

/// Why namespaces could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamespaceError {
    /// Containers share everything else with the host, but not this.
    #[error("linux.namespaces: a container needs a mount namespace of its own")]
    NoMount,
    /// One kind twice.
    #[error("linux.namespaces: {0:?} is given twice")]
    Twice(LinuxNamespaceType),
    /// Not offered.
    #[error("linux.namespaces: {0:?} namespaces are not supported")]
    Unsupported(LinuxNamespaceType),
    /// Not there, or not a namespace of that kind.
    #[error("join {kind:?} namespace {}", path.display())]
    Join {
        kind: LinuxNamespaceType,
        path: PathBuf,
        source: Errno,
    },
    /// The kernel refused.
    #[error("make a cgroup namespace")]
    Cgroup(#[source] Errno),
}

/// What becomes of each kind of namespace.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW*` bits for the child's birth.
    pub(crate) new: u64,
    /// A new cgroup namespace, which the child can only make once it is in its cgroup.
    pub(crate) new_cgroup: bool,
    /// To be joined by the child, user namespace first.
    join: Vec<(LinuxNamespaceType, PathBuf, OwnedFd)>,
    /// To be joined by the parent around the birth, since a process cannot change its own.
    pub(crate) pid: Option<OwnedFd>,
}

impl Namespaces {
    /// From a specification's list; `netns` wins over a network namespace in it.
    pub(crate) fn plan(
        wanted: &[LinuxNamespace],
        netns: Option<OwnedFd>,
    ) -> Result<Self, NamespaceError> {
        let mut plan = Self::default();
        let mut seen = Vec::new();
        for namespace in wanted {
            let kind = namespace.typ();
            if seen.contains(&kind) {
                return Err(NamespaceError::Twice(kind));
            }
            seen.push(kind);
            if kind == LinuxNamespaceType::Network && netns.is_some() {
                continue;
            }
            match (kind, namespace.path()) {
                (LinuxNamespaceType::Time, _) | (LinuxNamespaceType::Mount, Some(_)) => {
                    return Err(NamespaceError::Unsupported(kind));
                }
                (LinuxNamespaceType::Cgroup, None) => plan.new_cgroup = true,
                (_, None) => plan.new |= kind as u64,
                (_, Some(path)) => {
                    let fd = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|source| NamespaceError::Join {
                            kind,
                            path: path.clone(),
                            source,
                        })?;
                    if kind == LinuxNamespaceType::Pid {
                        plan.pid = Some(fd);
                    } else {
                        plan.join.push((kind, path.clone(), fd));
                    }
                }
            }
        }
        if let Some(netns) = netns {
            plan.join
                .push((LinuxNamespaceType::Network, PathBuf::from("(given)"), netns));
        }
        // Whoever enters a user namespace first has the rights over the others that belong to it.
        plan.join
            .sort_by_key(|(kind, ..)| *kind != LinuxNamespaceType::User);
        if plan.new & LinuxNamespaceType::Mount as u64 == 0 {
            return Err(NamespaceError::NoMount);
        }
        Ok(plan)
    }

    /// Joins what the child joins: all, but for the network of one that is born into a user
    /// namespace, which its parent has joined for it ([`inside`]).
    pub(crate) fn enter(&self) -> Result<(), NamespaceError> {
        let by_parent =
            |kind: LinuxNamespaceType| kind == LinuxNamespaceType::Network && self.new_user();
        let own = self.join.iter().filter(|(kind, ..)| !by_parent(*kind));
        for (kind, path, fd) in own {
            move_into_link_name_space(fd.as_fd(), link_kind(*kind)).map_err(|source| {
                NamespaceError::Join {
                    kind: *kind,
                    path: path.clone(),
                    source,
                }
            })?;
        }
        Ok(())
    }

    /// Makes the cgroup namespace, whose root is the cgroup that this process is in.
    pub(crate) fn enter_cgroup(&self) -> Result<(), NamespaceError> {
        if self.new_cgroup {
            sys::namespace::unshare(UnshareFlags::NEWCGROUP).map_err(NamespaceError::Cgroup)?;
        }
        Ok(())
    }

    /// The network namespace that is joined.
    pub(crate) fn joined_network(&self) -> Option<&OwnedFd> {
        self.join
            .iter()
            .find(|(kind, ..)| *kind == LinuxNamespaceType::Network)
            .map(|(_, _, fd)| fd)
    }

    pub(crate) const fn new_user(&self) -> bool {
        self.new & LinuxNamespaceType::User as u64 != 0
    }

    pub(crate) fn own_network(&self) -> bool {
        self.own(LinuxNamespaceType::Network)
    }

    pub(crate) fn own_ipc(&self) -> bool {
        self.own(LinuxNamespaceType::Ipc)
    }

    pub(crate) fn own_uts(&self) -> bool {
        self.own(LinuxNamespaceType::Uts)
    }

    /// New or joined, rather than the host's. Joining the host's by its path counts as joined, and
    /// is refused by whoever may ask for a path.
    fn own(&self, kind: LinuxNamespaceType) -> bool {
        self.new & kind as u64 != 0 || self.join.iter().any(|(other, ..)| *other == kind)
    }
}

/// Does something in a network namespace, and returns. For a process with one thread.
pub(crate) fn inside<T>(
    proc: &Proc,
    network: &OwnedFd,
    act: impl FnOnce() -> T,
) -> Result<T, NamespaceError> {
    let failed = |source| NamespaceError::Join {
        kind: LinuxNamespaceType::Network,
        path: PathBuf::from("(given)"),
        source,
    };
    let own = proc
        .open_link(Path::new("self/ns/net"), OFlags::RDONLY)
        .map_err(|error| failed(error.source))?;
    let enter = |namespace: &OwnedFd| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
    };
    enter(network).map_err(failed)?;
    let answer = act();
    enter(&own).map_err(failed)?;
    Ok(answer)
}

const fn link_kind(kind: LinuxNamespaceType) -> Option<LinkNameSpaceType> {
    match kind {
        LinuxNamespaceType::Mount => None,
        LinuxNamespaceType::Cgroup => Some(LinkNameSpaceType::ControlGroup),
        LinuxNamespaceType::Uts => Some(LinkNameSpaceType::HostNameAndNISDomainName),
        LinuxNamespaceType::Ipc => Some(LinkNameSpaceType::InterProcessCommunication),
        LinuxNamespaceType::User => Some(LinkNameSpaceType::User),
        LinuxNamespaceType::Pid => Some(LinkNameSpaceType::ProcessID),
        LinuxNamespaceType::Network => Some(LinkNameSpaceType::Network),
        LinuxNamespaceType::Time => Some(LinkNameSpaceType::Time),
    }
}
