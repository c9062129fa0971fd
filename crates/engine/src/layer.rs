//! The writable layer of an instance as a layer of an image: a tar with whiteouts.
//!
//! A running instance may be held still meanwhile, so that what is packed is of one moment.

use std::sync::Arc;

use model::Id;
use model::instance::Failure;
use rooted::Root;
use runtime::cgroup::Cgroup;

use crate::Archive;
use crate::failure::internal;
use crate::host::Inner;
use crate::run::{Live, State};

impl Inner {
    /// The writable layer of an instance, or the volume that is its root, whole. It is held still
    /// while that is packed if `hold` says so.
    pub(crate) fn layer(&self, id: Id, hold: bool) -> Result<Archive, Failure> {
        let volume = self.volume_below(&self.origin(id)?)?;
        let held = match self.runs.running(id).filter(|_| hold) {
            Some(live) if live.state() == State::Running => Held::take(live)?,
            Some(_) | None => None,
        };
        if let Some(root) = volume {
            return crate::archive::export(root, 0, held);
        }
        let root =
            Root::open(&self.directories.instance(id).upper()).map_err(|error| internal(&error))?;
        crate::archive::layer(root, held)
    }
}

/// An instance that is held still until this is dropped.
///
/// Its state does not say so: it is not paused. A daemon that dies meanwhile leaves it frozen, and
/// the next one finds it paused and lets it go on, for nobody asked for that.
struct Held {
    live: Arc<Live>,
    cgroup: Cgroup,
}

impl Held {
    /// Holds an instance still; `None` where it has ended, of which may not have been heard yet.
    fn take(live: Arc<Live>) -> Result<Option<Self>, Failure> {
        let cgroup = Cgroup::at(&live.note.cgroups_path).map_err(|error| internal(&error))?;
        match cgroup.freeze() {
            Ok(()) => Ok(Some(Self { live, cgroup })),
            Err(_) if !live.is_there() => Ok(None),
            Err(error) => Err(internal(&error)),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Somebody may have paused it meanwhile, or it was killed.
        if self.live.state() == State::Running
            && let Err(error) = self.cgroup.thaw()
        {
            tracing::warn!(instance = %self.live.id, error = &error as &dyn std::error::Error, "an instance stays frozen");
        }
    }
}
