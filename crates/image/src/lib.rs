//! OCI content on this node: digests, references, blobs, manifests, unpacked layers.
//!
//! [`Store`] is the whole of it: pulls and pushes, loads and saves archives, imports root file
//! systems, tags, lists and removes; keeps files as they were uploaded. Layers are unpacked once, one
//! directory each, and shared; everything that is read often is in memory. [`registry`] is the client
//! of registries. It mounts nothing and knows no containers: who uses an image is asked of the
//! caller. The engine mounts [`Store::layers`]; `actions` calls the rest.

mod archive;
pub mod changes;
mod clamp;
mod compression;
mod config;
mod digest;
mod entry;
pub mod extract;
#[cfg(fuzzing)]
pub mod fuzzing;
mod layer;
pub mod pack;
pub mod pipe;
pub mod platform;
pub mod reference;
pub mod registry;
mod store;
mod unpack;

pub use archive::ArchiveError;
pub use compression::UnsupportedCompression;
pub use digest::DigestError;
pub use store::arrival::ArrivalError;
pub use store::cache::{CacheLock, Sharing};
pub use store::commit::{CommitError, CommitOptions};
pub use store::file::{FileFacts, KeptFile, ReceiveError, Received};
pub use store::held::Held;
pub use store::import::{ImportError, ImportOptions};
pub use store::layers::LayerError;
pub use store::load::{LoadError, Loaded, Progress};
pub use store::pull::{PullError, PullRequest, PullStep, Pulled};
pub use store::push::{PushError, PushRequest, PushStep, UploadStage};
pub use store::remove::{Conflict, InUse, Reason, RemoveError, Removed, Use};
pub use store::save::SaveError;
pub use store::shelf::{OnShelf, ShelveError, Shelved, digest_of};
pub use store::step::{CachedStep, Scratch, StepLayer, StepOptions};
pub use store::tag::{TagError, TargetError};
pub use store::transfer::{LayerStage, TransferError};
pub use store::upload::{AppendError, Upload};
pub use store::{ContentError, LookupError, OpenError, Store};
pub use unpack::UnpackError;
