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
use model::metadata_namespace::MetadataNamespace;
use model::network::{Network, NetworkStatus};
use model::node::{Node, NodeStatus};
use model::port::{Allotment, Port};
use model::project::Project;
use model::quota::{Quota, QuotaGate};
use model::region::Region;
use model::registered_image::RegisteredImage;
use model::repository::{Repository, RepositoryBlob, RepositoryManifest, RepositoryTag};
use model::revocation::Revocation;
use model::role::Role;
use model::router::{FloatingAddress, Router, RouterStatus};
use model::server::Server;
use model::server_group::ServerGroup;
use model::service::Service;
use model::snapshot::{Snapshot, SnapshotStatus};
use model::trust::Trust;
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

/// The types of records, each with its noun and part, and with when its name is to be unique. The
/// table makes both the [`Record`] and the decoder, so that what is written can be read again.
macro_rules! records {
    ($($type:ty: $kind:ident, $part:ident $(, named if $is_unique:expr)?;)+) => {
        $(
            impl Record for $type {
                const KIND: Kind = Kind::$kind;
                const PART: Part = Part::$part;

                $(
                    fn name(&self) -> Option<(ProjectId, &str)> {
                        let is_unique: fn(&Self) -> bool = $is_unique;
                        is_unique(self).then_some((self.meta.project, &self.meta.name))
                    }
                )?
            }
        )+

        static DECODERS: &[Decoder] = &[$(Decoder::of::<$type>()),+];
    };
}

records! {
    Instance: Instance, Desired, named if |_| true;
    Network: Network, Desired, named if |network| network.spec.unique_name;
    Firewall: Firewall, Desired, named if |firewall| firewall.spec.default;
    Server: Server, Desired;
    IdRanges: IdRanges, Desired;
    Port: Port, Desired;
    Router: Router, Desired;
    RegisteredImage: RegisteredImage, Desired;
    ImageTask: ImageTask, Desired;
    MetadataNamespace: MetadataNamespace, Desired, named if |_| true;
    FloatingAddress: FloatingAddress, Desired;
    Volume: Volume, Desired, named if |_| true;
    VolumeType: VolumeType, Desired, named if |_| true;
    VolumeTransfer: VolumeTransfer, Desired;
    Snapshot: Snapshot, Desired;
    Node: Node, Desired, named if |_| true;
    Project: Project, Desired, named if |_| true;
    User: User, Desired, named if |_| true;
    Group: Group, Desired, named if |_| true;
    Role: Role, Desired, named if |_| true;
    Assignment: Assignment, Desired, named if |_| true;
    Credential: Credential, Desired, named if |_| true;
    ApplicationCredential: ApplicationCredential, Desired, named if |_| true;
    AccessRule: AccessRule, Desired, named if |_| true;
    Trust: Trust, Desired;
    Service: Service, Desired, named if |_| true;
    Endpoint: Endpoint, Desired, named if |_| true;
    Region: Region, Desired, named if |_| true;
    KeyRing: KeyRing, Desired, named if |_| true;
    Revocation: Revocation, Desired, named if |_| true;
    RegisteredLimit: RegisteredLimit, Desired, named if |_| true;
    Limit: Limit, Desired, named if |_| true;
    Flavor: Flavor, Desired, named if |_| true;
    KeyPair: KeyPair, Desired, named if |_| true;
    Quota: Quota, Desired, named if |_| true;
    Repository: Repository, Desired, named if |_| true;
    RepositoryBlob: RepositoryBlob, Desired, named if |_| true;
    RepositoryManifest: RepositoryManifest, Desired, named if |_| true;
    RepositoryTag: RepositoryTag, Desired, named if |_| true;
    Aggregate: Aggregate, Desired, named if |_| true;
    ServerGroup: ServerGroup, Desired;
    QuotaGate: QuotaGate, Desired;
    Placement: Instance, Placement;
    Retry: Instance, Retry;
    InstanceStatus: Instance, Observed;
    NetworkStatus: Network, Observed;
    VolumeStatus: Volume, Observed;
    SnapshotStatus: Snapshot, Observed;
    NodeStatus: Node, Observed;
    UserStatus: User, Observed;
    Allotment: Port, Placement;
    RouterStatus: Router, Observed;
    Usage: Usage, Observed;
}

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

fn decode<R: Record>(json: String) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<R>(&json).map(|record| Value::new(record, json))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_record_has_a_place_of_its_own() {
        let places: BTreeSet<_> = DECODERS.iter().map(|it| (it.kind, it.part)).collect();
        assert_eq!(places.len(), DECODERS.len());
    }
}
