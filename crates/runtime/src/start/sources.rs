//! Everything of the host's that a container's file system is made of, as detached mounts.
//!
//! Opened by the child, which has a copy of the host's mounts; or by the parent, when the child is
//! born into a user namespace and has no rights over the host's files.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::Spec;

use super::Purpose;
use crate::cgroup::Cgroup;
use crate::launch::{Launch, Rootfs, StartError};
use crate::masked;
use crate::mounts::cgroup::Hierarchies;
use crate::mounts::options::Recursion;
use crate::mounts::{self, MountError, Planned, clone_tree, set_propagation};
use crate::overlay::{self, IdMapping, Writable};

/// Detached mounts, ready to be attached.
#[derive(Debug)]
pub(super) struct Sources<'spec> {
    pub(super) root: OwnedFd,
    pub(super) mounts: Vec<Planned<'spec>>,
    /// `/dev/null`, for masks.
    pub(super) null: OwnedFd,
}

/// A mount that shows the container's cgroup.
pub(super) fn shows_cgroup(planned: &Planned<'_>) -> bool {
    !planned.is_bind() && matches!(planned.mount.typ().as_deref(), Some("cgroup" | "cgroup2"))
}

/// It shows version 2 only, where the host has that.
fn wants_v2(planned: &Planned<'_>) -> bool {
    planned.mount.typ().as_deref() == Some("cgroup2")
}

/// Opens the container's cgroup, which is made by now, once for each mount that shows it.
pub(super) fn open_cgroup(spec: &Spec, cgroup: &Cgroup) -> Result<Vec<Hierarchies>, StartError> {
    let planned = spec.mounts().iter().flatten().map(Planned::new);
    let showing = planned.filter(shows_cgroup);
    showing
        .map(|planned| Hierarchies::open(&cgroup.visible(wants_v2(&planned))))
        .collect::<Result<_, _>>()
        .map_err(|error| StartError::caused(error.kind(), &error))
}

impl<'spec> Sources<'spec> {
    /// Opens them. `id_mapping` is that of the container's user namespace.
    pub(super) fn open(
        launch: &'spec Launch,
        id_mapping: Option<IdMapping<'_>>,
    ) -> Result<Self, StartError> {
        let open = || -> Result<Self, MountError> {
            let root = open_root(&launch.rootfs, id_mapping)?;
            let mut mounts: Vec<Planned<'spec>> = launch
                .spec
                .mounts()
                .iter()
                .flatten()
                .map(Planned::new)
                .collect();
            for planned in &mut mounts {
                let own_mapping =
                    planned.options.id_mapping.is_some() || planned.mount.uid_mappings().is_some();
                planned.open_on_host(id_mapping.filter(|_| own_mapping))?;
            }
            Ok(Self {
                root,
                mounts,
                null: masked::open_null()?,
            })
        };
        open().map_err(|error| StartError::caused(error.kind(), &error))
    }

    /// The container is to write its own version 2 cgroup.
    ///
    /// Source: OCI runtime specification, config-linux.md, "Cgroup ownership".
    pub(super) fn writes_cgroup(&self) -> bool {
        self.mounts.iter().any(|planned| {
            let is_read_only = planned.options.attributes.set & libc::MOUNT_ATTR_RDONLY != 0;
            shows_cgroup(planned)
                && !is_read_only
                && (wants_v2(planned) || Cgroup::is_unified_host())
        })
    }

    /// Mounts `sysfs` for the network namespace that this process is in: one of the host's, over
    /// which the child has no rights.
    pub(super) fn open_sysfs(&mut self) -> Result<(), StartError> {
        for planned in &mut self.mounts {
            if planned.mount.typ().as_deref() == Some("sysfs") && !planned.is_bind() {
                planned
                    .open_file_system()
                    .map_err(|error| StartError::caused(error.kind(), &error))?;
            }
        }
        Ok(())
    }
}

fn open_root(rootfs: &Rootfs, id_mapping: Option<IdMapping<'_>>) -> Result<OwnedFd, MountError> {
    match rootfs {
        Rootfs::Directory(path) => {
            let tree = clone_tree(path, Recursion::Yes)?;
            set_propagation(tree.as_fd(), libc::MS_PRIVATE, Recursion::Yes, path)?;
            Ok(tree)
        }
        Rootfs::Overlay { lower, upper, work } => {
            overlay::open(lower, Some(Writable { upper, work }), id_mapping)
        }
        Rootfs::Device {
            kind,
            device,
            options,
        } => mounts::open_device(
            kind,
            device,
            options,
            id_mapping.map(|mapping| mapping.users),
        ),
    }
}

/// Parts of a specification that this runtime does not carry out, and so refuses.
pub(super) fn refuse_unsupported(spec: &Spec, purpose: Purpose) -> Result<(), StartError> {
    let linux = spec.linux().as_ref();
    let process = spec.process().as_ref();
    let fields = [
        (
            "linux.intelRdt",
            linux.is_some_and(|linux| linux.intel_rdt().is_some()),
        ),
        (
            "linux.memoryPolicy",
            linux.is_some_and(|linux| linux.memory_policy().is_some()),
        ),
        (
            "linux.netDevices",
            linux.is_some_and(|linux| linux.net_devices().is_some()),
        ),
        (
            "linux.timeOffsets",
            linux.is_some_and(|linux| linux.time_offsets().is_some()),
        ),
        (
            "linux.resources.rdma",
            linux
                .and_then(|linux| linux.resources().as_ref())
                .is_some_and(|resources| resources.rdma().is_some()),
        ),
        (
            "linux.mountLabel",
            linux.is_some_and(|linux| linux.mount_label().as_ref().is_some_and(|l| !l.is_empty())),
        ),
        (
            "process.scheduler",
            process.is_some_and(|process| process.scheduler().is_some()),
        ),
        (
            "process.execCPUAffinity",
            process.is_some_and(|process| process.exec_cpu_affinity().is_some()),
        ),
        (
            "hooks",
            purpose == Purpose::Keeper && spec.hooks().is_some(),
        ),
    ];
    match fields.into_iter().find(|(_, present)| *present) {
        Some((field, _)) => Err(StartError {
            kind: crate::launch::StartErrorKind::Invalid,
            message: format!("{field} is not supported"),
        }),
        None => Ok(()),
    }
}
