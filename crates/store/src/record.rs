//! Which records there are: each has one type, one place and one writer.

use std::fmt;

use model::aggregate::Aggregate;
use model::application_credential::{AccessRule, ApplicationCredential};
use model::assignment::Assignment;
use model::credential::Credential;
use model::endpoint::Endpoint;
use model::firewall::Firewall;
use model::flavor::Flavor;
use model::group::Group;
use model::id_range::IdRanges;
use model::image_task::ImageTask;
use model::instance::{Instance, InstanceStatus, Placement, Retry};
use model::key_pair::KeyPair;
use model::key_ring::KeyRing;
use model::limit::{Limit, RegisteredLimit};
use model::network::{Network, NetworkStatus};
use model::node::{Node, NodeStatus};
use model::port::{Allotment, Port};
use model::project::Project;
use model::quota::{Quota, QuotaGate};
use model::region::Region;
use model::registered_image::RegisteredImage;
use model::revocation::Revocation;
use model::role::Role;
use model::router::{FloatingAddress, Router, RouterStatus};
use model::server::Server;
use model::server_group::ServerGroup;
use model::service::Service;
use model::snapshot::{Snapshot, SnapshotStatus};
use model::usage::Usage;
use model::user::{User, UserStatus};
use model::volume::{Volume, VolumeStatus};
use model::volume_transfer::VolumeTransfer;
use model::volume_type::VolumeType;
use model::{Kind, ProjectId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transaction::Value;

/// The parts an object's truth is kept in, so that each has one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// What was asked for. Written by `actions` (nodes: by their agent).
    Desired,
    /// Where it runs. Written by the placement controller.
    Placement,
    /// That it is to run again. Written by the restart controller.
    Retry,
    /// What was seen. Written by the node's agent (users: by `actions`).
    Observed,
}

impl Part {
    /// The part's name in keys, logs and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Placement => "placement",
            Self::Retry => "retry",
            Self::Observed => "observed",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A type that is kept in the store.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The noun it belongs to.
    const KIND: Kind;
    /// The part of that noun's truth that it is.
    const PART: Part;

    /// The name to keep unique in its project, where this part carries one.
    fn name(&self) -> Option<(ProjectId, &str)> {
        None
    }
}

macro_rules! desired {
    ($type:ty, $kind:ident) => {
        impl Record for $type {
            const KIND: Kind = Kind::$kind;
            const PART: Part = Part::Desired;

            fn name(&self) -> Option<(ProjectId, &str)> {
                Some((self.meta.project, &self.meta.name))
            }
        }
    };
}

macro_rules! derived {
    ($type:ty, $kind:ident, $part:ident) => {
        impl Record for $type {
            const KIND: Kind = Kind::$kind;
            const PART: Part = Part::$part;
        }
    };
}

/// As above, with a name only where one is to be unique.
macro_rules! desired_if {
    ($type:ty, $kind:ident, $is_unique:expr) => {
        impl Record for $type {
            const KIND: Kind = Kind::$kind;
            const PART: Part = Part::Desired;

            fn name(&self) -> Option<(ProjectId, &str)> {
                let is_unique: fn(&Self) -> bool = $is_unique;
                is_unique(self).then_some((self.meta.project, &self.meta.name))
            }
        }
    };
}

desired!(Instance, Instance);
desired_if!(Network, Network, |network| network.spec.unique_name);
desired_if!(Firewall, Firewall, |firewall| firewall.spec.default);
derived!(Server, Server, Desired);
derived!(IdRanges, IdRanges, Desired);
derived!(Port, Port, Desired);
derived!(Router, Router, Desired);
derived!(RegisteredImage, RegisteredImage, Desired);
derived!(ImageTask, ImageTask, Desired);
derived!(FloatingAddress, FloatingAddress, Desired);
desired!(Volume, Volume);
desired!(VolumeType, VolumeType);
derived!(VolumeTransfer, VolumeTransfer, Desired);
derived!(Snapshot, Snapshot, Desired);
desired!(Node, Node);
desired!(Project, Project);
desired!(User, User);
desired!(Group, Group);
desired!(Role, Role);
desired!(Assignment, Assignment);
desired!(Credential, Credential);
desired!(ApplicationCredential, ApplicationCredential);
desired!(AccessRule, AccessRule);
desired!(Service, Service);
desired!(Endpoint, Endpoint);
desired!(Region, Region);
desired!(KeyRing, KeyRing);
desired!(Revocation, Revocation);
desired!(RegisteredLimit, RegisteredLimit);
desired!(Limit, Limit);
desired!(Flavor, Flavor);
desired!(KeyPair, KeyPair);
desired!(Quota, Quota);
derived!(ServerGroup, ServerGroup, Desired);
derived!(QuotaGate, QuotaGate, Desired);
desired!(Aggregate, Aggregate);
derived!(Usage, Usage, Observed);
derived!(Placement, Instance, Placement);
derived!(Retry, Instance, Retry);
derived!(InstanceStatus, Instance, Observed);
derived!(NetworkStatus, Network, Observed);
derived!(VolumeStatus, Volume, Observed);
derived!(SnapshotStatus, Snapshot, Observed);
derived!(NodeStatus, Node, Observed);
derived!(UserStatus, User, Observed);
derived!(Allotment, Port, Placement);
derived!(RouterStatus, Router, Observed);

/// Reads records that were written as JSON.
pub(crate) struct Decoder {
    pub(crate) kind: Kind,
    pub(crate) part: Part,
    pub(crate) decode: fn(String) -> Result<Value, serde_json::Error>,
}

impl Decoder {
    const fn of<R: Record>() -> Self {
        Self {
            kind: R::KIND,
            part: R::PART,
            decode: decode::<R>,
        }
    }

    /// The decoder of the records with this kind and part, as they are written.
    pub(crate) fn find(kind: &str, part: &str) -> Option<&'static Self> {
        DECODERS
            .iter()
            .find(|decoder| decoder.kind.as_str() == kind && decoder.part.as_str() == part)
    }
}

/// One for every type of record.
static DECODERS: &[Decoder] = &[
    Decoder::of::<Instance>(),
    Decoder::of::<Placement>(),
    Decoder::of::<Retry>(),
    Decoder::of::<InstanceStatus>(),
    Decoder::of::<Server>(),
    Decoder::of::<Network>(),
    Decoder::of::<NetworkStatus>(),
    Decoder::of::<Volume>(),
    Decoder::of::<VolumeStatus>(),
    Decoder::of::<VolumeType>(),
    Decoder::of::<VolumeTransfer>(),
    Decoder::of::<Snapshot>(),
    Decoder::of::<SnapshotStatus>(),
    Decoder::of::<Node>(),
    Decoder::of::<NodeStatus>(),
    Decoder::of::<Project>(),
    Decoder::of::<User>(),
    Decoder::of::<Group>(),
    Decoder::of::<Role>(),
    Decoder::of::<Assignment>(),
    Decoder::of::<Credential>(),
    Decoder::of::<ApplicationCredential>(),
    Decoder::of::<AccessRule>(),
    Decoder::of::<Service>(),
    Decoder::of::<Endpoint>(),
    Decoder::of::<Region>(),
    Decoder::of::<KeyRing>(),
    Decoder::of::<Revocation>(),
    Decoder::of::<RegisteredLimit>(),
    Decoder::of::<Limit>(),
    Decoder::of::<UserStatus>(),
    Decoder::of::<Port>(),
    Decoder::of::<Allotment>(),
    Decoder::of::<Firewall>(),
    Decoder::of::<Router>(),
    Decoder::of::<RouterStatus>(),
    Decoder::of::<FloatingAddress>(),
    Decoder::of::<Flavor>(),
    Decoder::of::<KeyPair>(),
    Decoder::of::<Quota>(),
    Decoder::of::<ServerGroup>(),
    Decoder::of::<QuotaGate>(),
    Decoder::of::<IdRanges>(),
    Decoder::of::<RegisteredImage>(),
    Decoder::of::<ImageTask>(),
    Decoder::of::<Aggregate>(),
    Decoder::of::<Usage>(),
];

fn decode<R: Record>(json: String) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<R>(&json).map(|record| Value::new(record, json))
}
