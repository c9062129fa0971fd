//! Removing names and images, with the rules that Docker's users know.

use std::collections::BTreeSet;

use super::index::{FoundBy, State};
use super::{Changing, ContentError, LookupError, Store};
use crate::digest::{Digest, chain_ids};
use crate::reference::Reference;

/// What an image is used by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// A container.
    Container {
        /// Its id, for the message.
        id: String,
        /// It runs: not even force removes the image.
        running: bool,
    },
    /// Somebody keeps it for themselves: it may go from the list, but its layers stay.
    Kept,
}

/// One thing a removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone, in familiar form: `busybox:latest`.
    Untagged(String),
    /// An image (its id) or a chain of layers (its chain id) is gone.
    Deleted(String),
}

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// No such image.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It is still needed.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The index cannot be written.
    #[error(transparent)]
    Write(#[from] ContentError),
}

/// How an image is still needed; the messages are those that Docker's users know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// It would lose its last name, and a container uses it.
    #[error(
        "conflict: unable to remove repository reference {reference:?} (must force) - container {} is using its referenced image {}",
        short(container),
        short(id)
    )]
    NameInUse {
        /// As asked for.
        reference: String,
        /// The container's id.
        container: String,
        /// The image's id.
        id: String,
    },
    /// Force does not help.
    #[error(
        "conflict: unable to delete {} (cannot be forced) - {reason}",
        short(id)
    )]
    CannotForce {
        /// The image's id.
        id: String,
        /// By what it is needed.
        reason: Reason,
    },
    /// Force helps.
    #[error("conflict: unable to delete {} (must be forced) - {reason}", short(id))]
    MustForce {
        /// The image's id.
        id: String,
        /// By what it is needed.
        reason: Reason,
    },
}

/// What an image is needed by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Other images were made from it.
    #[error("image has dependent child images")]
    Children,
    /// A running container.
    #[error("image is being used by running container {}", short(.0))]
    Running(String),
    /// A stopped container.
    #[error("image is being used by stopped container {}", short(.0))]
    Stopped(String),
    /// Names in several repositories.
    #[error("image is referenced in multiple repositories")]
    ManyRepositories,
}

/// Twelve digits of an id.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

type Uses<'a> = &'a dyn Fn(&str) -> Option<Use>;

/// What is needed although it is not listed.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    /// Ids of images.
    pub images: BTreeSet<String>,
    /// Digests of files.
    pub files: BTreeSet<String>,
}

impl Store {
    /// Removes a name, and the image with it when that was the last one; by id, the image.
    ///
    /// `in_use` answers what uses the image with this id (`sha256:...`): a running container first,
    /// any container next. With `force`, an image that a stopped container uses is gone from the
    /// list, but its layers stay until [`Store::collect`] finds it unused. Waits for the disk.
    ///
    /// # Errors
    /// When it is not there, or still needed.
    pub fn remove(
        &self,
        reference: &str,
        force: bool,
        prune_parents: bool,
        in_use: &dyn Fn(&str) -> Option<Use>,
    ) -> Result<Vec<Removed>, RemoveError> {
        self.change_seeing(|state, changing| {
            let mut removal = Removal {
                state,
                changing,
                in_use,
                force,
                removed: Vec::new(),
            };
            removal.run(reference, prune_parents)?;
            Ok(removal.removed)
        })
    }

    /// Takes an image and its names off the list; it stays for who uses it. Waits for the disk.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn hide(&self, id: &str) -> Result<(), ContentError> {
        let Ok(id) = id.parse::<Digest>() else {
            return Ok(());
        };
        self.change(|state| {
            state.index.tags.retain(|_, named| *named != id);
            state.index.digests.retain(|_, named| *named != id);
            if let Some(record) = state.index.images.get_mut(&id) {
                record.removed = true;
            }
            Ok(())
        })
    }

    /// Frees what is not listed and that nobody uses any more: images that were removed while a
    /// container used them, and files.
    ///
    /// `in_use` is asked again where something is to be freed. Costs no disk when there is nothing;
    /// otherwise waits for it.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn collect(&self, in_use: &dyn Fn() -> InUse) -> Result<(), ContentError> {
        let state = self.state();
        if !state.has_unlisted() || unused(&state, &in_use()).is_empty() {
            return Ok(());
        }
        self.change_seeing(|state, changing| {
            let unused = unused(state, &in_use());
            for digest in unused {
                if !changing.held.contains_key(&digest) {
                    state.index.files.remove(&digest);
                    if state.is_hidden(&digest) {
                        state.forget(&digest);
                    }
                }
            }
            Ok(())
        })
    }
}

/// Digests of images that are not listed, and of files, that are not in use.
fn unused(state: &State, in_use: &InUse) -> BTreeSet<Digest> {
    let images = state
        .index
        .images
        .iter()
        .filter(|(id, record)| record.removed && !in_use.images.contains(&id.to_string()))
        .filter(|(id, _)| !state.is_step(id));
    let files = state
        .index
        .files
        .keys()
        .filter(|digest| !in_use.files.contains(&digest.to_string()));
    images.map(|(id, _)| *id).chain(files.copied()).collect()
}

/// Whether these names are one to people: a tag, with or without the digests of its repository.
fn is_one(names: &[String]) -> bool {
    let names: Vec<Reference> = names
        .iter()
        .filter_map(|name| Reference::parse(name).ok())
        .collect();
    let Some(first) = names.first() else {
        return false;
    };
    names.iter().filter(|name| name.tag().is_some()).count() <= 1
        && names
            .iter()
            .all(|name| name.repository() == first.repository())
}

/// One removal under way.
struct Removal<'a> {
    state: &'a mut State,
    changing: &'a Changing,
    in_use: Uses<'a>,
    force: bool,
    removed: Vec<Removed>,
}

impl Removal<'_> {
    fn run(&mut self, text: &str, prune_parents: bool) -> Result<(), RemoveError> {
        let (id, found_by) = self.state.find(text)?;
        let has_one_name = is_one(&self.state.names(&id));
        let mut parent = self
            .state
            .index
            .images
            .get(&id)
            .and_then(|record| record.parent);
        match found_by {
            FoundBy::Name(name) => {
                if !self.force
                    && has_one_name
                    && let Some(Use::Container { id: container, .. }) =
                        (self.in_use)(&id.to_string())
                {
                    return Err(Conflict::NameInUse {
                        reference: text.to_owned(),
                        container,
                        id: id.to_string(),
                    }
                    .into());
                }
                self.untag_with_digests(&name, &id);
                // The name that was asked for is gone: an image that is still needed stays behind.
                if !self.state.names(&id).is_empty()
                    || self.conflict(&id, !self.force, true).is_some()
                {
                    return Ok(());
                }
            }
            FoundBy::Id => {
                if let Some(conflict) = self.conflict(&id, !self.force, !has_one_name) {
                    return Err(conflict.into());
                }
            }
        }
        self.delete(id);
        while prune_parents
            && let Some(id) = parent.filter(|id| self.state.index.images.contains_key(id))
            && self.conflict(&id, true, true).is_none()
        {
            parent = self
                .state
                .index
                .images
                .get(&id)
                .and_then(|record| record.parent);
            self.delete(id);
        }
        Ok(())
    }

    /// Takes a name away. With the last tag of its repository, the digests of that repository go, too.
    fn untag_with_digests(&mut self, name: &Reference, id: &Digest) {
        if let Some(digest) = name.digest() {
            self.untag(&format!("{}@{digest}", name.repository()));
            return;
        }
        self.untag(&name.to_string());
        let names = self.state.names(id);
        let of_repository: Vec<Reference> = names
            .iter()
            .filter_map(|other| Reference::parse(other).ok())
            .filter(|other| other.repository() == name.repository())
            .collect();
        if of_repository.iter().all(|other| other.digest().is_some()) {
            for other in of_repository {
                self.untag(&other.to_string());
            }
        }
    }

    fn untag(&mut self, name: &str) {
        self.state.index.tags.remove(name);
        self.state.index.digests.remove(name);
        let familiar =
            Reference::parse(name).map_or_else(|_| name.to_owned(), |name| name.familiar());
        self.removed.push(Removed::Untagged(familiar));
    }

    /// What speaks against deleting the image; with `soft` also what force overrides, and with
    /// `names` its names are among that.
    fn conflict(&self, id: &Digest, soft: bool, names: bool) -> Option<Conflict> {
        let needed = |reason| {
            Some(Conflict::CannotForce {
                id: id.to_string(),
                reason,
            })
        };
        let must_force = |reason| {
            Some(Conflict::MustForce {
                id: id.to_string(),
                reason,
            })
        };
        if self
            .state
            .index
            .images
            .values()
            .any(|record| !record.removed && record.parent == Some(*id))
        {
            return needed(Reason::Children);
        }
        let user = (self.in_use)(&id.to_string());
        match user {
            Some(Use::Container { id, running: true }) => needed(Reason::Running(id)),
            _ if soft && names && !self.state.names(id).is_empty() => {
                must_force(Reason::ManyRepositories)
            }
            Some(Use::Container { id, .. }) if soft => must_force(Reason::Stopped(id)),
            _ => None,
        }
    }

    /// Deletes the image with its names; what a container uses is only hidden.
    fn delete(&mut self, id: Digest) {
        for name in self.state.names(&id) {
            self.untag(&name);
        }
        self.removed.push(Removed::Deleted(id.to_string()));
        let Some(stored) = self.state.images.get(&id) else {
            return;
        };
        let diff_ids = stored.diff_ids.clone();
        let is_held = self.changing.held.contains_key(&id);
        if is_held || self.state.is_step(&id) || (self.in_use)(&id.to_string()).is_some() {
            if let Some(record) = self.state.index.images.get_mut(&id) {
                record.removed = true;
            }
            return;
        }
        self.state.forget(&id);
        let left: BTreeSet<Digest> = self
            .state
            .images
            .values()
            .flat_map(|stored| chain_ids(&stored.diff_ids))
            .collect();
        let gone = chain_ids(&diff_ids)
            .into_iter()
            .rev()
            .take_while(|chain| !left.contains(chain));
        self.removed
            .extend(gone.map(|chain| Removed::Deleted(chain.to_string())));
    }
}
