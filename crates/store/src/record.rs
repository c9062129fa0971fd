//! Which records there are: each has one type, one place and one writer.

use model::instance::{Instance, InstanceStatus, Placement, Retry};
use model::network::Network;
use model::node::{Node, NodeStatus};
use model::volume::Volume;
use model::{Kind, Project};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The parts an object's truth is kept in, so that each has one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// What was asked for. Written by `actions` (nodes: by their agent).
    Desired,
    /// Where it runs. Written by the placement controller.
    Placement,
    /// That it is to run again. Written by the restart controller.
    Retry,
    /// What was seen. Written by the node's agent.
    Observed,
}

/// A type that is kept in the store.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The noun it belongs to.
    const KIND: Kind;
    /// The part of that noun's truth that it is.
    const PART: Part;

    /// The name to keep unique in its project, where this part carries one.
    fn name(&self) -> Option<(&Project, &str)> {
        None
    }
}

macro_rules! desired {
    ($type:ty, $kind:ident) => {
        impl Record for $type {
            const KIND: Kind = Kind::$kind;
            const PART: Part = Part::Desired;

            fn name(&self) -> Option<(&Project, &str)> {
                Some((&self.meta.project, &self.meta.name))
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

desired!(Instance, Instance);
desired!(Network, Network);
desired!(Volume, Volume);
desired!(Node, Node);
derived!(Placement, Instance, Placement);
derived!(Retry, Instance, Retry);
derived!(InstanceStatus, Instance, Observed);
derived!(NodeStatus, Node, Observed);
